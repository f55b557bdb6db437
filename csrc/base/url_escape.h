/* url_escape.h - escapes a string, such as a task id, as one path segment of a URL. Stateless. */
#ifndef FLUX2_BASE_URL_ESCAPE_H
#define FLUX2_BASE_URL_ESCAPE_H

#include <stddef.h>

#define FLUX2_URL_ESCAPED_SIZE(size) ((size)*3 + 1)

/* Escapes everything except unreserved characters, and the dots of a TEXT that consists of dots. OUT has room for
 * FLUX2_URL_ESCAPED_SIZE(SIZE) and is NUL-terminated. */
void flux2_url_escape(const char *text, size_t size, char *out);

/* Returns a copy of TEMPLATE, in which VALUE, escaped, replaces the first MARK, if there is one. The caller frees it;
 * NULL: out of memory. */
char *flux2_url_fill(const char *template, const char *mark, const char *value);

#endif
