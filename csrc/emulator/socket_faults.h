/* socket_faults.h - sends invalid HTTP on a connection.
 *
 * Runs on the connection thread. Returns when the client disconnects or STOP is readable. */
#ifndef FLUX2_EMU_SOCKET_FAULTS_H
#define FLUX2_EMU_SOCKET_FAULTS_H

#include <jansson.h>

#include "platform/socket.h"

/* Sends the string BYTES (NULL: random bytes) and shuts down the output. */
void flux2_emu_send_garbage(flux2_descriptor socket, flux2_descriptor stop, const json_t *bytes);

/* Sends headers without end. */
void flux2_emu_send_endless_headers(flux2_descriptor socket, flux2_descriptor stop);

#endif
