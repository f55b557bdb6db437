/* number.c - see number.h. */
#include "number.h"

#include <math.h>
#include <stdbool.h>

enum { EXPONENT_MAX = 100000 }; /* beyond it everything is 0 or infinite, however many digits there are */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

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
    if (!is_digit(*s))
        return 0;
    for (; is_digit(*s); s++)
        if (n < EXPONENT_MAX)
            n = n * 10 + (*s - '0');
    *at = s;
    return sign * n;
}

double flux2_number_read(const char *text, const char **end)
{
    const char *s = text;
    double value = 0;
    int sign = 1, scale = 0;
    bool any = false;
    *end = text;
    while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
        s++;
    if (*s == '+' || *s == '-')
        sign = *s++ == '-' ? -1 : 1;
    for (; is_digit(*s); s++, any = true)
        value = value * 10 + (*s - '0');
    if (*s == '.' && (any || is_digit(s[1])))
        for (s++; is_digit(*s); s++, any = true)
            if (scale > -EXPONENT_MAX) {
                value = value * 10 + (*s - '0');
                scale--;
            }
    if (!any)
        return 0;
    scale += read_exponent(&s);
    *end = s;
    if (value == 0)
        return 0;
    /* In two steps, because 10^400 is no number, and many digits divided by it may be one. */
    if (scale < -300)
        return sign * (value / 1e300 / pow(10, -scale - 300));
    return sign * (scale < 0 ? value / pow(10, -scale) : value * pow(10, scale));
}
