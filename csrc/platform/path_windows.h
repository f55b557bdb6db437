/* path_windows.h - paths and failures of files on Windows. Paths are UTF-8 everywhere else. */
#ifndef FLUX2_PLATFORM_PATH_WINDOWS_H
#define FLUX2_PLATFORM_PATH_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>
#include <wchar.h>

/* The absolute path for a call of the system, for free(). Returns NULL and sets errno if it names no file: a device, a
 * stream of a file, text that is not UTF-8, a part of more than 255 characters. */
wchar_t *flux2_windows_path(const char *path);
/* UTF-8 as UTF-16, for free(). NULL, and errno. */
wchar_t *flux2_windows_utf16(const char *text);
/* UTF-16 as UTF-8, for free(); NULL without memory. */
char *flux2_windows_utf8(const wchar_t *text);
/* The attributes of the file PATH; INVALID_FILE_ATTRIBUTES, and errno. */
unsigned long flux2_windows_attributes(const char *path);
bool flux2_windows_is_directory(const char *path);
/* Opens the file PATH as *HANDLE, with the system's words for ACCESS and CREATION. Other programs may read, rename and
 * remove what is open. Returns 0 or an errno value; on failure *HANDLE is below 0. */
int flux2_windows_open(const char *path, unsigned long access, unsigned long creation, intptr_t *handle);
/* The errno value for GetLastError(): one that the C library has words for. */
int flux2_windows_errno(void);

#endif
