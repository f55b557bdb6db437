/* noise.h - hills out of numbers.
 *
 * Owns: seeded noise along a line. Never: drawing. A leaf. */
#ifndef FLUX2_EMU_NOISE_H
#define FLUX2_EMU_NOISE_H

#include <stdint.h>

/* Smooth, between -1 and 1, with a feature about every unit of X. */
double flux2_emu_noise_smooth(uint64_t seed, double x);

/* Several of them on top of each other, each finer and lower: rolling hills. */
double flux2_emu_noise_rolling(uint64_t seed, double x, int octaves);

/* The same with sharp crests: mountains. Between 0 and 1, crests at the top. */
double flux2_emu_noise_ridged(uint64_t seed, double x, int octaves);

#endif
