/* lua_type.h - userdata types and failures of the modules. Header only, because each module is compiled once per Lua
 * version. */
#ifndef FLUX2_BASE_LUA_TYPE_H
#define FLUX2_BASE_LUA_TYPE_H

#include "base/lua_compat.h"

/* Pushes nil and MESSAGE, as a function returns them that has failed. Returns 2. */
static inline int flux2_lua_fail(lua_State *L, const char *message)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

/* Pushes true if REASON is NULL, else nil and REASON. Returns how many values. */
static inline int flux2_lua_succeed_unless(lua_State *L, const char *reason)
{
    if (reason)
        return flux2_lua_fail(L, reason);
    lua_pushboolean(L, 1);
    return 1;
}

/* Pushes the new metatable NAME with the functions META, and METHODS (may be NULL) as its __index. */
static inline void flux2_lua_push_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, meta, 0);
    if (methods) {
        lua_newtable(L);
        luaL_setfuncs(L, methods, 0);
        lua_setfield(L, -2, "__index");
    }
}

/* Registers the type NAME and hides its metatable from Lua programs. */
static inline void flux2_lua_new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
    flux2_lua_push_type(L, name, meta, methods);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

#endif
