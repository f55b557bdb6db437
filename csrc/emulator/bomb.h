/* bomb.h - a gzip file that is much smaller than what is in it.
 *
 * Owns: writing one. Never: anything else. A leaf. */
#ifndef FLUX2_EMU_BOMB_H
#define FLUX2_EMU_BOMB_H

#include "util.h"

/* A valid gzip file that expands to SIZE blanks, rounded up to a multiple of 258 and one more; about 160 times smaller. NULL: out of memory. */
struct emu_blob *flux2_emu_bomb_make(uint64_t size);

/* Goes on with a CRC-32; start with 0. */
uint32_t flux2_emu_bomb_crc32(uint32_t crc, const void *data, size_t len);

#endif
