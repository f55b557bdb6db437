/* image.c - see image.h. */
#include "emulator/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define MEGAPIXEL (1024.0 * 1024.0)

void flux2_emu_image_size(const char *resolution, const char *aspect_ratio, int *width, int *height)
{
    double pixels = strcmp(resolution, "2K") ? MEGAPIXEL : 4 * MEGAPIXEL, ratio;
    int w = 1, h = 1;
    if (sscanf(aspect_ratio, "%d:%d", &w, &h) != 2 || w < 1 || h < 1)
        w = h = 1;
    ratio = fmin(fmax((double)w / h, 1.0 / 8), 8);
    /* 1e-6 compensates for rounding errors of integral results. */
    *width = (int)(sqrt(pixels * ratio) / 16 + 1e-6) * 16;
    *height = (int)(sqrt(pixels / ratio) / 16 + 1e-6) * 16;
}

/* State of the PNG writer. */
struct writer {
    struct flux2_bytes out;
    const struct emu_image_spec *spec;
};

static cairo_status_t write_png(void *cls, const unsigned char *data, unsigned len)
{
    struct writer *w = cls;
    if (w->spec->is_cancelled(w->spec->context))
        return CAIRO_STATUS_WRITE_ERROR;
    flux2_bytes_append(&w->out, data, len);
    return w->out.failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

struct flux2_blob *flux2_emu_image_draw(const struct emu_image_spec *spec)
{
    struct writer writer = {{0}, spec};
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, spec->width, spec->height);
    cairo_t *cr = cairo_create(surface);
    bool ok;
    flux2_emu_landscape_draw(cr, spec);
    if (!spec->is_cancelled(spec->context))
        flux2_emu_caption_draw(cr, spec);
    ok = cairo_status(cr) == CAIRO_STATUS_SUCCESS && !spec->is_cancelled(spec->context);
    cairo_destroy(cr);
    ok = ok && cairo_surface_write_to_png_stream(surface, write_png, &writer) == CAIRO_STATUS_SUCCESS;
    cairo_surface_destroy(surface);
    if (ok)
        return flux2_blob_adopt(&writer.out);
    flux2_bytes_free(&writer.out);
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

static void put_chunk(struct flux2_bytes *b, const char *type, const void *data, size_t len)
{
    unsigned char number[4];
    uLong crc = crc32(0, (const Bytef *)type, 4);
    if (len > 0) /* of nothing it would be 0 */
        crc = crc32(crc, data, (uInt)len);
    put_be32(number, (uint32_t)len);
    flux2_bytes_append(b, number, 4);
    flux2_bytes_append(b, type, 4);
    flux2_bytes_append(b, data, len);
    put_be32(number, (uint32_t)crc);
    flux2_bytes_append(b, number, 4);
}

/* 8 x 8 uncompressed pixels in two colours: the bits of the seed. */
static void put_pixels(struct flux2_bytes *b, uint64_t seed)
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

struct flux2_blob *flux2_emu_image_padded(uint64_t seed, size_t size)
{
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const char zeros[4096];
    struct flux2_bytes b = {0}, pad = {0};
    char text[6 + 16 + 1];
    size_t least, left;
    flux2_bytes_append(&b, signature, sizeof(signature));
    put_pixels(&b, seed);
    snprintf(text, sizeof(text), "flux2%c%016llx", 0, (unsigned long long)seed);
    put_chunk(&b, "tEXt", text, sizeof(text) - 1);
    least = b.size + 12 + 12; /* an empty padding chunk and IEND */
    for (left = size > least ? size - least : 0; left && !pad.failed;
         left -= left < sizeof(zeros) ? left : sizeof(zeros))
        flux2_bytes_append(&pad, zeros, left < sizeof(zeros) ? left : sizeof(zeros));
    put_chunk(&b, "paDd", pad.data, pad.size); /* ancillary, private: decoders skip it */
    put_chunk(&b, "IEND", NULL, 0);
    b.failed = b.failed || pad.failed;
    flux2_bytes_free(&pad);
    return flux2_blob_adopt(&b);
}
