/* process_windows.c - see process.h. */
#include "platform/process.h"

#include <stddef.h>
#include <stdlib.h>
#include <windows.h>
/* After windows.h. */
#include <shellapi.h>

#include "platform/path_windows.h"

void flux2_process_pin_module(void)
{
    HMODULE module;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                       (const wchar_t *)(const void *)&flux2_process_pin_module, &module);
}

/* There is no table of symbols that all libraries share. */
void (*flux2_process_function(const char *name))(void)
{
    (void)name;
    return NULL;
}

void flux2_process_at_exit(void (*fn)(void))
{
    (void)fn;
}

char *flux2_process_getenv(const char *name)
{
    wchar_t *wide = flux2_windows_utf16(name);
    DWORD size = wide ? GetEnvironmentVariableW(wide, NULL, 0) : 0;
    wchar_t *value = size > 0 ? malloc(size * sizeof *value) : NULL;
    bool found = value && GetEnvironmentVariableW(wide, value, size) < size;
    char *out = found ? flux2_windows_utf8(value) : NULL;
    free(wide);
    free(value);
    return out;
}

char *flux2_process_argument(unsigned from_end)
{
    int count;
    wchar_t **words = CommandLineToArgvW(GetCommandLineW(), &count);
    char *out = words && from_end < (unsigned)count ? flux2_windows_utf8(words[count - 1 - (int)from_end]) : NULL;
    LocalFree(words);
    return out;
}

void flux2_process_hold_in_forks(struct flux2_mutex *lock)
{
    (void)lock;
}

unsigned flux2_process_forks(void)
{
    return 0;
}
