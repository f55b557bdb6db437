/* clock_posix.c - see clock.h. */
#define _GNU_SOURCE
#include "platform/clock.h"

#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <time.h>

double flux2_clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool flux2_clock_pause(double seconds)
{
    double ms = ceil(seconds * 1000);
    return poll(NULL, 0, ms > 1e9 ? 1000000000 : ms > 0 ? (int)ms : 0) == 0;
}

void flux2_clock_utc(time_t when, struct tm *date)
{
    gmtime_r(&when, date);
}
