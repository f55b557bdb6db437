/* socket_posix.c - see socket.h. */
#define _GNU_SOURCE /* dup3, POLLRDHUP */
#include "platform/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define BACKLOG 1024

int flux2_socket_open(int family, int type, int protocol, flux2_descriptor *out)
{
#if defined(SOCK_CLOEXEC) && !defined(FLUX2_GENERIC_POSIX)
    *out = socket(family, type | SOCK_CLOEXEC, protocol);
    return *out < 0 ? errno : 0;
#else
    *out = socket(family, type, protocol);
    if (*out < 0)
        return errno;
    fcntl((int)*out, F_SETFD, FD_CLOEXEC);
    return 0;
#endif
}

void flux2_socket_close(flux2_descriptor socket)
{
    close((int)socket);
}

unsigned flux2_socket_interests(const void *input, const void *output, int last, struct flux2_interest *list,
                                unsigned size)
{
    const fd_set *in = input, *out = output;
    unsigned n = 0;
    int fd;
    for (fd = 0; fd <= last && n < size; fd++)
        if (FD_ISSET(fd, in) || FD_ISSET(fd, out))
            list[n++] = (struct flux2_interest){fd, FD_ISSET(fd, in), FD_ISSET(fd, out)};
    return n;
}

const char *flux2_socket_reason(int code)
{
    return strerror(code);
}

/* --- for the servers on this machine --------------------------------------------------------------- */

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Returns the size of the address, 0 if TEXT is not one. */
static socklen_t parse_address(const char *text, int port, union socket_address *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        return sizeof out->v4;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) != 1)
        return 0;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons((uint16_t)port);
    return sizeof out->v6;
}

/* Binds FD and sets *BOUND. Returns 0 or an errno value. */
static int listen_at(int fd, union socket_address *address, socklen_t size, int *bound)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &address->any, size) != 0 || listen(fd, BACKLOG) != 0 || getsockname(fd, &address->any, &size) != 0)
        return errno;
    *bound = ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
    return 0;
}

int flux2_socket_listen(const char *address, int port, flux2_descriptor *listener, int *bound)
{
    union socket_address parsed;
    socklen_t size = parse_address(address ? address : "127.0.0.1", port, &parsed);
    if (size == 0)
        return EINVAL;
    int rc = flux2_socket_open(parsed.any.sa_family, SOCK_STREAM, 0, listener);
    if (rc != 0)
        return rc;
    rc = listen_at((int)*listener, &parsed, size, bound);
    if (rc == 0)
        return 0;
    flux2_socket_close(*listener);
    *listener = -1;
    return rc;
}

void flux2_socket_address(const void *address, char text[FLUX2_ADDRESS_SIZE])
{
    const union socket_address *a = address;
    text[0] = '\0';
    if (a && a->any.sa_family == AF_INET)
        inet_ntop(AF_INET, &a->v4.sin_addr, text, FLUX2_ADDRESS_SIZE);
    else if (a && a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        inet_ntop(AF_INET, (const char *)&a->v6.sin6_addr + 12, text, FLUX2_ADDRESS_SIZE);
    else if (a && a->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->v6.sin6_addr, text, FLUX2_ADDRESS_SIZE);
}

bool flux2_socket_wait(flux2_descriptor socket, flux2_descriptor stop, double seconds)
{
    struct pollfd list[2] = {{(int)socket, POLLRDHUP, 0}, {(int)stop, POLLIN, 0}};
    double end = flux2_clock_now() + seconds, left;
    while ((left = end - flux2_clock_now()) > 0) {
        int n = poll(list, 2, (int)fmin(ceil(left * 1000), 1e9));
        if (n > 0 || (n < 0 && errno != EINTR))
            return false;
    }
    return true;
}

/* Returns true once FD is writable, false if STOP is readable. */
static bool wait_writable(int fd, int stop)
{
    struct pollfd list[2] = {{fd, POLLOUT, 0}, {stop, POLLIN, 0}};
    int n;
    do
        n = poll(list, 2, -1);
    while (n < 0 && errno == EINTR);
    return n > 0 && list[1].revents == 0;
}

bool flux2_socket_send(flux2_descriptor socket, flux2_descriptor stop, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = send((int)socket, p, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            return false;
        } else if (!wait_writable((int)socket, (int)stop)) {
            return false;
        }
    }
    return true;
}

void flux2_socket_shutdown(flux2_descriptor socket)
{
    shutdown((int)socket, SHUT_RDWR);
}

void flux2_socket_shutdown_output(flux2_descriptor socket)
{
    shutdown((int)socket, SHUT_WR);
}

/* Closing a socket with a linger time of 0 sends a reset. The owner closes the descriptor later, so another socket
 * replaces it here, which closes the connection. */
void flux2_socket_reset(flux2_descriptor socket)
{
    const struct linger at_once = {1, 0};
    flux2_descriptor other;
    setsockopt((int)socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (flux2_socket_open(AF_INET, SOCK_STREAM, 0, &other) != 0)
        return;
#if defined(__linux__) && !defined(FLUX2_GENERIC_POSIX)
    dup3((int)other, (int)socket, O_CLOEXEC);
#else
    dup2((int)other, (int)socket);
    fcntl((int)socket, F_SETFD, FD_CLOEXEC);
#endif
    flux2_socket_close(other);
}
