/* worker.c - see worker.h. */
#include "worker.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

enum {
    SHARED_CONNECTIONS = 4,   /* to one host, when all that is under way can share them */
    LONGEST_SLEEP_MS = 60000, /* without anything to do */
    POOL_TRIES = 8,           /* transfers that are looked at for one that has the right options */
    INSIST_MS = 10,           /* between two tries to get memory for what must be told, ... */
    INSIST_TRIES = 1000,      /* ... of which there are so many */
    OBSERVED_BACKLOG = 1024,  /* events: a host that fell so far behind observes no more until it caught up */
};

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

/* The last event of a job must come, or somebody waits for ever. Without memory for it the worker stalls, until there
 * is some. While TRANSFER (NULL: none) still holds an answer, that comes along: an opening's cannot be had again. */
static struct flux2_event *insist_on_end(struct flux2_worker *w, struct flux2_job *job,
                                         struct flux2_transfer *t, const struct flux2_outcome *outcome)
{
    struct flux2_event *event;
    int tries = 0;
    do {
        double now = flux2_platform_now();
        event = t ? flux2_job_end_answered(job, t, outcome, now)
                  : flux2_job_end(job, outcome, strerror(ENOMEM), now);
    } while (!event && tries++ < INSIST_TRIES && (flux2_lines_sleep(&w->lines, INSIST_MS), true));
    return event;
}

/* Its last event is on the way: the job is freed once that is posted. */
static void bury(struct flux2_worker *w, struct flux2_job *job)
{
    job->next = w->dead;
    w->dead = job;
    subtract(&w->count.jobs, 1);
    add(&w->count.ended, 1);
}

/* JOB has ended, and its last event is on the way: so is what follows from it. */
static void begin_fetch(struct flux2_worker *w, struct flux2_job *job)
{
    struct flux2_job *fetch = flux2_job_take_fetch(job);
    if (!fetch)
        return;
    add(&w->count.jobs, 1);
    flux2_worker_begin(w, fetch);
}

/* Sends what happened to JOB on its way and puts the job where its phase says. */
static void settle(struct flux2_worker *w, struct flux2_job *job, struct flux2_event *events)
{
    struct flux2_event *event;
    for (event = events; event; event = event->next)
        if (event->kind == FLUX2_EVENT_CHANGED)
            event->slot = &job->queued_change;
    if (job->phase == FLUX2_PHASE_ENDED) {
        static const struct flux2_outcome lost = {
            .failure = FLUX2_FAILURE_MEMORY, .sent = true, .retry_after = -1};
        queue_out(w, events ? events : insist_on_end(w, job, NULL, &lost));
        flux2_agenda_remove(&w->agenda, job);
        bury(w, job);
        begin_fetch(w, job);
        return;
    }
    queue_out(w, events);
    flux2_agenda_moved(&w->agenda, job);
    if (job->phase == FLUX2_PHASE_READY)
        flux2_gate_push(&w->gate, job);
}

static void post(struct flux2_worker *w)
{
    flux2_mailbox_post(w->mailbox, w->first_out);
    w->first_out = w->last_out = NULL;
    while (w->dead) {
        struct flux2_job *job = w->dead;
        w->dead = job->next;
        flux2_mailbox_forget(w->mailbox, &job->queued_change);
        flux2_job_free(job);
    }
}

/* --- exchanges ------------------------------------------------------------------------------------ */

/* One that has the options of PROFILE already, if it is among the last ones that came back; else any. */
static struct flux2_transfer *get_transfer(struct flux2_worker *w, const struct flux2_profile *profile)
{
    size_t last = w->pooled, at = last, oldest = last > POOL_TRIES ? last - POOL_TRIES : 0;
    if (last == 0)
        return flux2_transfer_new();
    while (at > oldest && w->pool[at - 1]->profile != profile)
        at--;
    if (at == oldest)
        at = last;
    struct flux2_transfer *t = w->pool[at - 1];
    w->pool[at - 1] = w->pool[--w->pooled];
    return t;
}

static void put_transfer(struct flux2_worker *w, struct flux2_transfer *t)
{
    flux2_transfer_clear(t);
    if (w->pooled < FLUX2_POOL_MAX)
        w->pool[w->pooled++] = t;
    else
        flux2_transfer_free(t);
}

