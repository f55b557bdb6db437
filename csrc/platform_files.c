/* platform_files.c - the POSIX side of platform.h: files, which appear whole or not at all, directories and locks. */
#define _GNU_SOURCE
#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
