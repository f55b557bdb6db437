/* platform.c - the POSIX side of platform.h. */
#define _GNU_SOURCE
#include "platform.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* --- files ------------------------------------------------------------------------------------ */

#define NAME_TRIES 16
#define TRY_LASTS 1.0 /* seconds */

/* "dir/.name.0123456789abcdef.part", so that a person sees what it is and whose. */
static char *temporary_name(const char *target)
{
    const char *slash = strrchr(target, '/');
    const char *name = slash ? slash + 1 : target;
    int dir = (int)(name - target);
    /* A name may be 255 bytes long; the temporary one must not be longer. */
    int shown = (int)strnlen(name, 200);
    size_t size = (size_t)dir + (size_t)shown + 32;
    char *out = malloc(size);
    if (out)
        snprintf(out, size, "%.*s.%.*s.%016llx.part", dir, target, shown, name,
                 (unsigned long long)flux2_platform_seed());
    return out;
}

static int target_usable(const char *target)
{
    struct stat st;
    size_t n = strlen(target);
    if (n == 0)
        return ENOENT;
    if (target[n - 1] == '/')
        return EISDIR;
    if (stat(target, &st) != 0)
        return errno == ENAMETOOLONG ? errno : 0;
    return S_ISDIR(st.st_mode) ? EISDIR : 0;
}

int flux2_platform_file_open(struct flux2_file *file, const char *target, unsigned mode)
{
    int rc = target_usable(target), i;
    file->fd = -1;
    file->temporary = NULL;
    file->target = NULL;
    if (rc != 0)
        return rc;
    file->target = strdup(target);
    for (i = 0, rc = file->target ? EEXIST : ENOMEM; rc == EEXIST && i < NAME_TRIES; i++) {
        free(file->temporary);
        file->temporary = temporary_name(target);
        if (!file->temporary) {
            rc = ENOMEM;
            break;
        }
        file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
        rc = file->fd < 0 ? errno : 0;
    }
    if (rc != 0) {
        free(file->temporary);
        free(file->target);
        file->temporary = file->target = NULL;
    }
    return rc;
}

int flux2_platform_file_write(struct flux2_file *file, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(file->fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* The directory that PATH is in, to be freed; NULL without memory. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* A rename lives in its directory: without this a power cut can undo it. */
static int sync_directory(const char *path)
{
    char *dir = directory_of(path);
    if (!dir)
        return ENOMEM;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    free(dir);
    /* Some file systems cannot sync a directory and say so; that is their limit, not a failure of ours. */
    return rc == EINVAL || rc == ENOTSUP ? 0 : rc;
}

int flux2_platform_file_commit(struct flux2_file *file, bool durable)
{
    int rc = durable && fsync(file->fd) != 0 ? errno : 0;
    /* NFS and quotas report a lost write at the close. */
    if (close(file->fd) != 0 && rc == 0)
        rc = errno;
    file->fd = -1;
    if (rc == 0 && rename(file->temporary, file->target) != 0)
        rc = errno;
    if (rc != 0)
        unlink(file->temporary);
    else if (durable)
        rc = sync_directory(file->target);
    free(file->temporary);
    free(file->target);
    file->temporary = file->target = NULL;
    return rc;
}

void flux2_platform_file_discard(struct flux2_file *file)
{
    if (!file->temporary)
        return;
    if (file->fd >= 0)
        close(file->fd);
    unlink(file->temporary);
    free(file->temporary);
    free(file->target);
    file->fd = -1;
    file->temporary = file->target = NULL;
}

int flux2_platform_file_overwrite(const char *path, const void *data, size_t size)
{
    struct flux2_file file = {.fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)};
    if (file.fd < 0)
        return errno;
    int rc = flux2_platform_file_write(&file, data, size);
    if (fsync(file.fd) != 0 && rc == 0)
        rc = errno;
    if (close(file.fd) != 0 && rc == 0)
        rc = errno;
    return rc;
}

void flux2_platform_file_remove(const char *path)
{
    unlink(path);
}

bool flux2_platform_file_readable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0;
}

static bool is_same_directory(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
           a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

int flux2_platform_file_try(const char *target)
{
    static _Thread_local struct stat tried; /* where that succeeded last, ... */
    static _Thread_local double until;      /* ... and how long that is believed */
    struct stat at;
    struct flux2_file file;
    char *dir = directory_of(target);
    bool is_known = dir && stat(dir, &at) == 0;
    free(dir);
    double now = flux2_platform_now();
    if (is_known && now < until && is_same_directory(&at, &tried))
        return target_usable(target);
    int rc = flux2_platform_file_open(&file, target, 0666);
    if (rc != 0)
        return rc;
    flux2_platform_file_discard(&file);
    if (is_known) {
        tried = at;
        until = now + TRY_LASTS;
    }
    return 0;
}

/* --- directories and locks -------------------------------------------------------------------- */

int flux2_platform_directory(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return errno;
    if (stat(path, &st) != 0)
        return errno;
    return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

static bool append_name(char **names, size_t *size, size_t *capacity, const char *name)
{
    size_t n = strlen(name) + 1;
    if (*capacity - *size < n) {
        size_t more = (*capacity + n) * 2;
        char *grown = realloc(*names, more);
        if (!grown)
            return false;
        *names = grown;
        *capacity = more;
    }
    memcpy(*names + *size, name, n);
    *size += n;
    return true;
}

int flux2_platform_list(const char *path, char **names, size_t *size)
{
    size_t capacity = 0;
    struct dirent *entry;
    DIR *dir = opendir(path);
    *names = NULL;
    *size = 0;
    if (!dir)
        return errno;
    int rc = 0;
    while (rc == 0 && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = append_name(names, size, &capacity, entry->d_name) ? 0 : ENOMEM;
    }
    rc = rc != 0 ? rc : errno;
    closedir(dir);
    return rc;
}

int flux2_platform_lock(const char *path, enum flux2_lock_mode mode, int *fd)
{
    struct stat st;
    bool own = mode == FLUX2_LOCK_OWN;
    int rc;
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (own ? O_CREAT | O_EXCL : 0), 0600);
    if (*fd < 0)
        return errno;
    do
        rc = flock(*fd, (own ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 ? 0 : errno;
    while (rc == EINTR);
    /* Between the two calls somebody may have found it free, and removed it. */
    if (rc == 0 && own && (fstat(*fd, &st) != 0 || st.st_nlink == 0))
        rc = EWOULDBLOCK;
    if (rc != 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

void flux2_platform_unlock(int fd, const char *path)
{
    if (fd < 0)
        return;
    if (path)
        unlink(path);
    close(fd);
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
