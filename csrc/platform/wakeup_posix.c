/* wakeup_posix.c - see wakeup.h. */
#define _GNU_SOURCE
#include "platform/wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sys/types.h>
#include <unistd.h>
#if defined(__linux__) && !defined(FLUX2_GENERIC_POSIX)
#include <sys/eventfd.h>
#endif

int flux2_wakeup_open(struct flux2_wakeup *w)
{
#if defined(__linux__) && !defined(FLUX2_GENERIC_POSIX)
    w->read_end = w->write_end = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return w->read_end < 0 ? errno : 0;
#else
    int fds[2], i;
    w->read_end = w->write_end = -1;
    if (pipe(fds) != 0)
        return errno;
    for (i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    w->read_end = fds[0];
    w->write_end = fds[1];
    return 0;
#endif
}

void flux2_wakeup_signal(struct flux2_wakeup *w)
{
    const uint64_t one = 1; /* an eventfd accepts exactly eight bytes */
    ssize_t n;
    do
        n = write((int)w->write_end, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void flux2_wakeup_drain(struct flux2_wakeup *w)
{
    uint64_t sink[8];
    ssize_t n;
    do
        n = read((int)w->read_end, sink, sizeof sink);
    while (n == (ssize_t)sizeof sink || (n < 0 && errno == EINTR));
}

void flux2_wakeup_close(struct flux2_wakeup *w)
{
    if (w->read_end >= 0)
        close((int)w->read_end);
    if (w->write_end >= 0 && w->write_end != w->read_end)
        close((int)w->write_end);
    w->read_end = w->write_end = -1;
}

/* poll ignores descriptors below 0. */
int flux2_wait_readable(flux2_descriptor first, flux2_descriptor second, double seconds)
{
    struct pollfd list[2] = {{.fd = (int)first, .events = POLLIN}, {.fd = (int)second, .events = POLLIN}};
    int ms = seconds >= 1e6 ? 1000000000 : (int)ceil(seconds * 1000);
    int n = poll(list, 2, ms > 0 ? ms : 0);
    return n > 0 ? 1 : n;
}
