/* image.h - functions for Lua about the bytes of images. */
#ifndef FLUX2_LUA_IMAGE_H
#define FLUX2_LUA_IMAGE_H

#include "base/lua_compat.h"
#include "http/image_metadata.h"

/* Sets METADATA to the texts in the table { json, xmp } at INDEX, which it owns, or to none for nil and false. Raises
 * for other values. Pushes the texts. */
void flux2_core_push_metadata(lua_State *L, int index, struct flux2_image_metadata *metadata);

#endif
