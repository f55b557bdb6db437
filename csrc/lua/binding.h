/* binding.h - shared functions of the Lua binding.
 *
 * Run-time failures return nil and a message; errors that only a bug in flux2's own Lua files can cause are raised. Any
 * Lua call may leave a function by longjmp if out of memory, so allocated memory belongs to a userdata or to the engine
 * before the next Lua call. All functions run on the Lua state's thread. */
#ifndef FLUX2_LUA_BINDING_H
#define FLUX2_LUA_BINDING_H

#include <stddef.h>

#include "base/lua_type.h"
#include "base/string_list.h"

/* The names of enum flux2_failure, in its order, terminated by NULL. */
extern const char *const flux2_core_failures[];

/* Each adds the functions of one file to the table on top of the stack: module.c calls them. */
void flux2_core_add_buffer(lua_State *L);
void flux2_core_add_encoding(lua_State *L);
void flux2_core_add_engine(lua_State *L);
void flux2_core_add_files(lua_State *L);
void flux2_core_add_image(lua_State *L);
void flux2_core_add_memory(lua_State *L); /* no function, but the type that flux2_core_push_memory uses */
void flux2_core_add_profile(lua_State *L);
void flux2_core_add_pure(lua_State *L); /* `_pure`: pure functions of the engine, for specs */
void flux2_core_add_response(lua_State *L);
void flux2_core_add_system(lua_State *L);

/* Pushes a userdata that frees the memory from malloc to which it points, and returns the pointer, which is NULL. */
char **flux2_core_push_memory(lua_State *L);

/* Registers the userdata type NAME with the metamethods META and the METHODS, which may be NULL. */
void flux2_core_new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods);

/* Set the field NAME of the table on top of the stack: to N, as an integer if it is one, because Lua 5.3 and later
 * print it without ".0"; to TEXT, unless it is NULL or empty; to true. */
void flux2_core_set_number(lua_State *L, const char *name, lua_Number n);
static inline void flux2_core_set_text(lua_State *L, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}
static inline void flux2_core_set_true(lua_State *L, const char *name)
{
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, name);
}

/* Read a list at the absolute index LIST; NAME is that of its field, for errors: the number of elements; element I
 * (from 0), which must be a string and is pushed; all elements, into OUT, which is freed first and belongs to a
 * userdata. */
size_t flux2_core_list_size(lua_State *L, int list, const char *name);
const char *flux2_core_push_item(lua_State *L, int list, size_t i, const char *name, size_t *size);
void flux2_core_read_strings(lua_State *L, int list, const char *name, struct flux2_string_list *out);

#endif
