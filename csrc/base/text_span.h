/* text_span.h - copies and ASCII comparisons of strings without a terminating NUL. Independent of the locale. */
#ifndef FLUX2_BASE_TEXT_SPAN_H
#define FLUX2_BASE_TEXT_SPAN_H

#include <stdbool.h>
#include <stddef.h>

/* Returns whether TEXT begins with WORD (lower case), ignoring the case of TEXT. */
bool flux2_begins_with(const char *text, size_t size, const char *word);

/* Returns the first occurrence of WORD (lower case) in TEXT, ignoring the case of TEXT, or NULL. */
const char *flux2_find_word(const char *text, size_t size, const char *word);

/* Returns a NUL-terminated copy, which the caller frees, or NULL if out of memory. */
char *flux2_text_copy(const char *text, size_t size);

/* Like flux2_text_copy, in lower case. */
char *flux2_lower_copy(const char *text, size_t size);

#endif
