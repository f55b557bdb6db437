/* image_scan.c - see image_scan.h. */
#include "base/image_scan.h"

#include <string.h>

enum {
    START = 12,    /* bytes that tell the format */
    EXIF_SIZE = 6, /* of the name of an Exif segment */
};

static const char XMP_KEYWORD[] = "XML:com.adobe.xmp";         /* of PNG's iTXt, with its NUL */
static const char XMP_NAME[] = "http://ns.adobe.com/xap/1.0/"; /* of JPEG's APP1, with its NUL */

static uint64_t big_endian(const unsigned char *p, unsigned n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | *p++;
    return value;
}

static void expect(struct flux2_image_scan *e, unsigned need, void (*step)(struct flux2_image_scan *))
{
    e->need = need;
    e->step = step;
}

static void reach_end_after(struct flux2_image_scan *e, uint64_t skip)
{
    e->skip = skip;
    e->is_final = true;
    e->step = NULL;
}

/* --- PNG: chunks of length, type, data and checksum ------------------------------------------------ */

static void read_png_chunk(struct flux2_image_scan *e);

static void read_png_keyword(struct flux2_image_scan *e)
{
    e->is_closed = e->is_closed || memcmp(e->head, XMP_KEYWORD, sizeof XMP_KEYWORD) == 0;
    e->skip = e->rest;
    expect(e, 8, read_png_chunk);
}

static void read_png_chunk(struct flux2_image_scan *e)
{
    const unsigned char *type = e->head + 4;
    e->skip = big_endian(e->head, 4) + 4;
    if (memcmp(type, "IHDR", 4) == 0 && e->at == 16)
        e->place = e->at + e->skip;
    else if (memcmp(type, "caBX", 4) == 0)
        e->is_closed = true;
    else if (memcmp(type, "IEND", 4) == 0)
        reach_end_after(e, e->skip);
    else if (memcmp(type, "iTXt", 4) == 0 && e->skip > sizeof XMP_KEYWORD) {
        e->rest = e->skip - sizeof XMP_KEYWORD;
        e->skip = 0;
        expect(e, sizeof XMP_KEYWORD, read_png_keyword);
    }
}

/* --- RIFF: the length of everything comes first ---------------------------------------------------- */

