/* duration_histogram.c - see duration_histogram.h.
 *
 * The polling rule: with hazard rate h (tasks that end per second, among those still running) and a poll that costs as
 * much as P seconds of delay, the optimal poll rate is sqrt(h / 2P). To poll when the expected delay since the last
 * poll, the integral of P(ended by u) du, reaches P gives the same rate where h is smooth. It needs no derivative of
 * the learned distribution, and skips times at which no task ends. */
#include "engine/duration_histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double FIRST_EDGE = 0.005; /* seconds: the beginning of the second bin */
static const double BIN_WIDTH = 0.03;   /* the width of a bin is 3 %; the last bin ends at 4 hours */
static const double FADE = 60;          /* samples after which a sample has faded to 1/e */
static const double BASE_WEIGHT = 0.1;  /* samples per factor of e: keeps all durations possible */
/* Bins far below the mean get a small share of it: the first poll finds such ends anyway. */
static const double NEAR_BINS = 67; /* a factor of 7.5 */
static const double FAR_SHARE = 0.02;
static const double SURPRISE = 5;    /* how much more base weight counts if the task ended before the first poll */
static const double SMOOTHING = 0.3; /* standard deviations over which a sample is spread */
/* The published distribution: log-normal, median 14 s, 95th percentile 38 s. */
static const double SEED_MEDIAN = 14;
static const double SEED_SPREAD = 0.607; /* of the logarithm: log(38 / 14) / 1.645 */
static const double SEED_SAMPLES = 4;
enum { KINDS_MAX = 256, NAME_MAX_BYTES = 512 };

static double edge(int bin)
{
    return bin > 0 ? FIRST_EDGE * exp(bin * BIN_WIDTH) : 0;
}

static int bin_of(double seconds)
{
    if (!(seconds > FIRST_EDGE))
        return 0;
    double bin = floor(log(seconds / FIRST_EDGE) / BIN_WIDTH);
    return bin < FLUX2_DURATION_BINS - 1 ? (int)bin : FLUX2_DURATION_BINS - 1;
}

/* Returns the fraction of BIN between LOW and HIGH. */
static double share(int bin, double low, double high)
{
    double from = edge(bin), to = edge(bin + 1);
    double a = low > from ? low : from, b = high < to ? high : to;
    return b > a ? (b - a) / (to - from) : 0;
}

/* Returns the weight that BIN has without samples. */
static double base_weight(const struct flux2_duration_histogram *h, int bin)
{
    return BASE_WEIGHT * BIN_WIDTH * (bin < h->middle - NEAR_BINS ? FAR_SHARE : 1);
}

static double weight(const struct flux2_duration_histogram *h, int bin)
{
    return (double)h->mass[bin] + base_weight(h, bin);
}

static void sum_up(struct flux2_duration_histogram *h)
{
    double sum = 0, mean = 0, squares = 0, remaining = 0;
    int i;
    for (i = 0; i < FLUX2_DURATION_BINS; i++) {
        double mass = (double)h->mass[i], at = i + 0.5;
        sum += mass;
        mean += mass * at;
        squares += mass * at * at;
    }
    h->samples = sum;
    h->middle = mean /= sum;
    h->typical = FIRST_EDGE * exp(BIN_WIDTH * mean);
    h->spread = sqrt(fmax(squares / sum - mean * mean, 0));
    /* Computed here, because polls read it more often than tasks end. */
    for (i = FLUX2_DURATION_BINS - 1; i >= 0; i--)
        h->remaining[i] = remaining += weight(h, i);
}

/* Returns the share of the published distribution below BIN. */
static double seeded(int bin)
{
    return 0.5 * erfc((log(SEED_MEDIAN / FIRST_EDGE) - bin * BIN_WIDTH) / SEED_SPREAD * M_SQRT1_2);
}

void flux2_duration_histogram_init(struct flux2_duration_histogram *h)
{
    int i;
    *h = (struct flux2_duration_histogram){.learned = false};
    for (i = 0; i < FLUX2_DURATION_BINS; i++)
        h->mass[i] = (float)(SEED_SAMPLES * (seeded(i + 1) - seeded(i)));
    sum_up(h);
}

/* Adds MASS to BIN, spread over REACH neighbours on each side. */
static void add(struct flux2_duration_histogram *h, int bin, int reach, double mass)
{
    int i;
    for (i = bin - reach; i <= bin + reach; i++) {
        int to = i < 0 ? 0 : i < FLUX2_DURATION_BINS ? i : FLUX2_DURATION_BINS - 1;
        h->mass[to] += (float)(mass / (2 * reach + 1));
    }
}

