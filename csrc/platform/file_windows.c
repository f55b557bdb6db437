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
    MAX_SHOWN = 200,   /* bytes of a name in its temporary name */
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

/* How many bytes of NAME a temporary name shows. A character is not cut. */
static int shown_size(const char *name)
{
    size_t n = strlen(name);
    if (n <= MAX_SHOWN)
        return (int)n;
    for (n = MAX_SHOWN; n > MAX_SHOWN - 3 && ((unsigned char)name[n] & 0xc0) == 0x80; n--)
        ;
    return (int)n;
}

/* "dir/.name.0123456789abcdef.part", so that a person sees what it is and whose. */
static char *temporary_name(const char *target)
{
    const char *name = name_in(target);
    int dir = (int)(name - target);
    size_t size = (size_t)dir + MAX_SHOWN + 32;
    char *out = malloc(size);
    if (out)
        snprintf(out, size, "%.*s.%.*s.%016llx.part", dir, target, shown_size(name), name,
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

/* The attributes of PATH; INVALID_FILE_ATTRIBUTES, and errno. */
static DWORD attributes_of(const char *path)
{
    wchar_t *wide = flux2_windows_path(path);
    DWORD attributes = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
    if (wide && attributes == INVALID_FILE_ATTRIBUTES)
        errno = flux2_windows_errno();
    free(wide);
    return attributes;
}

/* Says whether TARGET may be replaced. Returns 0, an errno value or FLUX2_FILE_SPECIAL. */
static int examine(const char *target)
{
    if (!*target)
        return ENOENT;
    if (!*name_in(target))
        return EISDIR;
    DWORD attributes = attributes_of(target);
    if (attributes == INVALID_FILE_ATTRIBUTES)
        return errno == ENOENT ? 0 : path_failure();
    if (attributes & FILE_ATTRIBUTE_DIRECTORY)
        return EISDIR;
    return attributes & FILE_ATTRIBUTE_READONLY ? EACCES : 0;
}

/* --- files ------------------------------------------------------------------------------------ */

static void forget(struct flux2_file *file)
{
    free(file->temporary);
    free(file->target);
    *file = (struct flux2_file){.handle = -1};
}

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
        forget(file);
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

static int seek(intptr_t handle, uint64_t at)
{
    LARGE_INTEGER to = {.QuadPart = (LONGLONG)at};
    return SetFilePointerEx((HANDLE)handle, to, NULL, FILE_BEGIN) ? 0 : flux2_windows_errno();
}

int flux2_file_write_at(struct flux2_file *file, uint64_t at, const void *data, size_t size)
{
    int rc = seek(file->handle, at);
    return rc ? rc : flux2_file_write(file, data, size);
}

static int close_after(struct flux2_file *file, int rc)
{
    bool is_closed = CloseHandle((HANDLE)file->handle);
    file->handle = -1;
    return rc == 0 && !is_closed ? flux2_windows_errno() : rc;
}

int flux2_file_reserve(struct flux2_file *file, size_t room)
{
    static const char blanks[1024];
    int rc = 0;
    for (; rc == 0 && room > 0; room -= room < sizeof blanks ? room : sizeof blanks)
        rc = flux2_file_write(file, blanks, room < sizeof blanks ? room : sizeof blanks);
    return close_after(file, rc);
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
    rc = close_after(file, rc);
    rc = rc ? rc : examine(file->target);
    rc = rc ? rc : rename_over(file->temporary, file->target, flags);
    if (rc != 0)
        flux2_file_remove(file->temporary);
    forget(file);
    return rc;
}

void flux2_file_discard(struct flux2_file *file)
{
    if (!file->temporary)
        return;
    if (file->handle >= 0)
        CloseHandle((HANDLE)file->handle);
    flux2_file_remove(file->temporary);
    forget(file);
}

/* --- other files ---------------------------------------------------------------------------------- */

/* Says whether HANDLE is a regular file; sets *SIZE. */
static int examine_open(HANDLE handle, LARGE_INTEGER *size)
{
    if (GetFileType(handle) != FILE_TYPE_DISK)
        return FLUX2_FILE_SPECIAL;
    return GetFileSizeEx(handle, size) ? 0 : flux2_windows_errno();
}

/* Reads at most CAPACITY bytes; *SIZE is how many there are. */
static int read_all(HANDLE handle, char *data, size_t capacity, size_t *size)
{
    DWORD n = 1;
    for (*size = 0; n > 0 && *size < capacity; *size += n) {
        size_t left = capacity - *size;
        if (!ReadFile(handle, data + *size, left < INT_MAX ? (DWORD)left : INT_MAX, &n, NULL))
            return flux2_windows_errno();
    }
    return 0;
}

int flux2_file_read_at(intptr_t handle, uint64_t at, void *data, size_t size)
{
    size_t got = 0;
    int rc = seek(handle, at);
    rc = rc ? rc : read_all((HANDLE)handle, data, size, &got);
    return rc == 0 && got < size ? FLUX2_FILE_SHORT : rc;
}

static int read_open(HANDLE handle, uint64_t length, size_t limit, char **data, size_t *size)
{
    if (length > limit)
        return EFBIG;
    *data = malloc((size_t)length + 1);
    return *data ? read_all(handle, *data, (size_t)length, size) : ENOMEM;
}

int flux2_file_open_regular(const char *path, intptr_t *handle, uint64_t *size)
{
    LARGE_INTEGER length = {.QuadPart = 0};
    int rc = open_path(path, GENERIC_READ, OPEN_EXISTING, handle);
    *size = 0;
    if (rc == EACCES && attributes_of(path) & FILE_ATTRIBUTE_DIRECTORY)
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

void flux2_file_close(intptr_t handle)
{
    CloseHandle((HANDLE)handle);
}

int flux2_file_head(const char *path, char *head, size_t room, size_t *got, uint64_t *size)
{
    intptr_t handle;
    int rc = flux2_file_open_regular(path, &handle, size);
    *got = 0;
    if (rc != 0)
        return rc;
    rc = read_all((HANDLE)handle, head, room, got);
    flux2_file_close(handle);
    return rc;
}

int flux2_file_read(const char *path, size_t limit, char **data, size_t *size)
{
    intptr_t handle;
    uint64_t length;
    *data = NULL;
    *size = 0;
    int rc = flux2_file_open_regular(path, &handle, &length);
    if (rc != 0)
        return rc;
    rc = read_open((HANDLE)handle, length, limit, data, size);
    flux2_file_close(handle);
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

int flux2_file_append(const char *path, const void *data, size_t size)
{
    struct flux2_file file;
    int rc = open_path(path, FILE_APPEND_DATA, OPEN_ALWAYS, &file.handle);
    return rc ? rc : close_after(&file, flux2_file_write(&file, data, size));
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

/* --- directories -------------------------------------------------------------------------------- */

int flux2_directory_create(const char *path, unsigned mode)
{
    wchar_t *wide = flux2_windows_path(path);
    (void)mode;
    if (!wide)
        return errno;
    int rc = CreateDirectoryW(wide, NULL) ? 0 : flux2_windows_errno();
    free(wide);
    if (rc != EEXIST)
        return rc;
    return attributes_of(path) & FILE_ATTRIBUTE_DIRECTORY ? 0 : ENOTDIR;
}

/* With the separators that the layers above add names with. */
char *flux2_directory_resolve(const char *path)
{
    wchar_t *wide = flux2_windows_path(path), *p;
    if (!wide)
        return NULL;
    /* "\\\\?\\C:\\a" is C:/a, and "\\\\?\\UNC\\server\\a" is //server/a. */
    size_t prefix = 4;
    if (wcsncmp(wide + prefix, L"UNC\\", 4) == 0) {
        prefix = 6;
        wide[prefix] = L'/';
    }
    for (p = wide; *p; p++)
        *p = *p == L'\\' ? L'/' : *p;
    char *out = flux2_windows_utf8(wide + prefix);
    free(wide);
    return out;
}

static bool append_name(char **names, size_t *size, const wchar_t *name)
{
    char *text = flux2_windows_utf8(name);
    size_t n = text ? strlen(text) + 1 : 0;
    char *grown = text ? realloc(*names, *size + n) : NULL;
    if (grown) {
        memcpy(grown + *size, text, n);
        *names = grown;
        *size += n;
    }
    free(text);
    return grown != NULL;
}

static bool is_dots(const wchar_t *name)
{
    return wcscmp(name, L".") == 0 || wcscmp(name, L"..") == 0;
}

/* The search for all names in the directory WIDE. */
static HANDLE find_first(const wchar_t *wide, WIN32_FIND_DATAW *entry)
{
    size_t n = wcslen(wide);
    wchar_t *pattern = malloc((n + 3) * sizeof *pattern);
    if (!pattern) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return INVALID_HANDLE_VALUE;
    }
    memcpy(pattern, wide, n * sizeof *pattern);
    wcscpy(pattern + n, wide[n - 1] == L'\\' ? L"*" : L"\\*");
    HANDLE search = FindFirstFileW(pattern, entry);
    free(pattern);
    return search;
}

static int list(const wchar_t *wide, char **names, size_t *size)
{
    WIN32_FIND_DATAW entry;
    HANDLE search = find_first(wide, &entry);
    if (search == INVALID_HANDLE_VALUE)
        return flux2_windows_errno();
    int rc = 0;
    do
        if (!is_dots(entry.cFileName) && !append_name(names, size, entry.cFileName))
            rc = ENOMEM;
    while (rc == 0 && FindNextFileW(search, &entry));
    if (rc == 0 && GetLastError() != ERROR_NO_MORE_FILES)
        rc = flux2_windows_errno();
    FindClose(search);
    return rc;
}

int flux2_directory_list(const char *path, char **names, size_t *size)
{
    wchar_t *wide = flux2_windows_path(path);
    *names = NULL;
    *size = 0;
    int rc = wide ? list(wide, names, size) : errno;
    free(wide);
    return rc;
}
