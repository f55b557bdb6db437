/* clock_windows.c - see clock.h. */
#include "platform/clock.h"

#include <math.h>
#include <windows.h>

#include "platform/terminal.h"

enum { SLICE_MS = 50 }; /* no wait is ended by Ctrl-C: it is counted on another thread */

double flux2_clock_now(void)
{
    LARGE_INTEGER frequency, ticks;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&ticks);
    return (double)ticks.QuadPart / (double)frequency.QuadPart;
}

bool flux2_clock_pause(double seconds)
{
    unsigned before = flux2_terminal_interrupts();
    double end = flux2_clock_now() + seconds, left = seconds;
    do {
        Sleep((DWORD)fmin(ceil(fmax(left, 0) * 1000), SLICE_MS));
        if (flux2_terminal_interrupts() != before)
            return false;
        left = end - flux2_clock_now();
    } while (left > 0);
    return true;
}

void flux2_clock_utc(time_t when, struct tm *date)
{
    gmtime_s(date, &when);
}
