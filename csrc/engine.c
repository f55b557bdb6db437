/* engine.c - see engine.h. */
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "mailbox.h"
#include "platform.h"
#include "process.h"
#include "worker.h"

enum { LARGE = 256 * 1024 }; /* bytes: what takes long enough to give back to the system */

struct command {
    struct command *next;
    struct flux2_job *job; /* to start, or NULL: to cancel `id` */
    uint64_t id;           /* 0, which no job has: nothing to do but to free the command */
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

    /* The host's. */
    uint64_t last_id;
    unsigned forks;
    bool started;
    pthread_t thread;

    /* The thread's, once it runs. */
    struct flux2_worker worker;
};

/* --- the thread ----------------------------------------------------------------------------------------- */

/* Takes the commands; false once the thread is to end. */
static bool take_commands(struct flux2_engine *e)
{
    pthread_mutex_lock(&e->lock);
    struct command *c = e->first_command;
    e->first_command = e->last_command = NULL;
    bool stop = e->stop;
    pthread_mutex_unlock(&e->lock);
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
    flux2_mailbox_close(&e->mailbox);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->changed);
    free(e);
}

static void *work(void *arg)
{
    struct flux2_engine *e = arg;
    flux2_platform_stand_back();
    while (take_commands(e))
        flux2_worker_sleep(&e->worker, flux2_worker_turn(&e->worker));
    flux2_worker_close(&e->worker);
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
    /* Once, and under the lock: the worker is closed after it has seen `stop`, which takes the lock. */
    if (!e->stop)
        flux2_worker_wake(&e->worker);
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
    return e;
}

static int start_thread(struct flux2_engine *e)
{
    if (!flux2_process_ready())
        return ENOSYS;
    int rc = flux2_worker_open(&e->worker, &e->mailbox);
    if (rc != 0)
        return rc;
    rc = flux2_platform_thread(&e->thread, work, e);
    if (rc != 0) {
        flux2_worker_close(&e->worker);
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

static void put_command(struct flux2_engine *e, struct command *c)
{
    pthread_mutex_lock(&e->lock);
    bool first = e->first_command == NULL;
    if (first)
        e->first_command = c;
    else
        e->last_command->next = c;
    e->last_command = c;
    /* If there were commands already, whoever put the first one there has woken the worker. */
    if (first && !e->stop)
        flux2_worker_wake(&e->worker);
    pthread_mutex_unlock(&e->lock);
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
    int rc = e->started ? 0 : start_thread(e);
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
    /* The block itself is the command, so that this cannot fail; whoever has done it frees it. */
    struct command *c = block;
    *c = (struct command){.id = 0};
    put_command(e, c);
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
    if (!atomic_load(&e->worker.awaits_host))
        return;
    pthread_mutex_lock(&e->lock);
    if (!e->stop)
        flux2_worker_wake(&e->worker);
    pthread_mutex_unlock(&e->lock);
}

int flux2_engine_fd(const struct flux2_engine *e)
{
    return e->mailbox.wake.read_fd;
}

void flux2_engine_read_stats(const struct flux2_engine *e, struct flux2_engine_stats *s)
{
    s->jobs = atomic_load_explicit(&e->worker.count.jobs, memory_order_relaxed);
    s->in_flight = atomic_load_explicit(&e->worker.count.in_flight, memory_order_relaxed);
    s->exchanges = atomic_load_explicit(&e->worker.count.exchanges, memory_order_relaxed);
    s->connections = atomic_load_explicit(&e->worker.count.connections, memory_order_relaxed);
    s->received = atomic_load_explicit(&e->worker.count.received, memory_order_relaxed);
    s->ended = atomic_load_explicit(&e->worker.count.ended, memory_order_relaxed);
}
