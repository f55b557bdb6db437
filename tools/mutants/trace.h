/* trace.h - trace files in shared memory, which survive a killed process. Keeps no descriptor open and allocates
 * nothing while tracing, so specs of exhausted memory, descriptors or disk space can be traced. */
#ifndef MUTANTS_TRACE_H
#define MUTANTS_TRACE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads the first SIZE - 1 bytes of /proc/PID/NAME with a terminating NUL. Returns their number. */
static size_t trace_read_process(long pid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t got = 0;
    ssize_t n = 1;
    while (fd >= 0 && n > 0 && got < size - 1) {
        n = read(fd, out + got, size - 1 - got);
        got += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    out[got] = '\0';
    return got;
}

static long trace_parent(long pid)
{
    char text[512];
    trace_read_process(pid, "stat", text, sizeof text);
    const char *name_end = strrchr(text, ')');
    long parent = 0;
    return name_end && sscanf(name_end, ") %*c %ld", &parent) == 1 ? parent : 0;
}

/* Returns the folder FLUX2_TRACE from the environment of this process or an ancestor, since some programs clear
 * their environment. Returns NULL if it is not set. */
static const char *trace_folder(void)
{
    static char text[64 * 1024];
    const char *here = getenv("FLUX2_TRACE");
    for (long pid = getppid(); !here && pid > 1; pid = trace_parent(pid)) {
        size_t size = trace_read_process(pid, "environ", text, sizeof text);
        for (const char *at = text; !here && at < text + size; at += strlen(at) + 1) {
            if (strncmp(at, "FLUX2_TRACE=", 12) == 0)
                here = at + 12;
        }
    }
    return here;
}

/* Maps SIZE bytes of the file NAME in that folder. Returns NULL without a folder or on failure. */
static unsigned char *trace_open(const char *name, size_t size)
{
    const char *folder = trace_folder();
    char path[1024];
    if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return NULL;
    struct stat s;
    if (fstat(fd, &s) == 0 && (size_t)s.st_size < size) {
        (void)!fchmod(fd, 0666); /* specs also run programs as another user */
        (void)!ftruncate(fd, (off_t)size);
    }
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}

#endif
