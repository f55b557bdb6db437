/* system.h - what Lua's io and os do not do in UTF-8 on Windows, or not as on other systems. */
#ifndef FLUX2_LUA_SYSTEM_H
#define FLUX2_LUA_SYSTEM_H

#include "base/lua_compat.h"

/* Adds the functions to the table on top of the stack. */
void flux2_core_add_system(lua_State *L);

#endif
