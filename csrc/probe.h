/* probe.h - reads named fields out of a JSON body.
 *
 * Owns: what a dotted path means, and when a polled answer ends a wait. Which paths and which words come in as
 * data (struct flux2_watch). Never: knows a service, or keeps the body. */
#ifndef FLUX2_PROBE_H
#define FLUX2_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "links.h"
#include "outcome.h"

/* What to look at. Of several paths the first that holds a usable value counts. */
struct flux2_watch {
    struct flux2_words id;     /* in an opening answer: what the polled URL is made of (string or integer) */
    struct flux2_words status; /* a string; reported when it changes */
    struct flux2_words progress; /* a number, or a string such as "50%"; reported when it changes */
    struct flux2_words done;     /* words of status that end the wait, in lower case */
    struct flux2_words result;   /* a text here ends the wait where there is no status, or in an opening */
    struct flux2_words refused;  /* anything here but null, false, 0 or an empty value ends the wait */
    struct flux2_words code;     /* a number; the wait ends unless it is one of code_ok */
    double *code_ok;
    size_t code_ok_count;
    struct flux2_words succeeded; /* those of done that promise pictures */
    struct flux2_places pictures; /* where these are, then */
};

void flux2_watch_free(struct flux2_watch *watch);

enum flux2_verdict {
    FLUX2_VERDICT_UNREADABLE, /* not JSON, or nothing in it that was looked for */
    FLUX2_VERDICT_RUNNING,
    FLUX2_VERDICT_ENDED,
};

enum { FLUX2_ID_MAX = 512 };

struct flux2_reading {
    enum flux2_verdict verdict;
    bool has_status;
    bool has_progress;
    char status[FLUX2_STATUS_MAX]; /* cut at a character if longer; control characters are "?" */
    double progress;               /* as the service gives it: its scale is not known here */
    char id[FLUX2_ID_MAX + 1];     /* "" where there is none, or it is longer than FLUX2_ID_MAX */
    struct flux2_links
        *links; /* of a poll that found a success: its pictures if that is plain; the caller's to free */
};

/* Reads a polled answer, or with OPENING the answer to the request that began it. Accepts any bytes. */
void flux2_probe_read(const struct flux2_watch *watch, const char *body, size_t size, bool opening,
                      struct flux2_reading *out);

/* A number that is the same for the same bytes, hardly ever for others, and never 0. Costs much less than reading them:
 * an answer that is what the last one was says nothing new. Not for secrets, and no proof against a server that wants
 * two answers to look alike: all it would gain is that the second one is not noticed. */
uint64_t flux2_probe_digest(const char *body, size_t size);

#endif
