/* commands.h - the commands by which the host program queries and changes a running emulator: "stats", "set", "fault",
 * ...
 *
 * Takes the emulator's lock. Thread-safe. */
#ifndef FLUX2_EMU_COMMANDS_H
#define FLUX2_EMU_COMMANDS_H

#include "emulator/state.h"

/* Executes the command NAME with ARG (NULL if it takes none); also on a stopped emulator. Returns a new value, or
 * NULL with the reason in ERR, which is always an error of the caller. */
json_t *flux2_emu_call(struct flux2_emu *emu, const char *name, const json_t *arg, char *err, size_t err_size);

#endif
