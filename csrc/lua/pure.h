/* pure.h - pure functions of the engine, for specs. */
#ifndef FLUX2_LUA_PURE_H
#define FLUX2_LUA_PURE_H

#include "base/lua_compat.h"

/* Adds `_pure` to the table on top of the stack. */
void flux2_core_add_pure(lua_State *L);

#endif
