/* lock_windows.c - see lock.h. */
#include "platform/lock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <windows.h>

#include "platform/path_windows.h"

static const DWORD SHARE = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

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
    wchar_t *wide = flux2_windows_path(path);
    *lock = (struct flux2_lock){.handle = -1};
    if (!wide)
        return errno;
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, SHARE, NULL, creation, FILE_ATTRIBUTE_NORMAL, NULL);
    int rc = file == INVALID_HANDLE_VALUE ? flux2_windows_errno() : 0;
    if (rc == 0) {
        rc = lock_byte(file, mode == FLUX2_LOCK_TRY ? 0 : LOCKFILE_EXCLUSIVE_LOCK);
        /* Between the two calls another process may have found it free, and removed it. */
        if (rc == 0 && own && is_removed(file))
            rc = EWOULDBLOCK;
        if (rc == 0)
            lock->handle = (intptr_t)file;
        else
            CloseHandle(file);
        /* Where it is busy, the other process removes it. */
        if (own && rc != 0 && rc != EWOULDBLOCK)
            DeleteFileW(wide);
    }
    free(wide);
    return rc;
}

void flux2_lock_release(struct flux2_lock *lock, const char *path)
{
    if (lock->handle < 0)
        return;
    wchar_t *wide = path ? flux2_windows_path(path) : NULL;
    if (wide)
        DeleteFileW(wide);
    free(wide);
    CloseHandle((HANDLE)lock->handle);
    lock->handle = -1;
}
