/* picture.h - the pictures.
 *
 * Owns: drawing one (scene.c the landscape, caption.c the words over it), and making a PNG of a wanted size.
 * Never: HTTP, locks, tasks. The same order and seed give the same bytes. */
#ifndef FLUX2_EMU_PICTURE_H
#define FLUX2_EMU_PICTURE_H

#include "util.h"

#include <cairo.h>

struct emu_sketch {
    uint64_t seed; /* of everything that is drawn */
    int width, height;
    const char *prompt, *type, *resolution, *aspect_ratio;
    int (*give_up)(const void *cls); /* asked now and then: nonzero ends the drawing */
    const void *cls;
};

/* The size of a picture of RESOLUTION ("1K": a megapixel, "2K": four) and ASPECT_RATIO ("16:9"), in multiples of 16.
 * Ratios beyond 8:1 are drawn as 8:1. */
void flux2_emu_picture_size(const char *resolution, const char *aspect_ratio, int *width, int *height);

/* The PNG, or NULL: given up, or out of memory. */
struct emu_blob *flux2_emu_picture_draw(const struct emu_sketch *sketch);

/* A valid PNG of exactly SIZE bytes, or of the least that it takes, which is below 300. Differs with SEED. */
struct emu_blob *flux2_emu_picture_padded(uint64_t seed, size_t size);

/* The layers. Both are given a context over the whole picture. */
void flux2_emu_scene_draw(cairo_t *cr, const struct emu_sketch *sketch);
void flux2_emu_caption_draw(cairo_t *cr, const struct emu_sketch *sketch);

#endif
