/* terminal_posix.c - see terminal.h. */
#define _GNU_SOURCE
#include "platform/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool flux2_terminal_is_attached(int fd)
{
    return isatty(fd) == 1;
}

unsigned flux2_terminal_columns(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* A handler instead of SIG_IGN, which child processes would inherit. */
static void do_nothing(int signal_number)
{
    (void)signal_number;
}

void flux2_terminal_claim_streams(void)
{
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
    int fd;
    for (fd = 0; fd <= 2; fd++) {
        /* open() returns the lowest free number, which is FD. */
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    }
    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
}

bool flux2_terminal_is_writable(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

int flux2_terminal_write(const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, p, size);
        if (n < 0 && errno != EINTR)
            return errno;
        p += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static atomic_uint interrupts;

/* The default action is restored after the third signal, even if Lua never reads the count. */
static void count_interrupt(int signal_number)
{
    if (atomic_fetch_add(&interrupts, 1) + 1 >= 3)
        signal(signal_number, SIG_DFL);
}

void flux2_terminal_count_interrupts(void)
{
    struct sigaction action = {.sa_handler = count_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

unsigned flux2_terminal_interrupts(void)
{
    return atomic_load(&interrupts);
}

static atomic_uint terminations;

static void count_termination(int signal_number)
{
    (void)signal_number;
    atomic_fetch_add(&terminations, 1);
}

void flux2_terminal_count_terminations(void)
{
    struct sigaction action = {.sa_handler = count_termination};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
}

unsigned flux2_terminal_terminations(void)
{
    return atomic_load(&terminations);
}
