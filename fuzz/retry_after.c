/* retry_after.c - fuzzes the reading of Retry-After (csrc/schedule.c) and the pause that is made of it.
 *
 * Input: three bytes (attempt; a Date of its own or none; which clock), then the header's value up to a NUL. */
#include <math.h>

#include "../csrc/schedule.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const time_t clocks[] = {1700000000, 0, 1, -1, 4102444800, 253402300799};
    static const struct flux2_backoff backoff = {.base = 0.5, .ceiling = 30};
    struct input in = {data, size};
    unsigned attempt = take_byte(&in);
    uint8_t date = take_byte(&in), clock = take_byte(&in);
    uint64_t random = size;
    double seconds = -1;
    char *value = text_copy(in);
    time_t server = date & 1 ? clocks[date / 2 % 6] : (time_t)-1;
    bool asked = flux2_schedule_retry_after(value, server, clocks[clock % 6], &seconds);
    if (asked)
        PROMISE(isfinite(seconds) && seconds >= 0);
    double pause = flux2_schedule_pause(&backoff, attempt, asked ? seconds : -1, &random);
    PROMISE(isfinite(pause) && pause >= 0 && pause <= backoff.ceiling * 1.25);
    /* Never sooner than asked, up to the ceiling. */
    if (asked)
        PROMISE(pause >= (seconds < backoff.ceiling ? seconds : backoff.ceiling));
    free(value);
    return 0;
}
