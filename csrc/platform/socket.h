/* socket.h - close-on-exec sockets.
 *
 * A descriptor belongs to the caller and is used by one thread at a time. STOP is a descriptor that becomes readable to
 * end a wait early. */
#ifndef FLUX2_PLATFORM_SOCKET_H
#define FLUX2_PLATFORM_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/descriptor.h"

/* Opens a close-on-exec socket. Returns 0 or an errno value. */
int flux2_socket_open(int family, int type, int protocol, flux2_descriptor *out);

void flux2_socket_close(flux2_descriptor socket);

/* What a caller of select waits for on one descriptor. */
struct flux2_interest {
    flux2_descriptor descriptor;
    bool input, output;
};
/* Writes the members of two fd_sets (<curl/curl.h> brings the type), of which LAST is the highest, to LIST. Returns how
 * many there are; more than SIZE are passed over. */
unsigned flux2_socket_interests(const void *input, const void *output, int last, struct flux2_interest *list,
                                unsigned size);

/* Why a call failed, in words, by the system's code for failures of sockets, which CURLINFO_OS_ERRNO holds. Never NULL;
 * valid until the thread's next call. */
const char *flux2_socket_reason(int code);

/* --- for the servers on this machine, not on Windows ------------------------------------------------------ */

/* Opens a socket that listens on PORT (0: any free port) of ADDRESS, a numeric address of IPv4 or IPv6 (NULL:
 * 127.0.0.1), and sets *BOUND to its port. Returns 0 or an errno value, EINVAL for an invalid address. */
int flux2_socket_listen(const char *address, int port, flux2_descriptor *listener, int *bound);

/* Writes the address of a `struct sockaddr` as text; an IPv4 address in IPv6 as IPv4. Empty if it is unknown. */
enum { FLUX2_ADDRESS_SIZE = 46 };
void flux2_socket_address(const void *address, char text[FLUX2_ADDRESS_SIZE]);

/* Waits SECONDS, which may be infinite. Returns false as soon as the peer closes the connection or STOP is readable. */
bool flux2_socket_wait(flux2_descriptor socket, flux2_descriptor stop, double seconds);

/* Sends SIZE bytes of DATA and waits while the send buffer is full. Returns false if the connection fails or STOP is
 * readable. */
bool flux2_socket_send(flux2_descriptor socket, flux2_descriptor stop, const void *data, size_t size);

/* Shuts the connection down, in both directions or for output only. The descriptor stays open. */
void flux2_socket_shutdown(flux2_descriptor socket);
void flux2_socket_shutdown_output(flux2_descriptor socket);

/* Resets the connection; queued data is lost. The descriptor stays open. */
void flux2_socket_reset(flux2_descriptor socket);

#endif
