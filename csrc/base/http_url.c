/* http_url.c - see http_url.h. */
#include "base/http_url.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/text_span.h"

/* Accepts ":" and a port, ":" alone, or nothing. */
static bool is_port(const char *at, const char *end)
{
    long port = 0;
    if (at == end)
        return true;
    if (*at++ != ':' || end - at > 5)
        return false;
    const char *first = at;
    for (; at < end; at++) {
        if (!flux2_is_digit(*at))
            return false;
        port = port * 10 + (*at - '0');
    }
    return at == first || (port >= 1 && port <= 65535);
}

/* Accepts a bracketed IPv6 address or a name without a colon, each with an optional port. */
static bool is_host(const char *at, const char *end)
{
    const char *from = at;
    if (at < end && *at == '[') {
        for (at++; at < end && *at != ']'; at++)
            if (flux2_hex_value(*at) < 0 && *at != ':' && *at != '.')
                return false;
        return at < end && at > from + 1 && is_port(at + 1, end);
    }
    while (at < end && *at != ':')
        at++;
    return at > from && is_port(at, end);
}

bool flux2_is_http_url(const char *text, size_t size)
{
    size_t i, scheme = flux2_begins_with(text, size, "https://") ? 8 : 7;
    if (scheme == 7 && !flux2_begins_with(text, size, "http://"))
        return false;
    for (i = 0; i < size; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7F || text[i] == '\\')
            return false;
    const char *host = text + scheme, *end = host;
    for (; end < text + size && *end != '/' && *end != '?' && *end != '#'; end++)
        if (*end == '@')
            host = end + 1;
    return is_host(host, end);
}

/* --- links -------------------------------------------------------------------------------------- */

enum { RELATIVE_MAX = 2048 }; /* bytes: what is longer is an image in Base64 */

/* The parts of an absolute URL, as sizes from its beginning. */
struct parts {
    size_t scheme;    /* "https:" */
    size_t origin;    /* "https://host:443" */
    size_t directory; /* "https://host:443/a/b/" */
};

static struct parts split(const char *url)
{
    struct parts p;
    p.scheme = strcspn(url, ":") + 1;
    p.origin = p.scheme + 2 + strcspn(url + p.scheme + 2, "/?#");
    size_t end = p.origin + strcspn(url + p.origin, "?#");
    while (end > p.origin && url[end - 1] != '/')
        end--;
    p.directory = end;
    return p;
}

/* "a/b.png", "b.jpg?x": so that no other text is taken for a link. */
static bool ends_like_image(const char *text, size_t size)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif"};
    size_t i, path = 0;
    while (path < size && text[path] != '?' && text[path] != '#' && text[path] != ':')
        path++;
    for (i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (path > n && flux2_begins_with(text + path - n, n, endings[i]))
            return true;
    }
    return false;
}

/* Skips "./" and "../" at the beginning of *TEXT; the latter takes a directory from URL, of which *KEPT bytes count. */
static void skip_dots(const char *url, size_t origin, size_t *kept, const char **text, size_t *size)
{
    while (flux2_begins_with(*text, *size, "./") || flux2_begins_with(*text, *size, "../")) {
        size_t dots = (*text)[1] == '/' ? 2 : 3;
        if (dots == 3 && *kept > origin + 1)
            while (--*kept > origin + 1 && url[*kept - 1] != '/')
                ;
        *text += dots;
        *size -= dots;
    }
}

/* How much of BASE stands before TEXT, which is not absolute; -1: it is no link. */
static long find_base(const char *base, const char **text, size_t *size)
{
    struct parts p = split(base);
    size_t kept = p.directory;
    const char *at = *text;
    if (*size == 0 || *size > RELATIVE_MAX)
        return -1;
    if (at[0] == '/' && *size > 1 && at[1] == '/')
        return (long)p.scheme;
    if (at[0] == '/')
        return flux2_begins_with(at, *size, "/9j/") ? -1 : (long)p.origin; /* so begins a JPEG in Base64 */
    if (at[0] != '.' && !ends_like_image(at, *size))
        return -1;
    skip_dots(base, p.origin, &kept, text, size);
    return *size > 0 ? (long)kept : -1;
}

