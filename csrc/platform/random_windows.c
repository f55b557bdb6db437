/* random_windows.c - the seeds of random.h. */
#include "platform/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <windows.h>
/* After windows.h. */
#include <bcrypt.h>

uint64_t flux2_random_seed(void)
{
    static atomic_uint_fast64_t calls;
    FILETIME date;
    LARGE_INTEGER ticks;
    GetSystemTimeAsFileTime(&date);
    QueryPerformanceCounter(&ticks);
    uint64_t moment = ((uint64_t)date.dwHighDateTime << 32 | date.dwLowDateTime) + (uint64_t)ticks.QuadPart;
    uint64_t caller = GetCurrentProcessId() * UINT64_C(0x9e3779b97f4a7c15) + atomic_fetch_add(&calls, 1);
    return flux2_random_next(&moment) ^ flux2_random_next(&caller);
}

int flux2_random_secret(void *out, size_t size)
{
    return BCryptGenRandom(NULL, out, (ULONG)size, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0 ? 0 : EIO;
}
