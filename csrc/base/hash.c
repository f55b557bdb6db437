/* hash.c - see hash.h. */
#include "base/hash.h"

#include <string.h>

uint64_t flux2_hash(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;
    size_t i;
    for (i = 0; i < size; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t flux2_body_digest(const char *body, size_t size)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t digest = size * factor, word;
    while (size > 0) {
        size_t n = size < sizeof word ? size : sizeof word;
        word = 0;
        memcpy(&word, body, n);
        digest = (digest ^ word) * factor;
        digest ^= digest >> 29; /* multiplication propagates bits upwards only */
        body += n;
        size -= n;
    }
    return digest ? digest : 1;
}
