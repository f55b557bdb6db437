/* core.h - what the files of the Lua binding share.
 *
 * Each of them binds one thing and decides nothing. Run-time failures are returned as nil and a message; what only a
 * bug in flux2's own Lua files can cause is raised. Lua may leave any function of the binding by longjmp, for want of
 * memory: whatever is allocated belongs to a userdata or to the engine before the next call into Lua. */
#ifndef FLUX2_CORE_H
#define FLUX2_CORE_H

#include <stdbool.h>

#include "compat.h"
#include "memory.h"
#include "profile.h"

/* The words for enum flux2_failure, in its order; NULL behind the last. */
extern const char *const flux2_core_failures[];

/* Pushes nil and MESSAGE; returns 2. */
int flux2_core_fail(lua_State *L, const char *message);

/* Makes the type NAME: META goes into its metatable, METHODS are what its values have, NULL for none. */
void flux2_core_new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods);

/* The profile at INDEX, which stays its userdata's; raises if there is none. */
struct flux2_profile *flux2_core_check_profile(lua_State *L, int index);

/* The kind at INDEX, which stays its userdata's; NULL if nil is there. */
struct flux2_kind *flux2_core_opt_kind(lua_State *L, int index);

/* Frees BLOCK of SIZE bytes from malloc, without taking a frame's time for a large one. */
void flux2_core_free(lua_State *L, void *block, size_t size);

/* Bytes that Lua holds and does not copy; see core_buffer.c. */
struct flux2_buffer;
/* Pushes an empty one that is to hold SIZE bytes. */
struct flux2_buffer *flux2_core_new_buffer(lua_State *L, size_t size);
/* Hands DATA over to it, which comes from malloc. Cannot fail. */
void flux2_core_fill_buffer(lua_State *L, struct flux2_buffer *buffer, char *data, size_t size);
/* The string or the buffer at INDEX; raises if there is neither. */
const char *flux2_core_check_bytes(lua_State *L, int index, size_t *size);

/* The books of all buffers of a Lua state, which live as long as it does; see core_hoard.c. Pushes them, too. */
struct flux2_hoard;
struct flux2_hoard *flux2_core_push_hoard(lua_State *L);
/* How much memory a buffer for SIZE bytes takes that is there for Lua's collector to see, and never touched. */
size_t flux2_core_hoard_shadow(size_t size);
/* SIZE bytes more, or less. Neither can fail. */
void flux2_core_hoard_add(lua_State *L, struct flux2_hoard *hoard, size_t size);
void flux2_core_hoard_remove(struct flux2_hoard *hoard, size_t size);
/* Lets the collector look for buffers that nobody holds any more, if there is reason to: for each call of the pump. */
void flux2_core_relieve(lua_State *L, struct flux2_hoard *hoard);

/* Pushes the list of pictures that LINKS are, as flux2.pictures makes it. */
struct flux2_links;
void flux2_core_push_links(lua_State *L, const struct flux2_links *links);

/* Each adds its functions to the table on top of the stack. */
void flux2_core_add_buffer(lua_State *L);
void flux2_core_add_engine(lua_State *L);
void flux2_core_add_profile(lua_State *L);
void flux2_core_add_memory(lua_State *L);
void flux2_core_add_tools(lua_State *L);
void flux2_core_add_pure(lua_State *L);
/* What _pure knows of durations; to the table on top as well. */
void flux2_core_add_learning(lua_State *L);

#endif
