/* image_cache.h - an LRU cache of drawn images with a memory limit.
 *
 * Concurrent requests for an image draw it once. Thread-safe; the cache has its own lock and releases it while
 * drawing. */
#ifndef FLUX2_EMU_IMAGE_CACHE_H
#define FLUX2_EMU_IMAGE_CACHE_H

#include "emulator/image.h"

struct emu_image_cache;

/* Returns NULL if out of memory. */
struct emu_image_cache *flux2_emu_image_cache_new(size_t max_bytes);
/* Accepts NULL. No thread may use the cache any more. */
void flux2_emu_image_cache_free(struct emu_image_cache *cache);

/* Returns the image of SPEC, or a padded image of SIZE bytes if SIZE is not 0, with one reference. Returns NULL if
 * cancelled or out of memory. May block for seconds. */
struct flux2_blob *flux2_emu_image_cache_get(struct emu_image_cache *cache, const struct emu_image_spec *spec,
                                             size_t size);

#endif
