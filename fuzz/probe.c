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

/* The links are in the block: ASan sees every byte that is read here. */
static void check_links(const struct flux2_links *links)
{
    size_t i, k;
    PROMISE(links->count > 0 && (!links->has_credits || links->credits >= 0));
    for (i = 0; i < links->count; i++) {
        const char *url = links->at[i].url, *type = links->at[i].type;
        PROMISE(strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
        PROMISE(!strpbrk(url, " \\\t\r\n"));
        PROMISE(!type || strncmp(type, "image/", 6) == 0);
        for (k = 0; k < i; k++)
            PROMISE(strcmp(url, links->at[k].url) != 0);
    }
}

static void read_answer(const char *body, size_t size, bool opening, struct flux2_reading *r)
{
    flux2_probe_read(&watch, body, size, opening, r);
    check(r, opening);
    PROMISE(!r->links || (!opening && r->verdict == FLUX2_VERDICT_ENDED));
    if (r->links)
        check_links(r->links);
    free(r->links);
    r->links = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct flux2_reading first, second;
    bool opening = take_byte(&in) & 1;
    char *body = exact_copy(in);
    (void)signatures;
    read_answer(body, in.size, opening, &first);
    read_answer(body, in.size, opening, &second);
    PROMISE(memcmp(&first, &second, sizeof first) == 0);
    free(body);
    return 0;
}
