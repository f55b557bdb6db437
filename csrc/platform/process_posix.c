/* process_posix.c - see process.h. */
#define _GNU_SOURCE
#include "platform/process.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/thread.h"

void flux2_process_pin_module(void)
{
    Dl_info info;
    if (dladdr((void *)(uintptr_t)flux2_process_pin_module, &info) && info.dli_fname)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

void (*flux2_process_function(const char *name))(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    void (*function)(void);
    memcpy(&function, &symbol, sizeof function); /* ISO C has no cast from an object to a function */
    return function;
}

void flux2_process_at_exit(void (*fn)(void))
{
    atexit(fn);
}

char *flux2_process_getenv(const char *name)
{
    (void)name;
    return NULL;
}

char *flux2_process_argument(unsigned from_end)
{
    (void)from_end;
    return NULL;
}

static struct flux2_mutex *held; /* see flux2_process_hold_in_forks */

static void before_fork(void)
{
    flux2_mutex_lock(held);
}

static void after_fork(void)
{
    flux2_mutex_unlock(held);
}

void flux2_process_hold_in_forks(struct flux2_mutex *lock)
{
    held = lock;
    pthread_atfork(before_fork, after_fork, after_fork);
}

static atomic_uint forks;

static void count_fork(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

unsigned flux2_process_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    return atomic_load_explicit(&forks, memory_order_relaxed);
}
