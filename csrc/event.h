/* event.h - what the worker tells the host.
 *
 * Owns: one event and everything it carries, in a block of its own. Never: lives in a queue (engine.c keeps it). */
#ifndef FLUX2_EVENT_H
#define FLUX2_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "links.h"
#include "outcome.h"

enum flux2_event_kind {
    FLUX2_EVENT_OPENED,    /* the request that begins a poll was answered; polling goes on */
    FLUX2_EVENT_CHANGED,   /* a polled status or progress is not what it was */
    FLUX2_EVENT_EXCHANGED, /* an exchange of an observed job ended, whatever follows from it */
    FLUX2_EVENT_ENDED,     /* the last event of a job; every job has exactly one */
};

/* Texts of an event: pointers into its own block, NULL where there is none. */
struct flux2_event_texts {
    const char *message;      /* what went wrong, for people */
    const char *content_type; /* of the answer */
    const char *location;     /* of a redirect */
    const char *trace;        /* the service's name for the request */
    const char *id;           /* OPENED: what the answer calls what is polled from now on */
};

struct flux2_event {
    struct flux2_event *next;
    struct flux2_event **slot; /* the job's pointer to its undelivered CHANGED event, cleared on delivery */
    uint64_t job;
    enum flux2_event_kind kind;
    struct flux2_outcome outcome;
    char status[FLUX2_STATUS_MAX]; /* the polled status, "" where there is none */
    struct flux2_event_texts texts;
    bool opening; /* it is about the request that begins a poll */
    bool has_progress;
    double progress;
    double elapsed;    /* seconds since the job began */
    double pause;      /* EXCHANGED: seconds until the job asks again, below 0: it does not */
    unsigned attempts; /* of the last request */
    unsigned polls;    /* polls sent so far */
    int signature;     /* index of the pattern that the body matched */
    size_t received;   /* bytes of body */
    char *body;        /* NUL-terminated, owned; NULL when it went to a file or there was none */
    size_t body_size;
    struct flux2_links
        *links; /* the pictures of a task that ended well, owned; NULL: the body has to be read */
    uint64_t
        fetch; /* ENDED: the id of the job that fetches the first of them, which has begun; 0: none does */
};

/* An event that owns copies of TEXTS (NULL: none). NULL without memory. */
struct flux2_event *flux2_event_new(uint64_t job, enum flux2_event_kind kind,
                                    const struct flux2_event_texts *texts);
/* Brings a CHANGED event up to date with a newer one of the same job, in place. */
void flux2_event_renew(struct flux2_event *event, const struct flux2_event *newer);
void flux2_event_free(struct flux2_event *event);

#endif
