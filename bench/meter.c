/* meter.c - the Lua module bench_meter.
 *
 * now() -> seconds; sleep(seconds); cpu() -> CPU seconds of the process; thread_cpu() -> CPU seconds of the calling
 * thread; heap() -> bytes allocated by malloc; resident() -> bytes. */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int push_clock(lua_State *L, clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec / 1e9);
    return 1;
}

static int meter_now(lua_State *L)
{
    return push_clock(L, CLOCK_MONOTONIC);
}

static int meter_thread_cpu(lua_State *L)
{
    return push_clock(L, CLOCK_THREAD_CPUTIME_ID);
}

static int meter_sleep(lua_State *L)
{
    double s = luaL_checknumber(L, 1);
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    if (s > 0)
        nanosleep(&t, NULL);
    return 0;
}

static int meter_cpu(lua_State *L)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    lua_pushnumber(L, (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                          (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    return 1;
}

static int meter_heap(lua_State *L)
{
    struct mallinfo2 m = mallinfo2();
    lua_pushnumber(L, (double)(m.uordblks + m.hblkhd));
    return 1;
}

static int meter_resident(lua_State *L)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%*d %ld", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    lua_pushnumber(L, (double)pages * (double)sysconf(_SC_PAGESIZE));
    return 1;
}

int luaopen_bench_meter(lua_State *L);
int luaopen_bench_meter(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction fn;
    } all[] = {{"now", meter_now},
               {"sleep", meter_sleep},
               {"cpu", meter_cpu},
               {"thread_cpu", meter_thread_cpu},
               {"heap", meter_heap},
               {"resident", meter_resident}};
    size_t i;
    lua_newtable(L);
    for (i = 0; i < sizeof all / sizeof *all; i++) {
        lua_pushcfunction(L, all[i].fn);
        lua_setfield(L, -2, all[i].name);
    }
    return 1;
}
