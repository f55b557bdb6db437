/* retry_after.c - fuzzes the reading of Retry-After (csrc/http/headers.c) and the pause that is made of it.
 *
 * Input: three bytes (attempt; a Date of its own or none; which clock), then the header's value up to a NUL. */
#include <math.h>

#include "engine/schedule.h"
#include "fuzz.h"
#include "http/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const time_t clocks[] = {1700000000, 0, 1, -1, 4102444800, 253402300799};
    static const struct flux2_poll_policy poll_policy = {.interval = 0};
    struct input in = {data, size};
    unsigned attempt = take_byte(&in);
    uint8_t date = take_byte(&in), clock = take_byte(&in);
    uint64_t random = size;
    double seconds = -1;
    char *value = text_copy(in);
    time_t server = date & 1 ? clocks[date / 2 % 6] : (time_t)-1;
    bool asked = flux2_headers_parse_retry_after(value, server, clocks[clock % 6], &seconds);
    if (asked)
        CHECK(isfinite(seconds) && seconds >= 0);
    double pause = flux2_schedule_pause(&poll_policy, attempt, asked ? seconds : -1, &random);
    CHECK(isfinite(pause) && pause >= 0 && pause <= FLUX2_PAUSE_MAX * 1.25);
    /* The pause is at least the requested time, up to the maximum. */
    if (asked)
        CHECK(pause >= fmin(seconds, FLUX2_PAUSE_MAX));
    free(value);
    return 0;
}
