/* sink.h - the destination of a body: memory, or a file that appears whole or not at all.
 *
 * Limits the size of a body and checks its first bytes and its end. Adds metadata to an image in a file. Used by one
 * thread at a time. */
#ifndef FLUX2_HTTP_SINK_H
#define FLUX2_HTTP_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/image_scan.h"
#include "base/image_signature.h"
#include "http/image_metadata.h"
#include "http/outcome.h"
#include "platform/file.h"

struct flux2_sink {
    /* set by the caller before the first write; borrowed */
    const char *path;                           /* the file; NULL: memory */
    const struct flux2_image_signature *accept; /* accepted signatures; NULL: any body */
    size_t accept_count;                        /* number of signatures in `accept` */
    /* of an image in a file: inserted into it or, if that is impossible, written to a file beside it, `path`.json;
     * NULL: none */
    const struct flux2_image_metadata *metadata;
    size_t limit; /* maximum size in bytes */
    bool durable; /* flush the file to disk before it gets its name */

    /* what was received so far */
    size_t received;              /* bytes */
    int signature;                /* index of the pattern that matched, or FLUX2_IMAGE_SIGNATURE_* */
    struct flux2_image_scan scan; /* detects a truncated image; only with `accept` or `metadata` */
    int error;                    /* the cause of FLUX2_FAILURE_IO: what a function of file.h returned */
    unsigned char head[FLUX2_IMAGE_SIGNATURE_MAX]; /* the first bytes */
    char *data;                                    /* memory: the bytes, NUL-terminated, owned */
    size_t capacity;                               /* of `data` */
    struct flux2_file file;                        /* file: open after the first write */
    struct flux2_file sidecar;                     /* the file beside it, until both are complete */
};

/* Initializes an empty sink, which owns nothing. */
void flux2_sink_init(struct flux2_sink *sink);

/* Appends SIZE bytes. EXPECTED is the size of the complete body, 0 if unknown. Returns NONE or a failure; after a
 * failure the sink accepts no more bytes. */
enum flux2_failure flux2_sink_write(struct flux2_sink *sink, const void *data, size_t size, size_t expected);

/* Finishes a complete body: checks signature and end, adds the metadata, renames a file to its target. Returns NONE or
 * a failure. */
enum flux2_failure flux2_sink_finish(struct flux2_sink *sink);

/* Returns the bytes in memory, which the caller frees, and sets *SIZE; NULL if there are none. Empties the sink. */
char *flux2_sink_take(struct flux2_sink *sink, size_t *size);

/* Frees the received bytes and removes an unfinished file; the caller's settings stay. */
void flux2_sink_clear(struct flux2_sink *sink);

#endif
