/* headers.c - see headers.h. */
#include "http/headers.h"

#include <curl/curl.h>
#include <math.h>
#include <string.h>

#include "base/ascii.h"
#include "base/parse_number.h"

void flux2_headers_clear(struct flux2_headers *h)
{
    /* Called twice for each response, so it sets only the terminators. */
    h->bytes = 0;
    h->retry_after[0] = h->date[0] = h->content_type[0] = h->location[0] = h->trace[0] = '\0';
    h->trace_rank = (size_t)-1;
}

/* Another response to the same request begins; the total size continues. */
static void begin_response(struct flux2_headers *h)
{
    size_t bytes = h->bytes;
    flux2_headers_clear(h);
    h->bytes = bytes;
}

/* Copies a header's value without SECRETS and surrounding white space, truncated to the size of OUT. */
static void copy_value(char *out, size_t size, const char *value, size_t n, const struct flux2_secrets *secrets)
{
    while (n > 0 && (*value == ' ' || *value == '\t'))
        value++, n--;
    while (n > 0 && strchr(" \t\r\n", value[n - 1]))
        n--;
    out[flux2_redact(out, size - 1, value, n, secrets)] = '\0';
}

/* Not strncasecmp, which depends on the host's locale. */
static bool is_header(const char *line, size_t name_size, const char *name)
{
    return strlen(name) == name_size && curl_strnequal(line, name, name_size);
}

void flux2_headers_read(struct flux2_headers *h, const struct flux2_string_list *traces,
                        const struct flux2_secrets *secrets, const char *line, size_t n)
{
    h->bytes += n;
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        begin_response(h);
        return;
    }
    const char *colon = memchr(line, ':', n);
    if (!colon)
        return;
    size_t i, name = (size_t)(colon - line), rest = n - name - 1;
    const char *value = colon + 1;
    if (is_header(line, name, "retry-after"))
        copy_value(h->retry_after, sizeof h->retry_after, value, rest, secrets);
    else if (is_header(line, name, "date"))
        copy_value(h->date, sizeof h->date, value, rest, secrets);
    else if (is_header(line, name, "content-type"))
        copy_value(h->content_type, sizeof h->content_type, value, rest, secrets);
    else if (is_header(line, name, "location"))
        copy_value(h->location, sizeof h->location, value, rest, secrets);
    for (i = 0; i < traces->count && i < h->trace_rank; i++)
        if (is_header(line, name, traces->at[i])) {
            copy_value(h->trace, sizeof h->trace, value, rest, secrets);
            h->trace_rank = i;
        }
}

bool flux2_headers_parse_retry_after(const char *value, time_t server_date, time_t now, double *seconds)
{
    const char *end;
    while (*value == ' ' || *value == '\t')
        value++;
    if (flux2_is_digit(*value)) {
        double s = flux2_parse_number(value, &end);
        while (*end == ' ' || *end == '\t')
            end++;
        if (*end != '\0' || strpbrk(value, "xXeEpP") || !isfinite(s))
            return false;
        *seconds = s;
        return true;
    }
    /* curl_getdate also accepts plain words and numbers; an HTTP date begins with a day name and a comma. */
    if (!strchr(value, ','))
        return false;
    time_t at = curl_getdate(value, NULL);
    if (at == (time_t)-1)
        return false;
    double gap = difftime(at, server_date != (time_t)-1 ? server_date : now);
    *seconds = gap > 0 ? gap : 0;
    return true;
}

double flux2_headers_retry_after(const struct flux2_headers *h, time_t now)
{
    double seconds;
    if (!h->retry_after[0])
        return -1;
    time_t date = h->date[0] ? curl_getdate(h->date, NULL) : (time_t)-1;
    return flux2_headers_parse_retry_after(h->retry_after, date, now, &seconds) ? seconds : -1;
}
