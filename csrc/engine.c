/* engine.c - see engine.h. */
#include "engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agenda.h"
#include "gate.h"
#include "mailbox.h"
#include "platform.h"
#include "process.h"

enum {
    POOL_MAX = 16, /* idle transfers that are kept */
    KEPT_CONNECTIONS =
        64, /* libcurl would keep 4 for each transfer of the moment; polls mostly are not one */
    LONGEST_SLEEP_MS = 60000, /* of a worker that has nothing to do */
};

struct command {
    struct command *next;
    struct flux2_job *job; /* to start, or NULL: to cancel `id` */
    uint64_t id;
};

struct flux2_engine {
    struct flux2_mailbox mailbox;
    struct flux2_member member;

    /* Between the threads, under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct command *first_command, *last_command;
    bool stop;     /* the worker is to end */
    bool stopped;  /* it has */
    bool orphaned; /* nobody waits for it any more: it frees the engine itself */

    /* Counted by the worker, read by anyone. */
    atomic_uint_fast64_t jobs, in_flight, exchanges, connections, received, ended;

    /* The host's. */
    uint64_t last_id;
    unsigned forks;
    bool started;
    pthread_t thread;

    /* The worker's. */
    CURLM *multi;
    struct flux2_agenda agenda;
    struct flux2_gate gate;
    struct flux2_transfer *pool[POOL_MAX];
    size_t pooled;
    struct flux2_event *first_out, *last_out; /* events that are not posted yet */
    struct flux2_job *dead;                   /* jobs that ended, freed once their events are posted */
    uint64_t random;
};

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void subtract(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_sub_explicit(counter, n, memory_order_relaxed);
}

/* --- worker: jobs --------------------------------------------------------------------------------------- */

static void queue_out(struct flux2_engine *e, struct flux2_event *events)
{
    if (!events)
        return;
    if (e->last_out)
        e->last_out->next = events;
    else
        e->first_out = events;
    while (events->next)
        events = events->next;
    e->last_out = events;
}

static bool is_stopping(struct flux2_engine *e)
{
    pthread_mutex_lock(&e->lock);
    bool stop = e->stop;
    pthread_mutex_unlock(&e->lock);
    return stop;
}

/* The last event of a job must come, or somebody waits for ever: better to stall until there is memory. */
static struct flux2_event *insist_on_end(struct flux2_engine *e, const struct flux2_job *job)
{
    struct flux2_event *event;
    while (!(event = flux2_event_new(job->id, FLUX2_EVENT_ENDED, NULL)) && !is_stopping(e))
        curl_multi_poll(e->multi, NULL, 0, 10, NULL);
    if (event)
        event->outcome = (struct flux2_outcome){.failure = FLUX2_FAILURE_IO, .sent = true, .retry_after = -1};
    return event;
}

/* Sends what happened to JOB on its way and puts the job where its phase says. */
static void settle(struct flux2_engine *e, struct flux2_job *job, struct flux2_event *events)
{
    struct flux2_event *event;
    for (event = events; event; event = event->next)
        if (event->kind == FLUX2_EVENT_CHANGED)
            event->slot = &job->queued_change;
    if (job->phase == FLUX2_PHASE_ENDED) {
        queue_out(e, events ? events : insist_on_end(e, job));
        flux2_agenda_remove(&e->agenda, job);
        job->next = e->dead;
        e->dead = job;
        subtract(&e->jobs, 1);
        add(&e->ended, 1);
        return;
    }
    queue_out(e, events);
    flux2_agenda_moved(&e->agenda, job);
    if (job->phase == FLUX2_PHASE_READY)
        flux2_gate_push(&e->gate, job);
}

static void post(struct flux2_engine *e)
{
    flux2_mailbox_post(&e->mailbox, e->first_out);
    e->first_out = e->last_out = NULL;
    while (e->dead) {
        struct flux2_job *job = e->dead;
        e->dead = job->next;
        flux2_mailbox_forget(&e->mailbox, &job->queued_change);
        flux2_job_free(job);
    }
}

/* --- worker: exchanges ------------------------------------------------------------------------------------ */

static struct flux2_transfer *get_transfer(struct flux2_engine *e)
{
    return e->pooled > 0 ? e->pool[--e->pooled] : flux2_transfer_new();
}

