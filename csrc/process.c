/* process.c - see process.h. */
#include "process.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#include "platform.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct flux2_member *members;
static unsigned forks; /* the process that `members` belongs to */

static void stop_everyone(void)
{
    struct flux2_member *m;
    double until = flux2_platform_now() + FLUX2_PATIENCE;
    /* A child has none of the threads; and whoever holds the lock right now will not let go of it any more. */
    if (flux2_platform_forks() != forks || pthread_mutex_trylock(&lock) != 0)
        return;
    for (m = members; m; m = m->next)
        m->stop(m);
    for (m = members; m; m = m->next)
        m->await(m, until);
    pthread_mutex_unlock(&lock);
}

static void start(void)
{
    flux2_platform_pin_module();
    forks = flux2_platform_forks();
    ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    /* After libcurl has started OpenSSL: handlers run in the opposite order. The pin keeps the code in place. */
    if (ready)
        atexit(stop_everyone);
}

bool flux2_process_ready(void)
{
    pthread_once(&once, start);
    return ready;
}

void flux2_process_enter(struct flux2_member *member)
{
    pthread_mutex_lock(&lock);
    if (forks != flux2_platform_forks()) { /* a child begins a list of its own */
        forks = flux2_platform_forks();
        members = NULL;
    }
    member->next = members;
    members = member;
    pthread_mutex_unlock(&lock);
}

void flux2_process_leave(struct flux2_member *member)
{
    struct flux2_member **link;
    pthread_mutex_lock(&lock);
    for (link = &members; *link && *link != member; link = &(*link)->next)
        ;
    if (*link)
        *link = member->next;
    pthread_mutex_unlock(&lock);
}