/* The exchange is over: counts it, and gives handle and place at the gate back. */
static void release(struct flux2_worker *w, struct flux2_job *job, const struct flux2_outcome *outcome)
{
    struct flux2_transfer *t = job->transfer;
    long opened = 0, version = 0;
    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &opened);
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
    flux2_lines_remove(&w->lines, t->easy, job->apart);
    double pause =
        flux2_schedule_pause(&job->profile->backoff, job->attempts, outcome->retry_after, &w->random);
    int multiplexed = t->request.nature == FLUX2_ONCE ? -1 : version >= CURL_HTTP_VERSION_2_0;
    flux2_gate_returned(&w->gate, job, outcome, multiplexed, pause, flux2_platform_now());
    add(&w->count.connections, (uint64_t)(opened > 0 ? opened : 0));
    add(&w->count.received, t->sink.received);
    subtract(&w->count.in_flight, 1);
    put_transfer(w, t);
    job->transfer = NULL;
}

static void give_up(struct flux2_worker *w, struct flux2_job *job, enum flux2_failure why,
                    const char *message)
{
    struct flux2_outcome outcome = {.failure = why, .retry_after = -1};
    if (job->transfer) {
        outcome = flux2_transfer_abandon(job->transfer, why);
        release(w, job, &outcome);
    } else if (job->phase == FLUX2_PHASE_READY) {
        flux2_gate_withdraw(&w->gate, job);
    }
    settle(w, job, flux2_job_end(job, &outcome, message, flux2_platform_now()));
}

/* JOB was admitted and cannot send: without its record, whose write failed with ERROR, it ends; else without memory. */
static void cannot_begin(struct flux2_worker *w, struct flux2_job *job, int error)
{
    struct flux2_outcome outcome = {.failure = FLUX2_FAILURE_IO, .retry_after = -1};
    double now = flux2_platform_now();
    flux2_gate_returned(&w->gate, job, &outcome, -1, 0, now);
    settle(w, job,
           error != 0 ? flux2_job_end(job, &outcome, strerror(error), now)
                      : flux2_job_starved(job, now, &w->random));
}

static void begin_exchange(struct flux2_worker *w, struct flux2_job *job)
{
    struct flux2_request request;
    int error = flux2_job_request(job, &request);
    if (error != 0) {
        cannot_begin(w, job, error);
        return;
    }
    struct flux2_transfer *t = get_transfer(w, job->profile);
    bool ok = t && flux2_transfer_prepare(t, job->profile, &request) &&
              flux2_lines_add(&w->lines, t->easy, job->apart);
    if (!ok) {
        if (t)
            put_transfer(w, t);
        cannot_begin(w, job, 0);
        return;
    }
    job->asked_at = flux2_platform_now();
    t->owner = job;
    job->transfer = t;
    job->phase = FLUX2_PHASE_IN_FLIGHT;
    flux2_agenda_moved(&w->agenda, job);
    add(&w->count.in_flight, 1);
    add(&w->count.exchanges, 1);
}

static void collect(struct flux2_worker *w)
{
    CURLMsg *message;
    while ((message = flux2_lines_next(&w->lines))) {
        char *private = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct flux2_transfer *t = (struct flux2_transfer *)(void *)private;
        struct flux2_job *job = t->owner;
        struct flux2_outcome outcome = flux2_transfer_finish(t, result);
        double now = flux2_platform_now();
        struct flux2_event *observed = flux2_mailbox_count(w->mailbox) < OBSERVED_BACKLOG
                                           ? flux2_job_observe(job, t, &outcome, now)
                                           : NULL;
        struct flux2_event *events = flux2_job_answered(job, t, &outcome, now, &w->random);
        if (!events && job->phase == FLUX2_PHASE_ENDED)
            events = insist_on_end(w, job, t, &outcome);
        flux2_job_conclude(job, observed, now);
        queue_out(w, observed);
        release(w, job, &outcome);
        settle(w, job, events);
    }
}

/* --- commands ------------------------------------------------------------------------------------------ */

