/* file_windows.c - see file.h. */
#include "platform/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "platform/path_windows.h"
#include "platform/random.h"

enum {
    NAME_TRIES = 16,
    RENAME_TRIES = 10, /* 1 s in all: a virus scanner may have a file open that was just written */
    RENAME_PAUSE = 2,  /* milliseconds, doubled each time up to ... */
    RENAME_MOST = 200,
};

/* Other programs may read, rename and remove what is open here. */
static const DWORD SHARE = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

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

/* "dir/.name.0123456789abcdef.part", so that a person sees what it is and whose. */
static char *temporary_name(const char *target)
{
    const char *name = name_in(target);
    int dir = (int)(name - target);
    size_t size = (size_t)dir + FLUX2_FILE_MAX_SHOWN + 32;
    char *out = malloc(size);
    if (out)
        snprintf(out, size, "%.*s.%.*s.%016llx.part", dir, target, flux2_file_shown_size(name), name,
                 (unsigned long long)flux2_random_seed());
    return out;
}

/* errno after flux2_windows_path, in the terms of file.h. */
static int path_failure(void)
{
    return errno == ENODEV ? FLUX2_FILE_SPECIAL : errno;
}

static const DWORD READ_WRITE = GENERIC_READ | GENERIC_WRITE;

/* Opens PATH. Returns 0, an errno value or FLUX2_FILE_SPECIAL. */
static int open_path(const char *path, DWORD access, DWORD creation, intptr_t *handle)
{
    wchar_t *wide = flux2_windows_path(path);
    *handle = -1;
    if (!wide)
        return path_failure();
    HANDLE file = CreateFileW(wide, access, SHARE, NULL, creation, FILE_ATTRIBUTE_NORMAL, NULL);
    int rc = file == INVALID_HANDLE_VALUE ? flux2_windows_errno() : 0;
    free(wide);
    if (rc == 0)
        *handle = (intptr_t)file;
    return rc;
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
        return errno == ENOENT ? 0 : path_failure();
    if (attributes & FILE_ATTRIBUTE_DIRECTORY)
        return EISDIR;
    return attributes & FILE_ATTRIBUTE_READONLY ? EACCES : 0;
}

/* --- files ------------------------------------------------------------------------------------ */

/* What is written belongs to the user if its directory does: rights are inherited from that, whatever ACCESS. */
int flux2_file_open(struct flux2_file *file, const char *target, enum flux2_file_access access)
{
    int rc = examine(target), i;
    (void)access;
    *file = (struct flux2_file){.handle = -1};
    if (rc != 0)
        return rc;
    file->target = strdup(target);
    for (i = 0, rc = file->target ? EEXIST : ENOMEM; rc == EEXIST && i < NAME_TRIES; i++) {
        free(file->temporary);
        file->temporary = temporary_name(target);
        rc = file->temporary ? open_path(file->temporary, READ_WRITE, CREATE_NEW, &file->handle) : ENOMEM;
    }
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

int flux2_file_commit(struct flux2_file *file, bool durable)
{
    int rc = durable && !FlushFileBuffers((HANDLE)file->handle) ? flux2_windows_errno() : 0;
    DWORD flags = MOVEFILE_REPLACE_EXISTING | (durable ? MOVEFILE_WRITE_THROUGH : 0);
    rc = flux2_file_close_after(file->handle, rc);
    rc = rc ? rc : examine(file->target);
    rc = rc ? rc : rename_over(file->temporary, file->target, flags);
    if (rc != 0)
        flux2_file_remove(file->temporary);
    flux2_file_reset(file);
    return rc;
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
    if (rc == EACCES && flux2_windows_attributes(path) & FILE_ATTRIBUTE_DIRECTORY)
        return FLUX2_FILE_SPECIAL;
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

bool flux2_file_is_readable(const char *path)
{
    intptr_t handle;
    if (open_path(path, GENERIC_READ, OPEN_EXISTING, &handle) != 0)
        return false;
    CloseHandle((HANDLE)handle);
    return true;
}

int flux2_file_try(const char *target)
{
    struct flux2_file file;
    int rc = flux2_file_open(&file, target, FLUX2_FILE_SHARED);
    if (rc == 0)
        flux2_file_discard(&file);
    return rc;
}
