/* image_metadata.c - see image_metadata.h. */
#include "http/image_metadata.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/template.h"

enum { CHUNK_FRAME = 12, SEGMENT_MAX = 65535 };

/* What precedes the text in an iTXt chunk, with the last NUL: keyword, two bytes for "not compressed", no language, no
 * translated keyword. */
static const char JSON_HEAD[] = "flux2\0\0\0\0", XMP_HEAD[] = "XML:com.adobe.xmp\0\0\0\0";
static const char XMP_NAME[] = "http://ns.adobe.com/xap/1.0/"; /* with its NUL */

static bool copy_text(char **out, const char *text, const char *id)
{
    const struct flux2_template_value value = {
        .mark = "{id}", .text = id, .size = id ? strlen(id) : 0, .for_xml = true};
    *out = text ? flux2_template_fill(text, &value, id ? 1 : 0) : NULL;
    return !text || *out;
}

bool flux2_image_metadata_copy(struct flux2_image_metadata *out, const struct flux2_image_metadata *from,
                               const char *id)
{
    *out = (struct flux2_image_metadata){NULL, NULL};
    return copy_text(&out->json, from->json, id) && copy_text(&out->xmp, from->xmp, id);
}

void flux2_image_metadata_clear(struct flux2_image_metadata *m)
{
    free(m->json);
    free(m->xmp);
    *m = (struct flux2_image_metadata){NULL, NULL};
}

static char *put(char *out, const void *from, size_t size)
{
    memcpy(out, from, size);
    return out + size;
}

static char *put_number(char *out, uint32_t n)
{
    const unsigned char bytes[] = {n >> 24 & 0xff, n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff};
    return put(out, bytes, sizeof bytes);
}

/* Appends an iTXt chunk. Returns the new end. */
static char *put_chunk(char *out, const char *head, size_t head_size, const char *text)
{
    size_t size = head_size + strlen(text);
    char *type = put_number(out, (uint32_t)size);
    char *end = put(put(put(type, "iTXt", 4), head, head_size), text, strlen(text));
    return put_number(end, (uint32_t)crc32(0, (const Bytef *)type, (uInt)(end - type)));
}

static int make_chunks(const struct flux2_image_metadata *m, char **block, size_t *size)
{
    size_t json_head = sizeof JSON_HEAD, xmp_head = sizeof XMP_HEAD;
    *size = 2 * CHUNK_FRAME + json_head + strlen(m->json) + xmp_head + strlen(m->xmp);
    *block = malloc(*size);
    if (!*block)
        return ENOMEM;
    put_chunk(put_chunk(*block, JSON_HEAD, json_head, m->json), XMP_HEAD, xmp_head, m->xmp);
    return 0;
}

static int make_segment(const struct flux2_image_metadata *m, char **block, size_t *size)
{
    size_t length = 2 + sizeof XMP_NAME + strlen(m->xmp);
    if (length > SEGMENT_MAX)
        return 0;
    *size = 2 + length;
    *block = malloc(*size);
    if (!*block)
        return ENOMEM;
    const unsigned char head[] = {0xff, 0xe1, (unsigned char)(length >> 8), length & 0xff};
    put(put(put(*block, head, sizeof head), XMP_NAME, sizeof XMP_NAME), m->xmp, strlen(m->xmp));
    return 0;
}

int flux2_image_metadata_block(const struct flux2_image_metadata *m, const struct flux2_image_scan *scan, char **block,
                               size_t *size)
{
    *block = NULL;
    *size = 0;
    if (scan->place == 0 || scan->is_closed || !flux2_image_scan_is_whole(scan))
        return 0;
    return scan->format == FLUX2_IMAGE_PNG ? make_chunks(m, block, size) : make_segment(m, block, size);
}
