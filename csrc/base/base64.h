/* base64.h - Base64 encoder (standard alphabet, padded, no line breaks) and decoder (also URL-safe and unpadded).
 *
 * Allocates nothing. */
#ifndef FLUX2_BASE_BASE64_H
#define FLUX2_BASE_BASE64_H

#include <stddef.h>

#define FLUX2_BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Writes FLUX2_BASE64_SIZE(SIZE) characters to OUT, and no NUL. */
void flux2_base64_encode(const void *data, size_t size, char *out);

enum flux2_base64_error {
    FLUX2_BASE64_OK,
    FLUX2_BASE64_MIXED,     /* characters of the standard and of the URL-safe alphabet */
    FLUX2_BASE64_PADDING,   /* too much, too little, or not at the end */
    FLUX2_BASE64_CHARACTER, /* a character outside both alphabets */
    FLUX2_BASE64_SHORT,     /* the last character does not complete a byte */
    FLUX2_BASE64_BITS,      /* unused bits of the last character are not 0 */
};

/* Decodes the standard or the URL-safe alphabet. Skips spaces, tabs and line ends; padding is optional. OUT has room
 * for SIZE bytes; *WRITTEN is the number of decoded bytes, or after FLUX2_BASE64_CHARACTER the position of the
 * invalid character, counted from 1 without white space. TEXT may hold any bytes. */
enum flux2_base64_error flux2_base64_decode(const char *text, size_t size, unsigned char *out, size_t *written);

#endif
