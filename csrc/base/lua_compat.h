/* lua_compat.h - the Lua 5.4 names of Lua C API functions, for Lua 5.1 to 5.3 and LuaJIT.
 *
 * Only what lua.h or lauxlib.h declares. The implementations are static, so modules in one process cannot collide. */
#ifndef FLUX2_BASE_LUA_COMPAT_H
#define FLUX2_BASE_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#if defined(__GNUC__)
#define FLUX2_EXPORT __attribute__((visibility("default")))
#else
#define FLUX2_EXPORT
#endif

#if LUA_VERSION_NUM < 502

#undef luaL_newlibtable /* LuaJIT's lauxlib.h already defines these two */
#undef luaL_newlib
#define luaL_newlibtable(L, l) lua_createtable((L), 0, (int)(sizeof(l) / sizeof((l)[0]) - 1))
#define luaL_newlib(L, l) (luaL_newlibtable((L), (l)), flux2_compat_setfuncs((L), (l), 0))
#define luaL_setfuncs(L, l, n) flux2_compat_setfuncs((L), (l), (n))
#define luaL_setmetatable(L, name) (luaL_getmetatable((L), (name)), (void)lua_setmetatable((L), -2))
#define luaL_testudata(L, i, name) flux2_compat_testudata((L), (i), (name))
#define lua_rawlen(L, i) lua_objlen((L), (i))

/* Registers the functions of L in the table below NUP upvalues. Pops the upvalues. */
static inline void flux2_compat_setfuncs(lua_State *L, const luaL_Reg *l, int nup)
{
    luaL_checkstack(L, nup + 1, "too many upvalues");
    for (; l->name; l++) {
        int i;
        for (i = 0; i < nup; i++)
            lua_pushvalue(L, -nup);
        lua_pushcclosure(L, l->func, nup);
        lua_setfield(L, -(nup + 2), l->name);
    }
    lua_pop(L, nup);
}

/* Returns the userdata at INDEX if its metatable is registered as NAME, else NULL. Never raises. */
static inline void *flux2_compat_testudata(lua_State *L, int index, const char *name)
{
    void *p = lua_touserdata(L, index);
    if (!p || !lua_getmetatable(L, index))
        return NULL;
    luaL_getmetatable(L, name);
    if (!lua_rawequal(L, -1, -2))
        p = NULL;
    lua_pop(L, 2);
    return p;
}

#endif /* LUA_VERSION_NUM < 502 */

/* Raises an error unless the running Lua is the one that the module was compiled for. Each luaopen_* calls it first.
 * If symbols are missing, no code runs: lua/flux2/load_core.lua then finds this sentence in the file. */
static inline void flux2_check_lua(lua_State *L)
{
    const char *running;
    lua_getglobal(L, "_VERSION");
    running = lua_tostring(L, -1);
    if (running && strcmp(running, LUA_VERSION) != 0)
        luaL_error(L, "it is built for " LUA_VERSION ", but this is %s", running);
    lua_pop(L, 1);
}

#endif
