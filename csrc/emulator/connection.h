/* connection.h - receives and logs HTTP requests, applies faults, and sends the responses of routes.h.
 *
 * Runs on the connection threads and takes the emulator's lock. */
#ifndef FLUX2_EMU_CONNECTION_H
#define FLUX2_EMU_CONNECTION_H

#include "emulator/state.h"

/* Serves emu->server, which already listens. Returns 0 or an errno value. */
int flux2_emu_connections_serve(struct flux2_emu *emu);

#endif
