/* schedule.c - see schedule.h. */
#include "schedule.h"

#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    double span = b->base * pow(2, attempt < 32 ? (double)(attempt > 0 ? attempt - 1 : 0) : 31);
    double pause = flux2_schedule_random(random) * (span < b->ceiling ? span : b->ceiling);
    if (retry_after < 0)
        return pause;
    /* The jitter is added to what the server asked for: everyone it told the same would come back at once. */
    double asked = retry_after < b->ceiling ? retry_after : b->ceiling;
    return asked + pause * 0.25;
}

bool flux2_schedule_retry_after(const char *value, time_t server_date, time_t now, double *seconds)
{
    char *end;
    while (*value == ' ' || *value == '\t')
        value++;
    if (*value >= '0' && *value <= '9') {
        double s = strtod(value, &end);
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

double flux2_schedule_gap(const struct flux2_cadence *c, double elapsed, uint64_t *random)
{
    if (c->interval > 0)
        return c->interval;
    double gap = elapsed <= 0 ? c->first : elapsed * c->ratio;
    gap = gap < c->least ? c->least : gap > c->most ? c->most : gap;
    /* Tasks that were submitted together must not look together for ever. */
    return gap * (0.9 + 0.2 * flux2_schedule_random(random));
}
