/* disk_order.c - preloaded by a spec: logs disk calls and sent requests to the file FLUX2_DISK_LOG, one line each, in
 * order. The log shows the possible states after a power failure. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *what, const char *path)
{
    char line[1024];
    const char *log = getenv("FLUX2_DISK_LOG");
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    int n = snprintf(line, sizeof line, "%s %s\n", what, path);
    if (n > 0 && write(fd, line, (size_t)n) < 0)
        abort();
    close(fd);
}

int fsync(int fd)
{
    static int (*real)(int);
    char link[64], path[900];
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    int rc = real(fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    note("fsync", path);
    return rc;
}

int rename(const char *from, const char *to)
{
    static int (*real)(const char *, const char *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rename");
    int rc = real(from, to);
    note("rename", to);
    return rc;
}

int remove(const char *path)
{
    static int (*real)(const char *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "remove");
    int rc = real(path);
    note("remove", path);
    return rc;
}

int unlink(const char *path)
{
    static int (*real)(const char *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "unlink");
    int rc = real(path);
    note("remove", path);
    return rc;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "send");
    if (size > 5 && memcmp(data, "POST ", 5) == 0)
        note("send", "POST");
    return real(fd, data, size, flags);
}
