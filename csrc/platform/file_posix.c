/* file_posix.c - see file.h. */
#define _GNU_SOURCE
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/clock.h"

#if defined(F_FULLFSYNC)
/* fsync of macOS leaves the data in the cache of the drive. Not every file system has the other call. */
static int sync_to_medium(int fd)
{
    return fcntl(fd, F_FULLFSYNC) == 0 ? 0 : fsync(fd);
}
#define fsync sync_to_medium
#endif

/* --- files ------------------------------------------------------------------------------------ */

#define MAX_LINKS 40
#define TRY_LASTS 1.0 /* seconds for which flux2_file_try reuses its last result */

const char *flux2_file_reason(int rc)
{
    if (rc == FLUX2_FILE_SPECIAL)
        return "it is a device, a pipe, a socket or a descriptor, not a regular file";
    return rc == FLUX2_FILE_SHORT ? "it became shorter" : strerror(rc);
}

/* --- the target ----------------------------------------------------------------------------------- */

/* Returns whether LINK is an entry of the process's descriptor table, such as /dev/fd/1: its target is already open. */
static bool is_descriptor(const struct stat *link)
{
    struct stat descriptors;
    return stat("/dev/fd", &descriptors) == 0 && link->st_dev == descriptors.st_dev;
}

/* Returns the path that the link at PATH points to, which the caller frees; NULL if out of memory. */
static char *read_link(const char *path)
{
    char to[PATH_MAX];
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n < 0)
        return NULL;
    to[n] = '\0';
    const char *slash = strrchr(path, '/');
    int dir = to[0] != '/' && slash ? (int)(slash + 1 - path) : 0;
    char *out = malloc((size_t)dir + (size_t)n + 1);
    if (out)
        sprintf(out, "%.*s%s", dir, path, to);
    return out;
}

/* Returns whether PATH is known to be a mount point, which a rename cannot replace. */
static bool is_mount_point(const char *path)
{
#ifdef STATX_ATTR_MOUNT_ROOT
    struct statx st;
    return statx(AT_FDCWD, path, 0, STATX_TYPE, &st) == 0 && st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
#else
    (void)path;
    return false;
#endif
}

/* Checks that TARGET may be replaced. ERROR is that of stat, 0 if *ST describes the target. */
static int check(const char *target, int error, const struct stat *st)
{
    size_t n = strlen(target);
    if (n == 0)
        return ENOENT;
    if (target[n - 1] == '/')
        return EISDIR;
    if (error != 0)
        return error == ENAMETOOLONG || error == ELOOP ? error : 0;
    if (S_ISDIR(st->st_mode))
        return EISDIR;
    if (!S_ISREG(st->st_mode))
        return FLUX2_FILE_SPECIAL;
    if (faccessat(AT_FDCWD, target, W_OK, AT_EACCESS) == 0)
        return 0;
    /* An unwritable file of the same user can be replaced and keeps its mode. */
    int rc = errno;
    return rc == EACCES && st->st_uid == geteuid() && !is_mount_point(target) ? 0 : rc;
}

/* Sets *OUT to TARGET with a symbolic link at its end resolved, which the caller frees, *EXISTS, and *ST if it exists.
 * Returns 0, an errno value or FLUX2_FILE_SPECIAL if it may not be replaced. */
static int resolve(const char *target, char **out, bool *exists, struct stat *st)
{
    int i;
    *out = strdup(target);
    for (i = 0; *out && i < MAX_LINKS; i++) {
        int error = lstat(*out, st) == 0 ? 0 : errno;
        *exists = error == 0;
        if (error != 0 || !S_ISLNK(st->st_mode))
            return check(*out, error, st);
        if (is_descriptor(st))
            return FLUX2_FILE_SPECIAL;
        char *next = read_link(*out);
        free(*out);
        *out = next;
    }
    return *out ? ELOOP : ENOMEM;
}

/* --- writing -------------------------------------------------------------------------------------- */

int flux2_file_create(const char *path, unsigned mode, intptr_t *handle)
{
    *handle = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
    return *handle < 0 ? errno : 0;
}

static bool set_mode(int fd, mode_t mode)
{
    struct stat st;
    return fstat(fd, &st) == 0 && ((st.st_mode & 07777) == mode || fchmod(fd, mode) == 0);
}

