/* headers.c - see headers.h. */
#include "headers.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>

#include "schedule.h"

void flux2_headers_clear(struct flux2_headers *h)
{
    /* Twice for each answer: only what makes the texts empty. */
    h->bytes = 0;
    h->retry_after[0] = h->date[0] = h->content_type[0] = h->location[0] = h->trace[0] = '\0';
    h->trace_rank = (size_t)-1;
}

/* Another answer to the same request begins; what all of them weigh is still counted. */
static void begin_anew(struct flux2_headers *h)
{
    size_t bytes = h->bytes;
    flux2_headers_clear(h);
    h->bytes = bytes;
}

/* Copies a header's value without the white space around it; cut if it is longer than OUT. */
static void copy_value(char *out, size_t size, const char *value, size_t n)
{
    while (n > 0 && (*value == ' ' || *value == '\t'))
        value++, n--;
    while (n > 0 && strchr(" \t\r\n", value[n - 1]))
        n--;
    if (n >= size)
        n = size - 1;
    memcpy(out, value, n);
    out[n] = '\0';
}

/* Not strncasecmp, which asks the locale of the host what a letter is. */
static bool is_header(const char *line, size_t name_size, const char *name)
{
    return strlen(name) == name_size && curl_strnequal(line, name, name_size);
}

void flux2_headers_read(struct flux2_headers *h, char *const *traces, size_t count, const char *line,
                        size_t n)
{
    h->bytes += n;
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        begin_anew(h);
        return;
    }
    const char *colon = memchr(line, ':', n);
    if (!colon)
        return;
    size_t i, name = (size_t)(colon - line), rest = n - name - 1;
    const char *value = colon + 1;
    if (is_header(line, name, "retry-after"))
        copy_value(h->retry_after, sizeof h->retry_after, value, rest);
    else if (is_header(line, name, "date"))
        copy_value(h->date, sizeof h->date, value, rest);
    else if (is_header(line, name, "content-type"))
        copy_value(h->content_type, sizeof h->content_type, value, rest);
    else if (is_header(line, name, "location"))
        copy_value(h->location, sizeof h->location, value, rest);
    for (i = 0; i < count && i < h->trace_rank; i++)
        if (is_header(line, name, traces[i])) {
            copy_value(h->trace, sizeof h->trace, value, rest);
            h->trace_rank = i;
        }
}

double flux2_headers_retry_after(const struct flux2_headers *h, time_t now)
{
    double seconds;
    if (!h->retry_after[0])
        return -1;
    time_t date = h->date[0] ? curl_getdate(h->date, NULL) : (time_t)-1;
    return flux2_schedule_retry_after(h->retry_after, date, now, &seconds) ? seconds : -1;
}
