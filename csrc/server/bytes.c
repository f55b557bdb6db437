/* bytes.c - see bytes.h. */
#include "server/bytes.h"

#include <stdlib.h>
#include <string.h>

static bool reserve(struct flux2_bytes *b, size_t more)
{
    size_t capacity = b->capacity ? b->capacity : 256;
    if (b->failed)
        return false;
    if (b->capacity - b->size >= more)
        return true;
    while (capacity - b->size < more)
        capacity *= 2;
    char *data = realloc(b->data, capacity);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = capacity;
    return true;
}

void flux2_bytes_append(struct flux2_bytes *b, const void *data, size_t size)
{
    if (!size || !reserve(b, size))
        return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void flux2_bytes_free(struct flux2_bytes *b)
{
    free(b->data);
    *b = (struct flux2_bytes){0};
}

bool flux2_pair_next(const char **at, const char *end, const char **name, const char **value)
{
    if (*at >= end)
        return false;
    *name = *at;
    *value = *name + strlen(*name) + 1;
    *at = *value + strlen(*value) + 1;
    return true;
}

struct flux2_blob *flux2_blob_adopt(struct flux2_bytes *b)
{
    struct flux2_blob *blob = b->failed ? NULL : malloc(sizeof *blob);
    if (!blob) {
        flux2_bytes_free(b);
        return NULL;
    }
    atomic_init(&blob->references, 1);
    blob->size = b->size;
    blob->data = (unsigned char *)b->data;
    *b = (struct flux2_bytes){0};
    return blob;
}

struct flux2_blob *flux2_blob_ref(struct flux2_blob *blob)
{
    atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void flux2_blob_unref(struct flux2_blob *blob)
{
    if (!blob || atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) > 1)
        return;
    free(blob->data);
    free(blob);
}
