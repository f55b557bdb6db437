/* gc_pressure.h - garbage collection of buffers, whose memory Lua does not count. All functions run on the Lua state's
 * thread. */
#ifndef FLUX2_LUA_GC_PRESSURE_H
#define FLUX2_LUA_GC_PRESSURE_H

#include <stddef.h>

#include "base/lua_compat.h"

/* The accounts of all buffers of a Lua state. Pushes and returns them; the state owns them. */
struct flux2_gc_pressure;
struct flux2_gc_pressure *flux2_gc_pressure_push(lua_State *L);
/* Returns the additional userdata size for a buffer of SIZE bytes, which makes it visible to the collector. */
size_t flux2_gc_pressure_shadow(size_t size);
/* Adds or removes SIZE bytes. Cannot fail. */
void flux2_gc_pressure_add(lua_State *L, struct flux2_gc_pressure *pressure, size_t size);
void flux2_gc_pressure_remove(struct flux2_gc_pressure *pressure, size_t size);
/* Runs collector steps that are due, because many bytes are in buffers. Called by flux2.update() if there is a reason
 * for an update (event_queue.h), which due steps are. */
void flux2_gc_pressure_relieve(lua_State *L, struct flux2_gc_pressure *pressure);
/* Cancels the due steps: the Lua state is ending. */
void flux2_gc_pressure_cancel(struct flux2_gc_pressure *pressure);

#endif
