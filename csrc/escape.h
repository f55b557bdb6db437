/* escape.h - any text as one segment of a URL's path: what a service calls a task is data.
 *
 * A leaf. Owns nothing, needs no memory. */
#ifndef FLUX2_ESCAPE_H
#define FLUX2_ESCAPE_H

#include <stddef.h>

#define FLUX2_ESCAPED_SIZE(size) ((size)*3 + 1)

/* Escapes everything but unreserved characters, and the dots of a TEXT that is nothing but dots. OUT has room for
 * FLUX2_ESCAPED_SIZE(SIZE), and is NUL-terminated. */
void flux2_escape(const char *text, size_t size, char *out);

#endif
