/* util.h - the small things every room of the emulator needs.
 *
 * Owns: growing byte buffers, shared blobs, the seeded generator, clocks, matching of names.
 * Never: sockets, JSON or anything that knows what the bytes mean. A leaf. */
#ifndef FLUX2_EMU_UTIL_H
#define FLUX2_EMU_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that grow. Zero it to start; `failed` stays set once memory ran out, and later appends do nothing. */
struct emu_buf {
    char *data;
    size_t len, cap;
    bool failed;
};

void flux2_emu_buf_append(struct emu_buf *b, const void *data, size_t len);
void flux2_emu_buf_text(struct emu_buf *b, const char *text);
void flux2_emu_buf_printf(struct emu_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void flux2_emu_buf_free(struct emu_buf *b);

/* Bytes that several threads read and the last one frees. */
struct emu_blob {
    int refs; /* atomic */
    size_t len;
    unsigned char *data;
};

/* Both return a blob with one reference, or NULL; `adopt` takes the buffer's bytes over in either case. */
struct emu_blob *flux2_emu_blob_copy(const void *data, size_t len);
struct emu_blob *flux2_emu_blob_adopt(struct emu_buf *b);
struct emu_blob *flux2_emu_blob_ref(struct emu_blob *blob);
void flux2_emu_blob_unref(struct emu_blob *blob); /* NULL is welcome */

/* A seeded generator: the state goes in, is moved on, and the next number comes out. No two states of one run of
 * 2^64 give the same number, which is what makes task ids unique. */
uint64_t flux2_emu_random(uint64_t *state);
/* The same as a fraction: 0 <= x < 1. */
double flux2_emu_random_unit(uint64_t *state);
/* A number to start from that nobody chose. */
uint64_t flux2_emu_random_seed(void);

/* Goes on with a hash; start with flux2_emu_HASH_START. */
#define FLUX2_EMU_HASH_START 0xcbf29ce484222325ull
uint64_t flux2_emu_hash(uint64_t hash, const void *data, size_t len);

/* Seconds of a clock that nobody sets. */
double flux2_emu_now(void);

/* Whether TEXT is what PATTERN says, where `*` stands for any run of characters. */
bool flux2_emu_glob(const char *pattern, const char *text);

/* The number of code points in valid UTF-8. */
size_t flux2_emu_utf8_length(const char *text);

#endif
