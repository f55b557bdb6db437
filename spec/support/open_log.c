/* open_log.c - preloaded by a spec: writes "@open path", "@thread" and "@socket" to stderr for successful calls. Failed
 * ones are ignored: a module search tries many names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

FILE *fopen(const char *path, const char *mode)
{
    FILE *(*next)(const char *, const char *) = (FILE * (*)(const char *, const char *)) real("fopen");
    FILE *file = next(path, mode);
    if (file)
        dprintf(2, "@open %s\n", path);
    return file;
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    int (*next)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))real("openat");
    int fd = next(folder, path, flags, mode);
    if (fd >= 0)
        dprintf(2, "@open %s\n", path);
    return fd;
}

#define MODE_OF(last)                                                                                                  \
    va_list rest;                                                                                                      \
    va_start(rest, last);                                                                                              \
    mode_t mode = (mode_t)va_arg(rest, int);                                                                           \
    va_end(rest)

int open(const char *path, int flags, ...)
{
    MODE_OF(flags);
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags);
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags);
    return open_at(folder, path, flags, mode);
}

int socket(int family, int type, int protocol)
{
    int (*next)(int, int, int) = (int (*)(int, int, int))real("socket");
    dprintf(2, "@socket\n");
    return next(family, type, protocol);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *cls)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = (int (*)(
        pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))real("pthread_create");
    dprintf(2, "@thread\n");
    return next(thread, attributes, body, cls);
}
