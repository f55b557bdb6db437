/* file.h - files that appear whole or not at all, and other files. Any thread may call these functions; a struct
 * belongs to its caller and is used by one thread at a time. */
#ifndef FLUX2_PLATFORM_FILE_H
#define FLUX2_PLATFORM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Return values beside 0 and errno values. */
enum {
    FLUX2_FILE_SPECIAL = -1, /* it is a device, a pipe, a socket or a descriptor: neither replaced nor read */
    FLUX2_FILE_SHORT = -2,   /* it has fewer bytes than it had before */
};
/* Describes a failure code RC of the functions below. Never returns NULL; the text is valid until the thread's next
 * call. */
const char *flux2_file_reason(int rc);

enum flux2_file_access {
    FLUX2_FILE_SHARED,  /* a new file gets the mode that the umask allows; a replaced one keeps its mode and owner */
    FLUX2_FILE_PRIVATE, /* accessible to its owner only, independent of the umask */
};

/* A file that is written beside its target. Its strings are owned. */
struct flux2_file {
    intptr_t handle; /* below 0: not open */
    char *temporary; /* the name of the temporary file */
    char *target;    /* the final name, with a symbolic link resolved */
    bool in_place;   /* the target cannot be replaced by a rename: its content is overwritten instead */
};

/* Creates the temporary file, exclusively and without following a link. If TARGET is a symbolic link, the file that it
 * points to is replaced. Returns 0, an errno value or FLUX2_FILE_SPECIAL; on failure no file is left. */
int flux2_file_open(struct flux2_file *file, const char *target, enum flux2_file_access access);
/* Appends SIZE bytes to the temporary file. Returns 0 or an errno value; after a failure only a discard is allowed. */
int flux2_file_write(struct flux2_file *file, const void *data, size_t size);
/* Writes SIZE bytes at the offset AT of the temporary file; flux2_file_write continues after them. Returns 0 or an
 * errno value; after a failure only a discard is allowed. */
int flux2_file_write_at(struct flux2_file *file, uint64_t at, const void *data, size_t size);
/* Renames the temporary file to its target and frees FILE. With DURABLE the file survives a power failure. A target
 * that a rename cannot replace (a mount point, such as a single file in a container) is overwritten, which is not
 * atomic. Returns 0, an errno value or FLUX2_FILE_SPECIAL; on failure the temporary file is removed. */
int flux2_file_commit(struct flux2_file *file, bool durable);
/* Appends ROOM zero bytes and closes the temporary file, but keeps it: its blocks stay reserved if the disk becomes
 * full. The caller calls flux2_file_refill or flux2_file_discard later. Returns 0 or an errno value. */
int flux2_file_reserve(struct flux2_file *file, size_t room);
/* Opens the temporary file again and replaces its content by DATA. The caller commits or discards it afterwards.
 * Returns 0 or an errno value. */
int flux2_file_refill(struct flux2_file *file, const void *data, size_t size);
/* Removes the temporary file and frees FILE. Does nothing if the file is not open. */
void flux2_file_discard(struct flux2_file *file);

/* Reads a regular file of at most LIMIT bytes into *DATA, which the caller frees, also on failure. Any other file type,
 * such as a FIFO, fails without blocking. Returns 0, an errno value (EFBIG: more than LIMIT bytes) or
 * FLUX2_FILE_SPECIAL. */
int flux2_file_read(const char *path, size_t limit, char **data, size_t *size);
/* Reads the first bytes of a regular file into HEAD, at most ROOM, and sets *GOT to their number and *SIZE to the size
 * of the file. Returns 0, an errno value or FLUX2_FILE_SPECIAL. */
int flux2_file_head(const char *path, char *head, size_t room, size_t *got, uint64_t *size);
/* Opens a regular file for reading, as *HANDLE, a descriptor that the caller closes, and sets *SIZE to its size. Any
 * other file type fails without blocking. The file may be renamed and removed while it is open. Returns 0, an errno
 * value or FLUX2_FILE_SPECIAL; on failure *HANDLE is below 0. */
int flux2_file_open_regular(const char *path, intptr_t *handle, uint64_t *size);
/* Reads SIZE bytes at the offset AT of an open file. Returns 0, an errno value or FLUX2_FILE_SHORT. */
int flux2_file_read_at(intptr_t handle, uint64_t at, void *data, size_t size);
/* Closes it. Returns 0 or an errno value, by which NFS and quotas report a lost write. */
int flux2_file_close(intptr_t handle);
/* Makes COUNT files and directories survive a power failure, with all that was written to them before. One call for
 * many paths waits for the disk about as long as a call for one of them. Returns 0 or an errno value; then each of them
 * may be damaged. Not on Windows. */
int flux2_file_sync_all(const char *const *paths, size_t count);
/* Creates the regular file PATH, empty, unless it exists, and restricts access to its owner. Returns 0, an errno value
 * or FLUX2_FILE_SPECIAL. */
int flux2_file_make_private(const char *path);
/* Appends to a file, which is created for its owner only if it does not exist. With DURABLE its content survives a
 * power failure. After a failure a part of the data may be written. This function and the next two return 0 or an
 * errno value. */
int flux2_file_append(const char *path, const void *data, size_t size, bool durable);
/* Renames a file. Replaces a file at TO. */
int flux2_file_rename(const char *from, const char *to);
/* Removes the file PATH. */
int flux2_file_remove(const char *path);

/* Returns whether PATH is a readable regular file. */
bool flux2_file_is_readable(const char *path);
/* Checks that TARGET can be written, by creating and removing a temporary file beside it. The result of the last
 * success is reused for one second if the directory is unchanged, so that saving 100 files does not create 200. Returns
 * the same values as flux2_file_open. */
int flux2_file_try(const char *target);

/* --- between file.c and the file of the system ---------------------------------------------------- */

/* Creates the temporary file for the target NAME, with MODE (except on Windows), in the directory that the first SIZE
 * bytes of DIRECTORY name, with a separator at their end. Returns 0 or an errno value. */
int flux2_file_create_temporary(struct flux2_file *file, const char *directory, size_t size, const char *name,
                                unsigned mode);
/* Frees what FILE owns. */
void flux2_file_reset(struct flux2_file *file);
/* Closes an open file. Returns RC, or if that is 0 the result of flux2_file_close. */
int flux2_file_close_after(intptr_t handle, int rc);
/* Gives the complete and closed temporary file the name of its target. Returns the same values as flux2_file_commit. */
int flux2_file_put_in_place(struct flux2_file *file, bool durable);
/* Creates the file PATH, which must not exist. This function and the next ones return 0 or an errno value. */
int flux2_file_create(const char *path, unsigned mode, intptr_t *handle);
/* Flushes an open file to the disk. */
int flux2_file_sync(intptr_t handle);
int flux2_file_seek(intptr_t handle, uint64_t at);
/* Reads at most CAPACITY bytes and sets *SIZE to their number. */
int flux2_file_read_up_to(intptr_t handle, char *data, size_t capacity, size_t *size);

#endif
