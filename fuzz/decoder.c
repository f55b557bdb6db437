/* decoder.c - fuzzes the decoder of bodies (csrc/http/decoder.c): a body in pieces gives the same bytes as at once, and
 * one that is not compressed is passed on as it is.
 *
 * Input: two bytes (piece size, bytes to take before stopping), then the body. */
#include "http/decoder.h"
#include "fuzz.h"

enum { LIMIT = 1 << 16 };

/* What was decoded. */
struct taken {
    char *data;
    size_t size, limit;
};

static bool take(void *arg, const void *data, size_t size)
{
    struct taken *t = arg;
    size_t n = size < t->limit - t->size ? size : t->limit - t->size;
    CHECK(size > 0);
    memcpy(t->data + t->size, data, n);
    t->size += n;
    return n == size;
}

/* Decodes BODY in pieces. Returns whether all of it was taken. */
static bool decode(struct input body, size_t piece, struct taken *out)
{
    struct flux2_decoder decoder = {.held = 0};
    size_t done = 0;
    bool ok = true;
    while (ok && done < body.size) {
        struct input part = {body.at + done, body.size - done < piece ? body.size - done : piece};
        char *copy = exact_copy(part);
        ok = flux2_decoder_write(&decoder, copy, part.size, take, out);
        free(copy);
        done += part.size;
    }
    ok = ok && flux2_decoder_finish(&decoder, take, out);
    flux2_decoder_clear(&decoder);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    size_t piece = (size_t)take_byte(&in) + 1, limit = (size_t)take_byte(&in) * 64;
    struct taken whole = {.data = malloc(LIMIT), .limit = LIMIT}, parts = {.data = malloc(LIMIT), .limit = LIMIT};
    struct taken some = {.data = malloc(LIMIT), .limit = limit};
    bool ok = decode(in, SIZE_MAX, &whole);
    CHECK(decode(in, piece, &parts) == ok);
    CHECK(parts.size == whole.size && memcmp(parts.data, whole.data, whole.size) == 0);
    decode(in, piece, &some);
    CHECK(some.size <= limit);
    bool may_be_compressed = in.size > 0 && (in.at[0] == 0x1f || in.at[0] == 0x78);
    if (!may_be_compressed)
        CHECK(ok && whole.size == in.size && (in.size == 0 || memcmp(whole.data, in.at, in.size) == 0));
    free(whole.data);
    free(parts.data);
    free(some.data);
    return 0;
}
