/* image_end.h - finds the end of an image in its bytes, as they come: a body that has the announced length may still be
 * a part of an image.
 *
 * Knows the structure of PNG, JPEG, RIFF (WebP), GIF and ISO media files (AVIF), and decodes none of them. What follows
 * the end is ignored, except for boxes of AVIF. Accepts any bytes. */
#ifndef FLUX2_BASE_IMAGE_END_H
#define FLUX2_BASE_IMAGE_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flux2_image_end {
    void (*step)(struct flux2_image_end *end); /* what to do with the head, once it is there; NULL: nothing more */
    unsigned char head[16];
    unsigned have, need; /* bytes of the head */
    uint64_t skip;       /* bytes until the head begins */
    bool scans;          /* of JPEG: until the next marker, instead */
    bool is_final;       /* the image ends with what is skipped */
};

/* Before the first byte. */
void flux2_image_end_init(struct flux2_image_end *end);
void flux2_image_end_feed(struct flux2_image_end *end, const void *data, size_t size);
/* Whether the end has come. True for what is of another format. */
bool flux2_image_end_is_reached(const struct flux2_image_end *end);

#endif
