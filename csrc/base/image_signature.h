/* image_signature.h - recognizes an image format by the first bytes of a file. In a pattern '?' matches any byte. */
#ifndef FLUX2_BASE_IMAGE_SIGNATURE_H
#define FLUX2_BASE_IMAGE_SIGNATURE_H

#include <stddef.h>

enum { FLUX2_IMAGE_SIGNATURE_MAX = 32 };

struct flux2_image_signature {
    unsigned char bytes[FLUX2_IMAGE_SIGNATURE_MAX];
    size_t size;
};

enum { FLUX2_IMAGE_SIGNATURE_NONE = -1, FLUX2_IMAGE_SIGNATURE_UNDECIDED = -2 };

/* Returns the index of the first of COUNT patterns that HEAD begins with, UNDECIDED if more bytes are needed, or
 * NONE if no pattern can match. */
int flux2_image_signature_match(const struct flux2_image_signature *patterns, size_t count, const unsigned char *head,
                                size_t size);

#endif
