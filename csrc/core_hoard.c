/* core_hoard.c - how much the buffers of a Lua state hold, and when to look for those that nobody holds any more.
 *
 * Lua's collector sees a few bytes where megabytes are, and would let pictures pile up. If it is told of all of them, that of
 * Lua 5.1 and of LuaJIT pays for them bit by bit: there a buffer is as large as what it holds, and none of that is ever
 * touched. Those of 5.2 to 5.4 would go through everything that the host has in one go: 30 ms in a game with 40 MB of its
 * own. So they are made to look from here, a little with each call of the pump, whenever there is much. */
#include "core.h"

#define HOARD_KEY "flux2.buffer.hoard"

#if LUA_VERSION_NUM >= 502

enum {
    LEAST_GROWTH = 32 << 20, /* bytes that are no reason to collect */
    BACKLOG = 64,            /* for each so many steps that are due, one more at a time, ... */
    MOST_AT_ONCE = 4,        /* ... but no more than so many, for each time that the goal has been reached */
};

/* A step takes some 0.1 ms: so many of the collector's own, which gets through so many bytes then, roughly. */
#if LUA_VERSION_NUM >= 504
enum { OWN_STEPS = 1, STEP_BYTES = 1 << 20 };
#elif LUA_VERSION_NUM == 503
enum { OWN_STEPS = 40, STEP_BYTES = 1 << 16 };
#else
enum { OWN_STEPS = 90, STEP_BYTES = 1 << 14 };
#endif

/* All buffers of a Lua state. */
struct flux2_hoard {
    size_t live;  /* bytes that they hold */
    size_t goal;  /* up to here nothing is done: what was left last time, and as much more as Lua knows of */
    size_t due;   /* steps that are to be done */
    size_t steps; /* done since the goal was set */
    size_t cost;  /* steps that a collection takes */
};

static bool is_stopped(lua_State *L)
{
    return lua_gc(L, LUA_GCISRUNNING, 0) == 0;
}

/* Returns true at the end of a collection. */
static bool step(lua_State *L)
{
    int n;
    for (n = 0; n < OWN_STEPS; n++)
        if (lua_gc(L, LUA_GCSTEP, 0))
            return true;
    return false;
}

/* Returns the bytes that Lua knows of, which is what a collection has to go through. */
static size_t set_goal(lua_State *L, struct flux2_hoard *h)
{
    size_t known = (size_t)lua_gc(L, LUA_GCCOUNT, 0) << 10;
    h->goal = h->live + (known > LEAST_GROWTH ? known : LEAST_GROWTH);
    h->steps = h->due = 0;
    return known;
}

/* In the generational mode of Lua 5.4 steps come to no end: they do not look at what is old. */
static bool is_endless(const struct flux2_hoard *h)
{
    return LUA_VERSION_NUM >= 504 && h->steps > 2 * h->cost && h->live > 2 * h->goal;
}

/* One step of those that are due. What nobody held is gone shortly before the end of a collection; and an end that comes
 * early is that of the one before. */
static void advance(lua_State *L, struct flux2_hoard *h)
{
    h->due--;
    h->steps++;
    bool ended = step(L) && 2 * h->steps >= h->cost;
    if (!ended && h->live > h->goal)
        return;
    h->cost = h->steps > h->cost / 2 ? h->steps : h->cost / 2; /* the host's own steps may have helped */
    set_goal(L, h);
}

static size_t steps_at_once(const struct flux2_hoard *h)
{
    size_t n = 1 + h->due / BACKLOG, most = MOST_AT_ONCE * (1 + h->live / h->goal);
    return n < most ? n : most;
}

void flux2_core_relieve(lua_State *L, struct flux2_hoard *h)
{
    if (h->due == 0)
        return;
    if (is_stopped(L)) {
        h->due = 0;
        return;
    }
    if (is_endless(h)) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        set_goal(L, h);
    }
    for (size_t n = steps_at_once(h); n > 0 && h->due > 0; n--)
        advance(L, h);
}

/* A collection is over before the buffers have grown by their goal once more. */
void flux2_core_hoard_add(lua_State *L, struct flux2_hoard *h, size_t more)
{
    if (h->goal == 0)
        h->cost = 1 + set_goal(L, h) / STEP_BYTES;
    h->live += more;
    if (h->live > h->goal)
        h->due += 1 + (size_t)((double)h->cost * (double)more / (double)h->goal);
}

void flux2_core_hoard_remove(struct flux2_hoard *h, size_t size)
{
    h->live -= size;
}

size_t flux2_core_hoard_shadow(size_t size)
{
    (void)size;
    return 0;
}

#else /* nothing is to be done */

struct flux2_hoard {
    char nothing;
};

void flux2_core_relieve(lua_State *L, struct flux2_hoard *h)
{
    (void)L, (void)h;
}

void flux2_core_hoard_add(lua_State *L, struct flux2_hoard *h, size_t more)
{
    (void)L, (void)h, (void)more;
}

void flux2_core_hoard_remove(struct flux2_hoard *h, size_t size)
{
    (void)h, (void)size;
}

size_t flux2_core_hoard_shadow(size_t size)
{
    return size;
}

#endif

struct flux2_hoard *flux2_core_push_hoard(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, HOARD_KEY);
    struct flux2_hoard *h = lua_touserdata(L, -1);
    if (h)
        return h;
    lua_pop(L, 1);
    h = lua_newuserdata(L, sizeof *h);
    *h = (struct flux2_hoard){0};
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, HOARD_KEY);
    return h;
}
