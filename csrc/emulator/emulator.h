/* emulator.h - starts, stops, queries and changes an emulator.
 *
 * The host program calls these functions on one thread at a time. Independent of Lua: settings are a JSON value. */
#ifndef FLUX2_EMU_EMULATOR_H
#define FLUX2_EMU_EMULATOR_H

#include "emulator/state.h"

/* Starts an emulator, which the caller frees with flux2_emu_free. Returns NULL with the reason in ERR; *MISUSE is
 * true if a setting is invalid. */
struct flux2_emu *flux2_emu_start(const json_t *settings, char *err, size_t err_size, bool *misuse);

/* Closes all connections and joins the threads. Idempotent. Data stays readable until flux2_emu_free. In a forked
 * child it only closes the child's copy of the listener. */
void flux2_emu_stop(struct flux2_emu *emu);

/* Stops and frees the emulator. Accepts NULL. In a forked child the memory is kept, because it may be in an
 * inconsistent state. */
void flux2_emu_free(struct flux2_emu *emu);

/* Waits until REQUESTS requests are logged since the start (negative: ignored), SECONDS elapse or a signal arrives.
 * Returns whether they are logged. */
bool flux2_emu_wait(struct flux2_emu *emu, double seconds, double requests);

/* Executes the command NAME ("stats", "set", "fault", ...) with ARG (NULL if it takes none), also on a stopped
 * emulator. Returns a new value, or NULL with the reason in ERR, which is always an error of the caller. */
json_t *flux2_emu_call(struct flux2_emu *emu, const char *name, const json_t *arg, char *err, size_t err_size);

#endif
