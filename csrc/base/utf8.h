/* utf8.h - UTF-8 validation and encoding. Stateless. */
#ifndef FLUX2_BASE_UTF8_H
#define FLUX2_BASE_UTF8_H

#include <stddef.h>

#define FLUX2_UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Returns the length of the code point at the beginning of TEXT, or 0 if it is invalid or SIZE is too small. */
size_t flux2_utf8_length(const char *text, size_t size);

/* Returns how many bytes of TEXT (valid UTF-8) fit into LIMIT without splitting a code point. */
size_t flux2_utf8_cut(const char *text, size_t size, size_t limit);

/* Writes CODE to OUT, which has room for 4 bytes. Returns the number of bytes written. */
size_t flux2_utf8_encode(unsigned long code, char *out);

#endif
