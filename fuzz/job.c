/* job.c - fuzzes a whole generation (csrc/job.c): a submission, then polls, each answered by the input.
 *
 * Input: one part for each answer, separated by bytes of 0xFF: one byte that picks the status, one for Retry-After and
 * transport failures, want of memory among them, then the body. An exchange that did not begin has no more than the two
 * bytes. Once the input is used up, every answer is the end. */
#include <curl/curl.h>
#include <math.h>

#include "../csrc/job.h"
#include "fuzz.h"
#include "watch.h"

#define SUBMIT "http://127.0.0.1:1/api/v1/images/generations"
#define POLL "http://127.0.0.1:1/api/v1/tasks/"

enum { FETCH_ID = 2 };

static const int statuses[] = {200, 200, 201, 202, 204, 301, 400, 401, 402, 404, 408, 409, 429, 500, 503, 0};
static const double pauses[] = {-1, -1, -1, 0, 1, 30, 86400, 1e300};
static struct flux2_profile *profile;
static struct flux2_transfer *transfer;

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv, (void)signatures;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    profile = flux2_profile_new();
    transfer = flux2_transfer_new();
    if (!profile || !transfer)
        abort();
    profile->watch = watch;
    profile->poll_failures = 4;
    profile->max_attempts = 3;
    transfer->sink.limit = (size_t)1 << 20;
    return 0;
}

/* Fills the transfer as an exchange with this answer would leave it. */
static struct flux2_outcome answer(struct input *in)
{
    struct input part = take_until(in, 0xFF);
    uint8_t status = take_byte(&part), more = take_byte(&part);
    struct flux2_outcome outcome = {
        .status = statuses[status & 15], .retry_after = pauses[more & 7], .sent = true};
    if (outcome.status == 0)
        outcome.failure = more & 16  ? FLUX2_FAILURE_MEMORY
                          : more & 8 ? FLUX2_FAILURE_TIMEOUT
                                     : FLUX2_FAILURE_NETWORK;
    outcome.sent = outcome.failure != FLUX2_FAILURE_MEMORY || !(more & 32);
    flux2_headers_clear(&transfer->headers);
    flux2_sink_clear(&transfer->sink);
    if (outcome.failure == FLUX2_FAILURE_NONE && part.size > 0)
        flux2_sink_write(&transfer->sink, part.at, part.size, 0);
    return outcome;
}

/* Wherever a request goes, it goes to the service, to one segment below the tasks, and never twice with a body. */
static void check_request(const struct flux2_request *r, unsigned accepted)
{
    if (strncmp(r->url, POLL, sizeof POLL - 1) == 0) {
        const char *id = r->url + sizeof POLL - 1;
        PROMISE(accepted == 1 && !r->body && r->nature == FLUX2_SAFE);
        PROMISE(*id && !strpbrk(id, "/?#\\ ") && strspn(id, ".") < strlen(id));
        return;
    }
    PROMISE(accepted == 0 && strcmp(r->url, SUBMIT) == 0 && r->body && r->nature == FLUX2_ONCE);
}

static unsigned check_events(struct flux2_event *events, const struct flux2_job *job, unsigned *opened)
{
    unsigned ended = 0;
    while (events) {
        struct flux2_event *next = events->next;
        PROMISE(ended == 0);
        ended += events->kind == FLUX2_EVENT_ENDED;
        *opened += events->kind == FLUX2_EVENT_OPENED;
        PROMISE(memchr(events->status, '\0', sizeof events->status) != NULL);
        /* What was not read beyond doubt is not fetched. */
        PROMISE(events->fetch == 0 || (ended && events->links && events->fetch == FETCH_ID && job->fetch));
        flux2_event_free(events);
        events = next;
    }
    PROMISE((ended == 1) == (job->phase == FLUX2_PHASE_ENDED));
    PROMISE(*opened <= 1);
    return ended;
}

/* The picture is asked for where its link says, and in no other way. */
static void check_fetch(struct flux2_job *job, double now)
{
    struct flux2_request request;
    struct flux2_job *fetch = flux2_job_take_fetch(job);
    if (!fetch)
        return;
    PROMISE(job->phase == FLUX2_PHASE_ENDED && fetch->id == FETCH_ID && !flux2_job_take_fetch(job));
    flux2_job_begin(fetch, now);
    PROMISE(fetch->phase == FLUX2_PHASE_READY && flux2_job_request(fetch, &request) == 0);
    PROMISE(strncmp(request.url, "http", 4) == 0 && !request.body && request.nature == FLUX2_SAFE);
    PROMISE(request.check_signature && !request.path);
    flux2_job_free(fetch);
}

static bool may_send_again(const struct flux2_outcome *o)
{
    return o->failure == FLUX2_FAILURE_NONE &&
           (o->status == 429 || (o->status == 503 && o->retry_after >= 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct flux2_job_spec spec = {
        .kind = FLUX2_JOB_POLL, .url = POLL "{id}", .opening = SUBMIT, .body = "{}", .body_size = 2,
        .check_signature = true, .fetch_profile = profile, .fetch_id = FETCH_ID};
    struct flux2_job *job = flux2_job_new(1, profile, &spec);
    double now = 1000;
    uint64_t random = size;
    unsigned opened = 0, rounds = 0;
    flux2_job_begin(job, now);
    while (job->phase != FLUX2_PHASE_ENDED && in.size > 0 && rounds++ < 200) {
        struct flux2_request request;
        PROMISE(job->phase == FLUX2_PHASE_READY);
        flux2_job_request(job, &request);
        check_request(&request, opened);
        job->phase = FLUX2_PHASE_IN_FLIGHT;
        struct flux2_outcome outcome = answer(&in);
        bool began = outcome.sent;
        check_events(began ? flux2_job_answered(job, transfer, &outcome, now, &random)
                           : flux2_job_starved(job, now, &random),
                     job, &opened);
        if (job->phase == FLUX2_PHASE_ENDED)
            break;
        PROMISE(opened > 0 || may_send_again(&outcome));
        PROMISE(job->phase == FLUX2_PHASE_WAITING && isfinite(job->due) && job->due >= now);
        /* No answer may put the next look off for longer than the ceiling. */
        PROMISE(job->due - now <= profile->backoff.ceiling * 1.25);
        now = job->due;
        check_events(flux2_job_wake(job, now), job, &opened);
    }
    if (size & 1) /* or nobody takes it */
        check_fetch(job, now);
    flux2_job_free(job);
    flux2_sink_clear(&transfer->sink);
    return 0;
}
