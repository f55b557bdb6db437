/* worker.c - see worker.h. */
#include "engine/worker.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "http/global_init.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/random.h"

enum {
    SHARED_CONNECTIONS = 4,   /* per host, if all requests in flight can share them */
    LONGEST_SLEEP_MS = 60000, /* without any work */
    SPARE = 32,               /* idle transfers that keep their options */
    RETRY_MS = 10,            /* between two attempts to allocate */
    CATCH_UPS = 3,            /* reads of data that arrived while the process was stopped */
    OBSERVED_BACKLOG = 1024,  /* waiting events beyond which observers get none */
};

static const double LATE = 0.25; /* seconds of oversleeping, or of a turn, after which data is read before time-outs */

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void subtract(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_sub_explicit(counter, n, memory_order_relaxed);
}

/* --- jobs --------------------------------------------------------------------------------------- */

static void queue_out(struct flux2_worker *w, struct flux2_event *events)
{
    if (!events)
        return;
    if (w->last_out)
        w->last_out->next = events;
    else
        w->first_out = events;
    while (events->next)
        events = events->next;
    w->last_out = events;
}

/* Passes INPUT to JOB. If out of memory the worker waits until there is some: the job's last event must be posted, and
 * the response to a submission cannot be had again. */
static struct flux2_output step(struct flux2_worker *w, struct flux2_job *job, struct flux2_input *input)
{
    struct flux2_output output = {.events = NULL};
    input->random = &w->random;
    input->durations = &w->durations;
    input->now = flux2_clock_now();
    while (!flux2_job_step(job, input, &output)) {
        flux2_multi_sleep(&w->multi, RETRY_MS);
        input->now = flux2_clock_now();
    }
    return output;
}

/* Frees JOB once its last event is posted. */
static void free_later(struct flux2_worker *w, struct flux2_job *job)
{
    job->next = w->ended;
    w->ended = job;
    subtract(&w->count.jobs, 1);
    add(&w->count.ended, 1);
}

/* Queues the events of JOB and moves it according to its phase. */
static void settle(struct flux2_worker *w, struct flux2_job *job, struct flux2_output output)
{
    struct flux2_event *event;
    for (event = output.events; event; event = event->next)
        if (event->kind == FLUX2_EVENT_CHANGED)
            event->slot = &job->queued_change;
    queue_out(w, output.events);
    if (job->phase == FLUX2_PHASE_ENDED) {
        flux2_job_table_remove(&w->job_table, job);
        free_later(w, job);
    } else {
        flux2_job_table_moved(&w->job_table, job);
        if (job->phase == FLUX2_PHASE_READY)
            flux2_limiter_push(&w->limiter, job);
    }
    if (output.next) {
        add(&w->count.jobs, 1);
        flux2_worker_begin(w, output.next);
    }
}

static void post(struct flux2_worker *w)
{
    flux2_event_queue_post(w->event_queue, w->first_out);
    w->first_out = w->last_out = NULL;
    while (w->ended) {
        struct flux2_job *job = w->ended;
        w->ended = job->next;
        flux2_event_queue_forget(w->event_queue, &job->queued_change);
        flux2_job_free(job);
    }
}

/* --- requests ------------------------------------------------------------------------------------ */

/* Returns an idle transfer that has the options of CONFIG. Setting them again costs as much as sending a request, so
 * another one is taken only if there are many idle ones. NULL if out of memory. */
static struct flux2_transfer *get_transfer(struct flux2_worker *w, const struct flux2_http_config *config)
{
    size_t at = w->pooled;
    while (at > 0 && w->pool[at - 1]->config != config)
        at--;
    if (at == 0 && w->pooled < SPARE)
        return flux2_transfer_new();
    struct flux2_transfer **place = &w->pool[at > 0 ? at - 1 : 0], *t = *place;
    *place = w->pool[--w->pooled];
    return t;
}

static void put_transfer(struct flux2_worker *w, struct flux2_transfer *t)
{
    flux2_transfer_clear(t);
    if (w->pooled < FLUX2_POOL_MAX && t->extension <= 0)
        w->pool[w->pooled++] = t;
    else
        flux2_transfer_free(t);
}

/* Counts the finished request of JOB and releases its transfer and its place in the limiter. */
static void release(struct flux2_worker *w, struct flux2_job *job, const struct flux2_outcome *outcome)
{
    struct flux2_transfer *t = job->transfer;
    long opened = 0, version = 0;
    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &opened);
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
    flux2_multi_remove(&w->multi, t->easy, job->dedicated);
    double pause = flux2_schedule_pause(&job->profile->poll_policy, job->attempts, outcome->retry_after, &w->random);
    int multiplexed = t->request.idempotency == FLUX2_NON_IDEMPOTENT ? -1 : version >= CURL_HTTP_VERSION_2_0;
    flux2_limiter_returned(&w->limiter, job, outcome, multiplexed, pause, flux2_clock_now());
    add(&w->count.connections, (uint64_t)(opened > 0 ? opened : 0));
    add(&w->count.received, t->sink.received);
    subtract(&w->count.in_flight, 1);
    put_transfer(w, t);
    job->transfer = NULL;
}