static void put_transfer(struct flux2_engine *e, struct flux2_transfer *t)
{
    flux2_transfer_clear(t);
    if (e->pooled < POOL_MAX)
        e->pool[e->pooled++] = t;
    else
        flux2_transfer_free(t);
}

/* The exchange is over: counts it, and gives handle and place at the gate back. */
static void release(struct flux2_engine *e, struct flux2_job *job, const struct flux2_outcome *outcome)
{
    struct flux2_transfer *t = job->transfer;
    long opened = 0, version = 0;
    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &opened);
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
    curl_multi_remove_handle(e->multi, t->easy);
    double pause =
        flux2_schedule_pause(&job->profile->backoff, job->attempts, outcome->retry_after, &e->random);
    flux2_gate_returned(job->profile, outcome, version >= CURL_HTTP_VERSION_2_0, pause, flux2_platform_now());
    add(&e->connections, (uint64_t)(opened > 0 ? opened : 0));
    add(&e->received, t->sink.received);
    subtract(&e->in_flight, 1);
    put_transfer(e, t);
    job->transfer = NULL;
}

static void give_up(struct flux2_engine *e, struct flux2_job *job, enum flux2_failure why,
                    const char *message)
{
    struct flux2_outcome outcome = {.failure = why, .retry_after = -1};
    if (job->transfer) {
        outcome = flux2_transfer_abandon(job->transfer, why);
        release(e, job, &outcome);
    } else if (job->phase == FLUX2_PHASE_READY) {
        flux2_gate_withdraw(&e->gate, job);
    }
    settle(e, job, flux2_job_end(job, &outcome, message, flux2_platform_now()));
}

static void begin_exchange(struct flux2_engine *e, struct flux2_job *job)
{
    struct flux2_request request;
    struct flux2_transfer *t = get_transfer(e);
    flux2_job_request(job, &request);
    bool ok = t && flux2_transfer_prepare(t, job->profile, &request) &&
              curl_multi_add_handle(e->multi, t->easy) == CURLM_OK;
    if (!ok) {
        struct flux2_outcome outcome = {.failure = FLUX2_FAILURE_IO, .retry_after = -1};
        if (t)
            put_transfer(e, t);
        flux2_gate_returned(job->profile, &outcome, false, 0, flux2_platform_now());
        settle(e, job, flux2_job_end(job, &outcome, "out of memory", flux2_platform_now()));
        return;
    }
    t->owner = job;
    job->transfer = t;
    job->phase = FLUX2_PHASE_IN_FLIGHT;
    flux2_agenda_moved(&e->agenda, job);
    add(&e->in_flight, 1);
    add(&e->exchanges, 1);
}

static void collect(struct flux2_engine *e)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(e->multi, &left))) {
        char *private = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct flux2_transfer *t = (struct flux2_transfer *)(void *)private;
        struct flux2_job *job = t->owner;
        struct flux2_outcome outcome = flux2_transfer_finish(t, result);
        struct flux2_event *events = flux2_job_answered(job, t, &outcome, flux2_platform_now(), &e->random);
        release(e, job, &outcome);
        settle(e, job, events);
    }
}

/* --- worker: the loop --------------------------------------------------------------------------------------- */

static void obey(struct flux2_engine *e, struct command *c)
{
    struct flux2_job *job = c->job;
    if (!job) {
        job = flux2_agenda_find(&e->agenda, c->id);
        if (job)
            give_up(e, job, FLUX2_FAILURE_CANCELLED, "cancelled");
    } else {
        flux2_job_begin(job, flux2_platform_now());
        if (flux2_agenda_add(&e->agenda, job)) {
            settle(e, job, NULL);
        } else {
            struct flux2_outcome outcome = {.failure = FLUX2_FAILURE_IO, .retry_after = -1};
            queue_out(e, flux2_job_end(job, &outcome, "out of memory", flux2_platform_now()));
            job->next = e->dead;
            e->dead = job;
            subtract(&e->jobs, 1);
        }
    }
    free(c);
}

/* Takes the commands; false once the worker is to end. */
static bool take_commands(struct flux2_engine *e)
{
    pthread_mutex_lock(&e->lock);
    struct command *c = e->first_command;
    e->first_command = e->last_command = NULL;
    bool stop = e->stop;
    pthread_mutex_unlock(&e->lock);
    while (c) {
        struct command *next = c->next;
        if (stop) {
            flux2_job_free(c->job);
            free(c);
        } else {
            obey(e, c);
        }
        c = next;
    }
    return !stop;
}

