/* global_init.c - see global_init.h. */
#include "http/global_init.h"

#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "http/curl_memory.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/thread.h"

static struct flux2_once once;

static struct flux2_mutex init_lock; /* of `ready` and of the initialization, which no fork may interrupt */
static bool ready;                   /* libcurl is initialized */

static struct flux2_mutex lock;
static struct flux2_member *members;
static unsigned forks; /* count of forks of the process that `members` belongs to */

static void stop_members(void)
{
    static bool has_run;
    struct flux2_member *m;
    double until = flux2_clock_now() + FLUX2_STOP_TIMEOUT;
    /* A forked child has none of the threads. A lock that is held at this point may never be released. */
    if (has_run || flux2_process_forks() != forks || !flux2_mutex_try_lock(&lock))
        return;
    has_run = true; /* it is registered twice */
    for (m = members; m; m = m->next)
        m->stop(m);
    for (m = members; m; m = m->next)
        m->await(m, until);
    flux2_mutex_unlock(&lock);
}

/* OpenSSL frees its tables in an atexit handler. A thread that did not stop in time, in a handshake or while it reads
 * certificates, would crash there, so that handler is disabled. Has no effect if libcurl uses another TLS library or
 * the host has initialized OpenSSL before. */
static void keep_openssl_at_exit(void)
{
    const uint64_t no_atexit = 0x00080000; /* OPENSSL_INIT_NO_ATEXIT */
    typedef int init_crypto(uint64_t options, const void *settings);
    init_crypto *init = (init_crypto *)flux2_process_function("OPENSSL_init_crypto");
    if (init)
        init(no_atexit, NULL); /* the system frees the memory */
}

enum { KEPT_HEAP = 2 << 20 }; /* bytes: the receive buffers of sixteen downloads */

/* libcurl allocates a receive buffer for each transfer. glibc returns free memory at the end of a heap to the system,
 * so each buffer would be mapped, faulted in and zeroed again: up to a third of the CPU time of small downloads. glibc
 * keeps twice the size of the largest mapped block that was freed, 256 KiB at first. No effect on other allocators. */
static void keep_freed_heap(void)
{
    void *volatile block = malloc(KEPT_HEAP / 2); /* volatile: the compiler would remove the pair */
    free(block);
}

static void prepare(void)
{
    flux2_mutex_init(&lock);
    flux2_mutex_init(&init_lock);
    flux2_process_pin_module();
    forks = flux2_process_forks();
    flux2_process_hold_in_forks(&init_lock);
    /* A thread that is still initializing libcurl when the process exits must be awaited as well. The pin keeps the
     * code of this function loaded. */
    flux2_process_at_exit(stop_members);
}

void flux2_global_prepare(void)
{
    flux2_once_call(&once, prepare);
}

bool flux2_global_init_is_thread_safe(void)
{
    return curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_THREADSAFE;
}

bool flux2_global_init(void)
{
    flux2_mutex_lock(&init_lock);
    if (!ready) {
        keep_freed_heap();
        keep_openssl_at_exit();
        ready = flux2_curl_memory_init();
        /* Again, after the handlers of the TLS library, so that it runs before them. */
        if (ready)
            flux2_process_at_exit(stop_members);
    }
    bool is_ready = ready;
    flux2_mutex_unlock(&init_lock);
    return is_ready;
}

void flux2_global_enter(struct flux2_member *member)
{
    flux2_mutex_lock(&lock);
    if (forks != flux2_process_forks()) { /* a forked child starts with an empty list */
        forks = flux2_process_forks();
        members = NULL;
    }
    member->next = members;
    members = member;
    flux2_mutex_unlock(&lock);
}

void flux2_global_leave(struct flux2_member *member)
{
    struct flux2_member **link;
    flux2_mutex_lock(&lock);
    for (link = &members; *link && *link != member; link = &(*link)->next)
        ;
    if (*link)
        *link = member->next;
    flux2_mutex_unlock(&lock);
}
