/* links.h - the addresses of the images.
 *
 * Owns: writing an image's URL and reading it again, whether it has expired, and the picture behind it.
 * Never: HTTP. `resolve` and `url` want the emulator's lock held; `picture` wants it free, since it draws. */
#ifndef FLUX2_EMU_LINKS_H
#define FLUX2_EMU_LINKS_H

#include "emulator.h"

struct emu_link {
    const struct emu_task *task;
    int image; /* from 1 */
};

enum emu_link_state { EMU_LINK_UNKNOWN, EMU_LINK_EXPIRED, EMU_LINK_VALID };

bool flux2_emu_links_is_image(const struct emu_settings *s, const char *path);
enum emu_link_state flux2_emu_links_resolve(const struct flux2_emu *emu, const struct emu_settings *s,
                                            const char *path, struct emu_link *link);

/* The URLs of all images of a finished task, an array; fresh ones if those given out before have expired. */
json_t *flux2_emu_links_urls(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task);

/* The PNG; NULL: out of memory, or the emulator stops. */
struct emu_blob *flux2_emu_links_picture(struct flux2_emu *emu, const struct emu_settings *s,
                                         const struct emu_link *link);

#endif