static void wake_due(struct flux2_engine *e, double now)
{
    struct flux2_job *job;
    while ((job = flux2_agenda_first(&e->agenda)) && flux2_agenda_time(job) <= now) {
        if (job->deadline <= now)
            give_up(e, job, FLUX2_FAILURE_TIMEOUT, "the deadline of the whole job passed");
        else
            settle(e, job, flux2_job_wake(job, now));
    }
}

static void admit(struct flux2_engine *e, double now)
{
    struct flux2_job *job;
    while ((job = flux2_gate_admit(&e->gate, now)))
        begin_exchange(e, job);
}

/* Milliseconds until something is due without anything happening. */
static int time_to_sleep(const struct flux2_engine *e, double now)
{
    double when = flux2_gate_opens(&e->gate, now);
    const struct flux2_job *job = flux2_agenda_first(&e->agenda);
    if (job && flux2_agenda_time(job) < when)
        when = flux2_agenda_time(job);
    double ms = ceil((when - now) * 1000);
    return ms < 0 ? 0 : ms > LONGEST_SLEEP_MS ? LONGEST_SLEEP_MS : (int)ms;
}

static void finish_worker(struct flux2_engine *e)
{
    struct flux2_job *job;
    while ((job = flux2_agenda_any(&e->agenda))) {
        if (job->transfer) {
            curl_multi_remove_handle(e->multi, job->transfer->easy);
            flux2_transfer_free(job->transfer);
        }
        flux2_agenda_remove(&e->agenda, job);
        flux2_mailbox_forget(&e->mailbox, &job->queued_change);
        flux2_job_free(job);
    }
    flux2_agenda_free(&e->agenda);
    while (e->pooled > 0)
        flux2_transfer_free(e->pool[--e->pooled]);
    curl_multi_cleanup(e->multi);
    e->multi = NULL;
}

static void free_engine(struct flux2_engine *e)
{
    flux2_mailbox_close(&e->mailbox);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->changed);
    free(e);
}

static void *work(void *arg)
{
    struct flux2_engine *e = arg;
    int running;
    while (take_commands(e)) {
        double now = flux2_platform_now();
        wake_due(e, now);
        admit(e, now);
        curl_multi_perform(e->multi, &running);
        collect(e);
        post(e);
        /* What collect set free may be filled at once. */
        now = flux2_platform_now();
        curl_multi_poll(e->multi, NULL, 0, time_to_sleep(e, now), NULL);
    }
    finish_worker(e);
    pthread_mutex_lock(&e->lock);
    e->stopped = true;
    bool orphaned = e->orphaned;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (orphaned)
        free_engine(e);
    return NULL;
}

/* --- host: life ----------------------------------------------------------------------------------------------- */

static struct flux2_engine *engine_of(struct flux2_member *member)
{
    return (struct flux2_engine *)(void *)((char *)member - offsetof(struct flux2_engine, member));
}

static void ask_to_stop(struct flux2_member *member)
{
    struct flux2_engine *e = engine_of(member);
    pthread_mutex_lock(&e->lock);
    /* Once, and under the lock: the worker frees the multi handle after it has seen `stop`, which takes the lock. */
    if (!e->stop)
        curl_multi_wakeup(e->multi);
    e->stop = true;
    pthread_mutex_unlock(&e->lock);
}

static bool await_stop(struct flux2_member *member, double until)
{
    struct flux2_engine *e = engine_of(member);
    pthread_mutex_lock(&e->lock);
    while (!e->stopped) {
        double left = until - flux2_platform_now();
        if (left <= 0)
            break;
        flux2_platform_cond_wait(&e->changed, &e->lock, left);
    }
    bool stopped = e->stopped;
    pthread_mutex_unlock(&e->lock);
    return stopped;
}

