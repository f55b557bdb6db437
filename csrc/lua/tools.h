/* tools.h - functions that need no engine: URLs, files, locks, the clock, the terminal. */
#ifndef FLUX2_LUA_TOOLS_H
#define FLUX2_LUA_TOOLS_H

#include "base/lua_compat.h"

/* Adds the functions to the table on top of the stack. */
void flux2_core_add_tools(lua_State *L);

#endif
