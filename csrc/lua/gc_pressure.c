/* gc_pressure.c - see gc_pressure.h.
 *
 * Lua counts only the few bytes of a userdata for a buffer with megabytes, so unused images would pile up. In Lua 5.1
 * and LuaJIT a buffer's userdata is therefore as large as its bytes, though that memory is never touched: their
 * collectors then run more often, in small steps. The collectors of 5.2 to 5.4 would then run a full cycle at once,
 * which takes 30 ms in a game with 40 MB of data. There this file runs a few collector steps in each update while the
 * buffers are large. */
#include "lua/gc_pressure.h"

#include <stdbool.h>
#include <stdint.h>

#include "engine/event_queue.h"

#define PRESSURE_KEY "flux2.buffer.pressure"

#if LUA_VERSION_NUM >= 502

enum {
    LEAST_GROWTH = 32 << 20, /* bytes of buffers that cause no collection */
    BACKLOG = 64,            /* due steps that add one step to an update */
    MOST_AT_ONCE = 4,        /* maximum of steps in an update, times live / goal */
};

/* A step takes about 0.1 ms: OWN_STEPS of the collector's own, which process about STEP_BYTES. */
#if LUA_VERSION_NUM >= 504
enum { OWN_STEPS = 1, STEP_BYTES = 1 << 20 };
#elif LUA_VERSION_NUM == 503
enum { OWN_STEPS = 40, STEP_BYTES = 1 << 16 };
#else
enum { OWN_STEPS = 90, STEP_BYTES = 1 << 14 };
#endif

/* The accounts of all buffers of a Lua state. */
struct pressure {
    size_t live;  /* bytes of all buffers */
    size_t goal;  /* no collection below: what remained last time, plus what Lua counts */
    size_t due;   /* steps to run */
    size_t steps; /* steps run since the goal was set */
    size_t cost;  /* steps of a full collection */
    bool counted; /* in flux2_pending_work */
};

static void count_pending(struct pressure *p)
{
    if (p->counted == (p->due > 0))
        return;
    p->counted = !p->counted;
    if (p->counted)
        atomic_fetch_add(&flux2_pending_work, 1);
    else
        atomic_fetch_sub(&flux2_pending_work, 1);
}

/* Runs one step. Returns true at the end of a collection. */
static bool step(lua_State *L)
{
    int n;
    for (n = 0; n < OWN_STEPS; n++)
        if (lua_gc(L, LUA_GCSTEP, 0))
            return true;
    return false;
}

/* Returns the bytes that Lua counts, which a collection must process. Lua 5.4 returns no count in a finalizer. */
static size_t set_goal(lua_State *L, struct pressure *p)
{
    int count = lua_gc(L, LUA_GCCOUNT, 0);
    size_t known = count > 0 ? (size_t)count << 10 : 0;
    p->goal = p->live + (known > LEAST_GROWTH ? known : LEAST_GROWTH);
    p->steps = p->due = 0;
    return known;
}

/* In the generational mode of Lua 5.4 steps never finish a collection: they skip old objects. */
static bool is_endless(const struct pressure *p)
{
    return LUA_VERSION_NUM >= 504 && p->steps > 2 * p->cost && p->live > 2 * p->goal;
}

/* Runs one due step. Unused buffers are freed shortly before the end of a collection; an early end belongs to the
 * previous one. */
static void advance(lua_State *L, struct pressure *p)
{
    p->due--;
    p->steps++;
    bool ended = step(L) && 2 * p->steps >= p->cost;
    if (!ended && p->live > p->goal)
        return;
    p->cost = p->steps > p->cost / 2 ? p->steps : p->cost / 2; /* the host's own steps may have helped */
    set_goal(L, p);
}

static size_t steps_at_once(const struct pressure *p)
{
    size_t n = 1 + p->due / BACKLOG, most = MOST_AT_ONCE * (1 + p->live / p->goal);
    return n < most ? n : most;
}

static void run_due_steps(lua_State *L, struct pressure *p)
{
    if (is_endless(p)) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        set_goal(L, p);
    }
    for (size_t n = steps_at_once(p); n > 0 && p->due > 0; n--)
        advance(L, p);
}

static struct pressure *get(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, PRESSURE_KEY);
    struct pressure *p = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return p;
}

void flux2_gc_pressure_relieve(lua_State *L)
{
    struct pressure *p = get(L);
    int is_running = lua_gc(L, LUA_GCISRUNNING, 0); /* below 0: Lua 5.4 runs a finalizer */
    if (is_running == 0)
        p->due = 0;
    if (p->due > 0 && is_running > 0)
        run_due_steps(L, p);
    count_pending(p);
}

/* Schedules enough steps to finish a collection before the buffers grow by their goal again. */
void flux2_gc_pressure_add(lua_State *L, size_t size)
{
    struct pressure *p = get(L);
    if (p->goal == 0)
        p->cost = 1 + set_goal(L, p) / STEP_BYTES;
    p->live += size;
    if (p->live > p->goal)
        p->due += 1 + (size_t)((double)p->cost * (double)size / (double)p->goal);
    count_pending(p);
}

void flux2_gc_pressure_remove(lua_State *L, size_t size)
{
    get(L)->live -= size;
}

/* The Lua state is ending: no steps are due any more. */
static int end(lua_State *L)
{
    struct pressure *p = lua_touserdata(L, 1);
    p->due = 0;
    p->goal = SIZE_MAX;
    count_pending(p);
    return 0;
}

void flux2_gc_pressure_open(lua_State *L)
{
    if (get(L)) /* the module is loaded again */
        return;
    *(struct pressure *)lua_newuserdata(L, sizeof(struct pressure)) = (struct pressure){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, end);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, PRESSURE_KEY);
}

size_t flux2_gc_pressure_shadow(size_t size)
{
    (void)size;
    return 0;
}

#else /* Lua 5.1 and LuaJIT */

void flux2_gc_pressure_open(lua_State *L)
{
    (void)L;
}

void flux2_gc_pressure_relieve(lua_State *L)
{
    (void)L;
}

void flux2_gc_pressure_add(lua_State *L, size_t size)
{
    (void)L, (void)size;
}

void flux2_gc_pressure_remove(lua_State *L, size_t size)
{
    (void)L, (void)size;
}

size_t flux2_gc_pressure_shadow(size_t size)
{
    return size;
}

#endif
