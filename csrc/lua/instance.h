/* instance.h - the engine userdata, one for each Lua state. All functions run on the Lua state's thread. */
#ifndef FLUX2_LUA_INSTANCE_H
#define FLUX2_LUA_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/lua_compat.h"

struct flux2_engine;

/* The userdata. */
struct flux2_instance {
    struct flux2_engine *engine; /* owned; NULL once closed */
    bool used;                   /* flux2_instance_usable has returned the engine */
    bool is_reading;             /* engine:next is on the stack: a finalizer that it runs takes no event */
};

/* Returns the userdata at index 1; raises if it has another type. */
struct flux2_instance *flux2_instance_check(lua_State *L);
/* Returns its engine, or NULL with nil and the reason on the stack: closed, or used by a parent process. An engine that
 * the parent has created but not used is replaced by a new one: clients may be made before a fork. */
struct flux2_engine *flux2_instance_usable(lua_State *L);

/* Frees BLOCK of SIZE bytes from malloc; a large one on the engine's thread. */
void flux2_instance_free(lua_State *L, void *block, size_t size);

/* Adds the function `engine`, which returns the engine of this Lua state and creates it on the first call, to the table
 * on top of the stack. METHODS are its methods. */
void flux2_instance_add(lua_State *L, const luaL_Reg *methods);

#endif
