/* hash.c - see hash.h. */
#include "base/hash.h"

#include <string.h>

#include "platform/thread.h"

uint64_t flux2_hash(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;
    size_t i;
    for (i = 0; i < size; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint32_t crc_table[256];

static void make_crc_table(void)
{
    uint32_t i, k, c;
    for (i = 0; i < 256; i++) {
        for (c = i, k = 0; k < 8; k++)
            c = c & 1 ? UINT32_C(0xedb88320) ^ (c >> 1) : c >> 1;
        crc_table[i] = c;
    }
}

uint32_t flux2_crc32(uint32_t crc, const void *data, size_t size)
{
    static struct flux2_once once;
    const unsigned char *p = data;
    flux2_once_call(&once, make_crc_table);
    crc = ~crc;
    while (size--)
        crc = crc_table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return ~crc;
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
