/* lua_type.h - registers userdata types. Header only, because each module is compiled once per Lua version. */
#ifndef FLUX2_BASE_LUA_TYPE_H
#define FLUX2_BASE_LUA_TYPE_H

#include "base/lua_compat.h"

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
