/* parse_number.h - decimal numbers in server responses, independent of the locale (strtod is not). */
#ifndef FLUX2_BASE_PARSE_NUMBER_H
#define FLUX2_BASE_PARSE_NUMBER_H

/* Reads a number such as "50", "-0.5", ".5" or "1.5e3" after optional white space. Sets *END after the number, or to
 * TEXT if there is none. Accurate to about 15 digits; may return infinity. */
double flux2_parse_number(const char *text, const char **end);

#endif
