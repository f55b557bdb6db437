/* base64.c - see base64.h. */
#include "base/base64.h"

#include <stdbool.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void flux2_base64_encode(const void *data, size_t size, char *out)
{
    const unsigned char *in = data;
    for (; size > 2; size -= 3, in += 3) {
        unsigned v = (unsigned)in[0] << 16 | (unsigned)in[1] << 8 | in[2];
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = digits[v >> 6 & 63];
        *out++ = digits[v & 63];
    }
    if (size == 0)
        return;
    unsigned v = (unsigned)in[0] << 16 | (size > 1 ? (unsigned)in[1] << 8 : 0);
    *out++ = digits[v >> 18];
    *out++ = digits[v >> 12 & 63];
    *out++ = size > 1 ? digits[v >> 6 & 63] : '=';
    *out++ = '=';
}

enum { BLANK = -1, PAD = -2, NONE = -3 };

static int value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return c == '=' ? PAD : c == ' ' || c == '\t' || c == '\r' || c == '\n' ? BLANK : NONE;
}

/* Checks the end of a text with COUNT characters, PADS padding characters and the remaining BITS. */
static enum flux2_base64_error check_end(size_t count, size_t pads, unsigned bits)
{
    if (pads > 2 || (pads && (count + pads) % 4))
        return FLUX2_BASE64_PADDING;
    if (count % 4 == 1)
        return FLUX2_BASE64_SHORT;
    return bits ? FLUX2_BASE64_BITS : FLUX2_BASE64_OK;
}

enum flux2_base64_error flux2_base64_decode(const char *text, size_t size, unsigned char *out, size_t *written)
{
    size_t i, count = 0, pads = 0;
    unsigned bits = 0, held = 0; /* bits that do not complete a byte yet, and their number */
    bool standard = false, url = false;
    *written = 0;
    for (i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        int value = value_of(c);
        if (value == BLANK)
            continue;
        if (value == PAD) {
            pads++;
            continue;
        }
        count++;
        if (value == NONE) {
            *written = count;
            return FLUX2_BASE64_CHARACTER;
        }
        if (pads)
            return FLUX2_BASE64_PADDING;
        standard = standard || c == '+' || c == '/';
        url = url || c == '-' || c == '_';
        bits = bits << 6 | (unsigned)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[(*written)++] = (unsigned char)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return standard && url ? FLUX2_BASE64_MIXED : check_end(count, pads, bits);
}