void flux2_duration_histogram_learn(struct flux2_duration_histogram *h, double low, double high)
{
    double end = edge(FLUX2_DURATION_BINS), sum = 0, known = 0, part[FLUX2_DURATION_BINS] = {0};
    int i, reach = (int)(SMOOTHING * h->spread + 0.5);
    low = low > 0 ? fmin(low, end * 0.999) : 0;
    high = fmin(high, end);
    if (!(high > low * 1.0001))
        high = low * 1.0001 + 1e-6;
    int first = bin_of(low), last = bin_of(high);
    /* The task ended before the first poll: the distribution may be wrong. */
    double surprise = low > 0 ? 0 : SURPRISE;
    for (i = first; i <= last; i++) {
        double inside = share(i, low, high);
        part[i] = (weight(h, i) + surprise * base_weight(h, i)) * inside;
        known += (double)h->mass[i] * inside;
        sum += part[i];
    }
    /* The first sample scales the initial distribution by how well it explains that sample: to zero for a service that
     * is many times faster. */
    double kept = h->learned ? 1 - 1 / FADE : known / sum;
    for (i = 0; i < FLUX2_DURATION_BINS; i++)
        h->mass[i] *= (float)kept;
    for (i = first; i <= last; i++)
        add(h, i, reach, part[i] / sum);
    h->learned = true;
    sum_up(h);
}

/* Returns the weight after ELAPSED and sets *BIN to the bin of ELAPSED. */
static double weight_after(const struct flux2_duration_histogram *h, double elapsed, int *bin)
{
    int i = *bin = bin_of(elapsed);
    double rest = i + 1 < FLUX2_DURATION_BINS ? h->remaining[i + 1] : 0;
    return weight(h, i) * share(i, elapsed, INFINITY) + rest;
}

double flux2_duration_histogram_gap(const struct flux2_duration_histogram *h, double elapsed, double price)
{
    const double factor = exp(BIN_WIDTH);
    int i;
    double bound = price * weight_after(h, elapsed, &i);
    if (bound <= 0) /* after the last bin */
        return INFINITY;
    double at = elapsed, ended = 0, delay = 0, from = edge(i), to = edge(i + 1);
    for (; i < FLUX2_DURATION_BINS; i++, from = to, to *= factor) {
        double width = fmax(to - at, 0), rate = weight(h, i) / (to - from);
        double more = ended * width + rate * width * width / 2;
        if (delay + more >= bound)
            return at - elapsed + (sqrt(ended * ended + 2 * rate * (bound - delay)) - ended) / rate;
        delay += more;
        ended += rate * width;
        at = to;
    }
    return INFINITY;
}

double flux2_duration_histogram_expected_end(const struct flux2_duration_histogram *h, double elapsed)
{
    int low, high = FLUX2_DURATION_BINS;
    double half = weight_after(h, elapsed, &low) / 2;
    /* Binary search for the last bin with at least half of the weight in it or after it. */
    while (low + 1 < high) {
        int middle = low + (high - low) / 2;
        *(h->remaining[middle] >= half ? &low : &high) = middle;
    }
    double mass = weight(h, low), over = h->remaining[low] - half;
    double from = edge(low);
    return mass > 0 ? fmax(from + (edge(low + 1) - from) * fmin(over / mass, 1), elapsed) : elapsed;
}

/* --- by kind --------------------------------------------------------------------------------------------- */

struct flux2_duration_kind {
    struct flux2_duration_kind *next;
    struct flux2_duration_histogram histogram;
    char name[]; /* NUL-terminated */
};

struct flux2_duration_histogram *flux2_durations_find(struct flux2_durations *d, const char *name)
{
    size_t length = strlen(name);
    struct flux2_duration_kind *k;
    for (k = d->first; k; k = k->next)
        if (strcmp(k->name, name) == 0)
            return &k->histogram;
    if (d->count == KINDS_MAX || length > NAME_MAX_BYTES)
        return NULL;
    k = malloc(sizeof *k + length + 1);
    if (!k)
        return NULL;
    memcpy(k->name, name, length + 1);
    flux2_duration_histogram_init(&k->histogram);
    k->next = d->first;
    d->first = k;
    d->count++;
    return &k->histogram;
}

void flux2_durations_free(struct flux2_durations *d)
{
    while (d->first) {
        struct flux2_duration_kind *k = d->first;
        d->first = k->next;
        free(k);
    }
    d->count = 0;
}
