/* image_urls.h - generates, parses and expires image URLs, and draws their images.
 *
 * Runs on the connection threads. */
#ifndef FLUX2_EMU_IMAGE_URLS_H
#define FLUX2_EMU_IMAGE_URLS_H

#include "emulator/state.h"

struct emu_image_ref {
    const struct emu_task *task;
    int number; /* from 1 */
};

enum emu_image_state { EMU_IMAGE_UNKNOWN, EMU_IMAGE_EXPIRED, EMU_IMAGE_VALID };

/* Returns whether PATH is below the image path. */
bool flux2_emu_image_urls_match(const struct emu_settings *s, const char *path);

/* Parses PATH into IMAGE. The caller holds the emulator's lock. */
enum emu_image_state flux2_emu_image_urls_read(const struct flux2_emu *emu, const struct emu_settings *s,
                                               const char *path, struct emu_image_ref *image);

/* Returns the image URLs of a finished task as a new array. Issues new URLs if the previous ones have expired. The
 * caller holds the emulator's lock. */
json_t *flux2_emu_image_urls_list(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task);

/* Returns the PNG with one reference, or NULL if out of memory or the emulator stops. May block for seconds: the
 * caller does not hold the lock. */
struct flux2_blob *flux2_emu_image_urls_draw(struct flux2_emu *emu, const struct emu_settings *s,
                                             const struct emu_image_ref *image);

#endif
