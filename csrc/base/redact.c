/* redact.c - see redact.h. */
#include "base/redact.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/base64.h"

static const char mark[] = "[key]";

/* --- the forms of a secret ---------------------------------------------------------------------- */

/* Adds FORM, which the list owns then. NULL: out of memory. */
static bool add_form(struct flux2_secrets *s, char *form)
{
    char **at = form ? realloc(s->forms.at, (s->forms.count + 1) * sizeof *at) : NULL;
    if (!at) {
        free(form);
        return false;
    }
    s->forms.at = at;
    at[s->forms.count++] = form;
    s->begins[(unsigned char)form[0]] = s->begins['\\'] = s->begins['%'] = true;
    return true;
}

static bool add_hex(struct flux2_secrets *s, const char *secret, const char *digits)
{
    size_t i, n = strlen(secret);
    char *form = malloc(2 * n + 1);
    for (i = 0; form && i < n; i++) {
        form[2 * i] = digits[(unsigned char)secret[i] >> 4];
        form[2 * i + 1] = digits[secret[i] & 15];
    }
    if (form)
        form[2 * n] = '\0';
    return add_form(s, form);
}

static bool add_url_safe(struct flux2_secrets *s, const char *form)
{
    char *copy = strdup(form), *c;
    for (c = copy; c && *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return add_form(s, copy);
}

/* Adds the Base64 characters that depend on SECRET only, if BEFORE bytes precede it: 0 to 2 modulo 3. */
static bool add_base64(struct flux2_secrets *s, const char *secret, size_t before)
{
    size_t n = strlen(secret), total = before + n, first = before > 0 ? before + 1 : 0, end = total * 8 / 6;
    char *bytes = calloc(total, 1), *form = malloc(FLUX2_BASE64_SIZE(total) + 1);
    if (bytes && form) {
        memcpy(bytes + before, secret, n);
        flux2_base64_encode(bytes, total, form);
        memmove(form, form + first, end - first);
        form[end - first] = '\0';
    }
    free(bytes);
    if (bytes && form)
        return add_form(s, form) && (!strpbrk(form, "+/") || add_url_safe(s, form));
    free(form);
    return false;
}

bool flux2_secrets_add(struct flux2_secrets *s, const char *secret)
{
    if (strlen(secret) < FLUX2_SECRET_MIN)
        return true;
    return add_form(s, strdup(secret)) && add_hex(s, secret, "0123456789abcdef") &&
           add_hex(s, secret, "0123456789ABCDEF") && add_base64(s, secret, 0) && add_base64(s, secret, 1) &&
           add_base64(s, secret, 2);
}

void flux2_secrets_clear(struct flux2_secrets *s)
{
    flux2_string_list_free(&s->forms);
    *s = (struct flux2_secrets){.begins = {false}};
}

/* --- matching ----------------------------------------------------------------------------------- */

static bool is_hex_of(const char *digits, char c)
{
    int high = flux2_hex_value(digits[0]), low = flux2_hex_value(digits[1]);
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

/* How many bytes of TEXT stand for FORM; 0: it does not begin with it. */
static size_t match_form(const char *text, size_t size, const char *form)
{
    size_t at = 0;
    for (; *form; form++) {
        size_t n = match_character(text + at, size - at, *form);
        if (n == 0)
            return 0;
        at += n;
    }
    return at;
}

/* How many bytes of TEXT stand for a form, the longest one: a secret may begin like another. */
static size_t match_any(const char *text, size_t size, const struct flux2_secrets *secrets)
{
    size_t i, longest = 0;
    if (!secrets->begins[(unsigned char)*text])
        return 0;
    for (i = 0; i < secrets->forms.count; i++) {
        size_t n = match_form(text, size, secrets->forms.at[i]);
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Returns the number of bytes of TEXT before the next one at which a form may begin, and at least 1. Every poll's body
 * passes through here. */
static size_t skip(const char *text, size_t size, const bool begins[256])
{
    size_t n = 1;
    while (n < size && !begins[(unsigned char)text[n]])
        n++;
    return n;
}

size_t flux2_redact(char *out, size_t room, const char *text, size_t size, const struct flux2_secrets *secrets)
{
    size_t at = 0, made = 0;
    while (at < size && made < room) {
        size_t left = size - at, free = room - made;
        size_t matched = match_any(text + at, left, secrets);
        const char *source = matched > 0 ? mark : text + at;
        size_t n = matched > 0 ? sizeof mark - 1 : skip(text + at, left, secrets->begins);
        n = n < free ? n : free;
        memmove(out + made, source, n);
        made += n;
        at += matched > 0 ? matched : n;
    }
    return made;
}
