/* file.c - the part of file.h that is the same on all systems. */
#include "platform/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/random.h"

enum {
    NAME_TRIES = 16,
    MAX_SHOWN = 200, /* bytes of the target's name in the temporary name: neither may exceed 255 */
};

/* --- a file that is written beside its target ----------------------------------------------------- */

/* Returns how many bytes of NAME a temporary name contains. A UTF-8 character is not cut. */
static int shown_size(const char *name)
{
    size_t n = strlen(name);
    if (n <= MAX_SHOWN)
        return (int)n;
    for (n = MAX_SHOWN; n > MAX_SHOWN - 3 && ((unsigned char)name[n] & 0xc0) == 0x80; n--)
        ;
    return (int)n;
}

/* Returns "dir/.name.0123456789abcdef.part", so that users recognize leftover files. */
static char *temporary_name(const char *directory, size_t size, const char *name)
{
    size_t room = size + MAX_SHOWN + 32;
    char *out = malloc(room);
    if (out)
        snprintf(out, room, "%.*s.%.*s.%016llx.part", (int)size, directory, shown_size(name), name,
                 (unsigned long long)flux2_random_seed());
    return out;
}

int flux2_file_create_temporary(struct flux2_file *file, const char *directory, size_t size, const char *name,
                                unsigned mode)
{
    int rc = EEXIST, i;
    for (i = 0; rc == EEXIST && i < NAME_TRIES; i++) {
        free(file->temporary);
        file->temporary = temporary_name(directory, size, name);
        rc = file->temporary ? flux2_file_create(file->temporary, mode, &file->handle) : ENOMEM;
    }
    if (rc == 0)
        return 0;
    free(file->temporary);
    file->temporary = NULL;
    return rc;
}

void flux2_file_reset(struct flux2_file *file)
{
    free(file->temporary);
    free(file->target);
    *file = (struct flux2_file){.handle = -1};
}

int flux2_file_close_after(intptr_t handle, int rc)
{
    int closed = flux2_file_close(handle);
    return rc ? rc : closed;
}

int flux2_file_write_at(struct flux2_file *file, uint64_t at, const void *data, size_t size)
{
    int rc = flux2_file_seek(file->handle, at);
    return rc ? rc : flux2_file_write(file, data, size);
}

int flux2_file_reserve(struct flux2_file *file, size_t room)
{
    static const char blanks[1024];
    int rc = 0;
    for (; rc == 0 && room > 0; room -= room < sizeof blanks ? room : sizeof blanks)
        rc = flux2_file_write(file, blanks, room < sizeof blanks ? room : sizeof blanks);
    rc = flux2_file_close_after(file->handle, rc);
    file->handle = -1;
    return rc;
}

int flux2_file_commit(struct flux2_file *file, bool durable)
{
    int rc = durable ? flux2_file_sync(file->handle) : 0;
    rc = flux2_file_close_after(file->handle, rc);
    rc = rc ? rc : flux2_file_put_in_place(file, durable);
    if (rc != 0)
        flux2_file_remove(file->temporary);
    flux2_file_reset(file);
    return rc;
}

void flux2_file_discard(struct flux2_file *file)
{
    if (!file->temporary)
        return;
    if (file->handle >= 0)
        flux2_file_close(file->handle);
    flux2_file_remove(file->temporary);
    flux2_file_reset(file);
}

/* --- other files ---------------------------------------------------------------------------------- */

int flux2_file_read_at(intptr_t handle, uint64_t at, void *data, size_t size)
{
    size_t got = 0;
    int rc = flux2_file_seek(handle, at);
    rc = rc ? rc : flux2_file_read_up_to(handle, data, size, &got);
    return rc == 0 && got < size ? FLUX2_FILE_SHORT : rc;
}

bool flux2_file_is_readable(const char *path)
{
    intptr_t handle;
    uint64_t size;
    if (flux2_file_open_regular(path, &handle, &size) != 0)
        return false;
    flux2_file_close(handle);
    return true;
}

int flux2_file_head(const char *path, char *head, size_t room, size_t *got, uint64_t *size)
{
    intptr_t handle;
    int rc = flux2_file_open_regular(path, &handle, size);
    *got = 0;
    if (rc != 0)
        return rc;
    rc = flux2_file_read_up_to(handle, head, room, got);
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
    *data = length <= limit ? malloc((size_t)length + 1) : NULL;
    if (*data)
        rc = flux2_file_read_up_to(handle, *data, (size_t)length, size);
    else
        rc = length <= limit ? ENOMEM : EFBIG;
    flux2_file_close(handle);
    return rc;
}
