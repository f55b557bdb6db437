/* image_signature.c - see image_signature.h. */
#include "base/image_signature.h"

#include <stdbool.h>

static bool matches(const struct flux2_image_signature *p, const unsigned char *head, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        if (p->bytes[i] != '?' && p->bytes[i] != head[i])
            return false;
    return true;
}

int flux2_image_signature_match(const struct flux2_image_signature *patterns, size_t count, const unsigned char *head,
                                size_t size)
{
    int undecided = FLUX2_IMAGE_SIGNATURE_NONE;
    size_t i;
    for (i = 0; i < count; i++) {
        size_t n = size < patterns[i].size ? size : patterns[i].size;
        if (!matches(&patterns[i], head, n))
            continue;
        if (n == patterns[i].size)
            return (int)i;
        undecided = FLUX2_IMAGE_SIGNATURE_UNDECIDED;
    }
    return undecided;
}
