/* http_url.h - links from a server: whether a text may pass as one, and where it leads. A leaf without state; any
 * thread. */
#ifndef FLUX2_BASE_HTTP_URL_H
#define FLUX2_BASE_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

/* Returns whether TEXT (valid UTF-8) is an absolute http or https URL with a host, without blanks, control
 * characters and backslashes, and with no port or a port from 1 to 65535. */
bool flux2_is_http_url(const char *text, size_t size);

/* Reads TEXT, any bytes, as a browser reads a link: white space around it is skipped, a blank in it is escaped, and
 * what is not absolute is taken relative to BASE, a URL (NULL: that is no link then). A name without a slash before
 * it has to end like an image. Returns whether it is a link; *OUT is a URL by the rule above for free(), NULL if out
 * of memory. */
bool flux2_http_url_resolve(const char *base, const char *text, size_t size, char **out);

/* Returns whether URL, which flux2_is_http_url has passed, leads to ORIGIN: "https://host" or "http://host:port",
 * where the host may begin with "*." for all hosts below. Scheme, host and port are compared, the first two in any
 * case. A URL with a user name leads nowhere, and so does a host with characters that may be read in two ways. */
bool flux2_is_of_origin(const char *url, const char *origin);

#endif
