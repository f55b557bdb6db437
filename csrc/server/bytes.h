/* bytes.h - growing byte buffers, and immutable byte blobs that several threads share. */
#ifndef FLUX2_SERVER_BYTES_H
#define FLUX2_SERVER_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A growing buffer, used by one thread; empty if zero-initialized. If an allocation fails, `failed` is set and later
 * appends do nothing. */
struct flux2_bytes {
    char *data;
    size_t size, capacity;
    bool failed;
};

void flux2_bytes_append(struct flux2_bytes *b, const void *data, size_t size);
/* Frees the memory and empties the buffer. */
void flux2_bytes_free(struct flux2_bytes *b);

/* Sets NAME and VALUE to the pair at *AT, in a sequence of names and values that are each ended by a NUL, and moves *AT
 * after it. Returns false at END. */
bool flux2_pair_next(const char **at, const char *end, const char **name, const char **value);

/* Immutable, reference-counted bytes. Thread-safe. */
struct flux2_blob {
    atomic_int references;
    size_t size;
    unsigned char *data;
};

/* Moves the buffer's bytes into a new blob with one reference and empties the buffer. Returns NULL if out of memory. */
struct flux2_blob *flux2_blob_adopt(struct flux2_bytes *b);
struct flux2_blob *flux2_blob_ref(struct flux2_blob *blob);
/* Accepts NULL. */
void flux2_blob_unref(struct flux2_blob *blob);

#endif
