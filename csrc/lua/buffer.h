/* buffer.h - a userdata with bytes that are not copied to a Lua string. */
#ifndef FLUX2_LUA_BUFFER_H
#define FLUX2_LUA_BUFFER_H

#include <stddef.h>

#include "base/lua_compat.h"

struct flux2_buffer;

/* Pushes an empty buffer for SIZE bytes, which Lua owns, and returns it. */
struct flux2_buffer *flux2_core_new_buffer(lua_State *L, size_t size);
/* Gives DATA, which comes from malloc, to BUFFER. Cannot fail. */
void flux2_core_fill_buffer(lua_State *L, struct flux2_buffer *buffer, char *data, size_t size);
/* Returns the bytes of the string or buffer at INDEX, which it owns, and sets *SIZE. Raises for other values. */
const char *flux2_core_check_bytes(lua_State *L, int index, size_t *size);

#endif
