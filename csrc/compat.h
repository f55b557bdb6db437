/* compat.h - one source for Lua 5.1, LuaJIT, 5.2, 5.3 and 5.4.
 *
 * Owns: the few differences between the Lua C APIs that the bindings meet, given the 5.4 names.
 * Never: anything that is not in lua.h or lauxlib.h. The names are renamed to static functions of this
 * header, so that two modules in one process that do the same cannot collide. */
#ifndef FLUX2_COMPAT_H
#define FLUX2_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

#if defined(__GNUC__)
#define FLUX2_EXPORT __attribute__((visibility("default")))
#else
#define FLUX2_EXPORT
#endif

#if LUA_VERSION_NUM < 502

#undef luaL_newlibtable /* LuaJIT's lauxlib.h has these two already */
#undef luaL_newlib
#define luaL_newlibtable(L, l) lua_createtable((L), 0, (int)(sizeof(l) / sizeof((l)[0]) - 1))
#define luaL_newlib(L, l) (luaL_newlibtable((L), (l)), flux2_compat_setfuncs((L), (l), 0))
#define luaL_setfuncs(L, l, n) flux2_compat_setfuncs((L), (l), (n))
#define luaL_setmetatable(L, name) (luaL_getmetatable((L), (name)), (void)lua_setmetatable((L), -2))
#define luaL_testudata(L, i, name) flux2_compat_testudata((L), (i), (name))
#define lua_rawlen(L, i) lua_objlen((L), (i))

/* Puts the functions of L into the table below NUP upvalues, which it pops. */
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

/* The userdata at INDEX if its metatable is the one registered as NAME, else NULL. Never raises. */
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

#if LUA_VERSION_NUM < 503
#define lua_isinteger(L, i) (lua_type((L), (i)) == LUA_TNUMBER)
#endif

#endif
