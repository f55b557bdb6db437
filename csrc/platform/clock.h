/* clock.h - the monotonic clock, pauses, and dates in UTC. Any thread may call these functions. */
#ifndef FLUX2_PLATFORM_CLOCK_H
#define FLUX2_PLATFORM_CLOCK_H

#include <stdbool.h>
#include <time.h>

/* Returns seconds of a monotonic clock. Only differences are meaningful. */
double flux2_clock_now(void);

/* Waits SECONDS. Returns false if a signal ended the wait early. */
bool flux2_clock_pause(double seconds);

/* Sets *DATE to WHEN in UTC. */
void flux2_clock_utc(time_t when, struct tm *date);

#endif
