/* socket_windows.c - see socket.h. What emulator and tester need is missing: neither is built for Windows. */
#include "platform/socket.h"

#include <errno.h>
#include <winsock2.h>
/* After winsock2.h. */
#include <ws2tcpip.h>

#include "platform/thread.h"

static int startup_error;

/* Never undone: libcurl counts its own. */
static void start_winsock(void)
{
    WSADATA data;
    startup_error = WSAStartup(MAKEWORD(2, 2), &data);
}

/* The errno value for a WSA code: those that strerror has words for. */
static int errno_of(int code)
{
    switch (code) {
    case 0:
        return 0;
    case WSAEMFILE:
        return EMFILE;
    case WSAENOBUFS:
    case WSA_NOT_ENOUGH_MEMORY:
        return ENOMEM;
    case WSAEACCES:
        return EACCES;
    case WSAEINVAL:
        return EINVAL;
    default:
        return EIO;
    }
}

int flux2_socket_open(int family, int type, int protocol, flux2_descriptor *out)
{
    static struct flux2_once once;
    flux2_once_call(&once, start_winsock);
    *out = -1;
    if (startup_error != 0)
        return errno_of(startup_error);
    SOCKET s = WSASocketW(family, type, protocol, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (s == INVALID_SOCKET)
        return errno_of(WSAGetLastError());
    *out = (flux2_descriptor)s;
    return 0;
}

void flux2_socket_close(flux2_descriptor socket)
{
    closesocket((SOCKET)socket);
}

/* An fd_set is a list of sockets here, and LAST means nothing. */
unsigned flux2_socket_interests(const void *input, const void *output, int last, struct flux2_interest *list,
                                unsigned size)
{
    fd_set *in = (fd_set *)(uintptr_t)input, *out = (fd_set *)(uintptr_t)output; /* FD_ISSET takes no const */
    unsigned i, n = 0;
    (void)last;
    for (i = 0; i < in->fd_count && n < size; i++)
        list[n++] = (struct flux2_interest){(flux2_descriptor)in->fd_array[i], true, FD_ISSET(in->fd_array[i], out)};
    for (i = 0; i < out->fd_count && n < size; i++)
        if (!FD_ISSET(out->fd_array[i], in))
            list[n++] = (struct flux2_interest){(flux2_descriptor)out->fd_array[i], false, true};
    return n;
}

/* The words of the C library, which has none for these codes. */
const char *flux2_socket_reason(int code)
{
    switch (code) {
    case WSAECONNREFUSED:
        return "Connection refused";
    case WSAENETUNREACH:
        return "Network is unreachable";
    case WSAEHOSTUNREACH:
        return "No route to host";
    case WSAETIMEDOUT:
        return "Connection timed out";
    case WSAECONNRESET:
        return "Connection reset by peer";
    case WSAECONNABORTED:
        return "Connection aborted";
    case WSAEADDRNOTAVAIL:
        return "Cannot assign requested address";
    case WSAEACCES:
        return "Permission denied";
    case WSAEMFILE:
        return "Too many open files";
    case WSAENOBUFS:
        return "No buffer space available";
    default:
        return "Connection failed";
    }
}
