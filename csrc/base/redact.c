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
    for (i = 0; n == 0 && i < secrets->count; i++) {
        const char *secret = secrets->at[i];
        if ((*text == *secret || *text == '\\' || *text == '%') && strlen(secret) >= FLUX2_SECRET_MIN)
            n = match_secret(text, size, secret);
    }
    return n;
}

size_t flux2_redact(char *out, size_t room, const char *text, size_t size, const struct flux2_string_list *secrets)
{
    size_t at = 0, made = 0;
    if (secrets->count == 0) {
        made = size < room ? size : room;
        memmove(out, text, made);
        return made;
    }
    while (at < size && made < room) {
        size_t n = match_any(text + at, size - at, secrets);
        if (n == 0) {
            out[made++] = text[at++];
            continue;
        }
        size_t marked = room - made < sizeof mark - 1 ? room - made : sizeof mark - 1;
        memcpy(out + made, mark, marked);
        made += marked;
        at += n;
    }
    return made;
}