static bool may_observe(const struct flux2_worker *w)
{
    return flux2_event_queue_count(w->event_queue) < OBSERVED_BACKLOG;
}

static void end_job(struct flux2_worker *w, struct flux2_job *job, struct flux2_outcome *outcome, const char *message)
{
    struct flux2_input input = {
        .kind = FLUX2_INPUT_END,
        .outcome = outcome,
        .message = message,
        .observe = job->phase == FLUX2_PHASE_IN_FLIGHT && may_observe(w),
    };
    settle(w, job, step(w, job, &input));
}

static void give_up(struct flux2_worker *w, struct flux2_job *job, enum flux2_failure why, const char *message)
{
    struct flux2_outcome outcome = {.failure = why, .retry_after = -1};
    if (job->transfer) {
        outcome = flux2_transfer_abandon(job->transfer, why);
        release(w, job, &outcome);
    } else if (job->phase == FLUX2_PHASE_READY) {
        flux2_limiter_withdraw(&w->limiter, job);
        outcome.retry_after = flux2_limiter_pause(job, flux2_clock_now());
    }
    end_job(w, job, &outcome, message);
}

/* Ends JOB, which was admitted, because of its failed step and ERROR, an errno value. */
static void refuse_to_send(struct flux2_worker *w, struct flux2_job *job, int error)
{
    struct flux2_outcome outcome = {.failure = FLUX2_FAILURE_IO, .retry_after = -1};
    flux2_limiter_returned(&w->limiter, job, &outcome, -1, 0, flux2_clock_now());
    end_job(w, job, &outcome, flux2_file_reason(error));
}

/* Handles that there is no memory for the request of JOB, which was admitted. */
static void fail_to_send(struct flux2_worker *w, struct flux2_job *job)
{
    struct flux2_outcome outcome = {.failure = FLUX2_FAILURE_MEMORY, .retry_after = -1};
    struct flux2_input input = {.kind = FLUX2_INPUT_TRANSFERRED, .outcome = &outcome};
    flux2_limiter_returned(&w->limiter, job, &outcome, -1, 0, flux2_clock_now());
    settle(w, job, step(w, job, &input));
}

static void begin_request(struct flux2_worker *w, struct flux2_job *job)
{
    struct flux2_request request;
    int error = w->multi_error;
    if (error != 0)
        job->failed_step = FLUX2_SEND_STEP_ENGINE;
    else
        error = flux2_job_request(job, &request);
    if (error != 0) {
        refuse_to_send(w, job, error);
        return;
    }
    struct flux2_transfer *t = get_transfer(w, job->profile->http);
    if (t)
        t->multi = &w->multi;
    bool ok = t && flux2_transfer_prepare(t, job->profile->http, &request) &&
              flux2_multi_add(&w->multi, t->easy, job->dedicated);
    if (!ok) {
        if (t)
            put_transfer(w, t);
        fail_to_send(w, job);
        return;
    }
    job->sent_at = flux2_clock_now();
    t->owner = job;
    job->transfer = t;
    job->phase = FLUX2_PHASE_IN_FLIGHT;
    flux2_job_table_moved(&w->job_table, job);
    add(&w->count.in_flight, 1);
    add(&w->count.requests, 1);
}

/* Handles the end of JOB's request with RESULT. */
static void finish_request(struct flux2_worker *w, struct flux2_job *job, CURLcode result)
{
    struct flux2_outcome outcome = flux2_transfer_finish(job->transfer, result);
    struct flux2_input input = {
        .kind = FLUX2_INPUT_TRANSFERRED,
        .outcome = &outcome,
        .transfer = job->transfer,
        .observe = may_observe(w),
    };
    struct flux2_output output = step(w, job, &input);
    release(w, job, &outcome);
    settle(w, job, output);
}

static void collect(struct flux2_worker *w)
{
    CURLMsg *message;
    while ((message = flux2_multi_next(&w->multi))) {
        char *private = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        finish_request(w, ((struct flux2_transfer *)(void *)private)->owner, message->data.result);
    }
}

/* --- commands ------------------------------------------------------------------------------------------ */

void flux2_worker_begin(struct flux2_worker *w, struct flux2_job *job)
{
    struct flux2_input input = {.kind = FLUX2_INPUT_BEGIN};
    struct flux2_output output = step(w, job, &input);
    while (!flux2_job_table_add(&w->job_table, job))
        flux2_multi_sleep(&w->multi, RETRY_MS);
    settle(w, job, output);
}

void flux2_worker_cancel(struct flux2_worker *w, uint64_t id)
{
    struct flux2_job *job = flux2_job_table_find(&w->job_table, id);
    if (job)
        give_up(w, job, FLUX2_FAILURE_CANCELLED, "cancelled");
}

