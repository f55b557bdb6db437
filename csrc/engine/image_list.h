/* image_list.h - the images in a response. Any thread may call these functions; a list belongs to its caller. */
#ifndef FLUX2_ENGINE_IMAGE_LIST_H
#define FLUX2_ENGINE_IMAGE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "engine/response_schema.h"

enum { FLUX2_IMAGES_MAX = 64 };

/* One image: its URL or its bytes. All members are owned. */
struct flux2_response_image {
    char *url;          /* NULL: `data` has the bytes */
    char *content_type; /* the media type from the service, in lower case; NULL: unknown */
    char *data;         /* the bytes, NUL-terminated; NULL: only a URL */
    size_t size;        /* of `data` */
};

/* The images of a response. All members are owned. */
struct flux2_image_list {
    struct flux2_response_image *at;
    size_t count;   /* images in `at` */
    char *bad_link; /* the first text in the place of a link that is no URL; NULL: none */
};

/* Reads all images below ROOT that SCHEMA describes, in order and without duplicate URLs. Links are relative to
 * BASE_URL (NULL: only absolute ones count). Text that cannot be decoded as an image is ignored. Depth, visited values
 * and images are limited. Returns false if out of memory; LIST is empty then. */
bool flux2_image_list_read(struct flux2_image_list *list, const struct flux2_response_schema *schema,
                           const struct flux2_json_value *root, const char *base_url);

/* Returns the memory of the images in bytes. */
size_t flux2_image_list_size(const struct flux2_image_list *list);

/* Frees the images; the list is empty then. */
void flux2_image_list_clear(struct flux2_image_list *list);

#endif
