/* wire.c - what is done to a connection behind the back of the HTTP server; see wire.h. */
#define _GNU_SOURCE /* dup3, POLLRDHUP */
#include "wire.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef SOCK_CLOEXEC
#define SOCK_CLOEXEC 0
#endif

int flux2_emu_wire_cloexec(int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

int flux2_emu_wire_listen(int port, int *bound)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof(address);
    int saved, on = 1;
    int fd = flux2_emu_wire_cloexec(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return -1;
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 1024) &&
        !getsockname(fd, (struct sockaddr *)&address, &len)) {
        *bound = ntohs(address.sin_port);
        return fd;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

bool flux2_emu_wire_wait(int fd, int stop_fd, double seconds)
{
    struct pollfd fds[2] = {{fd, POLLRDHUP, 0}, {stop_fd, POLLIN, 0}};
    double end = flux2_emu_now() + seconds, left;
    while ((left = end - flux2_emu_now()) > 0) {
        int n = poll(fds, 2, (int)fmin(ceil(left * 1000), 1e9));
        if (n > 0)
            return false;
        if (n < 0 && errno != EINTR)
            return false;
    }
    return true;
}

/* Closing with lingering time 0 is a reset. The descriptor is the server's to close, so another socket takes its place
 * and the connection goes with the last name it had. */
void flux2_emu_wire_reset(int fd)
{
    struct linger now = {1, 0};
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    if (other < 0)
        return;
#ifdef __linux__
    dup3(other, fd, O_CLOEXEC);
#else
    dup2(other, fd);
    flux2_emu_wire_cloexec(fd);
#endif
    close(other);
}

void flux2_emu_wire_close(int fd)
{
    shutdown(fd, SHUT_RDWR);
}

/* False: nobody listens any more, or the emulator stops. */
static bool send_all(int fd, int stop_fd, const char *data, size_t len)
{
    while (len) {
        struct pollfd fds[2] = {{fd, POLLOUT, 0}, {stop_fd, POLLIN, 0}};
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            return false;
        } else if (poll(fds, 2, -1) < 0 ? errno != EINTR : fds[1].revents != 0) {
            return false;
        }
    }
    return true;
}

void flux2_emu_wire_garbage(int fd, int stop_fd, const json_t *bytes)
{
    uint64_t random = 42, noise[32];
    size_t i;
    if (bytes) {
        send_all(fd, stop_fd, json_string_value(bytes), json_string_length(bytes));
    } else {
        for (i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
            noise[i] = flux2_emu_random(&random);
        send_all(fd, stop_fd, (const char *)noise, sizeof(noise));
    }
    shutdown(fd, SHUT_WR);
}

uint64_t flux2_emu_wire_endless_headers(int fd, int stop_fd)
{
    static const char status[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    char line[1024];
    uint64_t n = 0;
    int len;
    if (!send_all(fd, stop_fd, status, sizeof(status) - 1))
        return 0;
    do {
        len = snprintf(line, sizeof(line), "X-Filler-%llu: %0*d\r\n", (unsigned long long)n++, 900, 0);
    } while (send_all(fd, stop_fd, line, (size_t)len));
    return n * 900;
}
