/* core.h - what the files of the emulator's Lua binding share. */
#ifndef FLUX2_EMU_CORE_H
#define FLUX2_EMU_CORE_H

#include "../compat.h"

/* Makes the type NAME: META goes into its metatable, which no Lua program can look into; METHODS are what its values
 * have, NULL for none. */
void flux2_emu_core_new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods);

/* Adds what core_site.c has to the table on top of the stack. */
void flux2_emu_core_add_site(lua_State *L);

#endif
