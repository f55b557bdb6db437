/* job.c - fuzzes a generation job (csrc/engine/poll_job.c): a submission and its polls, with responses from the input.
 *
 * Input: one part per response, separated by 0xFF: a byte for the status, a byte for Retry-After and transport
 * errors (including out of memory), then the body. A request that was not started has only the two bytes. The end of
 * the input ends the job. */
#include <curl/curl.h>
#include <math.h>

#include "base/http_url.h"
#include "engine/poll_job.h"
#include "fuzz.h"
#include "schema.h"

#define ORIGIN "http://127.0.0.1:1"
#define SUBMIT ORIGIN "/api/v1/images/generations"
#define POLL ORIGIN "/api/v1/tasks/"

enum { FETCH_ID = 2 };

static const int statuses[] = {200, 200, 201, 202, 204, 301, 400, 401, 402, 404, 408, 409, 429, 500, 503, 0};
static const double pauses[] = {-1, -1, -1, 0, 1, 30, 86400, 1e300};
static struct flux2_profile *profile;
static struct flux2_transfer *transfer;

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    profile = flux2_profile_new();
    transfer = flux2_transfer_new();
    if (!profile || !transfer)
        abort();
    flux2_response_schema_release(profile->schema);
    profile->schema = &schema;
    static char *origins[] = {(char *)ORIGIN};
    profile->origins = (struct flux2_string_list){origins, 1};
    profile->patience = 4;
    profile->max_attempts = 3;
    transfer->sink.limit = (size_t)1 << 20;
    return 0;
}

/* Fills the transfer as after a request with this response. */
static struct flux2_outcome answer(struct input *in)
{
    struct input part = take_until(in, 0xFF);
    uint8_t status = take_byte(&part), more = take_byte(&part);
    struct flux2_outcome outcome = {.status = statuses[status & 15], .retry_after = pauses[more & 7], .sent = true};
    if (outcome.status == 0)
        outcome.failure = more & 16 ? FLUX2_FAILURE_MEMORY : more & 8 ? FLUX2_FAILURE_TIMEOUT : FLUX2_FAILURE_NETWORK;
    outcome.sent = outcome.failure != FLUX2_FAILURE_MEMORY || !(more & 32);
    flux2_headers_clear(&transfer->headers);
    flux2_sink_clear(&transfer->sink);
    if (outcome.failure == FLUX2_FAILURE_NONE && part.size > 0)
        flux2_sink_write(&transfer->sink, part.at, part.size, 0);
    return outcome;
}

/* What became of the submission. */
struct fate {
    unsigned accepted;
    bool has_url; /* the response named a URL that may be polled */
};

/* Every request goes to the service, polls to one segment below the tasks unless the service named a URL, and a body is
 * never sent twice. */
static void check_request(const struct flux2_request *r, const struct fate *fate)
{
    if (fate->accepted == 0) {
        CHECK(strcmp(r->url, SUBMIT) == 0 && r->body && r->idempotency == FLUX2_NON_IDEMPOTENT);
        return;
    }
    CHECK(!r->body && r->idempotency == FLUX2_IDEMPOTENT && flux2_is_of_origin(r->url, ORIGIN));
    if (fate->has_url)
        return;
    const char *id = r->url + sizeof POLL - 1;
    CHECK(strncmp(r->url, POLL, sizeof POLL - 1) == 0);
    CHECK(*id && !strpbrk(id, "/?#\\ ") && strspn(id, ".") < strlen(id));
}

static void check_events(const struct flux2_output *output, const struct flux2_job *job, struct fate *fate)
{
    struct flux2_event *event = output->events;
    unsigned ended = 0;
    while (event) {
        struct flux2_event *next = event->next;
        CHECK(ended == 0);
        ended += event->kind == FLUX2_EVENT_ENDED;
        fate->accepted += event->kind == FLUX2_EVENT_ACCEPTED;
        fate->has_url |= event->texts.poll_url && flux2_is_of_origin(event->texts.poll_url, ORIGIN);
        CHECK(memchr(event->status, '\0', sizeof event->status) != NULL);
        /* Only an unambiguous image is prefetched. */
        CHECK(event->fetch == 0 ||
              (ended && event->response->images.count > 0 && event->fetch == FETCH_ID && output->next));
        flux2_event_free(event);
        event = next;
    }
    CHECK((ended == 1) == (job->phase == FLUX2_PHASE_ENDED));
    CHECK(fate->accepted <= 1);
}

/* The image is asked for where its link says, and in no other way. */
static void check_fetch(const struct flux2_job *job, struct flux2_job *fetch, struct flux2_input *input)
{
    struct flux2_request request;
    if (!fetch)
        return;
    CHECK(job->phase == FLUX2_PHASE_ENDED && fetch->id == FETCH_ID);
    input->kind = FLUX2_INPUT_BEGIN;
    CHECK(flux2_job_step(fetch, input, NULL) && fetch->phase == FLUX2_PHASE_READY);
    CHECK(flux2_job_request(fetch, &request) == 0);
    CHECK(curl_strnequal(request.url, "http", 4) && !request.body && request.idempotency == FLUX2_IDEMPOTENT);
    CHECK(request.check_signature && !request.path);
    flux2_job_free(fetch);
}

static void step(struct flux2_job *job, struct flux2_input *input, struct fate *fate)
{
    struct flux2_output output = {.events = NULL};
    CHECK(flux2_job_step(job, input, &output));
    check_events(&output, job, fate);
    check_fetch(job, output.next, input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct flux2_poll_spec spec = {.url = POLL "{id}",
                                   .submission = SUBMIT,
                                   .body = "{}",
                                   .body_size = 2,
                                   .check_signature = true,
                                   .observed = (size & 2) != 0,
                                   .fetch_profile = profile,
                                   .fetch_id = FETCH_ID};
    struct flux2_job *job = flux2_poll_job_new(1, profile, &spec);
    uint64_t random = size;
    struct flux2_outcome outcome;
    struct flux2_input input = {.now = 1000, .random = &random, .outcome = &outcome, .observe = true};
    struct fate fate = {.accepted = 0};
    unsigned rounds = 0;
    step(job, &input, &fate);
    while (in.size > 0 && rounds++ < 200) {
        struct flux2_request request;
        CHECK(job->phase == FLUX2_PHASE_READY);
        flux2_job_request(job, &request);
        check_request(&request, &fate);
        job->phase = FLUX2_PHASE_IN_FLIGHT;
        outcome = answer(&in);
        input.kind = FLUX2_INPUT_TRANSFERRED;
        input.transfer = outcome.sent ? transfer : NULL;
        step(job, &input, &fate);
        if (job->phase == FLUX2_PHASE_ENDED)
            break;
        CHECK(fate.accepted > 0 || outcome.slow_down);
        CHECK(job->phase == FLUX2_PHASE_WAITING && isfinite(job->due) && job->due >= input.now);
        /* No answer may put the next look off for longer than the ceiling. */
        CHECK(job->due - input.now <= FLUX2_PAUSE_MAX * 1.25);
        input.now = job->due;
        input.kind = FLUX2_INPUT_DUE;
        step(job, &input, &fate);
    }
    flux2_job_free(job);
    flux2_sink_clear(&transfer->sink);
    return 0;
}