void flux2_worker_begin(struct flux2_worker *w, struct flux2_job *job)
{
    flux2_job_begin(job, flux2_platform_now());
    if (flux2_agenda_add(&w->agenda, job)) {
        settle(w, job, NULL);
        return;
    }
    struct flux2_outcome outcome = {.failure = FLUX2_FAILURE_MEMORY, .retry_after = -1};
    queue_out(w, insist_on_end(w, job, NULL, &outcome));
    bury(w, job);
}

void flux2_worker_cancel(struct flux2_worker *w, uint64_t id)
{
    struct flux2_job *job = flux2_agenda_find(&w->agenda, id);
    if (job)
        give_up(w, job, FLUX2_FAILURE_CANCELLED, "cancelled");
}

/* --- a turn --------------------------------------------------------------------------------------------- */

static void wake_due(struct flux2_worker *w, double now)
{
    struct flux2_job *job;
    while ((job = flux2_agenda_first(&w->agenda)) && flux2_agenda_time(job) <= now) {
        if (job->deadline <= now)
            give_up(w, job, FLUX2_FAILURE_TIMEOUT, "the deadline of the whole job passed");
        else
            settle(w, job, flux2_job_wake(job, now));
    }
}

static void admit(struct flux2_worker *w, double now)
{
    struct flux2_job *job;
    while ((job = flux2_gate_admit(&w->gate, now)))
        begin_exchange(w, job);
}

/* Milliseconds until something is due without anything happening. */
static int time_to_sleep(const struct flux2_worker *w, double now)
{
    double when = flux2_gate_opens(&w->gate, now);
    const struct flux2_job *job = flux2_agenda_first(&w->agenda);
    if (job && flux2_agenda_time(job) < when)
        when = flux2_agenda_time(job);
    double ms = ceil((when - now) * 1000);
    return ms < 0 ? 0 : ms > LONGEST_SLEEP_MS ? LONGEST_SLEEP_MS : (int)ms;
}

/* When a server closes a shared connection, everyone who was to use it needs another at the same moment, and while
 * the first one's handshake lasts libcurl opens one more for each of them. It is told not to. */
static void limit_connections(struct flux2_worker *w)
{
    flux2_lines_limit(&w->lines, w->gate.alone > 0 ? 0 : SHARED_CONNECTIONS);
}

/* Says whether the worker has to be woken when the host takes an event; false if it has taken some meanwhile. */
static bool look_at_queue(struct flux2_worker *w)
{
    w->gate.queued = flux2_mailbox_bytes(w->mailbox);
    bool awaits = flux2_gate_awaits_host(&w->gate);
    atomic_store(&w->awaits_host, awaits);
    return !awaits || flux2_mailbox_bytes(w->mailbox) == w->gate.queued;
}

int flux2_worker_turn(struct flux2_worker *w)
{
    double now = flux2_platform_now();
    w->gate.queued = flux2_mailbox_bytes(w->mailbox);
    wake_due(w, now);
    admit(w, now);
    limit_connections(w);
    flux2_lines_perform(&w->lines);
    collect(w);
    post(w);
    return look_at_queue(w) ? time_to_sleep(w, flux2_platform_now()) : 0;
}

void flux2_worker_sleep(struct flux2_worker *w, int ms)
{
    flux2_lines_sleep(&w->lines, ms);
}

void flux2_worker_wake(struct flux2_worker *w)
{
    flux2_lines_wake(&w->lines);
}

/* --- life ------------------------------------------------------------------------------------------------- */

int flux2_worker_open(struct flux2_worker *w, struct flux2_mailbox *mailbox)
{
    w->mailbox = mailbox;
    w->random = flux2_platform_seed();
    return flux2_lines_open(&w->lines);
}

void flux2_worker_close(struct flux2_worker *w)
{
    struct flux2_job *job;
    while ((job = flux2_agenda_any(&w->agenda))) {
        flux2_job_drop(job, job->transfer && job->transfer->sends > 0);
        if (job->transfer) {
            flux2_lines_remove(&w->lines, job->transfer->easy, job->apart);
            flux2_transfer_free(job->transfer);
        }
        flux2_agenda_remove(&w->agenda, job);
        flux2_mailbox_forget(w->mailbox, &job->queued_change);
        flux2_job_free(job);
    }
    flux2_agenda_free(&w->agenda);
    while (w->pooled > 0)
        flux2_transfer_free(w->pool[--w->pooled]);
    flux2_lines_close(&w->lines);
}
