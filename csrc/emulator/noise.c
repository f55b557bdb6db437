/* noise.c - see noise.h. */
#include "emulator/noise.h"

#include <math.h>

#include "platform/random.h"

static double lattice(uint64_t seed, double cell)
{
    uint64_t state = seed ^ ((uint64_t)(int64_t)cell * 0xd6e8feb86659fd93ull);
    return flux2_random_unit(&state) * 2 - 1;
}

/* Value noise between -1 and 1 with a feature size of about 1. */
static double value_noise(uint64_t seed, double x)
{
    double cell = floor(x), t = x - cell;
    double ease = t * t * t * (t * (t * 6 - 15) + 10);
    return lattice(seed, cell) * (1 - ease) + lattice(seed, cell + 1) * ease;
}

double flux2_emu_noise_fractal(uint64_t seed, double x, int octaves)
{
    double sum = 0, height = 0.5;
    int i;
    for (i = 0; i < octaves; i++, x *= 2.03, height *= 0.5)
        sum += value_noise(seed + (uint64_t)i, x) * height;
    return sum;
}

double flux2_emu_noise_ridged(uint64_t seed, double x, int octaves)
{
    double sum = 0, height = 0.5, total = 0;
    int i;
    for (i = 0; i < octaves; i++, x *= 2.07, height *= 0.47) {
        sum += (1 - fabs(value_noise(seed + (uint64_t)i, x))) * height;
        total += height;
    }
    return sum / total;
}
