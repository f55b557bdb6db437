/* hash.h - hashes. Thread-safe. */
#ifndef FLUX2_BASE_HASH_H
#define FLUX2_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a: continues HASH, which starts as FLUX2_HASH_START. */
#define FLUX2_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t flux2_hash(uint64_t hash, const void *data, size_t size);

/* Returns a non-zero digest of a response body, much faster than parsing the body. Not a cryptographic hash: a
 * server that forges a collision only hides the second of the two bodies. */
uint64_t flux2_body_digest(const char *body, size_t size);

#endif
