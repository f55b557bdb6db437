/* image.c - see image.h. */
#include "lua/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image_scan.h"
#include "http/sink.h"
#include "lua/binding.h"
#include "lua/buffer.h"
#include "platform/file.h"

/* core.is_whole_image(bytes, step | nil) -> whether the string or buffer, if it is an image, has the end of one; reads
 * STEP bytes at a time */
static int is_whole_image(lua_State *L)
{
    struct flux2_image_scan scan;
    size_t size, at, n;
    const char *bytes = flux2_core_check_bytes(L, 1, &size);
    size_t step = (size_t)luaL_optnumber(L, 2, (lua_Number)size);
    flux2_image_scan_init(&scan);
    for (at = 0; at < size; at += n) {
        n = size - at < step ? size - at : step;
        flux2_image_scan_feed(&scan, bytes + at, n);
    }
    lua_pushboolean(L, flux2_image_scan_is_whole(&scan));
    return 1;
}

void flux2_core_push_metadata(lua_State *L, int index, struct flux2_image_metadata *metadata)
{
    *metadata = (struct flux2_image_metadata){NULL, NULL};
    if (!lua_toboolean(L, index))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "json");
    metadata->json = (char *)luaL_checkstring(L, -1);
    lua_getfield(L, index, "xmp");
    metadata->xmp = (char *)luaL_checkstring(L, -1);
}

/* core.save_image(path, string | buffer, durable, { json, xmp } | nil) -> true | nil, message: writes the file whole or
 * not at all, with the metadata, see sink.h. DURABLE: flushed to disk */
static int save_image(lua_State *L)
{
    size_t size;
    struct flux2_sink sink;
    struct flux2_image_metadata metadata;
    flux2_sink_init(&sink);
    sink.path = luaL_checkstring(L, 1);
    const char *bytes = flux2_core_check_bytes(L, 2, &size);
    flux2_core_push_metadata(L, 4, &metadata);
    sink.metadata = metadata.json ? &metadata : NULL;
    sink.limit = size;
    sink.durable = lua_toboolean(L, 3);
    enum flux2_failure failure = flux2_sink_write(&sink, bytes, size, 0);
    if (failure == FLUX2_FAILURE_NONE)
        failure = flux2_sink_finish(&sink);
    int rc = sink.error;
    flux2_sink_clear(&sink);
    return flux2_lua_succeed_unless(L, failure != FLUX2_FAILURE_NONE ? flux2_file_reason(rc) : NULL);
}

/* core.with_metadata(string | buffer, { json, xmp }) -> the bytes with the metadata, as a string; as they are if they
 * cannot hold it | nil, message */
static int with_metadata(lua_State *L)
{
    luaL_Buffer out;
    size_t size, block_size;
    struct flux2_image_scan scan;
    struct flux2_image_metadata metadata;
    const char *bytes = flux2_core_check_bytes(L, 1, &size);
    flux2_core_push_metadata(L, 2, &metadata);
    char **block = flux2_core_push_memory(L);
    flux2_image_scan_init(&scan);
    flux2_image_scan_feed(&scan, bytes, size);
    int rc = flux2_image_metadata_block(&metadata, &scan, block, &block_size);
    if (rc != 0)
        return flux2_lua_fail(L, flux2_file_reason(rc));
    size_t place = *block ? (size_t)scan.place : size;
    luaL_buffinit(L, &out);
    luaL_addlstring(&out, bytes, place);
    luaL_addlstring(&out, *block ? *block : "", block_size);
    luaL_addlstring(&out, bytes + place, size - place);
    luaL_pushresult(&out);
    return 1;
}

static const luaL_Reg functions[] = {
    {"is_whole_image", is_whole_image},
    {"save_image", save_image},
    {"with_metadata", with_metadata},
    {NULL, NULL},
};

void flux2_core_add_image(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
