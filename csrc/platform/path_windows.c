/* path_windows.c - see path_windows.h. */
#include "platform/path_windows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum {
    LONGEST_PART = 255, /* characters of UTF-16 */
    ROOM = 8,           /* for the prefix of a long path */
};

wchar_t *flux2_windows_utf16(const char *text)
{
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *out = n > 0 ? malloc((size_t)n * sizeof *out) : NULL;
    if (out)
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, out, n);
    else
        errno = n > 0 ? ENOMEM : EINVAL;
    return out;
}

char *flux2_windows_utf8(const wchar_t *text)
{
    int n = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *out = n > 0 ? malloc((size_t)n) : NULL;
    if (out)
        WideCharToMultiByte(CP_UTF8, 0, text, -1, out, n, NULL, NULL);
    return out;
}

/* Returns 0 or an errno value. PATH is absolute: a colon after that of the drive would name a stream of a file. */
static int check_parts(const wchar_t *path)
{
    const wchar_t *part = path, *p;
    for (p = path; *p; p++) {
        if (*p == L'\\')
            part = p + 1;
        else if (wcschr(L"<>\"|*", *p) || (*p == L'?' && p > path + 3) || (*p == L':' && p != path + 1))
            return EINVAL;
        else if (p - part >= LONGEST_PART)
            return ENAMETOOLONG;
    }
    return 0;
}

/* The absolute path of PATH, with room for a prefix before it at *START. NULL, and errno. */
static wchar_t *resolve(const wchar_t *path)
{
    DWORD n = GetFullPathNameW(path, 0, NULL, NULL);
    wchar_t *out = n > 0 ? malloc((n + ROOM) * sizeof *out) : NULL;
    if (out && GetFullPathNameW(path, n, out + ROOM, NULL) < n)
        return out;
    free(out);
    errno = n > 0 ? ENOMEM : ENOENT;
    return NULL;
}

/* Puts what lifts the limit of 260 characters before the path at OUT + ROOM, and moves it to OUT. */
static void add_prefix(wchar_t *out)
{
    wchar_t *path = out + ROOM;
    bool is_share = path[0] == L'\\';
    const wchar_t *prefix = is_share ? L"\\\\?\\UNC\\" : L"\\\\?\\";
    size_t n = wcslen(prefix);
    path += is_share ? 2 : 0;
    memmove(out + n, path, (wcslen(path) + 1) * sizeof *path);
    memcpy(out, prefix, n * sizeof *prefix);
}

wchar_t *flux2_windows_path(const char *path)
{
    wchar_t *wide = flux2_windows_utf16(path);
    wchar_t *out = wide ? resolve(wide) : NULL;
    free(wide);
    if (!out)
        return NULL;
    /* "NUL", and whatever else is a device, becomes "\\.\NUL". */
    int rc = wcsncmp(out + ROOM, L"\\\\.\\", 4) == 0 ? ENODEV : check_parts(out + ROOM);
    if (rc == 0) {
        add_prefix(out);
        return out;
    }
    free(out);
    errno = rc;
    return NULL;
}

int flux2_windows_errno(void)
{
    switch (GetLastError()) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
        return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
        return EACCES;
    case ERROR_WRITE_PROTECT:
        return EROFS;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
        return ENOSPC;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:
        return EEXIST;
    case ERROR_DIRECTORY:
        return ENOTDIR;
    case ERROR_FILENAME_EXCED_RANGE:
        return ENAMETOOLONG;
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME:
        return EINVAL;
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA:
        return EPIPE;
    case ERROR_TOO_MANY_OPEN_FILES:
        return EMFILE;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
        return ENOMEM;
    default:
        return EIO;
    }
}

unsigned long flux2_windows_attributes(const char *path)
{
    wchar_t *wide = flux2_windows_path(path);
    DWORD attributes = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
    if (wide && attributes == INVALID_FILE_ATTRIBUTES)
        errno = flux2_windows_errno();
    free(wide);
    return attributes;
}

bool flux2_windows_is_directory(const char *path)
{
    DWORD attributes = flux2_windows_attributes(path);
    return attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY;
}

int flux2_windows_open(const char *path, unsigned long access, unsigned long creation, intptr_t *handle)
{
    const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    wchar_t *wide = flux2_windows_path(path);
    *handle = -1;
    if (!wide)
        return errno;
    HANDLE file = CreateFileW(wide, access, share, NULL, creation, FILE_ATTRIBUTE_NORMAL, NULL);
    int rc = file == INVALID_HANDLE_VALUE ? flux2_windows_errno() : 0;
    free(wide);
    if (rc == 0)
        *handle = (intptr_t)file;
    return rc;
}
