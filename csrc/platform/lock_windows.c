/* lock_windows.c - see lock.h. */
#include "platform/lock.h"

#include <errno.h>
#include <stdbool.h>
#include <windows.h>

#include "platform/file.h"
#include "platform/path_windows.h"

/* A byte beyond the end of any file: locks of Windows keep others from reading. */
static int lock_byte(HANDLE file, DWORD flags)
{
    OVERLAPPED at = {.Offset = 0xfffffffe, .OffsetHigh = 0x7fffffff};
    if (LockFileEx(file, flags | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at))
        return 0;
    DWORD error = GetLastError();
    return error == ERROR_LOCK_VIOLATION || error == ERROR_IO_PENDING ? EWOULDBLOCK : flux2_windows_errno();
}

static bool is_removed(HANDLE file)
{
    FILE_STANDARD_INFO info;
    return !GetFileInformationByHandleEx(file, FileStandardInfo, &info, sizeof info) || info.DeletePending ||
           info.NumberOfLinks == 0;
}

int flux2_lock_acquire(const char *path, enum flux2_lock_mode mode, struct flux2_lock *lock)
{
    bool own = mode == FLUX2_LOCK_OWN || mode == FLUX2_LOCK_CLAIM;
    DWORD creation = own ? CREATE_NEW : mode == FLUX2_LOCK_KEEP ? OPEN_ALWAYS : OPEN_EXISTING;
    intptr_t handle;
    *lock = (struct flux2_lock){.handle = -1};
    int rc = flux2_windows_open(path, GENERIC_READ | GENERIC_WRITE, creation, &handle);
    if (rc != 0)
        return rc;
    rc = lock_byte((HANDLE)handle, mode == FLUX2_LOCK_TRY ? 0 : LOCKFILE_EXCLUSIVE_LOCK);
    /* Between the two calls another process may have found it free, and removed it. */
    if (rc == 0 && own && is_removed((HANDLE)handle))
        rc = EWOULDBLOCK;
    if (rc == 0) {
        lock->handle = handle;
        return 0;
    }
    CloseHandle((HANDLE)handle);
    /* Where it is busy, the other process removes it. */
    if (own && rc != EWOULDBLOCK)
        flux2_file_remove(path);
    return rc;
}

void flux2_lock_release(struct flux2_lock *lock, const char *path)
{
    if (lock->handle < 0)
        return;
    if (path)
        flux2_file_remove(path);
    CloseHandle((HANDLE)lock->handle);
    lock->handle = -1;
}
