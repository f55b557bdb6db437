/* schedule.c - see schedule.h. */
#include "engine/schedule.h"

#include <math.h>

#include "platform/random.h"

/* Seconds. Tasks take 14 s at the median, 40 s at the 95th percentile. */
static const double FIRST_PAUSE = 0.5, /* maximum of the first pause after a failure */
    FIRST_GAP = 1,                     /* before the first poll, and its maximum before any task was seen */
    LEAST_GAP = 1,                     /* minimum without a histogram */
    MOST_GAP = 10,                     /* maximum, except for a learned first gap */
    CLOSEST_GAP = 0.1;                 /* minimum close to an expected end */

double flux2_schedule_pause(const struct flux2_poll_policy *c, unsigned attempt, double retry_after, uint64_t *random)
{
    double first = c->interval > 0 ? fmin(c->interval, FIRST_PAUSE) : FIRST_PAUSE;
    double span = ldexp(first, attempt < 32 ? (int)(attempt > 0 ? attempt - 1 : 0) : 31);
    double pause = flux2_random_unit(random) * fmin(span, FLUX2_PAUSE_MAX);
    if (retry_after < 0)
        return pause;
    /* Jitter is added, because all clients that got the same Retry-After would come back at once. */
    return fmin(retry_after, FLUX2_PAUSE_MAX) + pause * 0.25;
}

void flux2_schedule_note(struct flux2_trend *t, double elapsed, double p)
{
    /* 0 and 1 are ignored: many services report nothing between them. */
    if (!(p > 0 && p < 1) || !(elapsed > 0) || (t->seen > 0 && p == t->last))
        return;
    if (t->seen == 0 || p < t->last || elapsed <= t->last_at) {
        *t = (struct flux2_trend){.seen = 1, .first_at = elapsed, .first = p, .end = elapsed / p};
    } else {
        double end = elapsed + (1 - p) * (elapsed - t->first_at) / (p - t->first);
        t->seen++;
        /* Progress is usually reported in whole percents. */
        t->doubt = fabs(end - t->end) + 0.01 * end;
        t->end = end;
    }
    t->last_at = elapsed;
    t->last = p;
}

/* The trend is used only while two estimates agree much better than the remaining time and until its end has passed. */
static bool is_plausible(const struct flux2_trend *t, double elapsed)
{
    return t && t->seen > 1 && t->doubt < 0.5 * (t->end - t->last_at) && elapsed < t->end + t->doubt;
}

static const double GAP_RATIO = 0.2; /* gap as a share of the elapsed time, without a histogram */

/* Returns the gap after which the expected delay reaches PRICE, if the end is uniformly distributed between END - DOUBT
 * and END + DOUBT. */
static double gap_to(double end, double doubt, double elapsed, double price)
{
    double from = fmax(end - doubt, elapsed), span = end + doubt - from;
    double into = sqrt(2 * price * span);
    return from - elapsed + (into < span ? into : span / 2 + price);
}

double flux2_schedule_gap(const struct flux2_poll_policy *c, const struct flux2_duration_histogram *h,
                          const struct flux2_trend *t, double elapsed, uint64_t *random, double *expected_end)
{
    /* Jitter keeps tasks that were submitted together from polling together. */
    double jitter = flux2_random_unit(random), gap;
    /* Without other knowledge, half of the tasks that ran for ELAPSED end before twice that time. */
    *expected_end = 2 * elapsed;
    if (h)
        *expected_end = fmin(flux2_duration_histogram_expected_end(h, elapsed), fmax(*expected_end, 2 * h->typical));
    if (c->interval > 0)
        return c->interval;
    if (is_plausible(t, elapsed)) {
        *expected_end = t->end;
        gap = gap_to(t->end, t->doubt, elapsed, c->poll_cost * (h ? h->typical : t->end) * (0.7 + 0.6 * jitter));
    } else if (h) {
        gap = flux2_duration_histogram_gap(h, elapsed, c->poll_cost * h->typical * (0.7 + 0.6 * jitter));
        if (elapsed <= 0) {
            /* The initial distribution may be wrong: tasks of this service may take a second. */
            double most = h->learned ? fmax(MOST_GAP, h->typical) : FIRST_GAP * (0.9 + 0.1 * jitter);
            return fmax(CLOSEST_GAP, fmin(gap, most));
        }
    } else {
        gap = elapsed <= 0 ? FIRST_GAP : elapsed * GAP_RATIO;
        return fmin(fmax(gap, LEAST_GAP), MOST_GAP) * (0.9 + 0.2 * jitter);
    }
    return fmin(fmax(gap, CLOSEST_GAP), MOST_GAP);
}
