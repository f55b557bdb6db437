/* redact.c - see redact.h. */
#include "base/redact.h"

#include <stdbool.h>
#include <string.h>

static const char mark[] = "[key]";

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex_of(const char *digits, char c)
{
    int high = digit_value(digits[0]), low = digit_value(digits[1]);
    return high >= 0 && low >= 0 && (char)(high << 4 | low) == c;
}

/* How many bytes of TEXT stand for the character C: itself, \c, \u00xx or %xx. 0: they do not. */
static size_t match_character(const char *text, size_t size, char c)
{
    if (size >= 1 && text[0] == c)
        return 1;
    if (size >= 2 && text[0] == '\\' && text[1] == c)
        return 2;
    if (size >= 6 && memcmp(text, "\\u00", 4) == 0 && is_hex_of(text + 4, c))
        return 6;
    return size >= 3 && text[0] == '%' && is_hex_of(text + 1, c) ? 3 : 0;
}

/* How many bytes of TEXT stand for SECRET; 0: it does not begin with it. */
static size_t match_secret(const char *text, size_t size, const char *secret)
{
    size_t at = 0;
    for (; *secret; secret++) {
        size_t n = match_character(text + at, size - at, *secret);
        if (n == 0)
            return 0;
        at += n;
    }
    return at;
}

static size_t match_any(const char *text, size_t size, const struct flux2_string_list *secrets)
{
    size_t i, n = 0;
    for (i = 0; n == 0 && i < secrets->count; i++)
        if (strlen(secrets->at[i]) >= FLUX2_SECRET_MIN)
            n = match_secret(text, size, secrets->at[i]);
    return n;
}

/* Marks the bytes at which a secret may begin: its first character, or that of an escape. */
static void mark_beginnings(bool begins[256], const struct flux2_string_list *secrets)
{
    size_t i;
    begins['\\'] = begins['%'] = secrets->count > 0;
    for (i = 0; i < secrets->count; i++)
        begins[(unsigned char)*secrets->at[i]] = true;
}

/* Returns the number of bytes of TEXT before the next one at which a secret may begin, and at least 1. Every poll's
 * body passes through here. */
static size_t skip(const char *text, size_t size, const bool begins[256])
{
    size_t n = 1;
    while (n < size && !begins[(unsigned char)text[n]])
        n++;
    return n;
}

size_t flux2_redact(char *out, size_t room, const char *text, size_t size, const struct flux2_string_list *secrets)
{
    bool begins[256] = {false};
    size_t at = 0, made = 0;
    mark_beginnings(begins, secrets);
    while (at < size && made < room) {
        size_t left = size - at, free = room - made;
        size_t matched = begins[(unsigned char)text[at]] ? match_any(text + at, left, secrets) : 0;
        const char *source = matched > 0 ? mark : text + at;
        size_t n = matched > 0 ? sizeof mark - 1 : skip(text + at, left, begins);
        n = n < free ? n : free;
        memmove(out + made, source, n);
        made += n;
        at += matched > 0 ? matched : n;
    }
    return made;
}
