/* image.h - draws images as PNG: a landscape (landscape.c) with a caption (caption.c). Deterministic. Thread-safe. */
#ifndef FLUX2_EMU_IMAGE_H
#define FLUX2_EMU_IMAGE_H

#include <cairo.h>
#include <stdint.h>

#include "server/bytes.h"

struct emu_image_spec {
    uint64_t seed; /* seed of the landscape */
    int width, height;
    const char *prompt, *type, *resolution, *aspect_ratio;
    bool (*is_cancelled)(const void *context); /* called regularly; true cancels the drawing */
    const void *context;
};

/* Computes the size of an image of RESOLUTION ("1K": one megapixel, "2K": four) and ASPECT_RATIO ("16:9") in
 * multiples of 16. The ratio is limited to 8:1. */
void flux2_emu_image_size(const char *resolution, const char *aspect_ratio, int *width, int *height);

/* Returns the PNG with one reference, or NULL if cancelled or out of memory. */
struct flux2_blob *flux2_emu_image_draw(const struct emu_image_spec *spec);

/* Returns a valid PNG of SIZE bytes (at least the minimum, below 300) with one reference, or NULL if out of memory.
 * The pixels depend on SEED. */
struct flux2_blob *flux2_emu_image_padded(uint64_t seed, size_t size);

/* Draw one layer over the whole image. */
void flux2_emu_landscape_draw(cairo_t *cr, const struct emu_image_spec *spec);
void flux2_emu_caption_draw(cairo_t *cr, const struct emu_image_spec *spec);

#endif
