/* multi.c - see multi.h. */
#include "http/multi.h"

#include <errno.h>

#include "platform/clock.h"
#include "platform/socket.h"

enum {
    KEPT_CONNECTIONS = 256, /* libcurl's default is 4 for each active transfer, and polls are seldom active */
    MOST_DEDICATED = 64,    /* descriptors of `dedicated` that are polled; with more the sleep is short */
    SOON_MS = 10,
};

static CURLM *open_one(void)
{
    CURLM *multi = curl_multi_init();
    if (!multi)
        return NULL;
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    return multi;
}

int flux2_multi_open(struct flux2_multi *m)
{
    m->shared = open_one();
    m->dedicated = open_one();
    /* curl_multi_init succeeds without descriptors, but then curl_multi_wakeup fails. */
    bool has_descriptors = m->shared && m->dedicated && curl_multi_wakeup(m->shared) == CURLM_OK;
    int rc = has_descriptors ? 0 : m->shared && m->dedicated ? EMFILE : ENOMEM;
    if (rc != 0)
        flux2_multi_close(m);
    return rc;
}

void flux2_multi_close(struct flux2_multi *m)
{
    curl_multi_cleanup(m->shared);
    curl_multi_cleanup(m->dedicated);
    m->shared = m->dedicated = NULL;
    flux2_ca_store_clear(&m->ca);
}

bool flux2_multi_add(struct flux2_multi *m, CURL *easy, bool is_dedicated)
{
    if (curl_multi_add_handle(is_dedicated ? m->dedicated : m->shared, easy) != CURLM_OK)
        return false;
    m->dedicated_count += is_dedicated;
    return true;
}

void flux2_multi_remove(struct flux2_multi *m, CURL *easy, bool is_dedicated)
{
    curl_multi_remove_handle(is_dedicated ? m->dedicated : m->shared, easy);
    m->dedicated_count -= is_dedicated;
}

void flux2_multi_limit(struct flux2_multi *m, long limit)
{
    if (limit != m->limit && curl_multi_setopt(m->shared, CURLMOPT_MAX_HOST_CONNECTIONS, limit) == CURLM_OK)
        m->limit = limit;
}

void flux2_multi_perform(struct flux2_multi *m)
{
    int running;
    m->turn++;
    curl_multi_perform(m->shared, &running);
    if (m->dedicated_count > 0)
        curl_multi_perform(m->dedicated, &running);
}

CURLMsg *flux2_multi_next(struct flux2_multi *m)
{
    int left;
    CURLMsg *message = curl_multi_info_read(m->shared, &left);
    return message || m->dedicated_count == 0 ? message : curl_multi_info_read(m->dedicated, &left);
}

/* Sets WAIT to descriptors of MULTI, at most MOST_DEDICATED. Returns their number. */
#if LIBCURL_VERSION_NUM >= 0x080800
static unsigned find_descriptors(CURLM *multi, struct curl_waitfd *wait)
{
    unsigned n = 0;
    curl_multi_waitfds(multi, wait, MOST_DEDICATED, &n);
    return n < MOST_DEDICATED ? n : MOST_DEDICATED;
}
#else
/* A set has no place for descriptors from FD_SETSIZE on. */
static unsigned find_descriptors(CURLM *multi, struct curl_waitfd *wait)
{
    struct flux2_interest list[MOST_DEDICATED];
    fd_set in, out, other;
    int last = -1;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&other);
    curl_multi_fdset(multi, &in, &out, &other, &last);
    unsigned i, n = flux2_socket_interests(&in, &out, last, list, MOST_DEDICATED);
    for (i = 0; i < n; i++)
        wait[i] = (struct curl_waitfd){
            .fd = (curl_socket_t)list[i].descriptor,
            .events = (short)((list[i].input ? CURL_WAIT_POLLIN : 0) | (list[i].output ? CURL_WAIT_POLLOUT : 0)),
        };
    return n;
}
#endif

/* Sets WAIT to the descriptors of `dedicated`, and lowers *MS to its time-out. Returns their number. */
static unsigned watch_dedicated(struct flux2_multi *m, struct curl_waitfd *wait, int *ms)
{
    long due = -1;
    unsigned n = find_descriptors(m->dedicated, wait);
    curl_multi_timeout(m->dedicated, &due);
    /* Some descriptors are unknown: the resolver's, or those without a place in the set. */
    if (m->dedicated_count > n && *ms > SOON_MS)
        *ms = SOON_MS;
    if (due >= 0 && due < *ms)
        *ms = (int)due;
    return n;
}

double flux2_multi_sleep(struct flux2_multi *m, int ms)
{
    struct curl_waitfd wait[MOST_DEDICATED];
    double began = flux2_clock_now();
    long due = -1;
    unsigned n = m->dedicated_count > 0 ? watch_dedicated(m, wait, &ms) : 0;
    curl_multi_timeout(m->shared, &due);
    if (due >= 0 && due < ms)
        ms = (int)due;
    /* If out of memory it returns immediately, and the caller would loop without a pause. */
    if (curl_multi_poll(m->shared, wait, n, ms, NULL) != CURLM_OK)
        flux2_clock_pause((ms < SOON_MS ? ms : SOON_MS) / 1000.0);
    return flux2_clock_now() - began - ms / 1000.0;
}

void flux2_multi_wake(struct flux2_multi *m)
{
    curl_multi_wakeup(m->shared);
}