static bool set_owner(int fd, uid_t uid, gid_t gid)
{
    struct stat st;
    return fstat(fd, &st) == 0 && ((st.st_uid == uid && st.st_gid == gid) || fchown(fd, uid, gid) == 0);
}

/* Opens the temporary file for a resolved target; ST describes the target if it EXISTS. */
static int open_temporary(struct flux2_file *file, bool exists, const struct stat *st, enum flux2_file_access access)
{
    const char *slash = strrchr(file->target, '/'), *name = slash ? slash + 1 : file->target;
    bool is_private = access == FLUX2_FILE_PRIVATE;
    unsigned mode = is_private || exists ? 0600 : 0666;
    int rc = flux2_file_create_temporary(file, file->target, (size_t)(name - file->target), name, mode);
    /* The file is writable, but its directory is not. */
    if (exists && (rc == EACCES || rc == EPERM || rc == EROFS)) {
        rc = flux2_file_create_temporary(file, P_tmpdir "/", strlen(P_tmpdir "/"), name, mode);
        file->in_place = true;
    }
    if (rc != 0)
        return rc;
    int fd = (int)file->handle;
    if (is_private)
        set_mode(fd, 0600); /* a file system without modes has no better */
    else if (exists && !(set_owner(fd, st->st_uid, st->st_gid) && set_mode(fd, st->st_mode & 0777)))
        file->in_place = true;
    return 0;
}

int flux2_file_open(struct flux2_file *file, const char *target, enum flux2_file_access access)
{
    struct stat st;
    bool exists;
    *file = (struct flux2_file){.handle = -1};
    int rc = resolve(target, &file->target, &exists, &st);
    rc = rc ? rc : open_temporary(file, exists, &st, access);
    if (rc != 0)
        flux2_file_reset(file);
    return rc;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

int flux2_file_write(struct flux2_file *file, const void *data, size_t size)
{
    return write_all((int)file->handle, data, size);
}

int flux2_file_sync(intptr_t handle)
{
    return fsync((int)handle) == 0 ? 0 : errno;
}

int flux2_file_close(intptr_t handle)
{
    return close((int)handle) == 0 ? 0 : errno;
}

int flux2_file_seek(intptr_t handle, uint64_t at)
{
    return lseek((int)handle, (off_t)at, SEEK_SET) < 0 ? errno : 0;
}

int flux2_file_refill(struct flux2_file *file, const void *data, size_t size)
{
    int fd = open(file->temporary, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    file->handle = fd;
    int rc = write_all(fd, data, size);
    return rc == 0 && ftruncate(fd, (off_t)size) != 0 ? errno : rc;
}

/* --- committing ---------------------------------------------------------------------------------- */

/* Returns the directory of PATH, which the caller frees; NULL if out of memory. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* Opens PATH and calls SYNC with its descriptor. Returns 0 or an errno value. */
static int sync_path(const char *path, int (*sync)(int))
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int rc = fd < 0 || sync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    /* Some file systems cannot sync a directory and report one of these errors. */
    return rc == EINVAL || rc == ENOTSUP ? 0 : rc;
}

/* Without this a power failure can undo the rename to PATH. A directory that this user may not read cannot be opened;
 * most file systems flush the name together with the file. */
static int sync_directory(const char *path)
{
    char *dir = directory_of(path);
    int rc = dir ? sync_path(dir, fsync) : ENOMEM;
    free(dir);
    return rc == EACCES ? sync_path(path, fsync) : rc;
}

#if defined(__linux__) && !defined(FLUX2_GENERIC_POSIX)
/* Returns the error of a file that was written to the disk. */
static int check_written(int fd)
{
    return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE);
}

int flux2_file_sync_all(const char *const *paths, size_t count)
{
    struct stat st;
    dev_t synced = 0; /* the file system of the last call of syncfs, which is one wait for all paths on it */
    size_t i;
    int rc = 0;
    for (i = 0; rc == 0 && i < count; i++) {
        if (stat(paths[i], &st) != 0)
            return errno;
        if (i == 0 || st.st_dev != synced)
            rc = sync_path(paths[i], syncfs);
        synced = st.st_dev;
    }
    /* syncfs may have reported the error of a file to another caller. */
    for (i = 0; rc == 0 && i < count; i++)
        rc = sync_path(paths[i], check_written);
    return rc;
}
#else
int flux2_file_sync_all(const char *const *paths, size_t count)
{
    size_t i;
    int rc = 0;
    for (i = 0; rc == 0 && i < count; i++)
        rc = sync_path(paths[i], fsync);
    return rc;
}
#endif

