/* gzip_bomb.c - see gzip_bomb.h. */
#include "emulator/gzip_bomb.h"

#include <string.h>
#include <zlib.h>

/* A bit stream of the Deflate format: values start at the lowest bit, Huffman codes at the highest. */
struct bits {
    struct flux2_bytes out;
    uint32_t pending;
    int count;
};

static void put(struct bits *b, uint32_t value, int count)
{
    b->pending |= value << b->count;
    b->count += count;
    while (b->count >= 8) {
        unsigned char byte = (unsigned char)b->pending;
        flux2_bytes_append(&b->out, &byte, 1);
        b->pending >>= 8;
        b->count -= 8;
    }
}

static void put_code(struct bits *b, uint32_t code, int count)
{
    uint32_t reversed = 0;
    int i;
    for (i = 0; i < count; i++)
        reversed |= (code >> i & 1) << (count - 1 - i);
    put(b, reversed, count);
}

static void put_le32(struct bits *b, uint32_t value)
{
    put(b, value & 0xffff, 16);
    put(b, value >> 16, 16);
}

/* One block with fixed Huffman codes: a space, then repeated references of 13 bits to 258 bytes at distance 1. */
struct flux2_blob *flux2_emu_gzip_bomb(uint64_t size)
{
    static const unsigned char head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    unsigned char run[258];
    struct bits b = {{0}, 0, 0};
    uint64_t i, runs = (size + 257) / 258;
    uLong crc;
    memset(run, ' ', sizeof(run));
    crc = crc32(0, run, 1);
    flux2_bytes_append(&b.out, head, sizeof(head));
    put(&b, 1, 1);               /* final block */
    put(&b, 1, 2);               /* fixed Huffman codes */
    put_code(&b, 0x30 + ' ', 8); /* a space */
    for (i = 0; i < runs; i++) {
        put_code(&b, 0xc5, 8); /* length 258 */
        put_code(&b, 0, 5);    /* distance 1 */
        crc = crc32(crc, run, sizeof(run));
    }
    put_code(&b, 0, 7); /* end of block */
    put(&b, 0, (8 - b.count) % 8);
    put_le32(&b, (uint32_t)crc);
    put_le32(&b, (uint32_t)(runs * 258 + 1));
    return flux2_blob_adopt(&b.out);
}
