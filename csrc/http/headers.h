/* headers.h - the response headers that are kept.
 *
 * Decides which headers are kept, and how long their values may be. Accepts any bytes. */
#ifndef FLUX2_HTTP_HEADERS_H
#define FLUX2_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/redact.h"
#include "base/string_list.h"

enum { FLUX2_HEADER_MAX = 160, FLUX2_LOCATION_MAX = 640 };

/* Values without surrounding white space, truncated to the sizes below; "" if the header is missing. */
struct flux2_headers {
    size_t bytes; /* total size of the header lines of all responses to the request */
    char retry_after[FLUX2_HEADER_MAX];
    char date[FLUX2_HEADER_MAX];
    char content_type[FLUX2_HEADER_MAX];
    char location[FLUX2_LOCATION_MAX];
    char trace[FLUX2_HEADER_MAX]; /* value of the trace header with the lowest index */
    size_t trace_rank;            /* index of that header; a header with a higher index does not replace it */
};

/* Empties HEADERS. */
void flux2_headers_clear(struct flux2_headers *headers);

/* Reads one header line, with or without its line end. TRACES lists the names of headers that hold a request id, best
 * first; SECRETS are removed from values. A status line clears the values, because it starts the next response: after
 * 1xx or a followed redirect. */
void flux2_headers_read(struct flux2_headers *headers, const struct flux2_string_list *traces,
                        const struct flux2_secrets *secrets, const char *line, size_t size);

/* Parses the value of a Retry-After header: seconds, or an HTTP date that is compared with the server's clock
 * (SERVER_DATE, or (time_t)-1 to use NOW). Returns false if it is neither. *SECONDS is never negative. Any thread. */
bool flux2_headers_parse_retry_after(const char *value, time_t server_date, time_t now, double *seconds);

/* Returns the seconds of the Retry-After header, compared with the Date header if there is one, else with NOW; below 0
 * if the header is missing or invalid. */
double flux2_headers_retry_after(const struct flux2_headers *headers, time_t now);

#endif
