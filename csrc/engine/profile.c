/* profile.c - see profile.h. */
#include "engine/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/http_url.h"

struct flux2_profile *flux2_profile_new(void)
{
    struct flux2_profile *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    atomic_init(&p->references, 1);
    p->http = flux2_http_config_new();
    p->schema = flux2_response_schema_new();
    if (!p->http || !p->schema) {
        flux2_profile_release(p);
        return NULL;
    }
    p->max_attempts = 3;
    p->max_in_flight = 8;
    p->max_queued = (size_t)256 << 20;
    p->patience = 120;
    p->poll_policy.poll_cost = 0.007;
    return p;
}

struct flux2_profile *flux2_profile_hold(struct flux2_profile *p)
{
    atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
    return p;
}

bool flux2_profile_may_poll_at(const struct flux2_profile *p, const char *url)
{
    size_t i;
    for (i = 0; url && i < p->origins.count; i++)
        if (flux2_is_of_origin(url, p->origins.at[i]))
            return true;
    return false;
}

void flux2_profile_release(struct flux2_profile *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) != 1)
        return;
    flux2_http_config_release(p->http);
    flux2_response_schema_release(p->schema);
    flux2_string_list_free(&p->origins);
    free(p->limit_group);
    free(p);
}
