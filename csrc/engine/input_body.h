/* input_body.h - the body of a submission with local images: text, in which images are encoded as Base64.
 *
 * The images are read and encoded on the engine's thread, before anything is sent. Used by one thread at a time. */
#ifndef FLUX2_ENGINE_INPUT_BODY_H
#define FLUX2_ENGINE_INPUT_BODY_H

#include <stdbool.h>
#include <stddef.h>

/* One image, and the text of the body after it. */
struct flux2_input_image {
    char *path;        /* the file; NULL: `data` has the bytes */
    char *data;        /* the bytes */
    size_t size;       /* of `data` */
    size_t limit;      /* maximum size of the file in bytes */
    char *after;       /* text */
    size_t after_size; /* bytes of `after` */
};

/* The images of a body in their order. All members are owned. */
struct flux2_input_images {
    struct flux2_input_image *at;
    size_t count;
};

/* Copies COUNT images. Returns false if out of memory; the caller frees OUT in every case. */
bool flux2_input_images_copy(struct flux2_input_images *out, const struct flux2_input_image *images, size_t count);

/* Replaces *BODY, of *SIZE bytes, by a body that begins with it and contains the images, and frees the images. Returns
 * 0, or what flux2_file_read returns: then nothing has changed. */
int flux2_input_images_fill(struct flux2_input_images *images, char **body, size_t *size);

/* Frees the images. */
void flux2_input_images_clear(struct flux2_input_images *images);

#endif
