/* number.c - see number.h. */
#include "number.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "ascii.h"

enum {
    DIGITS_MAX = 19,         /* as many as a uint64_t holds; a double tells 17 apart */
    EXPONENT_MAX = 100000000 /* beyond it everything is 0 or infinite, however many digits there are */
};

/* Behind an "e": -1, 0 or more digits; *AT moves only if there are any. */
static int read_exponent(const char **at)
{
    const char *s = *at;
    int n = 0, sign = 1;
    if (*s != 'e' && *s != 'E')
        return 0;
    s++;
    if (*s == '+' || *s == '-')
        sign = *s++ == '-' ? -1 : 1;
    if (!flux2_is_digit(*s))
        return 0;
    for (; flux2_is_digit(*s); s++)
        if (n < EXPONENT_MAX)
            n = n * 10 + (*s - '0');
    *at = s;
    return sign * n;
}

/* The digits before or behind the point, from *AT on. Those past DIGITS_MAX only count for the *SCALE: summed up, some 300
 * of them would be infinite, and infinite divided by infinite is no number. Tells whether there were any. */
static bool read_digits(const char **at, bool behind_point, uint64_t *value, int *digits, int *scale)
{
    const char *s = *at;
    for (; flux2_is_digit(*s); s++) {
        bool counts = *digits < DIGITS_MAX;
        if (counts)
            *value = *value * 10 + (uint64_t)(*s - '0');
        if (counts && *value > 0) /* zeros in front are none */
            ++*digits;
        if (counts == behind_point)
            *scale += behind_point ? -1 : 1;
    }
    bool any = s > *at;
    *at = s;
    return any;
}

double flux2_number_read(const char *text, const char **end)
{
    const char *s = text;
    uint64_t read = 0;
    int sign = 1, digits = 0, scale = 0;
    *end = text;
    while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
        s++;
    if (*s == '+' || *s == '-')
        sign = *s++ == '-' ? -1 : 1;
    bool any = read_digits(&s, false, &read, &digits, &scale);
    if (*s == '.' && (any || flux2_is_digit(s[1]))) {
        s++;
        any = read_digits(&s, true, &read, &digits, &scale) || any;
    }
    if (!any)
        return 0;
    scale += read_exponent(&s);
    *end = s;
    if (read == 0)
        return 0;
    double value = sign * (double)read;
    /* In two steps, because 10^400 is no number, and many digits divided by it may be one. */
    if (scale < -300)
        return value / 1e300 / pow(10, -scale - 300);
    return scale < 0 ? value / pow(10, -scale) : value * pow(10, scale);
}
