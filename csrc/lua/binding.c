/* binding.c - see binding.h. */
#include "lua/binding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "http/outcome.h"

#define MEMORY_TYPE "flux2.memory"

const char *const flux2_core_failures[] = {
#define X(name, word) word,
    FLUX2_FAILURES(X)
#undef X
        NULL,
};

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

/* --- tables ------------------------------------------------------------------------------------------------------- */

void flux2_core_set_number(lua_State *L, const char *name, lua_Number n)
{
    if (fabs(n) < 0x1p53 && n == (lua_Number)(long long)n)
        lua_pushinteger(L, (lua_Integer)n);
    else
        lua_pushnumber(L, n);
    lua_setfield(L, -2, name);
}

size_t flux2_core_list_size(lua_State *L, int list, const char *name)
{
    if (lua_type(L, list) != LUA_TTABLE)
        luaL_error(L, "'%s' must be a list", name);
    return lua_rawlen(L, list);
}

const char *flux2_core_push_item(lua_State *L, int list, size_t i, const char *name, size_t *size)
{
    lua_rawgeti(L, list, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "'%s' must be a list of strings", name);
    return lua_tolstring(L, -1, size);
}

void flux2_core_read_strings(lua_State *L, int list, const char *name, struct flux2_string_list *out)
{
    size_t i, n = flux2_core_list_size(L, list, name);
    flux2_string_list_free(out);
    out->at = calloc(n ? n : 1, sizeof *out->at);
    if (!out->at)
        luaL_error(L, "not enough memory");
    for (i = 0; i < n; i++) {
        out->at[i] = strdup(flux2_core_push_item(L, list, i, name, NULL));
        if (!out->at[i])
            luaL_error(L, "not enough memory");
        out->count = i + 1;
        lua_pop(L, 1);
    }
}
