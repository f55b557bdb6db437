/* binding.h - shared functions of the Lua binding.
 *
 * Run-time failures return nil and a message; errors that only a bug in flux2's own Lua files can cause are raised. Any
 * Lua call may leave a function by longjmp if out of memory, so allocated memory belongs to a userdata or to the engine
 * before the next Lua call. All functions run on the Lua state's thread. */
#ifndef FLUX2_LUA_BINDING_H
#define FLUX2_LUA_BINDING_H

#include "base/lua_compat.h"

/* The names of enum flux2_failure, in its order, terminated by NULL. */
extern const char *const flux2_core_failures[];

/* Pushes nil and MESSAGE. Returns 2. */
int flux2_core_fail(lua_State *L, const char *message);

/* Registers the type that flux2_core_push_memory uses. */
void flux2_core_add_memory(lua_State *L);

/* Pushes a userdata that frees the memory from malloc to which it points, and returns the pointer, which is NULL. */
char **flux2_core_push_memory(lua_State *L);

/* Registers the userdata type NAME with the metamethods META and the METHODS, which may be NULL. */
void flux2_core_new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods);

#endif
