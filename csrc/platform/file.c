/* file.c - the part of file.h that is the same on all systems. */
#include "platform/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- a file that is written beside its target ----------------------------------------------------- */

int flux2_file_shown_size(const char *name)
{
    size_t n = strlen(name);
    if (n <= FLUX2_FILE_MAX_SHOWN)
        return (int)n;
    for (n = FLUX2_FILE_MAX_SHOWN; n > FLUX2_FILE_MAX_SHOWN - 3 && ((unsigned char)name[n] & 0xc0) == 0x80; n--)
        ;
    return (int)n;
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
