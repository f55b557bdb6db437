/* image_scan.h - finds the end of an image in its bytes, as they come, and the place for metadata: a body that has the
 * announced length may still be a part of an image.
 *
 * Knows the structure of PNG, JPEG, RIFF (WebP), GIF and ISO media files (AVIF), and decodes none of them. What follows
 * the end is ignored, except for boxes of AVIF. Accepts any bytes. */
#ifndef FLUX2_BASE_IMAGE_SCAN_H
#define FLUX2_BASE_IMAGE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The formats that take metadata. */
enum flux2_image_format { FLUX2_IMAGE_OTHER, FLUX2_IMAGE_PNG, FLUX2_IMAGE_JPEG };

struct flux2_image_scan {
    void (*step)(struct flux2_image_scan *scan); /* what to do with the head, once it is there; NULL: nothing more */
    unsigned char head[32];
    unsigned have, need; /* bytes of the head */
    uint64_t skip;       /* bytes until the head begins */
    uint64_t at;         /* bytes taken so far */
    uint64_t rest;       /* bytes of the chunk or segment after the head */
    unsigned char code;  /* of JPEG: the marker of the segment */
    bool leads;          /* of JPEG: the segment is one of those that come first */
    bool scans;          /* of JPEG: until the next marker, instead */
    bool is_final;       /* the image ends with what is skipped */

    /* results, for metadata; final once the image is whole */
    enum flux2_image_format format;
    uint64_t place; /* where metadata belongs: after IHDR; after JFIF and Exif segments. 0: nowhere */
    bool is_closed; /* has a C2PA manifest, whose signature covers all bytes, or an XMP packet, of which there is one */
};

/* Before the first byte. */
void flux2_image_scan_init(struct flux2_image_scan *scan);
void flux2_image_scan_feed(struct flux2_image_scan *scan, const void *data, size_t size);
/* Whether the end has come. True for what is of another format. */
bool flux2_image_scan_is_whole(const struct flux2_image_scan *scan);

#endif
