/* gallery.h - the pictures that were drawn.
 *
 * Owns: a bounded memory of PNGs, and that one picture is drawn once however many ask for it at a time.
 * Never: holds its lock while it draws. */
#ifndef FLUX2_EMU_GALLERY_H
#define FLUX2_EMU_GALLERY_H

#include "picture.h"

struct emu_gallery;

struct emu_gallery *flux2_emu_gallery_new(size_t max_bytes);
void flux2_emu_gallery_free(struct emu_gallery *g);

/* The picture of SKETCH, or a padded one of SIZE bytes if SIZE is not 0. One reference; NULL: given up or out of memory.
 * May take a second, and wait for another thread that draws. */
struct emu_blob *flux2_emu_gallery_get(struct emu_gallery *g, const struct emu_sketch *sketch, size_t size);

#endif
