/* core_memory.c - what was learned about durations as userdata: a memory, and its kinds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define MEMORY_TYPE "flux2.memory"
#define KIND_TYPE "flux2.kind"

static struct flux2_memory *check_memory(lua_State *L)
{
    struct flux2_memory **box = luaL_checkudata(L, 1, MEMORY_TYPE);
    luaL_argcheck(L, *box, 1, "a closed memory");
    return *box;
}

/* core.memory(path | nil) -> memory */
static int memory_new(lua_State *L)
{
    const char *path = luaL_optstring(L, 1, NULL);
    struct flux2_memory **box = lua_newuserdata(L, sizeof(struct flux2_memory *));
    *box = NULL;
    luaL_setmetatable(L, MEMORY_TYPE);
    *box = flux2_memory_new(path);
    return *box ? 1 : luaL_error(L, "not enough memory");
}

static int memory_gc(lua_State *L)
{
    struct flux2_memory **box = luaL_checkudata(L, 1, MEMORY_TYPE);
    flux2_memory_release(*box);
    *box = NULL;
    return 0;
}

/* memory:kind(name) -> kind, the same knowledge for the same name | nil in a forked child or without memory */
static int memory_kind(lua_State *L)
{
    struct flux2_memory *m = check_memory(L);
    const char *name = luaL_checkstring(L, 2);
    luaL_argcheck(L, *name && !strpbrk(name, "\t\n"), 2, "a name is one line without tabs");
    struct flux2_kind **box = lua_newuserdata(L, sizeof(struct flux2_kind *)), *kind;
    *box = NULL;
    luaL_setmetatable(L, KIND_TYPE);
    kind = flux2_memory_kind(m, name);
    if (!kind)
        return 0;
    *box = flux2_kind_hold(kind);
    return 1;
}

/* memory:load(text) -> true | nil, reason */
static int memory_load(lua_State *L)
{
    struct flux2_memory *m = check_memory(L);
    const char *reason;
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    if (!flux2_memory_load(m, text, size, &reason))
        return flux2_core_fail(L, reason);
    lua_pushboolean(L, 1);
    return 1;
}

/* memory:detach(): its file is not to be written */
static int memory_detach(lua_State *L)
{
    flux2_memory_detach(check_memory(L));
    return 0;
}

struct flux2_kind *flux2_core_opt_kind(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index))
        return NULL;
    struct flux2_kind **box = luaL_checkudata(L, index, KIND_TYPE);
    luaL_argcheck(L, *box, index, "a closed kind");
    return *box;
}

static int kind_gc(lua_State *L)
{
    struct flux2_kind **box = luaL_checkudata(L, 1, KIND_TYPE);
    flux2_kind_release(*box);
    *box = NULL;
    return 0;
}

/* --- for specs and the simulation: core._pure ------------------------------------------------------------- */

/* _pure.learn(kind, low, high, now): ends were seen between LOW and HIGH */
static int learn(lua_State *L)
{
    struct flux2_kind *k = flux2_core_opt_kind(L, 1);
    luaL_argcheck(L, k, 1, "a kind is needed");
    flux2_kind_learn(k, luaL_checknumber(L, 2), luaL_checknumber(L, 3), luaL_optnumber(L, 4, 0));
    return 0;
}

/* _pure.known(kind) -> lessons, typical seconds */
static int known(lua_State *L)
{
    struct flux2_kind *k = flux2_core_opt_kind(L, 1);
    luaL_argcheck(L, k, 1, "a kind is needed");
    const struct flux2_sketch *sketch = flux2_kind_borrow(k);
    double lessons = sketch->lessons, typical = sketch->typical;
    flux2_kind_give_back(k);
    lua_pushnumber(L, lessons);
    lua_pushnumber(L, typical);
    return 2;
}

/* _pure.gap(profile, elapsed, seed, kind | nil, progress | nil) -> seconds, likely end. PROGRESS is a flat list of
 * elapsed, progress, elapsed, progress ... */
static int gap_of(lua_State *L)
{
    struct flux2_trend trend = {0};
    const struct flux2_profile *p = flux2_core_check_profile(L, 1);
    double elapsed = luaL_checknumber(L, 2), likely;
    uint64_t random = (uint64_t)luaL_checknumber(L, 3);
    struct flux2_kind *k = flux2_core_opt_kind(L, 4);
    int i, n = lua_istable(L, 5) ? (int)lua_rawlen(L, 5) : 0;
    for (i = 1; i < n; i += 2) {
        lua_rawgeti(L, 5, i);
        lua_rawgeti(L, 5, i + 1);
        flux2_schedule_note(&trend, lua_tonumber(L, -2), lua_tonumber(L, -1));
        lua_pop(L, 2);
    }
    const struct flux2_sketch *sketch = k ? flux2_kind_borrow(k) : NULL;
    double gap = flux2_schedule_gap(&p->cadence, sketch, &trend, elapsed, &random, &likely);
    if (sketch)
        flux2_kind_give_back(k);
    lua_pushnumber(L, gap);
    lua_pushnumber(L, likely);
    return 2;
}

/* --- registration --------------------------------------------------------------------------------------- */

static const luaL_Reg kind_meta[] = {{"__gc", kind_gc}, {NULL, NULL}};
static const luaL_Reg memory_meta[] = {{"__gc", memory_gc}, {NULL, NULL}};

static const luaL_Reg memory_methods[] = {
    {"detach", memory_detach},
    {"kind", memory_kind},
    {"load", memory_load},
    {NULL, NULL},
};

static const luaL_Reg pure_functions[] = {
    {"gap", gap_of},
    {"known", known},
    {"learn", learn},
    {NULL, NULL},
};

void flux2_core_add_memory(lua_State *L)
{
    flux2_core_new_type(L, MEMORY_TYPE, memory_meta, memory_methods);
    flux2_core_new_type(L, KIND_TYPE, kind_meta, NULL);
    lua_pushcfunction(L, memory_new);
    lua_setfield(L, -2, "memory");
}

void flux2_core_add_learning(lua_State *L)
{
    luaL_setfuncs(L, pure_functions, 0);
}
