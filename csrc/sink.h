/* sink.h - where a body goes: into memory, or into a file that appears whole or not at all.
 *
 * Owns: the bound on a body, the check of its first bytes, the buffer or the file. Never: knows HTTP. */
#ifndef FLUX2_SINK_H
#define FLUX2_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "outcome.h"
#include "platform.h"
#include "signature.h"

struct flux2_sink {
    /* set by the owner before the first write; borrowed */
    const char *path;                     /* NULL: memory */
    const struct flux2_signature *accept; /* NULL: anything */
    size_t accept_count;
    size_t limit; /* bytes; one more is TOO_LARGE */
    bool durable; /* the file must outlive a power cut */

    /* what has come so far */
    size_t received;
    int signature; /* index of the pattern that matched, or FLUX2_SIGNATURE_* */
    int error;     /* errno behind FLUX2_FAILURE_IO */
    unsigned char head[FLUX2_SIGNATURE_MAX];
    char *data; /* memory only; NUL-terminated, owned */
    size_t capacity;
    struct flux2_file file;
};

/* Makes an empty sink that owns nothing. */
void flux2_sink_init(struct flux2_sink *sink);

/* Takes SIZE bytes; EXPECTED is the size of the whole body if it is known, else 0. Once it has failed the sink
 * takes no more. */
enum flux2_failure flux2_sink_write(struct flux2_sink *sink, const void *data, size_t size, size_t expected);

/* The body is whole: checks what is left to check and gives a file its name. */
enum flux2_failure flux2_sink_finish(struct flux2_sink *sink);

/* Hands the memory over to the caller, who frees it; NULL if there is none. */
char *flux2_sink_take(struct flux2_sink *sink, size_t *size);

/* Throws away what has come, file included, and is ready for the same body anew. */
void flux2_sink_clear(struct flux2_sink *sink);

#endif
