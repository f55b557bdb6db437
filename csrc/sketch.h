/* sketch.h - how long things of one kind take, learned from looking at them, and when it is worth looking again.
 *
 * Owns: a histogram of durations on a logarithmic scale that forgets slowly, and the schedule drawn from it. Pure
 * functions on a plain struct. Never: reads a clock, locks, or knows what takes so long. */
#ifndef FLUX2_SKETCH_H
#define FLUX2_SKETCH_H

enum { FLUX2_SKETCH_BINS = 500 };

struct flux2_sketch {
    float mass[FLUX2_SKETCH_BINS]; /* of the lessons whose end lies in each bin */

    /* worked out of that by flux2_sketch_sum */
    double lessons;                  /* the sum, after forgetting */
    double typical;                  /* seconds: the geometric mean; 0 before the first lesson */
    double middle;                   /* bins: the mean */
    double spread;                   /* bins: the standard deviation */
    double later[FLUX2_SKETCH_BINS]; /* what is believed to end in each bin or after it */
};

/* Something ended later than LOW and no later than HIGH seconds after it began: all that two looks can tell. HIGH may be
 * INFINITY. The lesson goes where ends are likely by what is known, not where the looks happened to be. */
void flux2_sketch_learn(struct flux2_sketch *sketch, double low, double high);

/* Seconds from ELAPSED until looking again is worth it: until the delay to be expected of not having looked has grown to
 * PRICE seconds. INFINITY if it never does. */
double flux2_sketch_gap(const struct flux2_sketch *sketch, double elapsed, double price);

/* Seconds after the beginning by which it will more likely than not have ended, if it still ran at ELAPSED. */
double flux2_sketch_likely(const struct flux2_sketch *sketch, double elapsed);

/* Works out the sums; for whoever has set the masses. */
void flux2_sketch_sum(struct flux2_sketch *sketch);

#endif
