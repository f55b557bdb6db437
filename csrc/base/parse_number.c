/* parse_number.c - see parse_number.h. */
#include "base/parse_number.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ascii.h"

enum {
    DIGITS_MAX = 19,         /* fits into a uint64_t; a double distinguishes 17 */
    EXPONENT_MAX = 100000000 /* beyond it every value is 0 or infinite */
};

/* Reads an exponent of 0 or more digits. Advances *AT only if there are digits. */
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

/* Reads digits before or after the decimal point. Digits beyond DIGITS_MAX only change *SCALE: accumulating some 300
 * of them would overflow to infinity. Returns whether there are digits. */
static bool read_digits(const char **at, bool after_point, uint64_t *value, int *digits, int *scale)
{
    const char *s = *at;
    for (; flux2_is_digit(*s); s++) {
        bool counts = *digits < DIGITS_MAX;
        if (counts)
            *value = *value * 10 + (uint64_t)(*s - '0');
        if (counts && *value > 0) /* leading zeros do not count */
            ++*digits;
        if (counts == after_point)
            *scale += after_point ? -1 : 1;
    }
    bool any = s > *at;
    *at = s;
    return any;
}

double flux2_parse_number(const char *text, const char **end)
{
    const char *s = text;
    uint64_t read = 0;
    int sign = 1, digits = 0, scale = 0;
    *end = text;
    while (flux2_is_space(*s))
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
    /* In two steps: 10^400 overflows although the quotient may be finite. */
    if (scale < -300)
        return value / 1e300 / pow(10, -scale - 300);
    return scale < 0 ? value / pow(10, -scale) : value * pow(10, scale);
}
