/* engine.h - the methods of the engine userdata: starting jobs, taking events. */
#ifndef FLUX2_LUA_ENGINE_H
#define FLUX2_LUA_ENGINE_H

#include "base/lua_compat.h"

/* Adds `engine` to the table on top of the stack. */
void flux2_core_add_engine(lua_State *L);

#endif
