/* gzip_bomb.h - gzip data that expands to a much larger size. Stateless. */
#ifndef FLUX2_EMU_GZIP_BOMB_H
#define FLUX2_EMU_GZIP_BOMB_H

#include <stdint.h>

#include "server/bytes.h"

/* Returns a gzip file that expands to at least SIZE spaces (a multiple of 258, plus 1), with one reference, or NULL
 * if out of memory. The file is about 160 times smaller. */
struct flux2_blob *flux2_emu_gzip_bomb(uint64_t size);

#endif
