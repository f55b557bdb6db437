/* base64.h - bytes as Base64, and back.
 *
 * Owns: the encoding (standard alphabet, padded, one line) and a strict decoder that takes the variants in use. Never:
 * memory. A leaf. */
#ifndef FLUX2_BASE64_H
#define FLUX2_BASE64_H

#include <stddef.h>

#define FLUX2_BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Writes FLUX2_BASE64_SIZE(SIZE) characters to OUT, and no NUL. */
void flux2_base64_encode(const void *data, size_t size, char *out);

enum flux2_base64_fault {
    FLUX2_BASE64_FINE,
    FLUX2_BASE64_MIXED,     /* characters of the standard and of the URL-safe alphabet */
    FLUX2_BASE64_PADDING,   /* too much of it, too little, or not at the end */
    FLUX2_BASE64_CHARACTER, /* one that is of no alphabet */
    FLUX2_BASE64_SHORT,     /* a last character that makes no byte */
    FLUX2_BASE64_BITS,      /* a last character with bits beyond the last byte */
};

/* Decodes the standard or the URL-safe alphabet; blanks, tabs and line ends are skipped, padding may be left out. OUT has
 * room for SIZE bytes; *MADE of them are written. After a CHARACTER, *MADE is its number, from 1, blanks not counted.
 * Any bytes may come in. */
enum flux2_base64_fault flux2_base64_decode(const char *text, size_t size, unsigned char *out, size_t *made);

#endif