static void read_riff_size(struct flux2_image_scan *e)
{
    const unsigned char *p = e->head;
    reach_end_after(e, (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24);
}

/* --- JPEG: segments, and after SOS coded data up to the next marker -------------------------------- */

static void read_jpeg_length(struct flux2_image_scan *e);

/* The code of a marker, or what stands after any other 0xff. */
static void read_jpeg_code(struct flux2_image_scan *e)
{
    unsigned char code = e->head[0];
    if (code == 0xd9)
        reach_end_after(e, 0);
    else if (code == 0 || code == 1 || (code >= 0xd0 && code <= 0xd8))
        e->scans = true; /* no segment */
    else if (code != 0xff) {
        e->code = code;
        expect(e, 2, read_jpeg_length);
    }
}

static void skip_segment(struct flux2_image_scan *e, uint64_t size)
{
    e->skip = size;
    e->scans = true;
    expect(e, 1, read_jpeg_code);
}

/* The name of an APP1 segment, whole or its beginning. */
static void read_jpeg_name(struct flux2_image_scan *e)
{
    bool has_name = e->need == sizeof XMP_NAME;
    e->is_closed = e->is_closed || (has_name && memcmp(e->head, XMP_NAME, sizeof XMP_NAME) == 0);
    if (e->leads && e->need >= EXIF_SIZE && memcmp(e->head, "Exif\0", EXIF_SIZE) == 0)
        e->place = e->at + e->rest;
    skip_segment(e, e->rest);
}

static void read_jpeg_length(struct flux2_image_scan *e)
{
    uint64_t length = big_endian(e->head, 2), size = length > 2 ? length - 2 : 0;
    unsigned name = size < sizeof XMP_NAME ? (unsigned)size : sizeof XMP_NAME;
    e->leads = e->at == e->place + 4; /* marker and length */
    e->is_closed = e->is_closed || e->code == 0xeb;
    if (e->leads && e->code == 0xe0)
        e->place = e->at + size;
    if (e->code != 0xe1 || name == 0) {
        skip_segment(e, size);
        return;
    }
    e->rest = size - name;
    expect(e, name, read_jpeg_name);
}

/* --- GIF: blocks, most of which hold a list of sub-blocks ------------------------------------------ */

static void read_gif_block(struct flux2_image_scan *e);

static uint64_t gif_color_table(unsigned char flags)
{
    return flags & 0x80 ? (uint64_t)3 << ((flags & 7) + 1) : 0;
}

static void read_gif_sub_block(struct flux2_image_scan *e)
{
    e->skip = e->head[0];
    if (e->skip == 0)
        expect(e, 1, read_gif_block);
}

static void read_gif_image(struct flux2_image_scan *e)
{
    e->skip = gif_color_table(e->head[8]) + 1;
    expect(e, 1, read_gif_sub_block);
}

static void read_gif_label(struct flux2_image_scan *e)
{
    expect(e, 1, read_gif_sub_block);
}

static void read_gif_block(struct flux2_image_scan *e)
{
    if (e->head[0] == 0x3b)
        reach_end_after(e, 0);
    else if (e->head[0] == 0x2c)
        expect(e, 9, read_gif_image);
    else
        expect(e, 1, read_gif_label);
}

static void read_gif_screen(struct flux2_image_scan *e)
{
    e->skip = gif_color_table(e->head[4]);
    expect(e, 1, read_gif_block);
}

/* --- ISO media: boxes; the one with the data need not be the last ---------------------------------- */

static void read_box(struct flux2_image_scan *e);

static void enter_box(struct flux2_image_scan *e, uint64_t size, unsigned head)
{
    e->skip = size > head ? size - head : 0;
    e->is_final = e->is_final || memcmp(e->head + 4, "mdat", 4) == 0;
    if (size == 0)
        reach_end_after(e, 0); /* it lasts until the end of the file, wherever that is */
    else
        expect(e, 8, read_box);
}

static void read_large_box(struct flux2_image_scan *e)
{
    enter_box(e, big_endian(e->head + 8, 8), 16);
}

static void read_box(struct flux2_image_scan *e)
{
    uint64_t size = big_endian(e->head, 4);
    if (size != 1) {
        enter_box(e, size, 8);
        return;
    }
    e->have = 8;
    expect(e, 16, read_large_box);
}

/* --- all of them ------------------------------------------------------------------------------------ */

/* What comes after the first bytes, by the format, and how many of these it looks at again. */
static unsigned choose_format(struct flux2_image_scan *e, const unsigned char *start)
{
    if (memcmp(start, "\x89PNG\r\n\x1a\n", 8) == 0) {
        e->format = FLUX2_IMAGE_PNG;
        expect(e, 8, read_png_chunk);
        return START - 8;
    }
    if (memcmp(start, "\xff\xd8\xff", 3) == 0) {
        e->format = FLUX2_IMAGE_JPEG;
        e->place = 2;
        e->scans = true;
        expect(e, 1, read_jpeg_code);
        return START - 2;
    }
    if (memcmp(start, "RIFF", 4) == 0) {
        expect(e, 4, read_riff_size);
        return START - 4;
    }
    if (memcmp(start, "GIF8", 4) == 0) {
        expect(e, 7, read_gif_screen);
        return START - 6;
    }
    if (memcmp(start + 4, "ftyp", 4) == 0) {
        expect(e, 8, read_box);
        return START;
    }
    reach_end_after(e, 0);
    return 0;
}

static void read_start(struct flux2_image_scan *e)
{
    unsigned char start[START];
    memcpy(start, e->head, START);
    unsigned again = choose_format(e, start);
    e->at -= again;
    flux2_image_scan_feed(e, start + START - again, again);
}

void flux2_image_scan_init(struct flux2_image_scan *e)
{
    *e = (struct flux2_image_scan){.need = START, .step = read_start};
}

/* Takes bytes that belong to no head. Returns how many. */
static size_t pass(struct flux2_image_scan *e, const unsigned char *data, size_t size)
{
    if (e->skip > 0) {
        size_t n = e->skip < size ? (size_t)e->skip : size;
        e->skip -= n;
        return n;
    }
    const unsigned char *marker = memchr(data, 0xff, size);
    e->scans = !marker;
    return marker ? (size_t)(marker - data) + 1 : size;
}

void flux2_image_scan_feed(struct flux2_image_scan *e, const void *data, size_t size)
{
    const unsigned char *p = data, *end = p + size;
    while (p < end && (e->step || e->skip > 0)) {
        if (e->skip > 0 || e->scans) {
            size_t n = pass(e, p, (size_t)(end - p));
            e->at += n;
            p += n;
            continue;
        }
        e->head[e->have++] = *p++;
        e->at++;
        if (e->have == e->need) {
            e->have = 0;
            e->step(e);
        }
    }
}

bool flux2_image_scan_is_whole(const struct flux2_image_scan *e)
{
    if (e->step == read_start) /* too short to tell, unless the first byte does */
        return e->have > 0 && !memchr("\x89\xffRG", e->head[0], 5);
    return e->is_final && e->skip == 0;
}
