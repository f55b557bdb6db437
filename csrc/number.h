/* number.h - decimal numbers in texts of a server, whatever the host has made of the locale. A leaf.
 *
 * Owns nothing. strtod will not do: it expects a comma where the host's country writes one. */
#ifndef FLUX2_NUMBER_H
#define FLUX2_NUMBER_H

/* Reads a number such as "50", "-0.5", ".5" or "1.5e3" from the beginning of TEXT, white space before it passed over, and
 * sets *END behind it, or to TEXT if there is none. Good to some 15 digits; may be infinite. */
double flux2_number_read(const char *text, const char **end);

#endif
