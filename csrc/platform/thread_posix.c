/* thread_posix.c - see thread.h. */
#define _GNU_SOURCE
#include "platform/thread.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* macOS has no condition variables on the monotonic clock. */
#if defined(__APPLE__) || defined(FLUX2_GENERIC_POSIX)
#define COND_CLOCK CLOCK_REALTIME
#else
#define COND_CLOCK CLOCK_MONOTONIC
#endif

_Static_assert(sizeof(pthread_t) <= sizeof(struct flux2_thread), "struct flux2_thread is too small");
_Static_assert(sizeof(sigset_t) <= sizeof(struct flux2_signal_mask), "struct flux2_signal_mask is too small");
_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct flux2_mutex), "struct flux2_mutex is too small");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(struct flux2_cond), "struct flux2_cond is too small");

static pthread_t *thread_of(struct flux2_thread *thread)
{
    return (pthread_t *)(void *)thread->storage;
}

static sigset_t *signals_of(struct flux2_signal_mask *mask)
{
    return (sigset_t *)(void *)mask->storage;
}

static pthread_mutex_t *mutex_of(struct flux2_mutex *mutex)
{
    return (pthread_mutex_t *)(void *)mutex->storage;
}

static pthread_cond_t *cond_of(struct flux2_cond *cond)
{
    return (pthread_cond_t *)(void *)cond->storage;
}

/* --- threads ---------------------------------------------------------------------------------- */

struct flux2_signal_mask flux2_signals_block(void)
{
    struct flux2_signal_mask before = {{0}};
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, signals_of(&before));
    return before;
}

void flux2_signals_restore(struct flux2_signal_mask before)
{
    pthread_sigmask(SIG_SETMASK, signals_of(&before), NULL);
}

int flux2_thread_start(struct flux2_thread *thread, void *(*fn)(void *), void *arg)
{
    struct flux2_signal_mask before = flux2_signals_block();
    int rc = pthread_create(thread_of(thread), NULL, fn, arg);
    flux2_signals_restore(before);
    return rc;
}

void flux2_thread_join(struct flux2_thread *thread)
{
    pthread_join(*thread_of(thread), NULL);
}

void flux2_thread_detach(struct flux2_thread *thread)
{
    pthread_detach(*thread_of(thread));
}

void flux2_thread_set_batch(void)
{
#ifdef SCHED_BATCH
    struct sched_param none = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
#endif
}

/* --- mutexes ------------------------------------------------------------------------------------ */

void flux2_mutex_init(struct flux2_mutex *mutex)
{
    pthread_mutex_init(mutex_of(mutex), NULL);
}

void flux2_mutex_destroy(struct flux2_mutex *mutex)
{
    pthread_mutex_destroy(mutex_of(mutex));
}

void flux2_mutex_lock(struct flux2_mutex *mutex)
{
    pthread_mutex_lock(mutex_of(mutex));
}

bool flux2_mutex_try_lock(struct flux2_mutex *mutex)
{
    return pthread_mutex_trylock(mutex_of(mutex)) == 0;
}

void flux2_mutex_unlock(struct flux2_mutex *mutex)
{
    pthread_mutex_unlock(mutex_of(mutex));
}

/* --- condition variables -------------------------------------------------------------------------- */

void flux2_cond_init(struct flux2_cond *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#if !defined(__APPLE__) && !defined(FLUX2_GENERIC_POSIX)
    pthread_condattr_setclock(&attr, COND_CLOCK);
#endif
    pthread_cond_init(cond_of(cond), &attr);
    pthread_condattr_destroy(&attr);
}

void flux2_cond_destroy(struct flux2_cond *cond)
{
    pthread_cond_destroy(cond_of(cond));
}

void flux2_cond_broadcast(struct flux2_cond *cond)
{
    pthread_cond_broadcast(cond_of(cond));
}

void flux2_cond_wait(struct flux2_cond *cond, struct flux2_mutex *mutex)
{
    pthread_cond_wait(cond_of(cond), mutex_of(mutex));
}

bool flux2_cond_wait_for(struct flux2_cond *cond, struct flux2_mutex *mutex, double seconds)
{
    struct timespec t;
    double whole = floor(seconds);
    clock_gettime(COND_CLOCK, &t);
    t.tv_sec += (time_t)whole;
    t.tv_nsec += (long)((seconds - whole) * 1e9);
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    return pthread_cond_timedwait(cond_of(cond), mutex_of(mutex), &t) != ETIMEDOUT;
}

/* --- once ----------------------------------------------------------------------------------------- */

/* pthread_once_t has no portable zero value, so one mutex serves all instances. */
void flux2_once_call(struct flux2_once *once, void (*fn)(void))
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    atomic_bool *done = (atomic_bool *)(void *)once->storage;
    if (atomic_load_explicit(done, memory_order_acquire))
        return;
    pthread_mutex_lock(&lock);
    if (!atomic_load_explicit(done, memory_order_relaxed)) {
        fn();
        atomic_store_explicit(done, true, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
}
