/* gc_pressure.h - garbage collection of buffers, whose memory Lua does not count. All functions run on the Lua state's
 * thread. */
#ifndef FLUX2_LUA_GC_PRESSURE_H
#define FLUX2_LUA_GC_PRESSURE_H

#include <stddef.h>

#include "base/lua_compat.h"

/* Creates the accounts of all buffers of the Lua state, which owns them, before its first buffer. */
void flux2_gc_pressure_open(lua_State *L);
/* Returns the additional userdata size for a buffer of SIZE bytes, which makes it visible to the collector. */
size_t flux2_gc_pressure_shadow(size_t size);
/* Adds or removes SIZE bytes. Cannot fail. */
void flux2_gc_pressure_add(lua_State *L, size_t size);
void flux2_gc_pressure_remove(lua_State *L, size_t size);
/* Runs collector steps that are due, because many bytes are in buffers. Called by flux2.update() if there is a reason
 * for an update (event_queue.h), which due steps are. */
void flux2_gc_pressure_relieve(lua_State *L);

#endif
