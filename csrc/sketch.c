/* sketch.c - see sketch.h.
 *
 * The rule of the schedule: with hazard h (ends per second among those that still run) and a look at the price of P
 * seconds of delay, the rate of looks that costs least is sqrt(h / 2P). To look when the expected delay since the last
 * look, the integral of P(ended by u) du, reaches P gives the same rate where h is smooth, needs no derivative of what
 * was learned, and steps over times at which nothing ends. */
#include "sketch.h"

#include <math.h>

static const double LEAST = 0.005;   /* seconds: where the second bin begins */
static const double STEP = 0.03;     /* a bin is 3 % wide, and the last one ends after 4 hours */
static const double MEMORY = 60;     /* lessons until one has faded to 1/e */
static const double OPEN_MIND = 0.1; /* lessons of doubt for each factor of e: it finds what has changed */
/* Little of that goes to ends that would be many times sooner than any so far: the first look will see those anyway. */
static const double NEAR = 67; /* bins: a factor of 7.5 */
static const double FAR_SHARE = 0.02;
static const double SURPRISE = 5; /* how much more doubt there is when the very first look comes too late */
static const double BLUR = 0.3;   /* spreads: how far a single lesson speaks for its neighbourhood */

static double edge(int bin)
{
    return bin > 0 ? LEAST * exp(bin * STEP) : 0;
}

static int bin_of(double seconds)
{
    if (!(seconds > LEAST))
        return 0;
    double bin = floor(log(seconds / LEAST) / STEP);
    return bin < FLUX2_SKETCH_BINS - 1 ? (int)bin : FLUX2_SKETCH_BINS - 1;
}

/* The part of BIN between LOW and HIGH. */
static double share(int bin, double low, double high)
{
    double from = edge(bin), to = edge(bin + 1);
    double a = low > from ? low : from, b = high < to ? high : to;
    return b > a ? (b - a) / (to - from) : 0;
}

static double doubt(const struct flux2_sketch *s, int bin)
{
    return OPEN_MIND * STEP * (bin < s->middle - NEAR ? FAR_SHARE : 1);
}

static double belief(const struct flux2_sketch *s, int bin)
{
    return (double)s->mass[bin] + doubt(s, bin);
}

void flux2_sketch_sum(struct flux2_sketch *s)
{
    double sum = 0, mean = 0, squares = 0, later = 0;
    int i;
    for (i = 0; i < FLUX2_SKETCH_BINS; i++) {
        double mass = (double)s->mass[i], at = i + 0.5;
        if (mass <= 0) /* as in most bins */
            continue;
        sum += mass;
        mean += mass * at;
        squares += mass * at * at;
    }
    s->lessons = sum;
    s->typical = s->spread = s->middle = 0;
    if (sum > 0) {
        s->middle = mean /= sum;
        s->typical = LEAST * exp(STEP * mean);
        s->spread = sqrt(fmax(squares / sum - mean * mean, 0));
    }
    /* A poll asks for these more often than a task ends. */
    for (i = FLUX2_SKETCH_BINS - 1; i >= 0; i--)
        s->later[i] = later += belief(s, i);
}

/* Adds MASS at BIN, and to as many of its neighbours as REACH says. */
static void add(struct flux2_sketch *s, int bin, int reach, double mass)
{
    int i;
    for (i = bin - reach; i <= bin + reach; i++) {
        int to = i < 0 ? 0 : i < FLUX2_SKETCH_BINS ? i : FLUX2_SKETCH_BINS - 1;
        s->mass[to] += (float)(mass / (2 * reach + 1));
    }
}

void flux2_sketch_learn(struct flux2_sketch *s, double low, double high)
{
    double end = edge(FLUX2_SKETCH_BINS), sum = 0, part[FLUX2_SKETCH_BINS] = {0};
    int i, reach = (int)(BLUR * s->spread + 0.5);
    low = low > 0 ? fmin(low, end * 0.999) : 0;
    high = fmin(high, end);
    if (!(high > low * 1.0001))
        high = low * 1.0001 + 1e-6;
    int first = bin_of(low), last = bin_of(high);
    /* Over before the first look: what was believed may be wrong altogether. */
    double surprise = low > 0 ? 0 : SURPRISE;
    for (i = first; i <= last; i++) {
        part[i] = (belief(s, i) + surprise * doubt(s, i)) * share(i, low, high);
        sum += part[i];
    }
    for (i = 0; i < FLUX2_SKETCH_BINS; i++)
        s->mass[i] *= (float)(1 - 1 / MEMORY);
    for (i = first; i <= last; i++)
        add(s, i, reach, part[i] / sum);
    flux2_sketch_sum(s);
}

/* What is believed to end after ELAPSED, and in *BIN the bin to go on from. */
static double alive(const struct flux2_sketch *s, double elapsed, int *bin)
{
    int i = *bin = bin_of(elapsed);
    double rest = i + 1 < FLUX2_SKETCH_BINS ? s->later[i + 1] : 0;
    return belief(s, i) * share(i, elapsed, INFINITY) + rest;
}

double flux2_sketch_gap(const struct flux2_sketch *s, double elapsed, double price)
{
    const double factor = exp(STEP);
    int i;
    double bound = price * alive(s, elapsed, &i);
    double at = elapsed, ended = 0, delay = 0, from = edge(i), to = edge(i + 1);
    for (; i < FLUX2_SKETCH_BINS; i++, from = to, to *= factor) {
        double width = fmax(to - at, 0), rate = belief(s, i) / (to - from);
        double more = ended * width + rate * width * width / 2;
        if (delay + more >= bound)
            return at - elapsed + (sqrt(ended * ended + 2 * rate * (bound - delay)) - ended) / rate;
        delay += more;
        ended += rate * width;
        at = to;
    }
    return INFINITY;
}

double flux2_sketch_likely(const struct flux2_sketch *s, double elapsed)
{
    int low, high = FLUX2_SKETCH_BINS;
    double half = alive(s, elapsed, &low) / 2;
    /* The last bin that still has half of it at or after its beginning. */
    while (low + 1 < high) {
        int middle = low + (high - low) / 2;
        *(s->later[middle] >= half ? &low : &high) = middle;
    }
    double mass = belief(s, low), over = s->later[low] - half;
    double from = edge(low);
    return mass > 0 ? fmax(from + (edge(low + 1) - from) * fmin(over / mass, 1), elapsed) : elapsed;
}
