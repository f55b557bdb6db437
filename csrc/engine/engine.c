/* engine.c - see engine.h. */
#include "engine/engine.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "engine/event_queue.h"
#include "engine/worker.h"
#include "http/global_init.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/thread.h"
#include "platform/wakeup.h"

enum { LARGE = 256 * 1024 }; /* bytes: blocks of this size are freed on the worker thread */

/* A command to the worker. */
struct command {
    struct command *next;  /* in the queue */
    struct flux2_job *job; /* the job to start; NULL: cancel `id` */
    uint64_t id;           /* 0, which is no job's id: only free the command */
};

struct flux2_engine {
    struct flux2_event_queue event_queue; /* shared; has its own lock */
    struct flux2_member member;           /* stops the thread when the process exits */

    /* shared, under `lock` */
    struct flux2_mutex lock;
    struct flux2_cond changed;                    /* signals `stopped` */
    struct command *first_command, *last_command; /* the command queue */
    bool open;                                    /* the worker is open: it can be woken */
    bool asleep;                                  /* the worker sleeps, or is about to */
    bool woken;                                   /* since the worker took the last commands */
    bool stop;                                    /* the worker must end */
    bool stopped;                                 /* the worker has ended */
    bool orphaned;                                /* flux2_engine_close has returned: the worker frees the engine */

    /* host thread only */
    uint64_t last_id; /* of the last job */
    unsigned forks;   /* flux2_process_forks() of the process that created the engine */
    bool started;     /* the thread was started */
    struct flux2_thread thread;

    /* worker thread only, once it runs */
    struct flux2_worker worker;
};

/* --- the thread ----------------------------------------------------------------------------------------- */

/* Executes all commands. Returns false if the thread must end. */
static bool take_commands(struct flux2_engine *e)
{
    flux2_mutex_lock(&e->lock);
    struct command *c = e->first_command;
    e->first_command = e->last_command = NULL;
    e->asleep = e->woken = false;
    bool stop = e->stop;
    flux2_mutex_unlock(&e->lock);
    while (c) {
        struct command *next = c->next;
        if (stop)
            flux2_job_free(c->job);
        else if (c->job)
            flux2_worker_begin(&e->worker, c->job);
        else
            flux2_worker_cancel(&e->worker, c->id);
        free(c);
        c = next;
    }
    return !stop;
}

static void free_engine(struct flux2_engine *e)
{
    flux2_event_queue_close(&e->event_queue);
    flux2_mutex_destroy(&e->lock);
    flux2_cond_destroy(&e->changed);
    free(e);
}

/* Opens the worker: here, because to initialize libcurl and its TLS library takes milliseconds. */
static void open_worker(struct flux2_engine *e)
{
    bool is_open = flux2_worker_open(&e->worker, &e->event_queue);
    flux2_mutex_lock(&e->lock);
    e->open = is_open;
    flux2_mutex_unlock(&e->lock);
}

/* Sleeps for MS milliseconds, unless the worker was woken meanwhile. A worker that does not sleep needs no system call
 * of the host to be woken. */
static void fall_asleep(struct flux2_engine *e, int ms)
{
    flux2_mutex_lock(&e->lock);
    e->asleep = !e->woken;
    bool asleep = e->asleep;
    flux2_mutex_unlock(&e->lock);
    flux2_worker_sleep(&e->worker, asleep ? ms : 0);
}

static void *work(void *arg)
{
    struct flux2_engine *e = arg;
    flux2_thread_set_batch();
    open_worker(e);
    while (take_commands(e)) {
        fall_asleep(e, flux2_worker_turn(&e->worker));
        if (!e->open)
            open_worker(e);
    }
    flux2_worker_close(&e->worker);
    flux2_mutex_lock(&e->lock);
    e->stopped = true;
    bool orphaned = e->orphaned;
    flux2_cond_broadcast(&e->changed);
    flux2_mutex_unlock(&e->lock);
    if (orphaned)
        free_engine(e);
    return NULL;
}

/* --- host: life ----------------------------------------------------------------------------------------------- */

/* Ends the worker's sleep, or prevents the next one. Called under the lock: the thread closes the worker after it has
 * read `stop` under the lock. */
static void wake(struct flux2_engine *e)
{
    if (e->open && e->asleep && !e->woken && !e->stop)
        flux2_worker_wake(&e->worker);
    e->woken = true;
}

static struct flux2_engine *engine_of(struct flux2_member *member)
{
    return (struct flux2_engine *)(void *)((char *)member - offsetof(struct flux2_engine, member));
}

static void ask_to_stop(struct flux2_member *member)
{
    struct flux2_engine *e = engine_of(member);
    flux2_mutex_lock(&e->lock);
    wake(e);
    e->stop = true;
    flux2_mutex_unlock(&e->lock);
}

static bool await_stop(struct flux2_member *member, double until)
{
    struct flux2_engine *e = engine_of(member);
    flux2_mutex_lock(&e->lock);
    while (!e->stopped) {
        double left = until - flux2_clock_now();
        if (left <= 0)
            break;
        flux2_cond_wait_for(&e->changed, &e->lock, left);
    }
    bool stopped = e->stopped;
    flux2_mutex_unlock(&e->lock);
    return stopped;
}

