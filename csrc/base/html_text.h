/* html_text.h - extracts the text of an HTML page that a server sends instead of JSON. Stateless. */
#ifndef FLUX2_BASE_HTML_TEXT_H
#define FLUX2_BASE_HTML_TEXT_H

#include <stddef.h>

/* Writes the title of PAGE, or without a title its text without tags, scripts and styles, to OUT, which has room for
 * SIZE bytes. Does not collapse white space. Returns the number of bytes written. Takes quadratic time in the worst
 * case: the caller limits SIZE. */
size_t flux2_html_text(const char *page, size_t size, char *out);

#endif
