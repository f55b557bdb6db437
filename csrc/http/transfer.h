/* transfer.h - one HTTP request and its response.
 *
 * Owns an easy handle with its options, the sink, and the kept response headers. Reused from request to request. Never
 * sends a request again by itself, and never waits. Used by one thread at a time. */
#ifndef FLUX2_HTTP_TRANSFER_H
#define FLUX2_HTTP_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "http/decoder.h"
#include "http/headers.h"
#include "http/http_config.h"
#include "http/multi.h"
#include "http/outcome.h"
#include "http/sink.h"

/* A body that is made while it is sent. The first member of its owner's struct. */
struct flux2_body_reader {
    uint64_t size; /* bytes of the body */
    /* Writes the next bytes to OUT, at most ROOM, and returns their number. 0: it failed, and `error` is set. Not
     * called after the last byte. */
    size_t (*read)(struct flux2_body_reader *reader, char *out, size_t room);
    void (*rewind)(struct flux2_body_reader *reader); /* continues with the first byte */
    char error[CURL_ERROR_SIZE];                      /* why `read` failed */
};

/* A request to send. Its pointers are borrowed and must be valid until flux2_transfer_clear. */
struct flux2_request {
    const char *url;
    const char *body;                 /* with neither body nor reader: a GET; otherwise a POST */
    size_t body_size;                 /* bytes of `body` */
    struct flux2_body_reader *reader; /* gives the body in place of `body`; NULL: none */
    char *header;                     /* one more header line of a request with a body; NULL: none */
    const char *path;                 /* the file for the body of a success; NULL: memory */
    /* for an image in a file; NULL: none */
    const struct flux2_image_metadata *metadata;
    enum flux2_idempotency idempotency; /* FLUX2_NON_IDEMPOTENT: sent at most once */
    bool check_signature;               /* the body of a success must match an accepted signature */
};

/* A transfer. The worker reads its members; only transfer.c changes them, except `owner` and `multi`. */
struct flux2_transfer {
    CURL *easy;                       /* owned */
    CURLU *url;                       /* the URL of the request, parsed; owned */
    struct flux2_http_config *config; /* the configuration of the easy handle; one reference */
    unsigned shape;                   /* HAS_BODY etc. of the last request, see transfer.c */
    struct flux2_request request;     /* the current request */
    struct curl_slist own_header;     /* the header of the request, before those of the configuration */
    void *owner;                      /* the job that started it; set by the worker */
    struct flux2_multi *multi;        /* that it is added to; set by the worker */

    struct flux2_decoder decoder; /* decompresses the body for the sink */
    struct flux2_sink sink;       /* takes the body */
    bool sink_is_excerpt;         /* the body belongs to an error: only its beginning is kept */
    bool started_body;            /* the sink is chosen */
    bool is_framed;               /* the body is chunked */
    size_t raw_received;          /* bytes of the chunked body, chunk headers included */
    unsigned seen_turn;           /* the turn of the last call of on_progress */
    size_t calls;                 /* of on_progress in that turn */
    unsigned sends;               /* how often sending began */
    uint64_t unread;              /* bytes of the body that the request's reader has not given yet */
    bool gave_all;                /* the reader gave the last byte, which may have been sent */
    unsigned memory_failures;     /* see curl_memory.h, before the request */
    enum flux2_failure failure;   /* why the transfer was stopped; NONE: it was not */
    int system_error;             /* errno value of a failed socket(); 0: none */
    bool stopped;                 /* libcurl tried to send the request again and was stopped */
    struct flux2_headers headers; /* of the last response */
    char error[CURL_ERROR_SIZE];  /* describes `failure` */
    double extension;             /* seconds added to the time-outs */
};

/* Creates a transfer, which the caller frees. Returns NULL if out of memory. */
struct flux2_transfer *flux2_transfer_new(void);
/* Frees TRANSFER, which is in no multi handle any more. NULL is allowed. */
void flux2_transfer_free(struct flux2_transfer *transfer);

/* Prepares the easy handle for REQUEST; adds a reference to CONFIG. Returns false if out of memory. */
bool flux2_transfer_prepare(struct flux2_transfer *transfer, struct flux2_http_config *config,
                            const struct flux2_request *request);

/* Adds SECONDS, during which the process was stopped, to the time-outs of a running transfer. A transfer with an
 * `extension` must not be prepared again. */
void flux2_transfer_extend(struct flux2_transfer *transfer, double seconds);

/* Finishes the transfer, which ended with RESULT: completes the sink and sets `error`. Returns the outcome. After a
 * failure the sink keeps what arrived of a success, except of an image. */
struct flux2_outcome flux2_transfer_finish(struct flux2_transfer *transfer, CURLcode result);

/* Ends an unfinished transfer because of WHY and discards its body. Returns the outcome. */
struct flux2_outcome flux2_transfer_abandon(struct flux2_transfer *transfer, enum flux2_failure why);

/* Frees the body and drops the borrowed pointers; the easy handle keeps its options for the next request. */
void flux2_transfer_clear(struct flux2_transfer *transfer);

/* --- transfer_failure.c, for transfer.c ---------------------------------------------------------- */

/* Returns why TRANSFER failed that ended with RESULT; NONE: there is a response. */
enum flux2_failure flux2_transfer_failure(struct flux2_transfer *transfer, CURLcode result);
/* Replaces libcurl's error text by a more precise one, by the member `failure`. */
void flux2_transfer_describe_failure(struct flux2_transfer *transfer);

#endif
