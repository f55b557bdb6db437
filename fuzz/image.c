/* image.c - fuzzes the recognition of images by their first bytes (csrc/signature.c), and the sink that bodies go to
 * (csrc/sink.c): its limit, and its check while a body arrives in pieces.
 *
 * Input: four bytes (size of the pieces; what the server announces; the limit; flags), then the body. */
#include "../csrc/probe.h"
#include "../csrc/sink.h"
#include "fuzz.h"
#include "watch.h"

enum { COUNT = sizeof signatures / sizeof *signatures };

/* A body of N bytes agrees with PATTERN: written down once more, in the plainest way. */
static int begins_with(const struct flux2_signature *pattern, const uint8_t *body, size_t n)
{
    size_t i;
    for (i = 0; i < pattern->size; i++)
        if (i >= n || (pattern->bytes[i] != '?' && pattern->bytes[i] != body[i]))
            return 0;
    return 1;
}

static int expected_match(const uint8_t *body, size_t n)
{
    int i;
    for (i = 0; i < (int)COUNT; i++)
        if (begins_with(&signatures[i], body, n))
            return i;
    return -1;
}

static void check_end(struct flux2_sink *sink, enum flux2_failure failure, struct input body)
{
    int match = expected_match(body.at, body.size);
    if (failure == FLUX2_FAILURE_NONE)
        failure = flux2_sink_finish(sink);
    if (sink->accept && body.size <= sink->limit)
        PROMISE((failure == FLUX2_FAILURE_SIGNATURE) == (match < 0));
    if (failure != FLUX2_FAILURE_NONE)
        return;
    size_t size;
    PROMISE(body.size <= sink->limit && sink->received == body.size);
    PROMISE(!sink->accept || sink->signature == match);
    char *data = flux2_sink_take(sink, &size);
    PROMISE(size == (data ? body.size : 0));
    PROMISE(!data || (memcmp(data, body.at, size) == 0 && data[size] == '\0'));
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct flux2_sink sink;
    size_t piece = (size_t)take_byte(&in) + 1, announced = (size_t)take_byte(&in) * 37;
    size_t limit = (size_t)take_byte(&in) * 8, done = 0;
    uint8_t flags = take_byte(&in);
    enum flux2_failure failure = FLUX2_FAILURE_NONE;
    flux2_sink_init(&sink);
    sink.accept = flags & 1 ? signatures : NULL;
    sink.accept_count = flags & 1 ? COUNT : 0;
    sink.limit = flags & 2 ? (size_t)1 << 20 : limit;
    while (done < in.size && failure == FLUX2_FAILURE_NONE) {
        struct input part = {in.at + done, in.size - done < piece ? in.size - done : piece};
        char *copy = exact_copy(part);
        failure = flux2_sink_write(&sink, copy, part.size, flags & 4 ? SIZE_MAX : announced);
        free(copy);
        done += part.size;
        PROMISE(sink.received <= sink.limit && sink.capacity <= sink.limit + 4096 + sink.limit);
    }
    check_end(&sink, failure, in);
    flux2_sink_clear(&sink);
    return 0;
}
