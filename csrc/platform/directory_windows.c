/* directory_windows.c - see directory.h. */
#include "platform/directory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "platform/path_windows.h"

int flux2_directory_create(const char *path, unsigned mode)
{
    wchar_t *wide = flux2_windows_path(path);
    (void)mode;
    if (!wide)
        return errno;
    int rc = CreateDirectoryW(wide, NULL) ? 0 : flux2_windows_errno();
    free(wide);
    /* The error for the root of a drive is ERROR_ACCESS_DENIED. */
    if (rc == 0 || flux2_windows_is_directory(path))
        return 0;
    return rc == EEXIST ? ENOTDIR : rc;
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
    /* The root of an empty drive has no dots either. For a missing directory the error is ERROR_PATH_NOT_FOUND. */
    if (search == INVALID_HANDLE_VALUE)
        return GetLastError() == ERROR_FILE_NOT_FOUND ? 0 : flux2_windows_errno();
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
