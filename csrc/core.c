/* core.c - the Lua module: what its files add, and nothing of its own. */
#include "core.h"

#include <curl/curl.h>

const char *const flux2_core_failures[] = {
#define X(name, word) word,
    FLUX2_FAILURES(X)
#undef X
        NULL,
};

int flux2_core_fail(lua_State *L, const char *message)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

void flux2_core_new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, meta, 0);
    if (methods) {
        lua_newtable(L);
        luaL_setfuncs(L, methods, 0);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

FLUX2_EXPORT int luaopen_flux2_core(lua_State *L);

FLUX2_EXPORT int luaopen_flux2_core(lua_State *L)
{
    lua_createtable(L, 0, 16);
    flux2_core_add_buffer(L);
    flux2_core_add_engine(L);
    flux2_core_add_profile(L);
    flux2_core_add_memory(L);
    flux2_core_add_tools(L);
    flux2_core_add_pure(L);
    lua_pushstring(L, curl_version());
    lua_setfield(L, -2, "libcurl");
    return 1;
}
