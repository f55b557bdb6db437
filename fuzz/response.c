/* response.c - fuzzes the response reader (csrc/engine/response_reader.c) with the response schema of the product.
 *
 * Input: one byte (bits 0 to 1: request kind; bits 2 to 4: status; bit 5: Retry-After; bit 6: content type), then
 * the body. */
#include <math.h>

#include "base/http_url.h"
#include "base/utf8.h"
#include "engine/classify.h"
#include "engine/response_reader.h"
#include "fuzz.h"
#include "schema.h"

static const int statuses[] = {200, 200, 200, 202, 400, 404, 429, 503};

static void check_text(const char *text, size_t limit)
{
    size_t size = text ? strlen(text) : 0, n;
    CHECK(size <= limit);
    for (; size > 0; text += n, size -= n) {
        n = flux2_utf8_length(text, size);
        CHECK(n > 0);
    }
}

static void check_fields(const struct flux2_response *r)
{
    const char *s;
    CHECK(memchr(r->status, '\0', sizeof r->status));
    for (s = r->status; *s; s++)
        CHECK((unsigned char)*s >= ' ' && *s != 0x7F);
    check_text(r->status, FLUX2_STATUS_MAX - 1);
    check_text(r->id, FLUX2_ID_MAX);
    check_text(r->poll_url, FLUX2_POLL_URL_MAX);
    check_text(r->reason, 3200);
    check_text(r->code, 3200);
    check_text(r->type, 3200);
    check_text(r->request_id, 3200);
    CHECK(!r->id || r->id[0]);
    CHECK(!r->poll_url || (r->id && flux2_is_http_url(r->poll_url, strlen(r->poll_url))));
    CHECK(!r->has_progress || (r->progress >= 0 && r->progress <= 1));
    CHECK(!r->has_credits || (r->credits >= 0 && r->credits < 0x1p53));
    CHECK(!r->has_code_number || isfinite(r->code_number));
    CHECK(isfinite(r->retry_after));
}

static void check_images(const struct flux2_image_list *images)
{
    size_t i;
    CHECK(images->count <= FLUX2_IMAGES_MAX);
    for (i = 0; i < images->count; i++) {
        const struct flux2_response_image *image = &images->at[i];
        CHECK(!image->url == !!image->data);
        CHECK(!image->content_type || strncmp(image->content_type, "image/", 6) == 0);
        if (image->url) {
            CHECK(strncasecmp(image->url, "http", 4) == 0 && !strpbrk(image->url, " \\\t\r\n"));
            check_text(image->url, SIZE_MAX);
        } else {
            CHECK(image->size > 0 && image->data[image->size] == '\0');
        }
    }
}

/* Invariants of every response, in particular those that protect credits. */
static void check_verdict(const struct flux2_response *r, enum flux2_request_kind kind, const struct flux2_outcome *o)
{
    bool is_submission = kind == FLUX2_REQUEST_SUBMISSION, is_good = o->status < 300;
    CHECK(r->verdict > FLUX2_VERDICT_NONE && r->verdict <= FLUX2_VERDICT_REFUSED);
    CHECK(is_good || r->verdict == FLUX2_VERDICT_REFUSED);
    CHECK(r->images.count == 0 || r->verdict == FLUX2_VERDICT_SUCCEEDED);
    bool is_fine = r->verdict == FLUX2_VERDICT_RUNNING || r->images.count > 0;
    CHECK(is_fine == (r->error == FLUX2_ERROR_NONE));
    CHECK(is_submission == (r->acceptance != FLUX2_ACCEPTANCE_NONE));
    /* Polling starts only with an id and continues only with a status. */
    CHECK(r->verdict != FLUX2_VERDICT_RUNNING || (is_submission ? r->id != NULL : r->status[0] != '\0'));
    CHECK(!is_submission || is_fine == (r->acceptance == FLUX2_ACCEPTANCE_ACCEPTED));
    CHECK((r->error == FLUX2_ERROR_UNKNOWN_OUTCOME) == (r->acceptance == FLUX2_ACCEPTANCE_UNKNOWN));
    bool again = flux2_classify_may_retry(kind, o, r);
    CHECK(!again || r->verdict == FLUX2_VERDICT_REFUSED);
    CHECK(!again || !is_submission || (r->acceptance == FLUX2_ACCEPTANCE_REFUSED && !r->id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t flags = take_byte(&in);
    char *body = exact_copy(in);
    struct flux2_outcome outcome = {
        .status = statuses[flags >> 2 & 7], .sent = true, .retry_after = flags & 32 ? 3 : -1};
    struct flux2_response_source source = {.kind = (enum flux2_request_kind)((flags & 3) % 3),
                                           .outcome = &outcome,
                                           .content_type = flags & 64 ? "text/html" : NULL,
                                           .body = body,
                                           .size = in.size};
    struct flux2_response first, second;
    CHECK(flux2_response_read(&schema, &source, &first));
    check_fields(&first);
    check_images(&first.images);
    check_verdict(&first, source.kind, &outcome);
    CHECK(flux2_response_read(&schema, &source, &second));
    CHECK(first.verdict == second.verdict && first.images.count == second.images.count);
    CHECK(strcmp(first.status, second.status) == 0);
    flux2_response_clear(&first);
    flux2_response_clear(&second);
    free(body);
    return 0;
}
