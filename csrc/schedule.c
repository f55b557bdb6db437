/* schedule.c - see schedule.h. */
#include "schedule.h"

#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "number.h"

double flux2_schedule_random(uint64_t *state)
{
    uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return (double)(x >> 11) * 0x1p-53;
}

/* The table of attempts. A request that must not be acted upon twice is repeated when it never left, or when the
 * server said that it did not act; everything else about it is unknown, and stays so. */
bool flux2_schedule_may_retry(enum flux2_nature nature, const struct flux2_outcome *o)
{
    switch (o->failure) {
    case FLUX2_FAILURE_RESOLVE:
    case FLUX2_FAILURE_CONNECT:
        return nature == FLUX2_SAFE || !o->sent;
    case FLUX2_FAILURE_TIMEOUT:
    case FLUX2_FAILURE_NETWORK:
        return nature == FLUX2_SAFE || !o->sent;
    case FLUX2_FAILURE_TLS:
        /* A certificate does not get better within seconds, and a broken handshake seldom does; polls outlive
         * both all the same, because what they wait for is paid. */
        return nature == FLUX2_SAFE || !o->sent;
    case FLUX2_FAILURE_MEMORY:
        /* It comes back, and what is paid is waited for. Whether to submit all the same is for the caller to say. */
        return nature == FLUX2_SAFE;
    case FLUX2_FAILURE_NONE:
        break;
    default:
        return false;
    }
    switch (o->status) {
    case 429:
        return true;
    case 503:
        return nature == FLUX2_SAFE || o->retry_after >= 0;
    case 408:
    case 500:
    case 502:
    case 504:
        return nature == FLUX2_SAFE;
    default:
        return false;
    }
}

double flux2_schedule_pause(const struct flux2_backoff *b, unsigned attempt, double retry_after,
                            uint64_t *random)
{
    double span = ldexp(b->base, attempt < 32 ? (int)(attempt > 0 ? attempt - 1 : 0) : 31);
    double pause = flux2_schedule_random(random) * (span < b->ceiling ? span : b->ceiling);
    if (retry_after < 0)
        return pause;
    /* The jitter is added to what the server asked for: everyone it told the same would come back at once. */
    double asked = retry_after < b->ceiling ? retry_after : b->ceiling;
    return asked + pause * 0.25;
}

bool flux2_schedule_retry_after(const char *value, time_t server_date, time_t now, double *seconds)
{
    const char *end;
    while (*value == ' ' || *value == '\t')
        value++;
    if (flux2_is_digit(*value)) {
        double s = flux2_number_read(value, &end);
        while (*end == ' ' || *end == '\t')
            end++;
        if (*end != '\0' || strpbrk(value, "xXeEpP") || !isfinite(s))
            return false;
        *seconds = s;
        return true;
    }
    /* curl_getdate also takes bare words and numbers; an HTTP date begins with the day's name and a comma. */
    if (!strchr(value, ','))
        return false;
    time_t at = curl_getdate(value, NULL);
    if (at == (time_t)-1)
        return false;
    double gap = difftime(at, server_date != (time_t)-1 ? server_date : now);
    *seconds = gap > 0 ? gap : 0;
    return true;
}

void flux2_schedule_note(struct flux2_trend *t, double elapsed, double progress)
{
    double p = progress > 1 ? progress / 100 : progress;
    /* Its ends say nothing about when: many services jump from one to the other. */
    if (!(p > 0 && p < 1) || !(elapsed > 0) || (t->seen > 0 && p == t->last))
        return;
    if (t->seen == 0 || p < t->last || elapsed <= t->last_at) {
        *t = (struct flux2_trend){.seen = 1, .first_at = elapsed, .first = p, .end = elapsed / p};
    } else {
        double end = elapsed + (1 - p) * (elapsed - t->first_at) / (p - t->first);
        t->seen++;
        /* It comes in whole percents, mostly. */
        t->doubt = fabs(end - t->end) + 0.01 * end;
        t->end = end;
    }
    t->last_at = elapsed;
    t->last = p;
}

/* A trend says when only while two opinions agree much better than what is left to wait, and until it was wrong. */
static bool is_plausible(const struct flux2_trend *t, double elapsed)
{
    return t && t->seen > 1 && t->doubt < 0.5 * (t->end - t->last_at) && elapsed < t->end + t->doubt;
}

/* When the expected delay of not having looked reaches PRICE, if the end is equally likely at any time between END - DOUBT
 * and END + DOUBT. */
static double gap_to(double end, double doubt, double elapsed, double price)
{
    double from = fmax(end - doubt, elapsed), span = end + doubt - from;
    double into = sqrt(2 * price * span);
    return from - elapsed + (into < span ? into : span / 2 + price);
}

double flux2_schedule_gap(const struct flux2_cadence *c, const struct flux2_sketch *s,
                          const struct flux2_trend *t, double elapsed, uint64_t *random, double *likely)
{
    /* Tasks that were submitted together must not look together for ever. */
    double jitter = flux2_schedule_random(random), gap;
    bool knows = s && s->lessons > 0;
    /* Of something that ran for so long and no more is known, half will end before it has run twice as long. */
    *likely = 2 * elapsed;
    if (knows)
        *likely = fmin(flux2_sketch_likely(s, elapsed), fmax(*likely, 2 * s->typical));
    if (c->interval > 0)
        return c->interval;
    if (is_plausible(t, elapsed)) {
        *likely = t->end;
        gap = gap_to(t->end, t->doubt, elapsed,
                     c->thrift * (knows ? s->typical : t->end) * (0.7 + 0.6 * jitter));
    } else if (knows) {
        gap = flux2_sketch_gap(s, elapsed, c->thrift * s->typical * (0.7 + 0.6 * jitter));
        if (elapsed <= 0)
            return fmax(c->closest, fmin(gap, fmax(c->most, s->typical)));
    } else {
        gap = elapsed <= 0 ? c->first : elapsed * c->ratio;
        return fmin(fmax(gap, c->least), c->most) * (0.9 + 0.2 * jitter);
    }
    return fmin(fmax(gap, c->closest), c->most);
}