/* --- a turn --------------------------------------------------------------------------------------------- */

static void wake(struct flux2_worker *w, struct flux2_job *job)
{
    struct flux2_input input = {.kind = FLUX2_INPUT_DUE};
    settle(w, job, step(w, job, &input));
}

static void wake_due(struct flux2_worker *w, double now)
{
    struct flux2_job *job;
    while ((job = flux2_job_table_first(&w->job_table)) && flux2_job_table_time(job) <= now) {
        if (job->deadline <= now)
            give_up(w, job, FLUX2_FAILURE_TIMEOUT, "the deadline of the whole job passed");
        else
            wake(w, job);
    }
}

static void admit(struct flux2_worker *w, double now)
{
    struct flux2_job *job;
    while ((job = flux2_limiter_admit(&w->limiter, now)))
        begin_request(w, job);
}

/* Returns the milliseconds until a job is due or the limiter admits one. */
static int time_to_sleep(const struct flux2_worker *w, double now)
{
    double when = flux2_limiter_opens(&w->limiter, now);
    const struct flux2_job *job = flux2_job_table_first(&w->job_table);
    if (job && flux2_job_table_time(job) < when)
        when = flux2_job_table_time(job);
    double ms = ceil((when - now) * 1000);
    return ms < 0 ? 0 : ms > LONGEST_SLEEP_MS ? LONGEST_SLEEP_MS : (int)ms;
}

/* When a server closes a shared connection, all requests need another one at the same time, and libcurl would open one
 * for each during the first handshake. The limit prevents that. */
static void limit_connections(struct flux2_worker *w)
{
    flux2_multi_limit(&w->multi, w->limiter.may_connect > 0 ? 0 : SHARED_CONNECTIONS);
}

/* Updates `awaits_host`. Returns false if the host has taken events meanwhile. */
static bool check_queue(struct flux2_worker *w)
{
    w->limiter.queued = flux2_event_queue_bytes(w->event_queue);
    bool awaits = flux2_limiter_awaits_host(&w->limiter);
    atomic_store(&w->awaits_host, awaits);
    return !awaits || flux2_event_queue_bytes(w->event_queue) == w->limiter.queued;
}

/* The limits of the requests do not count a stop of the process. */
static void extend_requests(struct flux2_worker *w)
{
    size_t i;
    for (i = 0; i < w->job_table.heap_count; i++)
        if (w->job_table.heap[i]->transfer)
            flux2_transfer_extend(w->job_table.heap[i]->transfer, w->late);
}

/* After a stop of the process, or a turn that waited for a disk: reads data that has arrived before checking
 * deadlines. */
static void catch_up(struct flux2_worker *w)
{
    for (int i = 0; i < CATCH_UPS; i++) {
        flux2_multi_perform(&w->multi);
        collect(w);
    }
}

int flux2_worker_turn(struct flux2_worker *w)
{
    if (w->late >= LATE)
        extend_requests(w);
    if (w->late >= LATE || w->busy >= LATE)
        catch_up(w);
    double now = flux2_clock_now();
    w->limiter.queued = flux2_event_queue_bytes(w->event_queue);
    wake_due(w, now);
    admit(w, now);
    limit_connections(w);
    flux2_multi_perform(&w->multi);
    collect(w);
    post(w);
    double end = flux2_clock_now();
    w->busy = end - now;
    return check_queue(w) ? time_to_sleep(w, end) : 0;
}

void flux2_worker_sleep(struct flux2_worker *w, int ms)
{
    w->late = flux2_multi_sleep(&w->multi, ms);
}

void flux2_worker_wake(struct flux2_worker *w)
{
    flux2_multi_wake(&w->multi);
}

/* --- life ------------------------------------------------------------------------------------------------- */

bool flux2_worker_open(struct flux2_worker *w, struct flux2_event_queue *event_queue)
{
    w->event_queue = event_queue;
    w->random = flux2_random_seed();
    w->multi_error = flux2_global_init() ? flux2_multi_open(&w->multi) : ENOSYS;
    return w->multi_error == 0;
}

void flux2_worker_close(struct flux2_worker *w)
{
    struct flux2_job *job;
    while ((job = flux2_job_table_any(&w->job_table))) {
        flux2_job_abandon(job, job->transfer && job->transfer->sends > 0);
        if (job->transfer) {
            flux2_multi_remove(&w->multi, job->transfer->easy, job->dedicated);
            flux2_transfer_free(job->transfer);
        }
        flux2_job_table_remove(&w->job_table, job);
        flux2_event_queue_forget(w->event_queue, &job->queued_change);
        flux2_job_free(job);
    }
    flux2_job_table_free(&w->job_table);
    flux2_durations_free(&w->durations);
    flux2_limiter_close(&w->limiter);
    while (w->pooled > 0)
        flux2_transfer_free(w->pool[--w->pooled]);
    flux2_multi_close(&w->multi);
}
