/* url_escape.c - see url_escape.h. */
#include "base/url_escape.h"

#include <stdbool.h>

#include "base/ascii.h"

static bool is_unreserved(char c)
{
    return flux2_is_alphanumeric(c) || c == '-' || c == '_' || c == '~' || c == '.';
}

void flux2_url_escape(const char *text, size_t size, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t i, dots = 0;
    while (dots < size && text[dots] == '.')
        dots++;
    for (i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_unreserved(text[i]) && dots < size) {
            *out++ = (char)c;
            continue;
        }
        *out++ = '%';
        *out++ = hex[c >> 4];
        *out++ = hex[c & 15];
    }
    *out = '\0';
}
