/* platform.c - the POSIX side of platform.h: all but files. */
#define _GNU_SOURCE
#include "platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#endif

/* --- clock and chance ------------------------------------------------------------------------- */

double flux2_platform_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void flux2_platform_pause(double seconds)
{
    flux2_platform_wait_readable(-1, seconds); /* poll passes over a descriptor that is none */
}

/* The finalizer of splitmix64: spreads a counter over 64 bits. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t flux2_platform_seed(void)
{
    static atomic_uint_fast64_t calls;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t n = atomic_fetch_add(&calls, 1) + 1;
    return mix((uint64_t)t.tv_sec * UINT64_C(1000000007) + (uint64_t)t.tv_nsec) ^
           mix((uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) + n);
}

/* --- threads ---------------------------------------------------------------------------------- */

int flux2_platform_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void flux2_platform_stand_back(void)
{
#ifdef SCHED_BATCH
    struct sched_param none = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
#endif
}

void flux2_platform_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#if !defined(__APPLE__)
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool flux2_platform_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, double seconds)
{
    struct timespec t;
#if defined(__APPLE__)
    clock_gettime(CLOCK_REALTIME, &t);
#else
    clock_gettime(CLOCK_MONOTONIC, &t);
#endif
    double whole = floor(seconds);
    t.tv_sec += (time_t)whole;
    t.tv_nsec += (long)((seconds - whole) * 1e9);
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    return pthread_cond_timedwait(cond, mutex, &t) != ETIMEDOUT;
}

bool flux2_platform_pin_module(void)
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)flux2_platform_pin_module, &info) || !info.dli_fname)
        return false;
    return dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE) != NULL;
}

static atomic_uint forks;

static void count_fork(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

unsigned flux2_platform_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* --- the wake-up descriptor ------------------------------------------------------------------- */

int flux2_platform_wake_open(struct flux2_wake *wake)
{
#if defined(__linux__)
    wake->read_fd = wake->write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return wake->read_fd < 0 ? errno : 0;
#else
    int fds[2], i;
    if (pipe(fds) != 0)
        return errno;
    for (i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    wake->read_fd = fds[0];
    wake->write_fd = fds[1];
    return 0;
#endif
}

void flux2_platform_wake_signal(struct flux2_wake *wake)
{
    const uint64_t one = 1; /* an eventfd takes eight bytes; a pipe takes anything */
    ssize_t n;
    do
        n = write(wake->write_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void flux2_platform_wake_drain(struct flux2_wake *wake)
{
    uint64_t sink[8];
    ssize_t n;
    do
        n = read(wake->read_fd, sink, sizeof sink);
    while (n == (ssize_t)sizeof sink || (n < 0 && errno == EINTR));
}

void flux2_platform_wake_close(struct flux2_wake *wake)
{
    if (wake->read_fd >= 0)
        close(wake->read_fd);
    if (wake->write_fd >= 0 && wake->write_fd != wake->read_fd)
        close(wake->write_fd);
    wake->read_fd = wake->write_fd = -1;
}

int flux2_platform_wait_readable(int fd, double seconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ms = seconds >= 1e6 ? 1000000000 : (int)ceil(seconds * 1000);
    int n = poll(&p, 1, ms > 0 ? ms : 0);
    return n > 0 ? 1 : n;
}

int flux2_platform_socket(int family, int type, int protocol, int *fd)
{
#if defined(SOCK_CLOEXEC)
    *fd = socket(family, type | SOCK_CLOEXEC, protocol);
    return *fd < 0 ? errno : 0;
#else
    *fd = socket(family, type, protocol);
    if (*fd < 0)
        return errno;
    fcntl(*fd, F_SETFD, FD_CLOEXEC);
    return 0;
#endif
}

/* --- the terminal ----------------------------------------------------------------------------- */

bool flux2_platform_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

unsigned flux2_platform_columns(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static atomic_uint interrupts;

/* Somebody who presses it again and again gets what the key means everywhere, even if Lua never looks. */
static void count_interrupt(int signal_number)
{
    if (atomic_fetch_add(&interrupts, 1) + 1 >= 3)
        signal(signal_number, SIG_DFL);
}

void flux2_platform_count_interrupts(void)
{
    struct sigaction action = {.sa_handler = count_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

unsigned flux2_platform_interrupts(void)
{
    return atomic_load(&interrupts);
}
