/* signature.h - recognizes a file by its first bytes.
 *
 * Owns: matching of patterns, in which '?' stands for any byte. Which patterns are accepted comes in as data. */
#ifndef FLUX2_SIGNATURE_H
#define FLUX2_SIGNATURE_H

#include <stddef.h>

enum { FLUX2_SIGNATURE_MAX = 32 };

struct flux2_signature {
    unsigned char bytes[FLUX2_SIGNATURE_MAX];
    size_t size;
};

enum { FLUX2_SIGNATURE_NONE = -1, FLUX2_SIGNATURE_UNDECIDED = -2 };

/* The index of the first of COUNT patterns that HEAD begins with; UNDECIDED while more bytes could still make one
 * match; NONE once nothing can. */
int flux2_signature_match(const struct flux2_signature *patterns, size_t count, const unsigned char *head,
                          size_t size);

#endif
