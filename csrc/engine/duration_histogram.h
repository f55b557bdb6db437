/* duration_histogram.h - the distribution of task durations, learned from polls, and the time of the next poll.
 *
 * A histogram on a logarithmic scale, in which old samples fade. Used by one thread at a time. */
#ifndef FLUX2_ENGINE_DURATION_HISTOGRAM_H
#define FLUX2_ENGINE_DURATION_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>

enum { FLUX2_DURATION_BINS = 500 };

/* The durations of one kind of task. Owns no memory. */
struct flux2_duration_histogram {
    float mass[FLUX2_DURATION_BINS]; /* the weight of the samples in each bin */

    bool learned; /* at least one sample was added to the initial distribution */

    /* derived from `mass` */
    double samples;                        /* the number of samples, after fading */
    double typical;                        /* seconds: the geometric mean */
    double middle;                         /* bins: the mean */
    double spread;                         /* bins: the standard deviation */
    double remaining[FLUX2_DURATION_BINS]; /* the expected share of tasks that end in each bin or later */
};

/* Sets HISTOGRAM to the published distribution with the weight of a few samples. */
void flux2_duration_histogram_init(struct flux2_duration_histogram *histogram);

/* Adds the sample that a task ended between LOW and HIGH seconds after its start, which is all that two polls can tell.
 * HIGH may be INFINITY. The sample is spread over the interval in proportion to the known distribution. */
void flux2_duration_histogram_learn(struct flux2_duration_histogram *histogram, double low, double high);

/* Returns the seconds from ELAPSED until the next poll is worth its cost: until the expected delay of the result
 * reaches PRICE seconds. Returns INFINITY if it never does. */
double flux2_duration_histogram_gap(const struct flux2_duration_histogram *histogram, double elapsed, double price);

/* Returns the number of seconds after its start by which a task, still running at ELAPSED, has ended with a probability
 * of one half. */
double flux2_duration_histogram_expected_end(const struct flux2_duration_histogram *histogram, double elapsed);

/* Histograms by the name of the kind of task. A zeroed struct is an empty list. */
struct flux2_durations {
    struct flux2_duration_kind *first; /* owned */
    size_t count;                      /* list entries */
};

/* Returns the histogram of the kind NAME, created if needed; it is valid until the list is freed. Returns NULL if the
 * name is too long, the list is full, or out of memory. */
struct flux2_duration_histogram *flux2_durations_find(struct flux2_durations *durations, const char *name);
/* Frees all histograms. The list is empty then. */
void flux2_durations_free(struct flux2_durations *durations);

#endif
