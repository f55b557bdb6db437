/* headers.h - what is kept of an answer's headers.
 *
 * Owns: which header lines count, their names, and how long their values may be. Never: knows libcurl's handles, or
 * what follows from a value. Accepts any bytes. */
#ifndef FLUX2_HEADERS_H
#define FLUX2_HEADERS_H

#include <stddef.h>
#include <time.h>

enum { FLUX2_HEADER_MAX = 160, FLUX2_LOCATION_MAX = 640 };

/* Values without the white space around them, cut if they are longer; "" for a header that was not there. */
struct flux2_headers {
    size_t bytes; /* of all lines of all answers to the request */
    char retry_after[FLUX2_HEADER_MAX];
    char date[FLUX2_HEADER_MAX];
    char content_type[FLUX2_HEADER_MAX];
    char location[FLUX2_LOCATION_MAX];
    char trace[FLUX2_HEADER_MAX]; /* the best of the traces that was there */
    size_t trace_rank;            /* its place among them; one that is worse does not replace it */
};

/* Forgets everything. */
void flux2_headers_clear(struct flux2_headers *headers);

/* Takes one line as it came, with or without its line end. TRACES are COUNT names of headers that name the request
 * at the service, best first. A status line begins anew: after 1xx, and after a redirect that was followed. */
void flux2_headers_read(struct flux2_headers *headers, char *const *traces, size_t count, const char *line,
                        size_t size);

/* Seconds that the server asked to be left alone at NOW, by its own Date if it gave one; < 0 if it did not ask. */
double flux2_headers_retry_after(const struct flux2_headers *headers, time_t now);

#endif
