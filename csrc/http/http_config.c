/* http_config.c - see http_config.h. */
#include "http/http_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The defaults allow an image of 8 MB on a slow connection. */
struct flux2_http_config *flux2_http_config_new(void)
{
    struct flux2_http_config *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    atomic_init(&c->references, 1);
    c->connect_timeout = 15;
    c->silence_timeout = 60;
    c->request_timeout = 180;
    c->max_body = (size_t)32 << 20;
    c->max_headers = (size_t)64 << 10;
    return c;
}

/* Adds "NAME: VALUE" to both lists. An empty VALUE makes libcurl omit that header. Returns false if out of memory. */
static bool add_header(struct flux2_http_config *c, const char *name, const char *value)
{
    struct curl_slist **lists[] = {&c->headers, &c->body_headers}, *longer;
    size_t i, done = 0, size = strlen(name) + strlen(value) + sizeof ": ";
    char *line = malloc(size);
    if (!line)
        return false;
    snprintf(line, size, *value ? "%s: %s" : "%s:%s", name, value);
    for (i = 0; i < sizeof lists / sizeof *lists; i++) {
        longer = curl_slist_append(*lists[i], line);
        done += longer != NULL;
        *lists[i] = longer ? longer : *lists[i];
    }
    free(line);
    return done == i;
}

/* Only gzip, which every server supports and decoder.c reads. For images no compression is requested. */
static bool add_encoding(struct flux2_http_config *c)
{
    return add_header(c, "Accept-Encoding", c->compressed ? "gzip" : "");
}

/* Same variables as in libcurl. HTTP_PROXY is ignored, because a CGI server sets it from a request header. */
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

/* Sets no_proxy to the environment's exceptions and the loopback addresses: a proxy cannot reach them and would see the
 * key. Returns false if out of memory. */
static bool except_loopback(struct flux2_http_config *c)
{
    static const char loopback[] = "localhost,127.0.0.1,127.0.0.0/8,::1";
    const char *given = getenv("no_proxy");
    given = given ? given : getenv("NO_PROXY");
    if (!given || !*given) {
        c->no_proxy = strdup(loopback);
    } else if (strcmp(given, "*") == 0) {
        c->no_proxy = strdup(given);
    } else {
        c->no_proxy = malloc(strlen(given) + sizeof loopback + 1);
        if (c->no_proxy)
            sprintf(c->no_proxy, "%s,%s", given, loopback);
    }
    return c->no_proxy;
}

/* The user agent is part of the header list, because libcurl would format CURLOPT_USERAGENT for every request. */
bool flux2_http_config_complete(struct flux2_http_config *c)
{
    c->direct = !c->proxy && !environment_names_proxy();
    return (c->direct || c->proxy || except_loopback(c)) &&
           (!c->user_agent || add_header(c, "User-Agent", c->user_agent)) && add_encoding(c);
}

struct flux2_http_config *flux2_http_config_hold(struct flux2_http_config *c)
{
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void flux2_http_config_release(struct flux2_http_config *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    curl_slist_free_all(c->headers);
    curl_slist_free_all(c->body_headers);
    free(c->user_agent);
    free(c->proxy);
    free(c->ca_file);
    free(c->no_proxy);
    flux2_secrets_clear(&c->secrets);
    flux2_string_list_free(&c->traces);
    free(c);
}
