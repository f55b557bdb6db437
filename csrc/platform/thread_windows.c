/* thread_windows.c - see thread.h. Signals are none of Windows' business: a thread receives none. */
#include "platform/thread.h"

#include <errno.h>
#include <math.h>
#include <process.h>
#include <stdlib.h>
#include <windows.h>

_Static_assert(sizeof(HANDLE) <= sizeof(struct flux2_thread), "struct flux2_thread is too small");
_Static_assert(sizeof(SRWLOCK) <= sizeof(struct flux2_mutex), "struct flux2_mutex is too small");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(struct flux2_cond), "struct flux2_cond is too small");
_Static_assert(sizeof(INIT_ONCE) <= sizeof(struct flux2_once), "struct flux2_once is too small");

static HANDLE *handle_of(struct flux2_thread *thread)
{
    return (HANDLE *)(void *)thread->storage;
}

static SRWLOCK *lock_of(struct flux2_mutex *mutex)
{
    return (SRWLOCK *)(void *)mutex->storage;
}

static CONDITION_VARIABLE *cond_of(struct flux2_cond *cond)
{
    return (CONDITION_VARIABLE *)(void *)cond->storage;
}

/* --- threads ---------------------------------------------------------------------------------- */

struct start {
    void *(*fn)(void *);
    void *arg;
};

static unsigned __stdcall run(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    start.fn(start.arg);
    return 0;
}

int flux2_thread_start(struct flux2_thread *thread, void *(*fn)(void *), void *arg)
{
    struct start *start = malloc(sizeof *start);
    if (!start)
        return ENOMEM;
    *start = (struct start){fn, arg};
    *handle_of(thread) = (HANDLE)_beginthreadex(NULL, 0, run, start, 0, NULL);
    if (*handle_of(thread))
        return 0;
    int rc = errno;
    free(start);
    return rc;
}

void flux2_thread_join(struct flux2_thread *thread)
{
    WaitForSingleObject(*handle_of(thread), INFINITE);
    CloseHandle(*handle_of(thread));
}

void flux2_thread_detach(struct flux2_thread *thread)
{
    CloseHandle(*handle_of(thread));
}

struct flux2_signal_mask flux2_signals_block(void)
{
    return (struct flux2_signal_mask){{0}};
}

void flux2_signals_restore(struct flux2_signal_mask before)
{
    (void)before;
}

void flux2_thread_set_batch(void)
{
}

/* --- mutexes ------------------------------------------------------------------------------------ */

void flux2_mutex_init(struct flux2_mutex *mutex)
{
    InitializeSRWLock(lock_of(mutex));
}

void flux2_mutex_destroy(struct flux2_mutex *mutex)
{
    (void)mutex;
}

void flux2_mutex_lock(struct flux2_mutex *mutex)
{
    AcquireSRWLockExclusive(lock_of(mutex));
}

bool flux2_mutex_try_lock(struct flux2_mutex *mutex)
{
    return TryAcquireSRWLockExclusive(lock_of(mutex));
}

void flux2_mutex_unlock(struct flux2_mutex *mutex)
{
    ReleaseSRWLockExclusive(lock_of(mutex));
}

/* --- condition variables -------------------------------------------------------------------------- */

void flux2_cond_init(struct flux2_cond *cond)
{
    InitializeConditionVariable(cond_of(cond));
}

void flux2_cond_destroy(struct flux2_cond *cond)
{
    (void)cond;
}

void flux2_cond_broadcast(struct flux2_cond *cond)
{
    WakeAllConditionVariable(cond_of(cond));
}

void flux2_cond_wait(struct flux2_cond *cond, struct flux2_mutex *mutex)
{
    SleepConditionVariableSRW(cond_of(cond), lock_of(mutex), INFINITE, 0);
}

bool flux2_cond_wait_for(struct flux2_cond *cond, struct flux2_mutex *mutex, double seconds)
{
    DWORD ms = (DWORD)fmin(ceil(fmax(seconds, 0) * 1000), 1e9);
    return SleepConditionVariableSRW(cond_of(cond), lock_of(mutex), ms, 0) || GetLastError() != ERROR_TIMEOUT;
}

/* --- once ----------------------------------------------------------------------------------------- */

/* A zero is INIT_ONCE_STATIC_INIT. */
void flux2_once_call(struct flux2_once *once, void (*fn)(void))
{
    INIT_ONCE *state = (INIT_ONCE *)(void *)once->storage;
    BOOL pending;
    if (!InitOnceBeginInitialize(state, 0, &pending, NULL) || !pending)
        return;
    fn();
    InitOnceComplete(state, 0, NULL);
}
