/* fuzz.h - what the fuzz targets share: an assertion, and input taken apart. `make fuzz` runs them. */
#ifndef FLUX2_FUZZ_H
#define FLUX2_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The promise CONDITION is broken: ends the process, so that libFuzzer keeps the input. */
#define PROMISE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the input. */
struct input {
    const uint8_t *at;
    size_t size;
};

static inline uint8_t take_byte(struct input *in)
{
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->at++;
}

/* The bytes up to SEPARATOR, which is skipped, or all that is left. */
static inline struct input take_until(struct input *in, uint8_t separator)
{
    const uint8_t *end = in->size ? memchr(in->at, separator, in->size) : NULL;
    struct input part = {in->at, end ? (size_t)(end - in->at) : in->size};
    size_t used = part.size + (end ? 1 : 0);
    in->at += used;
    in->size -= used;
    return part;
}

/* A copy of exactly its size, so that a read beyond its end is seen. The caller frees it. */
static inline char *exact_copy(struct input part)
{
    char *copy = malloc(part.size ? part.size : 1);
    if (!copy)
        abort();
    if (part.size)
        memcpy(copy, part.at, part.size);
    return copy;
}

/* The same as a C string, which ends at its first NUL. The caller frees it. */
static inline char *text_copy(struct input part)
{
    char *copy = malloc(part.size + 1);
    if (!copy)
        abort();
    if (part.size)
        memcpy(copy, part.at, part.size);
    copy[part.size] = '\0';
    return copy;
}

#endif
