/* picture.c - the pictures; see picture.h. */
#include "picture.h"

#include "bomb.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MEGAPIXEL (1024.0 * 1024.0)

void flux2_emu_picture_size(const char *resolution, const char *aspect_ratio, int *width, int *height)
{
    double pixels = strcmp(resolution, "2K") ? MEGAPIXEL : 4 * MEGAPIXEL, ratio;
    int w = 1, h = 1;
    if (sscanf(aspect_ratio, "%d:%d", &w, &h) != 2 || w < 1 || h < 1)
        w = h = 1;
    ratio = fmin(fmax((double)w / h, 1.0 / 8), 8);
    /* A hair above, so that what is whole by arithmetic is whole in floating point too. */
    *width = (int)(sqrt(pixels * ratio) / 16 + 1e-6) * 16;
    *height = (int)(sqrt(pixels / ratio) / 16 + 1e-6) * 16;
}

/* Where a PNG goes while it is made, and who may end that. */
struct writer {
    struct emu_buf out;
    const struct emu_sketch *sketch;
};

static cairo_status_t write_png(void *cls, const unsigned char *data, unsigned len)
{
    struct writer *w = cls;
    if (w->sketch->give_up(w->sketch->cls))
        return CAIRO_STATUS_WRITE_ERROR;
    flux2_emu_buf_append(&w->out, data, len);
    return w->out.failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

struct emu_blob *flux2_emu_picture_draw(const struct emu_sketch *sketch)
{
    struct writer writer = {{0}, sketch};
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, sketch->width, sketch->height);
    cairo_t *cr = cairo_create(surface);
    bool ok;
    flux2_emu_scene_draw(cr, sketch);
    if (!sketch->give_up(sketch->cls))
        flux2_emu_caption_draw(cr, sketch);
    ok = cairo_status(cr) == CAIRO_STATUS_SUCCESS && !sketch->give_up(sketch->cls);
    cairo_destroy(cr);
    ok = ok && cairo_surface_write_to_png_stream(surface, write_png, &writer) == CAIRO_STATUS_SUCCESS;
    cairo_surface_destroy(surface);
    if (ok)
        return flux2_emu_blob_adopt(&writer.out);
    flux2_emu_buf_free(&writer.out);
    return NULL;
}

/* --- a PNG of a wanted size -------------------------------------------------------------------- */

static void put_be32(unsigned char *p, uint32_t value)
{
    p[0] = (unsigned char)(value >> 24);
    p[1] = (unsigned char)(value >> 16);
    p[2] = (unsigned char)(value >> 8);
    p[3] = (unsigned char)value;
}

static void put_chunk(struct emu_buf *b, const char *type, const void *data, size_t len)
{
    unsigned char number[4];
    uint32_t crc = flux2_emu_bomb_crc32(flux2_emu_bomb_crc32(0, type, 4), data, len);
    put_be32(number, (uint32_t)len);
    flux2_emu_buf_append(b, number, 4);
    flux2_emu_buf_append(b, type, 4);
    flux2_emu_buf_append(b, data, len);
    put_be32(number, crc);
    flux2_emu_buf_append(b, number, 4);
}

/* 8 x 8 dots of two colours, not compressed: the seed's bits. */
static void put_dots(struct emu_buf *b, uint64_t seed)
{
    static const unsigned char head[13] = {0, 0, 0, 8, 0, 0, 0, 8, 1, 3, 0, 0, 0};
    unsigned char colours[6], data[2 + 5 + 16 + 4] = {0x78, 0x01, 1, 16, 0, 0xef, 0xff};
    unsigned char *rows = data + 7;
    uint32_t low = 1, high = 0;
    int i;
    for (i = 0; i < 6; i++)
        colours[i] = (unsigned char)((seed >> (i * 8) & 0x7f) + (i < 3 ? 0 : 0x80));
    for (i = 0; i < 8; i++)
        rows[i * 2 + 1] = (unsigned char)(seed >> (i * 8));
    for (i = 0; i < 16; i++) {
        low = (low + rows[i]) % 65521;
        high = (high + low) % 65521;
    }
    put_be32(data + 7 + 16, high << 16 | low);
    put_chunk(b, "IHDR", head, sizeof(head));
    put_chunk(b, "PLTE", colours, sizeof(colours));
    put_chunk(b, "IDAT", data, sizeof(data));
}

struct emu_blob *flux2_emu_picture_padded(uint64_t seed, size_t size)
{
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const char nothing[4096];
    struct emu_buf b = {0}, pad = {0};
    char text[6 + 16 + 1];
    size_t least, left;
    flux2_emu_buf_append(&b, signature, sizeof(signature));
    put_dots(&b, seed);
    snprintf(text, sizeof(text), "flux2%c%016llx", 0, (unsigned long long)seed);
    put_chunk(&b, "tEXt", text, sizeof(text) - 1);
    least = b.len + 12 + 12; /* an empty chunk of padding, and the end */
    for (left = size > least ? size - least : 0; left && !pad.failed;
         left -= left < sizeof(nothing) ? left : sizeof(nothing))
        flux2_emu_buf_append(&pad, nothing, left < sizeof(nothing) ? left : sizeof(nothing));
    put_chunk(&b, "paDd", pad.data, pad.len); /* ancillary, private: readers pass over it */
    put_chunk(&b, "IEND", NULL, 0);
    b.failed = b.failed || pad.failed;
    flux2_emu_buf_free(&pad);
    return flux2_emu_blob_adopt(&b);
}
