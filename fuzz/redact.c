/* redact.c - fuzzes the removal of secrets (csrc/base/redact.c): no part of a secret is left in the text.
 *
 * Input: a byte (how much room there is), a line with a secret, and the text. */
#include "base/redact.h"
#include "fuzz.h"

static int holds(const char *text, size_t size, const char *secret)
{
    size_t i, n = strlen(secret);
    for (i = 0; i + n <= size; i++)
        if (memcmp(text + i, secret, n) == 0)
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    size_t room = (size_t)take_byte(&in) * 16;
    char *secret = text_copy(take_until(&in, '\n')), *text = exact_copy(in), *out = malloc(room ? room : 1);
    const struct flux2_string_list secrets = {&secret, 1};
    if (!out)
        abort();
    size_t made = flux2_redact(out, room, text, in.size, &secrets);
    CHECK(made <= room);
    size_t whole = flux2_redact(text, in.size, text, in.size, &secrets);
    CHECK(whole <= in.size && made <= whole && memcmp(out, text, made) == 0);
    /* What is left of two halves may meet: of a mark, for instance. */
    CHECK(strlen(secret) < FLUX2_SECRET_MIN || strpbrk(secret, "aio_*\\%") || !holds(text, whole, secret));
    free(secret);
    free(text);
    free(out);
    return 0;
}
