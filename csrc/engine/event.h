/* event.h - events from the worker to the host. An event is one block of memory with all its texts; it has one owner at
 * a time. */
#ifndef FLUX2_ENGINE_EVENT_H
#define FLUX2_ENGINE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/response.h"
#include "http/outcome.h"

enum flux2_event_kind {
    FLUX2_EVENT_ACCEPTED, /* the submission was accepted; polling begins */
    FLUX2_EVENT_CHANGED,  /* status or progress changed */
    FLUX2_EVENT_REQUEST,  /* a request of an observed job or profile ended */
    FLUX2_EVENT_ENDED,    /* the last event of a job; every job has exactly one */
};

/* The steps before a request is sent: one that fails ends the job. One list for the enum and the names in Lua. */
#define FLUX2_SEND_STEPS(X)                                                                                            \
    X(NONE, "none")                                                                                                    \
    X(ENGINE, "engine") /* libcurl could not start */                                                                  \
    X(TARGET, "target") /* the file for the image cannot be written */                                                 \
    X(INPUT, "input")   /* an input image could not be read */                                                         \
    X(RECORD, "record") /* the spool record could not be written */

enum flux2_send_step {
#define X(name, word) FLUX2_SEND_STEP_##name,
    FLUX2_SEND_STEPS(X)
#undef X
};

/* Texts of an event, in its own block; NULL: none. */
struct flux2_event_texts {
    const char *message;      /* what failed, in words */
    const char *content_type; /* the Content-Type of the response */
    const char *location;     /* the Location of a redirect */
    const char *url;          /* of a download, or of its query */
    const char *trace;        /* the service's request id */
    const char *id;           /* ACCEPTED: the id of the task */
    const char *poll_url;     /* ACCEPTED: the poll URL in the response; NULL: none */
};

/* The last poll of a task, or the last attempt of another request, for the message of a time-out. */
struct flux2_last_poll {
    double ago;                 /* seconds since it ended; below 0: there was none */
    enum flux2_failure failure; /* NONE: there was an HTTP response */
    int status;                 /* the HTTP status */
    double code;                /* the code in the body that replaces the status */
    enum flux2_verdict verdict; /* of the response */
    double unreachable;         /* seconds since the last HTTP response */
    double asked_pause;         /* seconds of the service's Retry-After; below 0: none */
};

/* One event. */
struct flux2_event {
    struct flux2_event *next;  /* in a list or queue */
    struct flux2_event **slot; /* the job's pointer to its undelivered CHANGED event, cleared on delivery; NULL: none */
    uint64_t job;              /* id */
    enum flux2_event_kind kind;
    struct flux2_outcome outcome;  /* of the last request */
    char status[FLUX2_STATUS_MAX]; /* the task's status, "": none */
    struct flux2_event_texts texts;
    bool submission; /* the event is about the submission */
    bool query;      /* REQUEST: the request queried the task */
    bool has_progress;
    double progress;   /* 0 to 1, if has_progress */
    double credits;    /* ACCEPTED: what the task costs; below 0: unknown */
    double elapsed;    /* seconds since the job began */
    double seconds;    /* REQUEST: the duration of the request */
    double pause;      /* REQUEST: seconds until the next request; below 0: there is none */
    unsigned attempts; /* sends of the last request, retries included */
    unsigned polls;    /* polls sent so far */
    int signature;     /* index of the signature that the body matched, below 0: none */
    size_t received;   /* bytes of the response body */
    char *body;        /* the body, NUL-terminated, owned; NULL: in a file, or none */
    size_t body_size;  /* bytes of `body` */
    /* ENDED: the result, in the event's block; other kinds: NULL. Its verdict is NONE without an HTTP response and for
     * the body of a download. */
    struct flux2_response *response;
    struct flux2_last_poll last;      /* ENDED, not of timers */
    enum flux2_send_step failed_step; /* ENDED with FLUX2_FAILURE_IO, of a request that was not sent */
    uint64_t fetch;                   /* ENDED: the id of the job that downloads the first image; 0: none */
};

/* Creates an event with copies of TEXTS (NULL: none). Returns NULL if out of memory. Any thread. */
struct flux2_event *flux2_event_new(uint64_t job, enum flux2_event_kind kind, const struct flux2_event_texts *texts);
/* Updates a CHANGED event from a newer one of the same job. */
void flux2_event_renew(struct flux2_event *event, const struct flux2_event *newer);
/* Frees EVENT and all that it owns. NULL is allowed. */
void flux2_event_free(struct flux2_event *event);

#endif
