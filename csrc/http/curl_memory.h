/* curl_memory.h - tells a lack of memory in libcurl from a limit: before 8.6 libcurl reports a header line that is too
 * long as CURLE_OUT_OF_MEMORY. Any thread. */
#ifndef FLUX2_HTTP_CURL_MEMORY_H
#define FLUX2_HTTP_CURL_MEMORY_H

#include <stdbool.h>

/* Initializes libcurl; with a libcurl that has the ambiguity its allocations are watched from now on. Called once.
 * Returns false if libcurl fails. */
bool flux2_curl_memory_init(void);

/* Returns whether allocations are watched: not if the host had initialized libcurl before. */
bool flux2_curl_memory_is_watched(void);

/* Returns how many allocations of libcurl have failed so far, in any thread; it wraps around. */
unsigned flux2_curl_memory_failures(void);

#endif
