/* profile.c - see profile.h. */
#include "profile.h"

#include <stdlib.h>

/* The defaults come from how long the work takes: a task takes 14 s at the median and 40 s at the 95th
 * percentile, an image of 8 MB crosses a slow line in a minute. */
struct flux2_profile *flux2_profile_new(void)
{
    struct flux2_profile *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    atomic_init(&p->references, 1);
    p->connect_timeout = 15;
    p->silence_timeout = 60;
    p->exchange_timeout = 180;
    p->max_body = (size_t)32 << 20;
    p->max_headers = (size_t)64 << 10;
    p->max_attempts = 3;
    p->max_in_flight = 8;
    p->max_queued = (size_t)256 << 20;
    p->poll_failures = 12;
    p->backoff = (struct flux2_backoff){.base = 0.5, .ceiling = 30};
    p->cadence = (struct flux2_cadence){
        .first = 1, .ratio = 0.2, .least = 1, .most = 10, .closest = 0.1, .thrift = 0.007};
    return p;
}

struct flux2_profile *flux2_profile_hold(struct flux2_profile *p)
{
    atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
    return p;
}

void flux2_profile_release(struct flux2_profile *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) != 1)
        return;
    curl_slist_free_all(p->headers);
    curl_slist_free_all(p->body_headers);
    free(p->user_agent);
    free(p->proxy);
    free(p->ca_file);
    flux2_words_free(&p->traces);
    flux2_watch_free(&p->watch);
    free(p);
}
