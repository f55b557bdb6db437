/* ascii.h - ASCII character tests and comparisons that do not depend on the locale. */
#ifndef FLUX2_BASE_ASCII_H
#define FLUX2_BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>

static inline bool flux2_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool flux2_is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || flux2_is_digit(c);
}

/* As isspace in the C locale. */
static inline bool flux2_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline char flux2_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Returns the value of a hexadecimal digit, or -1. */
static inline int flux2_hex_value(char c)
{
    c = flux2_lower(c);
    return flux2_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the position after PREFIX in TEXT, or NULL if TEXT does not begin with PREFIX. Ignores case. */
static inline const char *flux2_skip_prefix(const char *text, const char *prefix)
{
    for (; *prefix; text++, prefix++)
        if (flux2_lower(*text) != flux2_lower(*prefix))
            return NULL;
    return text;
}

/* Returns whether the strings are equal. Ignores case. */
static inline bool flux2_equals_ignoring_case(const char *a, const char *b)
{
    const char *rest = flux2_skip_prefix(a, b);
    return rest && !*rest;
}

#endif
