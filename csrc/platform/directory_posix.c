/* directory_posix.c - see directory.h. */
#define _GNU_SOURCE
#include "platform/directory.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int flux2_directory_create(const char *path, unsigned mode)
{
    struct stat st;
    if (mkdir(path, (mode_t)mode) == 0)
        return 0;
    int rc = errno; /* not EEXIST, if the system checks another condition first */
    if (stat(path, &st) != 0)
        return rc == EEXIST ? errno : rc;
    return S_ISDIR(st.st_mode) ? 0 : rc == EEXIST ? ENOTDIR : rc;
}

char *flux2_directory_resolve(const char *path)
{
    return realpath(path, NULL);
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

int flux2_directory_list(const char *path, char **names, size_t *size)
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
