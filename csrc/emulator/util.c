/* util.c - the small things every room of the emulator needs; see util.h. */
#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool reserve(struct emu_buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : 256;
    char *data;
    if (b->failed)
        return false;
    if (b->cap - b->len >= more)
        return true;
    while (cap - b->len < more)
        cap *= 2;
    data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void flux2_emu_buf_append(struct emu_buf *b, const void *data, size_t len)
{
    if (!len || !reserve(b, len))
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void flux2_emu_buf_text(struct emu_buf *b, const char *text)
{
    flux2_emu_buf_append(b, text, strlen(text));
}

void flux2_emu_buf_printf(struct emu_buf *b, const char *format, ...)
{
    va_list args;
    int len;
    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !reserve(b, (size_t)len + 1))
        return;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

void flux2_emu_buf_free(struct emu_buf *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}

struct emu_blob *flux2_emu_blob_adopt(struct emu_buf *b)
{
    struct emu_blob *blob = b->failed ? NULL : malloc(sizeof(*blob));
    if (!blob) {
        flux2_emu_buf_free(b);
        return NULL;
    }
    blob->refs = 1;
    blob->len = b->len;
    blob->data = (unsigned char *)b->data;
    memset(b, 0, sizeof(*b));
    return blob;
}

struct emu_blob *flux2_emu_blob_copy(const void *data, size_t len)
{
    struct emu_buf b = {0};
    flux2_emu_buf_append(&b, data, len);
    return flux2_emu_blob_adopt(&b);
}

struct emu_blob *flux2_emu_blob_ref(struct emu_blob *blob)
{
    __atomic_add_fetch(&blob->refs, 1, __ATOMIC_RELAXED);
    return blob;
}

void flux2_emu_blob_unref(struct emu_blob *blob)
{
    if (!blob || __atomic_sub_fetch(&blob->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(blob->data);
    free(blob);
}

/* splitmix64: a counter through a bijection. */
uint64_t flux2_emu_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

double flux2_emu_random_unit(uint64_t *state)
{
    return (double)(flux2_emu_random(state) >> 11) * 0x1p-53;
}

uint64_t flux2_emu_random_seed(void)
{
    static int starts; /* two emulators of one process that start within one tick of the clock */
    struct timespec t;
    uint64_t state;
    clock_gettime(CLOCK_REALTIME, &t);
    state = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    state ^= (uint64_t)getpid() << 40;
    state += (uint64_t)__atomic_add_fetch(&starts, 1, __ATOMIC_RELAXED) * 0x632be59bd9b4e019ull;
    return flux2_emu_random(&state);
}

/* FNV-1a. */
uint64_t flux2_emu_hash(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *p = data;
    size_t i;
    for (i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3ull;
    return hash;
}

double flux2_emu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool flux2_emu_glob(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

size_t flux2_emu_utf8_length(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}
