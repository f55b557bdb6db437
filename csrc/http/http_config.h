/* http_config.h - the options that requests share: headers, limits, time-outs, proxy, certificates.
 *
 * Filled by one thread, then read-only and shared between threads by reference count. Owns its strings and lists. */
#ifndef FLUX2_HTTP_HTTP_CONFIG_H
#define FLUX2_HTTP_HTTP_CONFIG_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/image_signature.h"
#include "base/redact.h"
#include "base/string_list.h"

enum { FLUX2_ACCEPT_MAX = 16 };

struct flux2_http_config {
    atomic_uint references; /* freed at 0 */

    struct curl_slist *headers;      /* for requests without a body */
    struct curl_slist *body_headers; /* for requests with a body */
    char *user_agent;                /* NULL: none */
    char *proxy;                     /* NULL: from the environment */
    char *ca_file;                   /* NULL: libcurl's default */
    char *no_proxy; /* hosts without a proxy, if the proxy comes from the environment; set by ..._complete */
    struct flux2_secrets secrets;    /* removed from error texts and text bodies */
    struct flux2_string_list traces; /* names of headers that hold a request id, best first */

    double connect_timeout; /* seconds for name resolution, connection and handshake */
    double silence_timeout; /* seconds without a byte */
    double request_timeout; /* seconds for one request and its response; 0: unlimited */
    size_t max_body;        /* bytes, after decompression */
    size_t max_headers;     /* bytes, all headers of one response together */
    long max_redirects;     /* 0: redirects are not followed */
    bool compressed;        /* accept gzip */
    bool direct;            /* neither PROXY nor the environment sets a proxy; set by ..._complete */
    bool durable;           /* files are flushed to disk before they get their name */

    struct flux2_image_signature accept[FLUX2_ACCEPT_MAX]; /* the accepted signatures of a checked body */
    size_t accept_count;                                   /* number of signatures in `accept` */
};

/* Creates a configuration with the defaults and one reference. Returns NULL if out of memory. */
struct flux2_http_config *flux2_http_config_new(void);
/* Derives the remaining members once the others are set, before the first use. Reads the environment, so it must be
 * called on the host's thread: the host may change the environment. Returns false if out of memory. */
bool flux2_http_config_complete(struct flux2_http_config *config);
/* Adds a reference. Any thread. */
struct flux2_http_config *flux2_http_config_hold(struct flux2_http_config *config);
/* Drops a reference; the last one frees the configuration. NULL is allowed. Any thread. */
void flux2_http_config_release(struct flux2_http_config *config);

#endif
