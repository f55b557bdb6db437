/* thread.h - threads, signal masks, mutexes and condition variables. Any thread may call these functions.
 *
 * The types reserve storage for the system's types without including its headers; thread_*.c check the sizes. They
 * belong to their caller. */
#ifndef FLUX2_PLATFORM_THREAD_H
#define FLUX2_PLATFORM_THREAD_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

struct flux2_thread {
    alignas(max_align_t) unsigned char storage[16];
};
struct flux2_mutex {
    alignas(max_align_t) unsigned char storage[64];
};
struct flux2_cond {
    alignas(max_align_t) unsigned char storage[64];
};

/* Starts FN(ARG) on a thread that receives no signals, so that the host's handlers run on the host's threads. The
 * caller joins or detaches it. Returns 0 or an errno value. */
int flux2_thread_start(struct flux2_thread *thread, void *(*fn)(void *), void *arg);
/* Waits until the thread ends. */
void flux2_thread_join(struct flux2_thread *thread);
/* Lets the system free the thread when it ends. */
void flux2_thread_detach(struct flux2_thread *thread);

/* A saved signal mask. */
struct flux2_signal_mask {
    alignas(max_align_t) unsigned char storage[128];
};
/* Blocks all signals for the calling thread and returns the previous mask. Threads that a library starts before
 * flux2_signals_restore receive no signals either. */
struct flux2_signal_mask flux2_signals_block(void);
void flux2_signals_restore(struct flux2_signal_mask before);

/* Keeps the calling thread from preempting others when it wakes up. On a machine without an idle core the host would
 * otherwise lose some milliseconds. */
void flux2_thread_set_batch(void);

/* Mutexes; not recursive. */
void flux2_mutex_init(struct flux2_mutex *mutex);
void flux2_mutex_destroy(struct flux2_mutex *mutex);
void flux2_mutex_lock(struct flux2_mutex *mutex);
/* Locks MUTEX unless another thread holds it. Returns whether it is locked now. */
bool flux2_mutex_try_lock(struct flux2_mutex *mutex);
void flux2_mutex_unlock(struct flux2_mutex *mutex);

/* Condition variables. */
void flux2_cond_init(struct flux2_cond *cond);
void flux2_cond_destroy(struct flux2_cond *cond);
void flux2_cond_broadcast(struct flux2_cond *cond);
/* Waits for COND; the caller holds MUTEX. Spurious wakeups are possible. */
void flux2_cond_wait(struct flux2_cond *cond, struct flux2_mutex *mutex);
/* The same for at most SECONDS. Returns false after a timeout. */
bool flux2_cond_wait_for(struct flux2_cond *cond, struct flux2_mutex *mutex, double seconds);

/* Calls FN once in this process; concurrent callers wait until it returns. ONCE is static and zeroed. */
struct flux2_once {
    alignas(max_align_t) unsigned char storage[16];
};
void flux2_once_call(struct flux2_once *once, void (*fn)(void));

#endif
