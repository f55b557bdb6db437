/* lines.c - see lines.h. */
#include "lines.h"

#include <errno.h>
#include <sys/select.h>

#include "platform.h"

enum {
    KEPT_CONNECTIONS = 256, /* libcurl keeps 4 for each transfer of the moment; polls mostly are not one */
    MOST_SINGLES = 64, /* descriptors of `single` that wake the sleeper; for any more it looks again soon */
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

int flux2_lines_open(struct flux2_lines *l)
{
    l->shared = open_one();
    l->single = open_one();
    /* Without descriptors there are handles all the same, but nobody can wake who sleeps on one. */
    bool has_descriptors = l->shared && l->single && curl_multi_wakeup(l->shared) == CURLM_OK;
    int rc = has_descriptors ? 0 : l->shared && l->single ? EMFILE : ENOMEM;
    if (rc != 0)
        flux2_lines_close(l);
    return rc;
}

void flux2_lines_close(struct flux2_lines *l)
{
    curl_multi_cleanup(l->shared);
    curl_multi_cleanup(l->single);
    l->shared = l->single = NULL;
}

bool flux2_lines_add(struct flux2_lines *l, CURL *easy, bool apart)
{
    if (curl_multi_add_handle(apart ? l->single : l->shared, easy) != CURLM_OK)
        return false;
    l->singles += apart;
    return true;
}

void flux2_lines_remove(struct flux2_lines *l, CURL *easy, bool apart)
{
    curl_multi_remove_handle(apart ? l->single : l->shared, easy);
    l->singles -= apart;
}

void flux2_lines_limit(struct flux2_lines *l, long limit)
{
    if (limit != l->limit)
        curl_multi_setopt(l->shared, CURLMOPT_MAX_HOST_CONNECTIONS, limit);
    l->limit = limit;
}

void flux2_lines_perform(struct flux2_lines *l)
{
    int running;
    curl_multi_perform(l->shared, &running);
    if (l->singles > 0)
        curl_multi_perform(l->single, &running);
}

CURLMsg *flux2_lines_next(struct flux2_lines *l)
{
    int left;
    CURLMsg *message = curl_multi_info_read(l->shared, &left);
    return message || l->singles == 0 ? message : curl_multi_info_read(l->single, &left);
}

/* What `single` waits for, into WAIT. Lowers *MS to when it wants to be looked at anyway. Returns how many there are. */
static unsigned watch_singles(struct flux2_lines *l, struct curl_waitfd *wait, int *ms)
{
    fd_set in, out, other;
    int fd, last = -1;
    unsigned n = 0;
    long due = -1;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&other);
    curl_multi_fdset(l->single, &in, &out, &other, &last);
    curl_multi_timeout(l->single, &due);
    for (fd = 0; fd <= last && n < MOST_SINGLES; fd++)
        if (FD_ISSET(fd, &in) || FD_ISSET(fd, &out))
            wait[n++] = (struct curl_waitfd){
                .fd = fd,
                .events = (short)((FD_ISSET(fd, &in) ? CURL_WAIT_POLLIN : 0) |
                                  (FD_ISSET(fd, &out) ? CURL_WAIT_POLLOUT : 0)),
            };
    /* There may be descriptors that libcurl cannot name: its resolver's, or those that do not fit into the set. */
    if (l->singles > n && *ms > SOON_MS)
        *ms = SOON_MS;
    if (due >= 0 && due < *ms)
        *ms = (int)due;
    return n;
}

void flux2_lines_sleep(struct flux2_lines *l, int ms)
{
    struct curl_waitfd wait[MOST_SINGLES];
    unsigned n = l->singles > 0 ? watch_singles(l, wait, &ms) : 0;
    /* Without memory it returns at once, and its caller would never rest. */
    if (curl_multi_poll(l->shared, wait, n, ms, NULL) != CURLM_OK)
        flux2_platform_pause((ms < SOON_MS ? ms : SOON_MS) / 1000.0);
}

void flux2_lines_wake(struct flux2_lines *l)
{
    curl_multi_wakeup(l->shared);
}
