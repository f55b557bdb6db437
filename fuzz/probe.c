/* probe.c - fuzzes what is read out of a JSON answer (csrc/probe.c), with the paths and words that the product uses.
 *
 * Input: one byte (odd: the answer to a submission, even: a polled one), then the body. */
#include <ctype.h>
#include <math.h>

#include "../csrc/probe.h"
#include "../csrc/signature.h"
#include "fuzz.h"
#include "watch.h"

static void check(const struct flux2_reading *r, bool opening)
{
    const char *s;
    PROMISE(memchr(r->status, '\0', sizeof r->status) && memchr(r->id, '\0', sizeof r->id));
    PROMISE(r->verdict <= FLUX2_VERDICT_ENDED);
    PROMISE(!r->has_progress || isfinite(r->progress));
    PROMISE(r->has_status || r->status[0] == '\0');
    PROMISE(opening || r->id[0] == '\0');
    /* Polling cannot begin without an id. */
    PROMISE(!opening || r->verdict != FLUX2_VERDICT_RUNNING || r->id[0]);
    PROMISE(opening || r->verdict != FLUX2_VERDICT_RUNNING || r->has_status);
    for (s = r->status; *s; s++)
        PROMISE(!iscntrl((unsigned char)*s));
    /* Cut at a character: not in the middle of one. */
    size_t n = strlen(r->status), tail = 0;
    while (tail < n && tail < 4 && ((unsigned char)r->status[n - 1 - tail] & 0xC0) == 0x80)
        tail++;
    if (n > tail) {
        unsigned char lead = (unsigned char)r->status[n - 1 - tail];
        size_t wanted = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
        PROMISE(tail == wanted);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct flux2_reading first, second;
    bool opening = take_byte(&in) & 1;
    char *body = exact_copy(in);
    (void)signatures;
    flux2_probe_read(&watch, body, in.size, opening, &first);
    check(&first, opening);
    flux2_probe_read(&watch, body, in.size, opening, &second);
    PROMISE(memcmp(&first, &second, sizeof first) == 0);
    free(body);
    return 0;
}
