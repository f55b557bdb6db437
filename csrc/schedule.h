/* schedule.h - when to try again, and when to look again. Pure functions, no state of their own.
 *
 * Owns: retry decisions, back-off, Retry-After, the polling schedule. Never: waits, or reads a clock. */
#ifndef FLUX2_SCHEDULE_H
#define FLUX2_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "outcome.h"
#include "sketch.h"

/* A request of which kind: it decides what may be repeated. */
enum flux2_nature {
    FLUX2_ONCE, /* must not be acted upon twice: repeated only if it certainly was not acted upon */
    FLUX2_SAFE, /* may be repeated freely */
};

struct flux2_backoff {
    double base;    /* seconds: the ceiling of the first pause */
    double ceiling; /* seconds: no pause is longer, and no Retry-After beyond it is obeyed in full */
};

/* A number in [0, 1); advances STATE. */
double flux2_schedule_random(uint64_t *state);

/* Whether a request of NATURE that ended in OUTCOME may be tried again. Knows nothing of how often. */
bool flux2_schedule_may_retry(enum flux2_nature nature, const struct flux2_outcome *outcome);

/* Seconds to pause before attempt number ATTEMPT + 1 (ATTEMPT counts from 1): exponential with full jitter, but
 * never sooner than the server asked. */
double flux2_schedule_pause(const struct flux2_backoff *backoff, unsigned attempt, double retry_after,
                            uint64_t *random);

/* Reads a Retry-After header: seconds, or an HTTP date taken against the server's own clock (SERVER_DATE, or
 * (time_t)-1 to use NOW). False if it is neither. Never negative. */
bool flux2_schedule_retry_after(const char *value, time_t server_date, time_t now, double *seconds);

/* How to poll. INTERVAL > 0 fixes the gap. With nothing learned gaps grow with the time that has passed, so that the
 * overhead of looking stays a bounded share of the wait. What was learned, or what progress tells, takes its place. */
struct flux2_cadence {
    double interval;
    double first;   /* seconds until the first look */
    double ratio;   /* gap as a share of the elapsed time */
    double least;   /* bounds of a gap */
    double most;    /* also of what was learned, but for the first look */
    double closest; /* the shortest gap close to an end that was foreseen */
    double thrift;  /* a look costs as much as a delay of this share of a typical duration */
};

/* Where the progress that a task reports is leading to. Zeroed: nowhere yet. */
struct flux2_trend {
    unsigned seen;   /* how often it moved; 0 after it made no sense */
    double first_at; /* seconds since the beginning, and the progress then, 0 to 1 */
    double first;
    double last_at;
    double last;
    double end;   /* seconds since the beginning: when it will reach 1 if it goes on like this */
    double doubt; /* seconds: how far the last two opinions about `end` lie apart */
};

/* ELAPSED seconds after the beginning the task said PROGRESS, 0 to 1 or 0 to 100. */
void flux2_schedule_note(struct flux2_trend *trend, double elapsed, double progress);

/* Seconds until the next look at something that started ELAPSED seconds ago. SKETCH and TREND may be NULL, or know
 * nothing. Into *LIKELY goes how many seconds after its beginning it will more likely than not have ended. */
double flux2_schedule_gap(const struct flux2_cadence *cadence, const struct flux2_sketch *sketch,
                          const struct flux2_trend *trend, double elapsed, uint64_t *random, double *likely);

#endif
