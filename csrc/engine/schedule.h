/* schedule.h - the pause before a retry, and the time of the next poll. Pure functions; any thread. */
#ifndef FLUX2_ENGINE_SCHEDULE_H
#define FLUX2_ENGINE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/duration_histogram.h"
#include "platform/random.h"

/* Seconds: the longest pause before a retry; a longer Retry-After is reduced to it. */
#define FLUX2_PAUSE_MAX 30.0

/* How to poll. */
struct flux2_poll_policy {
    double interval;  /* seconds between polls; 0: chosen by the schedule */
    double poll_cost; /* the cost of a poll, as a delay: a share of the typical duration */
};

/* Returns the seconds before attempt ATTEMPT + 1 (ATTEMPT counts from 1): exponential back-off with full jitter, and at
 * least RETRY_AFTER. The first pause is at most half a second, and at most POLL_POLICY's interval. */
double flux2_schedule_pause(const struct flux2_poll_policy *poll_policy, unsigned attempt, double retry_after,
                            uint64_t *random);

/* A linear extrapolation of a task's progress. Zeroed: no progress yet. */
struct flux2_trend {
    unsigned seen;   /* number of increases in a row */
    double first_at; /* seconds since the start, at the first report */
    double first;    /* progress then, 0 to 1 */
    double last_at;  /* the same of the last report */
    double last;
    double end;   /* seconds since the start: the expected end */
    double doubt; /* seconds: the uncertainty of `end` */
};

/* Adds PROGRESS (0 to 1), reported ELAPSED seconds after the start. */
void flux2_schedule_note(struct flux2_trend *trend, double elapsed, double progress);

/* Returns the seconds until the next poll of a task that started ELAPSED seconds ago. HISTOGRAM and TREND may be NULL.
 * Sets *EXPECTED_END to the number of seconds after the start by which it has ended with a probability of one half. */
double flux2_schedule_gap(const struct flux2_poll_policy *poll_policy, const struct flux2_duration_histogram *histogram,
                          const struct flux2_trend *trend, double elapsed, uint64_t *random, double *expected_end);

#endif
