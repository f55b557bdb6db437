/* server.h - the emulator's HTTP.
 *
 * Owns: the HTTP server and its threads, one for each connection, from a request's first byte to the answer's last.
 * Never: knows what the service answers (contract.c does). */
#ifndef FLUX2_EMU_SERVER_H
#define FLUX2_EMU_SERVER_H

#include "emulator.h"

/* Listens on 127.0.0.1 and serves; sets emu->port, url and server. False with the reason in ERR. Its threads take no
 * signals. */
bool flux2_emu_server_start(struct flux2_emu *emu, int port, char *err, size_t err_size);

/* Ends every connection and thread before it returns. emu->stopping and stop_pipe must have been set off before. */
void flux2_emu_server_stop(struct flux2_emu *emu);

/* For a forked child: closes its copy of the listener and leaves the rest alone. */
void flux2_emu_server_disown(struct flux2_emu *emu);

#endif
