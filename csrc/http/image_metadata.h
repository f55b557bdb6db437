/* image_metadata.h - what an image says about itself, as parts of its file: iTXt chunks of PNG, an APP1 segment of
 * JPEG. Pixels and other metadata stay as they are. */
#ifndef FLUX2_HTTP_IMAGE_METADATA_H
#define FLUX2_HTTP_IMAGE_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/image_scan.h"

/* The texts, in UTF-8; owned by the holder of the struct. */
struct flux2_image_metadata {
    char *json; /* NULL: no metadata */
    char *xmp;  /* an XMP packet, which contains `json` */
};

/* Sets OUT to a copy of FROM, which the caller clears. With an ID the first "{id}" in each text is replaced by it.
 * Returns false if out of memory; then OUT may hold a part. */
bool flux2_image_metadata_copy(struct flux2_image_metadata *out, const struct flux2_image_metadata *from,
                               const char *id);
void flux2_image_metadata_clear(struct flux2_image_metadata *metadata);

/* Sets *BLOCK to the bytes to insert at the place that SCAN has found, which the caller frees, and *SIZE. *BLOCK is
 * NULL if the image must not or cannot hold the metadata: another format, a manifest or an XMP packet of its own, too
 * long for a JPEG. Returns 0 or ENOMEM. */
int flux2_image_metadata_block(const struct flux2_image_metadata *metadata, const struct flux2_image_scan *scan,
                               char **block, size_t *size);

#endif