struct flux2_engine *flux2_engine_new(int *error)
{
    struct flux2_engine *e = calloc(1, sizeof *e);
    *error = ENOMEM;
    if (!e)
        return NULL;
    *error = flux2_mailbox_open(&e->mailbox);
    if (*error != 0) {
        flux2_mailbox_close(&e->mailbox);
        free(e);
        return NULL;
    }
    pthread_mutex_init(&e->lock, NULL);
    flux2_platform_cond_init(&e->changed);
    e->member.stop = ask_to_stop;
    e->member.await = await_stop;
    e->forks = flux2_platform_forks();
    e->random = flux2_platform_seed();
    return e;
}

static int start_thread(struct flux2_engine *e)
{
    if (!flux2_process_ready())
        return ENOSYS;
    e->multi = curl_multi_init();
    if (!e->multi)
        return ENOMEM;
    curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    int rc = flux2_platform_thread(&e->thread, work, e);
    if (rc != 0) {
        curl_multi_cleanup(e->multi);
        e->multi = NULL;
        return rc;
    }
    flux2_process_enter(&e->member);
    e->started = true;
    return 0;
}

void flux2_engine_close(struct flux2_engine *e)
{
    if (!e)
        return;
    if (flux2_engine_is_foreign(e)) {
        /* The locks may be held by threads that do not exist here. What is left is the parent's, in our copy. */
        flux2_platform_wake_close(&e->mailbox.wake);
        return;
    }
    if (e->started) {
        flux2_process_leave(&e->member);
        ask_to_stop(&e->member);
        await_stop(&e->member, flux2_platform_now() + FLUX2_PATIENCE);
        pthread_t thread = e->thread;
        pthread_mutex_lock(&e->lock);
        bool orphaned = e->orphaned = !e->stopped;
        pthread_mutex_unlock(&e->lock);
        if (orphaned) {
            pthread_detach(thread);
            return;
        }
        pthread_join(thread, NULL);
    }
    free_engine(e);
}

bool flux2_engine_is_foreign(const struct flux2_engine *e)
{
    return e->forks != flux2_platform_forks();
}

/* --- host: use -------------------------------------------------------------------------------------------------- */

static bool send_command(struct flux2_engine *e, struct flux2_job *job, uint64_t id)
{
    struct command *c = malloc(sizeof *c);
    if (!c)
        return false;
    *c = (struct command){.job = job, .id = id};
    pthread_mutex_lock(&e->lock);
    bool first = e->first_command == NULL;
    if (first)
        e->first_command = c;
    else
        e->last_command->next = c;
    e->last_command = c;
    /* If there were commands already, whoever put the first one there has woken the worker. */
    if (first && !e->stop)
        curl_multi_wakeup(e->multi);
    pthread_mutex_unlock(&e->lock);
    return true;
}

uint64_t flux2_engine_next_id(struct flux2_engine *e)
{
    return ++e->last_id;
}

int flux2_engine_start(struct flux2_engine *e, struct flux2_job *job)
{
    int rc = e->started ? 0 : start_thread(e);
    if (rc != 0)
        return rc;
    add(&e->jobs, 1);
    if (send_command(e, job, job->id))
        return 0;
    subtract(&e->jobs, 1);
    return ENOMEM;
}

bool flux2_engine_cancel(struct flux2_engine *e, uint64_t id)
{
    return !e->started || send_command(e, NULL, id);
}

size_t flux2_engine_ready(const struct flux2_engine *e)
{
    return flux2_mailbox_count(&e->mailbox);
}

struct flux2_event *flux2_engine_peek(struct flux2_engine *e)
{
    return flux2_mailbox_peek(&e->mailbox);
}

void flux2_engine_drop(struct flux2_engine *e)
{
    flux2_mailbox_drop(&e->mailbox);
}

int flux2_engine_fd(const struct flux2_engine *e)
{
    return e->mailbox.wake.read_fd;
}

void flux2_engine_read_stats(const struct flux2_engine *e, struct flux2_engine_stats *s)
{
    s->jobs = atomic_load_explicit(&e->jobs, memory_order_relaxed);
    s->in_flight = atomic_load_explicit(&e->in_flight, memory_order_relaxed);
    s->exchanges = atomic_load_explicit(&e->exchanges, memory_order_relaxed);
    s->connections = atomic_load_explicit(&e->connections, memory_order_relaxed);
    s->received = atomic_load_explicit(&e->received, memory_order_relaxed);
    s->ended = atomic_load_explicit(&e->ended, memory_order_relaxed);
}
