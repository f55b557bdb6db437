/* signature.c - see signature.h. */
#include "signature.h"

#include <stdbool.h>

static bool agrees(const struct flux2_signature *p, const unsigned char *head, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        if (p->bytes[i] != '?' && p->bytes[i] != head[i])
            return false;
    return true;
}

int flux2_signature_match(const struct flux2_signature *patterns, size_t count, const unsigned char *head,
                          size_t size)
{
    int undecided = FLUX2_SIGNATURE_NONE;
    size_t i;
    for (i = 0; i < count; i++) {
        size_t n = size < patterns[i].size ? size : patterns[i].size;
        if (!agrees(&patterns[i], head, n))
            continue;
        if (n == patterns[i].size)
            return (int)i;
        undecided = FLUX2_SIGNATURE_UNDECIDED;
    }
    return undecided;
}
