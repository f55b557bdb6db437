/* directory.h - directories. Any thread may call these functions. */
#ifndef FLUX2_PLATFORM_DIRECTORY_H
#define FLUX2_PLATFORM_DIRECTORY_H

#include <stddef.h>

/* Creates the directory PATH with MODE, reduced by the umask, unless it exists. Returns 0 or an errno value. */
int flux2_directory_create(const char *path, unsigned mode);
/* Returns the absolute path of a directory, which the caller frees; NULL on failure, with errno set. */
char *flux2_directory_resolve(const char *path);
/* Sets *NAMES to the names in a directory except "." and "..", each terminated by a NUL, and *SIZE to their total size.
 * The caller frees *NAMES, also on failure; it is NULL for an empty directory. Returns 0 or an errno value. */
int flux2_directory_list(const char *path, char **names, size_t *size);

#endif
