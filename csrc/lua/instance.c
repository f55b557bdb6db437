/* instance.c - see instance.h. */
#include "lua/instance.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "lua/binding.h"

#define ENGINE_TYPE "flux2.engine"
#define ENGINE_KEY "flux2.engine.instance"

struct flux2_instance *flux2_instance_check(lua_State *L)
{
    return luaL_checkudata(L, 1, ENGINE_TYPE);
}

/* Creates the engine and starts its thread, so that the first job finds it running. If the thread cannot start, the
 * first job tries again. Returns 0 or an errno value. */
static int open_engine(struct flux2_instance *box)
{
    int error;
    box->engine = flux2_engine_new(&error);
    if (!box->engine)
        return error;
    flux2_engine_run(box->engine);
    return 0;
}

struct flux2_engine *flux2_instance_usable(lua_State *L)
{
    struct flux2_instance *box = flux2_instance_check(L);
    if (box->engine && !box->used && flux2_engine_is_foreign(box->engine)) {
        flux2_engine_close(box->engine);
        int error = open_engine(box);
        if (error != 0)
            return flux2_lua_fail(L, strerror(error)), NULL;
    }
    struct flux2_engine *e = box->engine;
    if (e && !flux2_engine_is_foreign(e)) {
        box->used = true;
        return e;
    }
    flux2_lua_fail(L, e ? "this process is a fork of the one that started flux2, and its engine is not usable here: "
                          "require flux2 in a fresh Lua state, or fork before its first use"
                        : "the engine is closed: its Lua state is ending");
    return NULL;
}

/* core.engine() -> the engine of this Lua state, created on the first call | nil, message */
static int engine_get(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, ENGINE_KEY);
    if (lua_type(L, -1) == LUA_TUSERDATA)
        return 1;
    struct flux2_instance *box = lua_newuserdata(L, sizeof *box);
    *box = (struct flux2_instance){0};
    luaL_setmetatable(L, ENGINE_TYPE);
    int error = open_engine(box);
    if (error != 0)
        return flux2_lua_fail(L, strerror(error));
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, ENGINE_KEY);
    return 1;
}

static int engine_gc(lua_State *L)
{
    struct flux2_instance *box = flux2_instance_check(L);
    struct flux2_engine *e = box->engine;
    box->engine = NULL;
    flux2_engine_close(e);
    return 0;
}

static int engine_tostring(lua_State *L)
{
    lua_pushfstring(L, ENGINE_TYPE " (%s)", flux2_instance_check(L)->engine ? "open" : "closed");
    return 1;
}

void flux2_instance_free(lua_State *L, void *block, size_t size)
{
    lua_getfield(L, LUA_REGISTRYINDEX, ENGINE_KEY);
    struct flux2_instance *box = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (box && box->engine && !flux2_engine_is_foreign(box->engine))
        flux2_engine_free(box->engine, block, size);
    else
        free(block);
}

static const luaL_Reg engine_meta[] = {{"__gc", engine_gc}, {"__tostring", engine_tostring}, {NULL, NULL}};

void flux2_instance_add(lua_State *L, const luaL_Reg *methods)
{
    flux2_core_new_type(L, ENGINE_TYPE, engine_meta, methods);
    lua_pushcfunction(L, engine_get);
    lua_setfield(L, -2, "engine");
}
