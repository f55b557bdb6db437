/* random.h - random numbers: a repeatable generator, seeds, and secrets.
 *
 * The state of a generator belongs to its caller and is used by one thread at a time. */
#ifndef FLUX2_PLATFORM_RANDOM_H
#define FLUX2_PLATFORM_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Advances STATE and returns the next number (splitmix64). */
uint64_t flux2_random_next(uint64_t *state);

/* Advances STATE and returns a number in [0, 1). */
double flux2_random_unit(uint64_t *state);

/* Returns a seed that differs between processes, threads and calls. Not for secrets. Any thread. */
uint64_t flux2_random_seed(void);

/* Fills OUT with SIZE unpredictable bytes, at most 256. Returns 0 or an errno value. Any thread. */
int flux2_random_secret(void *out, size_t size);

#endif
