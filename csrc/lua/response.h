/* response.h - response schemas and responses for Lua. All functions run on the Lua state's thread. */
#ifndef FLUX2_LUA_RESPONSE_H
#define FLUX2_LUA_RESPONSE_H

#include "base/lua_compat.h"
#include "engine/image_list.h"

struct flux2_buffer;
struct flux2_response;
struct flux2_response_schema;

/* The names of enum flux2_request_kind, in its order, terminated by NULL. */
extern const char *const flux2_core_request_kinds[];

/* The names of enum flux2_verdict, in its order, terminated by NULL. */
extern const char *const flux2_core_verdicts[];

/* The buffers for the images of one response, empty until flux2_core_fill_images. Lua owns them. */
struct flux2_image_buffers {
    struct flux2_buffer *at[FLUX2_IMAGES_MAX]; /* NULL: an image with a URL */
};

/* Adds the members of RESPONSE that have a value to the table on top of the stack, and sets BUFFERS. */
void flux2_core_push_response(lua_State *L, const struct flux2_response *response, struct flux2_image_buffers *buffers);
/* Moves the bytes of the images to BUFFERS. Cannot fail. */
void flux2_core_fill_images(lua_State *L, struct flux2_response *response, const struct flux2_image_buffers *buffers);

/* Returns the schema at INDEX, which its userdata owns; raises if it has another type. */
struct flux2_response_schema *flux2_core_check_schema(lua_State *L, int index);

#endif
