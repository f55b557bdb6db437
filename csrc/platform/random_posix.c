/* random_posix.c - the seeds of random.h. */
#define _GNU_SOURCE
#include "platform/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

uint64_t flux2_random_seed(void)
{
    static atomic_uint_fast64_t calls;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t moment = (uint64_t)t.tv_sec * UINT64_C(1000000007) + (uint64_t)t.tv_nsec;
    uint64_t caller = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) + atomic_fetch_add(&calls, 1);
    return flux2_random_next(&moment) ^ flux2_random_next(&caller);
}

int flux2_random_secret(void *out, size_t size)
{
    return getentropy(out, size) == 0 ? 0 : errno;
}
