/* utf8.c - see utf8.h. */
#include "base/utf8.h"

#include <stdbool.h>

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Some first bytes restrict the second byte: this excludes overlong forms, surrogates and values beyond U+10FFFF. */
static bool is_second(unsigned char first, unsigned char second)
{
    unsigned char least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return second >= least && second <= most;
}

size_t flux2_utf8_length(const char *text, size_t size)
{
    unsigned char first = size > 0 ? (unsigned char)text[0] : 0;
    if (size > 0 && first < 0x80)
        return 1;
    size_t i, length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || size < length || !is_second(first, (unsigned char)text[1]))
        return 0;
    for (i = 2; i < length; i++)
        if (!is_continuation(text[i]))
            return 0;
    return length;
}

size_t flux2_utf8_cut(const char *text, size_t size, size_t limit)
{
    if (size <= limit)
        return size;
    while (limit > 0 && is_continuation(text[limit]))
        limit--;
    return limit;
}

size_t flux2_utf8_encode(unsigned long code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t i, length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[length] | code);
    return length;
}
