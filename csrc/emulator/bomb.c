/* bomb.c - a gzip file that is much smaller than what is in it; see bomb.h. */
#include "bomb.h"

#include <pthread.h>
#include <string.h>

static uint32_t crc_table[256];

static void make_crc_table(void)
{
    uint32_t i, k, c;
    for (i = 0; i < 256; i++) {
        for (c = i, k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        crc_table[i] = c;
    }
}

uint32_t flux2_emu_bomb_crc32(uint32_t crc, const void *data, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const unsigned char *p = data;
    pthread_once(&once, make_crc_table);
    crc = ~crc;
    while (len--)
        crc = crc_table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return ~crc;
}

/* Deflate's bits go in from the lowest; its codes come highest first, which `code` turns round. */
struct bits {
    struct emu_buf out;
    uint32_t pending;
    int count;
};

static void put(struct bits *b, uint32_t value, int count)
{
    b->pending |= value << b->count;
    b->count += count;
    while (b->count >= 8) {
        unsigned char byte = (unsigned char)b->pending;
        flux2_emu_buf_append(&b->out, &byte, 1);
        b->pending >>= 8;
        b->count -= 8;
    }
}

static void put_code(struct bits *b, uint32_t code, int count)
{
    uint32_t turned = 0;
    int i;
    for (i = 0; i < count; i++)
        turned |= (code >> i & 1) << (count - 1 - i);
    put(b, turned, count);
}

static void put_le32(struct bits *b, uint32_t value)
{
    put(b, value & 0xffff, 16);
    put(b, value >> 16, 16);
}

/* Blocks of the fixed code: a blank, then "258 bytes from 1 byte back" as often as it takes, 13 bits each. */
struct emu_blob *flux2_emu_bomb_make(uint64_t size)
{
    static const unsigned char head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    unsigned char run[258];
    struct bits b = {{0}, 0, 0};
    uint64_t i, runs = (size + 257) / 258;
    uint32_t crc;
    memset(run, ' ', sizeof(run));
    crc = flux2_emu_bomb_crc32(0, run, 1);
    flux2_emu_buf_append(&b.out, head, sizeof(head));
    put(&b, 1, 1);               /* the last block */
    put(&b, 1, 2);               /* of the fixed code */
    put_code(&b, 0x30 + ' ', 8); /* a blank */
    for (i = 0; i < runs; i++) {
        put_code(&b, 0xc5, 8); /* length 258 */
        put_code(&b, 0, 5);    /* distance 1 */
        crc = flux2_emu_bomb_crc32(crc, run, sizeof(run));
    }
    put_code(&b, 0, 7); /* the end */
    put(&b, 0, (8 - b.count) % 8);
    put_le32(&b, crc);
    put_le32(&b, (uint32_t)(runs * 258 + 1));
    return flux2_emu_blob_adopt(&b.out);
}
