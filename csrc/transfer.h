/* transfer.h - one HTTP exchange.
 *
 * Owns: an easy handle with its options, the sink, and what was kept of the answer's headers. Reused from exchange
 * to exchange. Never: repeats anything, waits, or knows why the exchange takes place. */
#ifndef FLUX2_TRANSFER_H
#define FLUX2_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "headers.h"
#include "outcome.h"
#include "profile.h"
#include "sink.h"

/* What to send. All of it is borrowed and must outlive the exchange. */
struct flux2_request {
    const char *url;
    const char *body; /* NULL: a GET; otherwise a POST */
    size_t body_size;
    const char *path;         /* where a successful body goes; NULL: memory */
    enum flux2_nature nature; /* FLUX2_ONCE: it leaves this machine at most once, come what may */
    bool check_signature;     /* a successful body must match one of the profile's */
};

struct flux2_transfer {
    CURL *easy;
    struct flux2_profile *profile; /* whose options the easy handle has; held */
    unsigned shape;                /* of the request whose options it has */
    struct flux2_request request;
    void *owner; /* whoever started it */

    struct flux2_sink sink;
    bool sink_is_excerpt; /* the body is of an error: only its beginning is kept */
    bool started_body;
    unsigned sends; /* how often the request was about to leave */
    enum flux2_failure failure;
    int system_error; /* errno value: why there was no socket */
    bool stopped;     /* libcurl wanted to send it again, and was not allowed to */
    struct flux2_headers headers;
    char error[CURL_ERROR_SIZE];
};

/* NULL without memory. */
struct flux2_transfer *flux2_transfer_new(void);
void flux2_transfer_free(struct flux2_transfer *transfer);

/* Makes the easy handle ready for REQUEST. False without memory. */
bool flux2_transfer_prepare(struct flux2_transfer *transfer, struct flux2_profile *profile,
                            const struct flux2_request *request);

/* The exchange is over with RESULT: completes the sink and says how it went. The error text is in ->error. */
struct flux2_outcome flux2_transfer_finish(struct flux2_transfer *transfer, CURLcode result);

/* The exchange was given up before its end. */
struct flux2_outcome flux2_transfer_abandon(struct flux2_transfer *transfer, enum flux2_failure why);

/* Throws away body and borrowed pointers; the easy handle and its options stay for the next exchange. */
void flux2_transfer_clear(struct flux2_transfer *transfer);

#endif
