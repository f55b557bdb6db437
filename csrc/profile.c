/* profile.c - see profile.h. */
#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Adds "NAME: VALUE" to both lists. */
static bool add_header(struct flux2_profile *p, const char *name, const char *value)
{
    struct curl_slist **lists[] = {&p->headers, &p->body_headers}, *longer;
    size_t i, done = 0, size = strlen(name) + strlen(value) + sizeof ": ";
    char *line = malloc(size);
    if (!line)
        return false;
    snprintf(line, size, "%s: %s", name, value);
    for (i = 0; i < sizeof lists / sizeof *lists; i++) {
        longer = curl_slist_append(*lists[i], line);
        done += longer != NULL;
        *lists[i] = longer ? longer : *lists[i];
    }
    free(line);
    return done == i;
}

/* Of the compressions that libcurl knows the one that every server knows: the others gain nothing on a few hundred
 * bytes, or on pictures. */
static bool add_encoding(struct flux2_profile *p)
{
    bool known = curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_LIBZ;
    return !known || add_header(p, "Accept-Encoding", "gzip");
}

/* As libcurl does: "HTTP_PROXY" is not one, because a web server sets it from what a client sends. */
static bool environment_names_proxy(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

/* libcurl would put a header of an option of its own together anew for every request, byte by byte; a list it copies. */
bool flux2_profile_complete(struct flux2_profile *p)
{
    p->direct = !p->proxy && !environment_names_proxy();
    return (!p->user_agent || add_header(p, "User-Agent", p->user_agent)) &&
           (!p->compressed || add_encoding(p));
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
