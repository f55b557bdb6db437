/* image.c - fuzzes image signatures (csrc/base/image_signature.c), the structure of an image (csrc/base/image_scan.c),
 * its metadata (csrc/http/image_metadata.c) and the body sink (csrc/http/sink.c): its limit, and its checks while a
 * body arrives in pieces.
 *
 * Input: four bytes (piece size, announced size, limit, flags), then the body. */
#include "fuzz.h"
#include "http/sink.h"
#include "schema.h"

enum { COUNT = sizeof signatures / sizeof *signatures };

/* A straightforward second implementation of the match. */
static int begins_with(const struct flux2_image_signature *pattern, const uint8_t *body, size_t n)
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

/* Scans the image at once. */
static struct flux2_image_scan scan_all(struct input body)
{
    struct flux2_image_scan scan;
    flux2_image_scan_init(&scan);
    flux2_image_scan_feed(&scan, body.at, body.size);
    return scan;
}

/* Whether the image has its end, seen at once. */
static bool is_whole(struct input body)
{
    struct flux2_image_scan scan = scan_all(body);
    return flux2_image_scan_is_whole(&scan);
}

static char json[] = "{}", xmp[] = "<x/>";
static const struct flux2_image_metadata metadata = {.json = json, .xmp = xmp};

/* An image with metadata is whole, has it in the same place, and takes no more. */
static void check_described(struct input body, const struct flux2_image_scan *before, const char *block, size_t size)
{
    struct input now = {NULL, body.size + size};
    size_t place = (size_t)before->place, more;
    char *again, *bytes = malloc(now.size);
    CHECK(bytes && before->place <= body.size);
    memcpy(bytes, body.at, place);
    memcpy(bytes + place, block, size);
    memcpy(bytes + place + size, body.at + place, body.size - place);
    now.at = (const uint8_t *)bytes;
    struct flux2_image_scan after = scan_all(now);
    CHECK(flux2_image_scan_is_whole(&after) && after.is_closed && after.place == before->place);
    CHECK(flux2_image_metadata_block(&metadata, &after, &again, &more) == 0 && !again);
    free(bytes);
}

static void check_metadata(struct input body)
{
    char *block;
    size_t size;
    struct flux2_image_scan scan = scan_all(body);
    CHECK(flux2_image_metadata_block(&metadata, &scan, &block, &size) == 0);
    if (block)
        check_described(body, &scan, block, size);
    free(block);
}

static void check_end(struct flux2_sink *sink, enum flux2_failure failure, struct input body)
{
    int match = expected_match(body.at, body.size);
    if (failure == FLUX2_FAILURE_NONE)
        failure = flux2_sink_finish(sink);
    if (sink->accept && body.size <= sink->limit)
        CHECK((failure == FLUX2_FAILURE_SIGNATURE) == (match < 0));
    if (sink->accept && match >= 0 && body.size <= sink->limit)
        CHECK((failure == FLUX2_FAILURE_TRUNCATED) == !is_whole(body));
    if (failure != FLUX2_FAILURE_NONE)
        return;
    size_t size;
    CHECK(body.size <= sink->limit && sink->received == body.size);
    CHECK(!sink->accept || sink->signature == match);
    char *data = flux2_sink_take(sink, &size);
    CHECK(size == (data ? body.size : 0));
    CHECK(!data || (memcmp(data, body.at, size) == 0 && data[size] == '\0'));
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
        CHECK(sink.received <= sink.limit && sink.capacity <= sink.limit + 4096 + sink.limit);
    }
    check_end(&sink, failure, in);
    check_metadata(in);
    flux2_sink_clear(&sink);
    return 0;
}
