/* wakeup_windows.c - see wakeup.h. The descriptor is one end of a TCP connection on this machine: an event loop
 * on Windows can wait for sockets only. */
#include "platform/wakeup.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <winsock2.h>

#include "platform/clock.h"
#include "platform/socket.h"
#include "platform/terminal.h"

enum {
    SLICE_MS = 50,      /* no wait is ended by Ctrl-C: it is counted on another thread */
    DELIVERY_MS = 1000, /* a byte on its way between two sockets of this process */
};

/* Listens on a port of the kernel's choice; *ADDRESS is set to it. */
static bool listen_for_one(SOCKET listener, struct sockaddr_in *address)
{
    int size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bind(listener, (struct sockaddr *)address, size) == 0 && listen(listener, 1) == 0 &&
           getsockname(listener, (struct sockaddr *)address, &size) == 0;
}

static bool same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

/* Accepts the connection of WRITE_END only: any program of this machine may connect to the listener. */
static SOCKET accept_own(SOCKET listener, SOCKET write_end)
{
    struct sockaddr_in own, peer;
    int size = sizeof own;
    if (getsockname(write_end, (struct sockaddr *)&own, &size) != 0)
        return INVALID_SOCKET;
    for (;;) {
        size = sizeof peer;
        SOCKET accepted = accept(listener, (struct sockaddr *)&peer, &size);
        if (accepted == INVALID_SOCKET || same_address(&own, &peer))
            return accepted;
        closesocket(accepted);
    }
}

static int connect_ends(struct flux2_wakeup *w, SOCKET listener)
{
    struct sockaddr_in address;
    u_long on = 1;
    BOOL at_once = TRUE;
    if (!listen_for_one(listener, &address) ||
        connect((SOCKET)w->write_end, (struct sockaddr *)&address, sizeof address) != 0)
        return EMFILE;
    SOCKET accepted = accept_own(listener, (SOCKET)w->write_end);
    if (accepted == INVALID_SOCKET)
        return EMFILE;
    w->read_end = (flux2_descriptor)accepted;
    SetHandleInformation((HANDLE)accepted, HANDLE_FLAG_INHERIT, 0);
    setsockopt((SOCKET)w->write_end, IPPROTO_TCP, TCP_NODELAY, (const char *)&at_once, sizeof at_once);
    return ioctlsocket(accepted, FIONBIO, &on) == 0 && ioctlsocket((SOCKET)w->write_end, FIONBIO, &on) == 0 ? 0
                                                                                                            : EMFILE;
}

int flux2_wakeup_open(struct flux2_wakeup *w)
{
    flux2_descriptor listener;
    *w = (struct flux2_wakeup){-1, -1};
    int rc = flux2_socket_open(AF_INET, SOCK_STREAM, 0, &listener);
    if (rc != 0)
        return rc;
    rc = flux2_socket_open(AF_INET, SOCK_STREAM, 0, &w->write_end);
    if (rc == 0)
        rc = connect_ends(w, (SOCKET)listener);
    flux2_socket_close(listener);
    if (rc != 0)
        flux2_wakeup_close(w);
    return rc;
}

void flux2_wakeup_signal(struct flux2_wakeup *w)
{
    const char one = 1;
    send((SOCKET)w->write_end, &one, 1, 0);
}

/* The byte of a signal may still be on its way, and would signal again later. */
void flux2_wakeup_drain(struct flux2_wakeup *w)
{
    char sink[64];
    WSAPOLLFD end = {(SOCKET)w->read_end, POLLRDNORM, 0};
    WSAPoll(&end, 1, DELIVERY_MS);
    while (recv((SOCKET)w->read_end, sink, sizeof sink, 0) == (int)sizeof sink)
        ;
}

void flux2_wakeup_close(struct flux2_wakeup *w)
{
    if (w->read_end >= 0)
        flux2_socket_close(w->read_end);
    if (w->write_end >= 0)
        flux2_socket_close(w->write_end);
    w->read_end = w->write_end = -1;
}

int flux2_wait_readable(flux2_descriptor first, flux2_descriptor second, double seconds)
{
    WSAPOLLFD list[2] = {{(SOCKET)first, POLLRDNORM, 0}, {(SOCKET)second, POLLRDNORM, 0}};
    unsigned before = flux2_terminal_interrupts();
    double end = flux2_clock_now() + seconds, left = seconds;
    do {
        if (WSAPoll(list, second < 0 ? 1 : 2, (int)fmin(ceil(fmax(left, 0) * 1000), SLICE_MS)) > 0)
            return 1;
        if (flux2_terminal_interrupts() != before)
            return -1;
        left = end - flux2_clock_now();
    } while (left > 0);
    return 0;
}
