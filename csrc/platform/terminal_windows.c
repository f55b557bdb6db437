/* terminal_windows.c - see terminal.h. */
#include "platform/terminal.h"

#include <limits.h>
#include <stdatomic.h>
#include <windows.h>

#include "platform/path_windows.h"

/* The standard handle of FD. */
static HANDLE handle_of(int fd)
{
    static const DWORD names[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    return fd >= 0 && fd <= 2 ? GetStdHandle(names[fd]) : INVALID_HANDLE_VALUE;
}

/* A console that understands no sequences is none: the caller would write them. */
bool flux2_terminal_is_attached(int fd)
{
    DWORD mode;
    HANDLE handle = handle_of(fd);
    if (!GetConsoleMode(handle, &mode))
        return false;
    return fd == 0 || SetConsoleMode(handle, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

unsigned flux2_terminal_columns(int fd)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(handle_of(fd), &info))
        return 0;
    return (unsigned)(info.srWindow.Right - info.srWindow.Left + 1);
}

/* Numbers are not given again here, and no signal comes of a broken pipe. */
void flux2_terminal_claim_streams(void)
{
}

bool flux2_terminal_is_writable(int fd)
{
    HANDLE handle = handle_of(fd);
    return fd > 0 && handle != NULL && handle != INVALID_HANDLE_VALUE;
}

int flux2_terminal_write(const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        DWORD n = 0;
        if (!WriteFile(handle_of(1), p, size < INT_MAX ? (DWORD)size : INT_MAX, &n, NULL))
            return flux2_windows_errno();
        p += n;
        size -= n;
    }
    return 0;
}

static atomic_uint interrupts;

/* Called on a thread of its own. FALSE: what comes next, which ends the process. */
static BOOL WINAPI count_interrupt(DWORD event)
{
    return event == CTRL_C_EVENT && atomic_fetch_add(&interrupts, 1) + 1 <= 3;
}

void flux2_terminal_count_interrupts(void)
{
    SetConsoleOutputCP(CP_UTF8);
    SetConsoleCtrlHandler(count_interrupt, TRUE);
}

unsigned flux2_terminal_interrupts(void)
{
    return atomic_load(&interrupts);
}
