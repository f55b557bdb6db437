/* url_escape.c - see url_escape.h. */
#include "base/url_escape.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

char *flux2_url_fill(const char *template, const char *mark, const char *value)
{
    const char *place = strstr(template, mark);
    if (!place)
        return strdup(template);
    size_t before = (size_t)(place - template), size = strlen(value);
    const char *after = place + strlen(mark);
    char *url = malloc(before + FLUX2_URL_ESCAPED_SIZE(size) + strlen(after));
    if (!url)
        return NULL;
    memcpy(url, template, before);
    flux2_url_escape(value, size, url + before);
    strcat(url + before, after);
    return url;
}
