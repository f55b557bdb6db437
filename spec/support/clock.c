/* clock.c - preloaded by a spec: a real-time clock that can be set, as by an administrator or a time server. The
 * monotonic clock is unchanged. For Lua (package.loadlib): set_clock(seconds) sets the clock forward by SECONDS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

int set_clock(lua_State *L);

static atomic_long offset;

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, t);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        t->tv_sec += atomic_load(&offset);
    return rc;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}

int set_clock(lua_State *L)
{
    atomic_store(&offset, (long)luaL_checknumber(L, 1));
    return 0;
}
