/* ascii.h - letters and digits of ASCII, whatever the host has made of the locale. A leaf. */
#ifndef FLUX2_ASCII_H
#define FLUX2_ASCII_H

#include <stdbool.h>

static inline bool flux2_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool flux2_is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || flux2_is_digit(c);
}

static inline char flux2_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

#endif
