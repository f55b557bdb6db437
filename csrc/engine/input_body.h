/* input_body.h - the body of a submission with local images: text, in which images are encoded as Base64.
 *
 * Images are read and encoded while they are sent, a few KiB at a time. All files are opened before that, so that a
 * file that is missing costs nothing, and one that is removed or renamed meanwhile is sent completely. Used by one
 * thread at a time. */
#ifndef FLUX2_ENGINE_INPUT_BODY_H
#define FLUX2_ENGINE_INPUT_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/transfer.h"

/* One image, and the text of the body after it. */
struct flux2_input_image {
    char *path;        /* the file; NULL: `data` has the bytes */
    char *data;        /* the bytes */
    size_t size;       /* of `data`, or of the open file */
    size_t limit;      /* maximum size of the file in bytes */
    char *after;       /* text */
    size_t after_size; /* bytes of `after` */
    intptr_t handle;   /* the open file; below 0: none. Not used in a parameter */
};

struct flux2_input_body;

/* Creates the body of TEXT, which is borrowed, and copies of COUNT images after it. The caller frees it. Returns NULL
 * if out of memory. */
struct flux2_input_body *flux2_input_body_new(const char *text, size_t size, const struct flux2_input_image *images,
                                              size_t count);
/* Frees BODY. NULL is allowed. */
void flux2_input_body_free(struct flux2_input_body *body);

/* Opens the files and sets *READER, which is valid until BODY is closed; the size of each file counts as it is now. The
 * caller closes BODY, also after a failure. Returns 0, or what flux2_file_open_regular returns (EFBIG: a file exceeds
 * its limit). */
int flux2_input_body_open(struct flux2_input_body *body, struct flux2_body_reader **reader);
/* Closes the files, if they are open. NULL is allowed. */
void flux2_input_body_close(struct flux2_input_body *body);

#endif