/* KEPT bytes of BASE and then TEXT, whose blanks are escaped. Returns NULL if out of memory. */
static char *join(const char *base, size_t kept, const char *text, size_t size)
{
    char *url = malloc(kept + 1 + 3 * size + 1), *end = url;
    size_t i;
    if (!url)
        return NULL;
    if (kept > 0)
        memcpy(end, base, kept);
    end += kept;
    if (kept > 0 && *text != '/' && end[-1] != '/')
        *end++ = '/';
    for (i = 0; i < size; i++) {
        if (text[i] == ' ') {
            memcpy(end, "%20", 3);
            end += 3;
        } else {
            *end++ = text[i];
        }
    }
    *end = '\0';
    return url;
}

/* Cuts white space off both ends. */
static void trim(const char **text, size_t *size)
{
    while (*size > 0 && flux2_is_space(**text)) {
        ++*text;
        --*size;
    }
    while (*size > 0 && flux2_is_space((*text)[*size - 1]))
        --*size;
}

/* A blank in the host was escaped, too, and makes it none. */
static bool is_good_link(const char *url)
{
    struct parts p = split(url);
    return flux2_is_http_url(url, strlen(url)) && !memchr(url, '%', p.origin);
}

bool flux2_http_url_resolve(const char *base, const char *text, size_t size, char **out)
{
    trim(&text, &size);
    if (flux2_is_http_url(text, size)) {
        *out = flux2_text_copy(text, size);
        return true;
    }
    if (memchr(text, '\0', size))
        return false;
    bool is_absolute = flux2_begins_with(text, size, "http://") || flux2_begins_with(text, size, "https://");
    long kept = is_absolute ? 0 : base ? find_base(base, &text, &size) : -1;
    if (kept < 0)
        return false;
    *out = join(base, (size_t)kept, text, size);
    if (!*out || is_good_link(*out))
        return true;
    free(*out);
    *out = NULL;
    return false;
}

/* --- origins ------------------------------------------------------------------------------------ */

/* Scheme, host and port of a URL, as spans of it. */
struct origin {
    const char *host, *port;
    size_t host_size, port_size;
    bool is_https;
};

static bool is_host_character(char c)
{
    return flux2_is_alphanumeric(c) || strchr("-.*:[]", c);
}

/* Returns false for a URL with a user name, or with a host that could be read in two ways. */
static bool split_origin(const char *url, struct origin *out)
{
    out->is_https = flux2_begins_with(url, strlen(url), "https://");
    out->host = url + (out->is_https ? 8 : 7);
    const char *end = out->host + strcspn(out->host, "/?#"), *at;
    for (at = out->host; at < end; at++)
        if (!is_host_character(*at))
            return false;
    const char *bracket = *out->host == '[' ? memchr(out->host, ']', (size_t)(end - out->host)) : out->host;
    if (!bracket)
        return false;
    const char *colon = memchr(bracket, ':', (size_t)(end - bracket));
    out->host_size = (size_t)((colon ? colon : end) - out->host);
    out->port = colon ? colon + 1 : end;
    out->port_size = (size_t)(end - out->port);
    if (out->port_size == 0) {
        out->port = out->is_https ? "443" : "80";
        out->port_size = strlen(out->port);
    }
    return true;
}

static bool equal_in_any_case(const char *a, const char *b, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++)
        if (flux2_lower(a[i]) != flux2_lower(b[i]))
            return false;
    return true;
}

/* Whether the host of URL is that of ORIGIN, or below it where that begins with a star. */
static bool is_same_host(const struct origin *url, const struct origin *origin)
{
    if (*origin->host != '*')
        return url->host_size == origin->host_size && equal_in_any_case(url->host, origin->host, url->host_size);
    size_t size = origin->host_size - 1;
    return url->host_size > size && *url->host != '*' &&
           equal_in_any_case(url->host + url->host_size - size, origin->host + 1, size);
}

bool flux2_is_of_origin(const char *url, const char *origin)
{
    struct origin a, b;
    return split_origin(url, &a) && split_origin(origin, &b) && a.is_https == b.is_https && is_same_host(&a, &b) &&
           a.port_size == b.port_size && memcmp(a.port, b.port, a.port_size) == 0;
}