/* Replaces the content of OUT by that of IN. */
static int copy_all(int in, int out)
{
    char data[16384];
    off_t total = 0;
    for (;;) {
        ssize_t n = read(in, data, sizeof data);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 || ftruncate(out, total) != 0 ? errno : 0;
        int rc = write_all(out, data, (size_t)n);
        if (rc != 0)
            return rc;
        total += n;
    }
}

/* Copies the complete temporary file over the target. */
static int write_over(struct flux2_file *file, bool durable)
{
    int in = open(file->temporary, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return errno;
    int out = open(file->target, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int rc = out < 0 ? errno : copy_all(in, out);
    if (rc == 0 && durable)
        rc = flux2_file_sync(out);
    if (out >= 0)
        rc = flux2_file_close_after(out, rc);
    close(in);
    if (rc == 0)
        unlink(file->temporary);
    return rc;
}

int flux2_file_put_in_place(struct flux2_file *file, bool durable)
{
    struct stat st;
    int rc = check(file->target, stat(file->target, &st) == 0 ? 0 : errno, &st);
    if (rc != 0)
        return rc;
    if (file->in_place)
        return write_over(file, durable);
    if (rename(file->temporary, file->target) == 0)
        return durable ? sync_directory(file->target) : 0;
    return errno == EBUSY || errno == EXDEV ? write_over(file, durable) : errno;
}

/* --- other files ---------------------------------------------------------------------------------- */

static int check_regular(int fd, struct stat *st)
{
    if (fstat(fd, st) != 0)
        return errno;
    return S_ISREG(st->st_mode) ? 0 : S_ISDIR(st->st_mode) ? EISDIR : FLUX2_FILE_SPECIAL;
}

int flux2_file_read_up_to(intptr_t handle, char *data, size_t capacity, size_t *size)
{
    *size = 0;
    while (*size < capacity) {
        ssize_t n = read((int)handle, data + *size, capacity - *size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : 0;
        *size += (size_t)n;
    }
    return 0;
}

int flux2_file_open_regular(const char *path, intptr_t *handle, uint64_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int rc = fd < 0 ? errno : check_regular(fd, &st);
    if (fd >= 0 && rc != 0)
        close(fd);
    *handle = rc == 0 ? fd : -1;
    *size = rc == 0 ? (uint64_t)st.st_size : 0;
    return rc;
}

int flux2_file_make_private(const char *path)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENXIO ? FLUX2_FILE_SPECIAL : errno;
    int rc = check_regular(fd, &st);
    if (rc == 0)
        set_mode(fd, 0600); /* a file system without modes has no better */
    close(fd);
    return rc;
}

int flux2_file_append(const char *path, const void *data, size_t size, bool durable)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int rc = write_all(fd, data, size);
    if (rc == 0 && durable && fsync(fd) != 0 && errno != EINVAL)
        rc = errno;
    return flux2_file_close_after(fd, rc);
}

int flux2_file_rename(const char *from, const char *to)
{
    return rename(from, to) == 0 ? 0 : errno;
}

int flux2_file_remove(const char *path)
{
    return unlink(path) == 0 ? 0 : errno;
}

static bool is_same_directory(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           a->st_gid == b->st_gid;
}

/* TARGET may be replaced. */
static int try_resolved(const char *target)
{
    static _Thread_local struct stat tried; /* the directory of the last success */
    static _Thread_local double until;      /* when that result expires */
    struct stat at;
    struct flux2_file file;
    char *dir = directory_of(target);
    bool is_known = dir && stat(dir, &at) == 0;
    free(dir);
    double now = flux2_clock_now();
    if (is_known && now < until && is_same_directory(&at, &tried))
        return 0;
    int rc = flux2_file_open(&file, target, FLUX2_FILE_SHARED);
    if (rc != 0)
        return rc;
    flux2_file_discard(&file);
    if (is_known) {
        tried = at;
        until = now + TRY_LASTS;
    }
    return 0;
}

int flux2_file_try(const char *target)
{
    char *resolved;
    struct stat st;
    bool exists;
    int rc = resolve(target, &resolved, &exists, &st);
    rc = rc ? rc : try_resolved(resolved);
    free(resolved);
    return rc;
}
