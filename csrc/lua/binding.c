/* binding.c - see binding.h. */
#include "lua/binding.h"

#include <stdlib.h>

#include "base/lua_type.h"
#include "http/outcome.h"

#define MEMORY_TYPE "flux2.memory"

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
    flux2_lua_push_type(L, name, meta, methods);
    lua_pop(L, 1);
}

static int memory_gc(lua_State *L)
{
    char **memory = lua_touserdata(L, 1);
    free(*memory);
    *memory = NULL;
    return 0;
}

void flux2_core_add_memory(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__gc", memory_gc}, {NULL, NULL}};
    flux2_core_new_type(L, MEMORY_TYPE, meta, NULL);
}

char **flux2_core_push_memory(lua_State *L)
{
    char **memory = lua_newuserdata(L, sizeof *memory);
    *memory = NULL;
    luaL_setmetatable(L, MEMORY_TYPE);
    return memory;
}
