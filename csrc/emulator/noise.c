/* noise.c - hills out of numbers; see noise.h. */
#include "noise.h"

#include "util.h"

#include <math.h>

static double at(uint64_t seed, double cell)
{
    uint64_t state = seed ^ ((uint64_t)(int64_t)cell * 0xd6e8feb86659fd93ull);
    return flux2_emu_random_unit(&state) * 2 - 1;
}

double flux2_emu_noise_smooth(uint64_t seed, double x)
{
    double cell = floor(x), t = x - cell;
    double ease = t * t * t * (t * (t * 6 - 15) + 10);
    return at(seed, cell) * (1 - ease) + at(seed, cell + 1) * ease;
}

double flux2_emu_noise_rolling(uint64_t seed, double x, int octaves)
{
    double sum = 0, height = 0.5;
    int i;
    for (i = 0; i < octaves; i++, x *= 2.03, height *= 0.5)
        sum += flux2_emu_noise_smooth(seed + (uint64_t)i, x) * height;
    return sum;
}

double flux2_emu_noise_ridged(uint64_t seed, double x, int octaves)
{
    double sum = 0, height = 0.5, total = 0;
    int i;
    for (i = 0; i < octaves; i++, x *= 2.07, height *= 0.47) {
        sum += (1 - fabs(flux2_emu_noise_smooth(seed + (uint64_t)i, x))) * height;
        total += height;
    }
    return sum / total;
}
