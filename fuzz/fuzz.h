/* fuzz.h - an assertion and input parsing for the fuzz targets. `make fuzz` runs them. */
#ifndef FLUX2_FUZZ_H
#define FLUX2_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Aborts if CONDITION is false, so that libFuzzer saves the input. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rest of the input. */
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

/* Takes the bytes up to SEPARATOR, which is skipped, or the whole rest. */
static inline struct input take_until(struct input *in, uint8_t separator)
{
    const uint8_t *end = in->size ? memchr(in->at, separator, in->size) : NULL;
    struct input part = {in->at, end ? (size_t)(end - in->at) : in->size};
    size_t used = part.size + (end ? 1 : 0);
    in->at += used;
    in->size -= used;
    return part;
}

/* Returns a copy without padding, so that AddressSanitizer detects a read beyond its end. The caller frees it. */
static inline char *exact_copy(struct input part)
{
    char *copy = malloc(part.size ? part.size : 1);
    if (!copy)
        abort();
    if (part.size)
        memcpy(copy, part.at, part.size);
    return copy;
}

/* Returns a NUL-terminated copy. The caller frees it. */
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
