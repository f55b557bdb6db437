/* wire.h - what is done to a connection behind the back of the HTTP server.
 *
 * Owns: waiting, and the raw faults: resets, noise, headers without end.
 * Never: HTTP as it should be. Everything here ends at once when the emulator stops or the client leaves. */
#ifndef FLUX2_EMU_WIRE_H
#define FLUX2_EMU_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Close-on-exec for FD; returns FD. */
int flux2_emu_wire_cloexec(int fd);

/* A listening socket on 127.0.0.1, close-on-exec, and its port; -1 with errno. PORT 0: the kernel picks. */
int flux2_emu_wire_listen(int port, int *bound);

/* Waits SECONDS: true if they passed, false if the client left or STOP_FD became readable before. */
bool flux2_emu_wire_wait(int fd, int stop_fd, double seconds);

/* Ends the connection at once with a reset: what was queued is lost. FD remains open for its owner to close. */
void flux2_emu_wire_reset(int fd);

/* Ends the connection in order, without another byte. */
void flux2_emu_wire_close(int fd);

/* Sends BYTES as they are, or noise that is no HTTP if NULL. */
void flux2_emu_wire_garbage(int fd, int stop_fd, const json_t *bytes);

/* Sends headers until nobody listens any more; how many bytes. */
uint64_t flux2_emu_wire_endless_headers(int fd, int stop_fd);

#endif
