/* noise.h - seeded one-dimensional noise for terrain. Stateless. */
#ifndef FLUX2_EMU_NOISE_H
#define FLUX2_EMU_NOISE_H

#include <stdint.h>

/* Fractal noise: a sum of octaves of value noise, for hills. The first octave has a feature size of about 1. */
double flux2_emu_noise_fractal(uint64_t seed, double x, int octaves);

/* Ridged fractal noise between 0 and 1 with sharp crests, for mountains. */
double flux2_emu_noise_ridged(uint64_t seed, double x, int octaves);

#endif