struct flux2_engine *flux2_engine_new(int *error)
{
    struct flux2_engine *e = calloc(1, sizeof *e);
    *error = ENOMEM;
    if (!e)
        return NULL;
    *error = flux2_event_queue_open(&e->event_queue);
    if (*error != 0) {
        flux2_event_queue_close(&e->event_queue);
        free(e);
        return NULL;
    }
    flux2_mutex_init(&e->lock);
    flux2_cond_init(&e->changed);
    e->member.stop = ask_to_stop;
    e->member.await = await_stop;
    e->forks = flux2_process_forks();
    return e;
}

int flux2_engine_run(struct flux2_engine *e)
{
    if (e->started)
        return 0;
    if (!flux2_global_init_is_thread_safe())
        flux2_global_init(); /* here, as the worker's call must do nothing then */
    int rc = flux2_thread_start(&e->thread, work, e);
    if (rc != 0)
        return rc;
    flux2_global_enter(&e->member);
    e->started = true;
    return 0;
}

void flux2_engine_close(struct flux2_engine *e)
{
    if (!e)
        return;
    if (flux2_engine_is_foreign(e)) {
        /* Threads that do not exist in the child may hold the locks. The rest is a copy of the parent's memory. */
        flux2_wakeup_close(&e->event_queue.wake);
        return;
    }
    if (e->started) {
        flux2_global_leave(&e->member);
        ask_to_stop(&e->member);
        await_stop(&e->member, flux2_clock_now() + FLUX2_STOP_TIMEOUT);
        struct flux2_thread thread = e->thread;
        flux2_mutex_lock(&e->lock);
        bool orphaned = e->orphaned = !e->stopped;
        flux2_mutex_unlock(&e->lock);
        if (orphaned) {
            flux2_thread_detach(&thread);
            return;
        }
        flux2_thread_join(&thread);
    }
    free_engine(e);
}

bool flux2_engine_is_foreign(const struct flux2_engine *e)
{
    return e->forks != flux2_process_forks();
}

/* --- host: use -------------------------------------------------------------------------------------------------- */

static void put_command(struct flux2_engine *e, struct command *c)
{
    flux2_mutex_lock(&e->lock);
    bool first = e->first_command == NULL;
    if (first)
        e->first_command = c;
    else
        e->last_command->next = c;
    e->last_command = c;
    /* The command that was put into the empty queue has woken the worker. */
    if (first)
        wake(e);
    flux2_mutex_unlock(&e->lock);
}

static bool send_command(struct flux2_engine *e, struct flux2_job *job, uint64_t id)
{
    struct command *c = malloc(sizeof *c);
    if (!c)
        return false;
    *c = (struct command){.job = job, .id = id};
    put_command(e, c);
    return true;
}

uint64_t flux2_engine_next_id(struct flux2_engine *e)
{
    return ++e->last_id;
}

int flux2_engine_start(struct flux2_engine *e, struct flux2_job *job)
{
    int rc = flux2_engine_run(e);
    if (rc != 0)
        return rc;
    atomic_fetch_add(&e->worker.count.jobs, 1);
    if (send_command(e, job, job->id))
        return 0;
    atomic_fetch_sub(&e->worker.count.jobs, 1);
    return ENOMEM;
}

bool flux2_engine_cancel(struct flux2_engine *e, uint64_t id)
{
    return !e->started || send_command(e, NULL, id);
}

void flux2_engine_free(struct flux2_engine *e, void *block, size_t size)
{
    if (!block || size < LARGE || !e->started) {
        free(block);
        return;
    }
    /* The block itself becomes the command, so that this cannot fail; take_commands frees it. */
    struct command *c = block;
    *c = (struct command){.id = 0};
    put_command(e, c);
}

size_t flux2_engine_ready(const struct flux2_engine *e)
{
    return flux2_event_queue_count(&e->event_queue);
}

struct flux2_event *flux2_engine_peek(struct flux2_engine *e)
{
    return flux2_event_queue_peek(&e->event_queue);
}

void flux2_engine_drop(struct flux2_engine *e)
{
    flux2_event_queue_drop(&e->event_queue);
    if (!atomic_load(&e->worker.awaits_host))
        return;
    flux2_mutex_lock(&e->lock);
    wake(e);
    flux2_mutex_unlock(&e->lock);
}

flux2_descriptor flux2_engine_fd(const struct flux2_engine *e)
{
    return e->event_queue.wake.read_end;
}

void flux2_engine_read_stats(const struct flux2_engine *e, struct flux2_engine_stats *s)
{
    s->jobs = atomic_load_explicit(&e->worker.count.jobs, memory_order_relaxed);
    s->in_flight = atomic_load_explicit(&e->worker.count.in_flight, memory_order_relaxed);
    s->requests = atomic_load_explicit(&e->worker.count.requests, memory_order_relaxed);
    s->connections = atomic_load_explicit(&e->worker.count.connections, memory_order_relaxed);
    s->received = atomic_load_explicit(&e->worker.count.received, memory_order_relaxed);
    s->ended = atomic_load_explicit(&e->worker.count.ended, memory_order_relaxed);
}
