/* file_windows.c - see file.h. */
#include "platform/file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "platform/path_windows.h"

enum {
    RENAME_TRIES = 10, /* 1 s in all: a virus scanner may have a file open that was just written */
    RENAME_PAUSE = 2,  /* milliseconds, doubled each time up to ... */
    RENAME_MOST = 200,
};

const char *flux2_file_reason(int rc)
{
    if (rc == FLUX2_FILE_SPECIAL)
        return "it is a device or a stream of a file, not a regular file";
    return rc == FLUX2_FILE_SHORT ? "it became shorter" : strerror(rc);
}

/* --- paths ------------------------------------------------------------------------------------ */

/* What follows the last separator. */
static const char *name_in(const char *path)
{
    const char *name = path, *p;
    for (p = path; *p; p++)
        if (*p == '/' || *p == '\\' || (*p == ':' && p == path + 1))
            name = p + 1;
    return name;
}

/* Returns RC, the errno value of a path, in the terms of file.h. */
static int path_failure(int rc)
{
    return rc == ENODEV ? FLUX2_FILE_SPECIAL : rc;
}

/* Opens PATH. Returns 0, an errno value or FLUX2_FILE_SPECIAL. */
static int open_path(const char *path, DWORD access, DWORD creation, intptr_t *handle)
{
    return path_failure(flux2_windows_open(path, access, creation, handle));
}

/* Says whether TARGET may be replaced. Returns 0, an errno value or FLUX2_FILE_SPECIAL. */
static int examine(const char *target)
{
    if (!*target)
        return ENOENT;
    if (!*name_in(target))
        return EISDIR;
    DWORD attributes = flux2_windows_attributes(target);
    if (attributes == INVALID_FILE_ATTRIBUTES)
        return errno == ENOENT ? 0 : path_failure(errno);
    if (attributes & FILE_ATTRIBUTE_DIRECTORY)
        return EISDIR;
    return attributes & FILE_ATTRIBUTE_READONLY ? EACCES : 0;
}

/* --- files ------------------------------------------------------------------------------------ */

int flux2_file_create(const char *path, unsigned mode, intptr_t *handle)
{
    (void)mode;
    return open_path(path, GENERIC_READ | GENERIC_WRITE, CREATE_NEW, handle);
}

/* What is written belongs to the user if its directory does: rights are inherited from that, whatever ACCESS. */
int flux2_file_open(struct flux2_file *file, const char *target, enum flux2_file_access access)
{
    const char *name = name_in(target);
    int rc = examine(target);
    (void)access;
    *file = (struct flux2_file){.handle = -1};
    if (rc != 0)
        return rc;
    file->target = strdup(target);
    rc = file->target ? flux2_file_create_temporary(file, target, (size_t)(name - target), name, 0) : ENOMEM;
    if (rc != 0)
        flux2_file_reset(file);
    return rc;
}

int flux2_file_write(struct flux2_file *file, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        DWORD n = 0;
        if (!WriteFile((HANDLE)file->handle, p, size < INT_MAX ? (DWORD)size : INT_MAX, &n, NULL))
            return flux2_windows_errno();
        p += n;
        size -= n;
    }
    return 0;
}

int flux2_file_sync(intptr_t handle)
{
    return FlushFileBuffers((HANDLE)handle) ? 0 : flux2_windows_errno();
}

int flux2_file_close(intptr_t handle)
{
    return CloseHandle((HANDLE)handle) ? 0 : flux2_windows_errno();
}

int flux2_file_seek(intptr_t handle, uint64_t at)
{
    LARGE_INTEGER to = {.QuadPart = (LONGLONG)at};
    return SetFilePointerEx((HANDLE)handle, to, NULL, FILE_BEGIN) ? 0 : flux2_windows_errno();
}

int flux2_file_refill(struct flux2_file *file, const void *data, size_t size)
{
    int rc = open_path(file->temporary, GENERIC_WRITE, OPEN_EXISTING, &file->handle);
    rc = rc ? rc : flux2_file_write(file, data, size);
    return rc == 0 && !SetEndOfFile((HANDLE)file->handle) ? flux2_windows_errno() : rc;
}

static int rename_over(const char *from, const char *to, DWORD flags)
{
    wchar_t *wide_from = flux2_windows_path(from), *wide_to = wide_from ? flux2_windows_path(to) : NULL;
    int rc = wide_to ? EACCES : errno, i, pause = RENAME_PAUSE;
    for (i = 0; rc == EACCES && i < RENAME_TRIES; i++) {
        if (i > 0)
            Sleep((DWORD)pause);
        pause = pause * 2 < RENAME_MOST ? pause * 2 : RENAME_MOST;
        rc = MoveFileExW(wide_from, wide_to, flags) ? 0 : flux2_windows_errno();
    }
    free(wide_from);
    free(wide_to);
    return rc;
}

int flux2_file_put_in_place(struct flux2_file *file, bool durable)
{
    DWORD flags = MOVEFILE_REPLACE_EXISTING | (durable ? MOVEFILE_WRITE_THROUGH : 0);
    int rc = examine(file->target);
    return rc ? rc : rename_over(file->temporary, file->target, flags);
}

/* --- other files ---------------------------------------------------------------------------------- */

/* Says whether HANDLE is a regular file; sets *SIZE. */
static int examine_open(HANDLE handle, LARGE_INTEGER *size)
{
    if (GetFileType(handle) != FILE_TYPE_DISK)
        return FLUX2_FILE_SPECIAL;
    return GetFileSizeEx(handle, size) ? 0 : flux2_windows_errno();
}

int flux2_file_read_up_to(intptr_t handle, char *data, size_t capacity, size_t *size)
{
    DWORD n = 1;
    for (*size = 0; n > 0 && *size < capacity; *size += n) {
        size_t left = capacity - *size;
        if (!ReadFile((HANDLE)handle, data + *size, left < INT_MAX ? (DWORD)left : INT_MAX, &n, NULL))
            return flux2_windows_errno();
    }
    return 0;
}

int flux2_file_open_regular(const char *path, intptr_t *handle, uint64_t *size)
{
    LARGE_INTEGER length = {.QuadPart = 0};
    int rc = open_path(path, GENERIC_READ, OPEN_EXISTING, handle);
    *size = 0;
    if (rc == EACCES && flux2_windows_is_directory(path))
        return EISDIR;
    if (rc != 0)
        return rc;
    rc = examine_open((HANDLE)*handle, &length);
    if (rc != 0) {
        CloseHandle((HANDLE)*handle);
        *handle = -1;
    }
    *size = (uint64_t)length.QuadPart;
    return rc;
}

int flux2_file_make_private(const char *path)
{
    intptr_t handle;
    LARGE_INTEGER size;
    int rc = open_path(path, GENERIC_WRITE, OPEN_ALWAYS, &handle);
    if (rc != 0)
        return rc;
    rc = examine_open((HANDLE)handle, &size);
    CloseHandle((HANDLE)handle);
    return rc;
}

int flux2_file_append(const char *path, const void *data, size_t size, bool durable)
{
    struct flux2_file file;
    int rc = open_path(path, FILE_APPEND_DATA, OPEN_ALWAYS, &file.handle);
    if (rc != 0)
        return rc;
    rc = flux2_file_write(&file, data, size);
    if (rc == 0 && durable && !FlushFileBuffers((HANDLE)file.handle))
        rc = flux2_windows_errno();
    return flux2_file_close_after(file.handle, rc);
}

int flux2_file_rename(const char *from, const char *to)
{
    return rename_over(from, to, MOVEFILE_REPLACE_EXISTING);
}

int flux2_file_remove(const char *path)
{
    wchar_t *wide = flux2_windows_path(path);
    int rc = wide && DeleteFileW(wide) ? 0 : wide ? flux2_windows_errno() : errno;
    free(wide);
    return rc;
}

int flux2_file_try(const char *target)
{
    struct flux2_file file;
    int rc = flux2_file_open(&file, target, FLUX2_FILE_SHARED);
    if (rc == 0)
        flux2_file_discard(&file);
    return rc;
}
