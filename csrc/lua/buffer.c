/* buffer.c - see buffer.h. */
#include "lua/buffer.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"
#include "lua/gc_pressure.h"
#include "lua/instance.h"

#define BUFFER_TYPE "flux2.buffer"

struct flux2_buffer {
    char *data;  /* owned; NULL while it is empty */
    size_t size; /* bytes of `data` */
};

static struct flux2_buffer *check_buffer(lua_State *L, int index)
{
    return luaL_checkudata(L, index, BUFFER_TYPE);
}

struct flux2_buffer *flux2_core_new_buffer(lua_State *L, size_t size)
{
    struct flux2_buffer *b = lua_newuserdata(L, sizeof *b + flux2_gc_pressure_shadow(size));
    *b = (struct flux2_buffer){0};
    luaL_setmetatable(L, BUFFER_TYPE);
    return b;
}

void flux2_core_fill_buffer(lua_State *L, struct flux2_buffer *b, char *data, size_t size)
{
    b->data = data;
    b->size = size;
    flux2_gc_pressure_add(L, size);
}

const char *flux2_core_check_bytes(lua_State *L, int index, size_t *size)
{
    if (lua_type(L, index) != LUA_TUSERDATA)
        return luaL_checklstring(L, index, size);
    const struct flux2_buffer *b = check_buffer(L, index);
    *size = b->size;
    return b->data ? b->data : "";
}

/* core.buffer(string) -> a buffer with a copy of the string */
static int buffer_new(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    struct flux2_buffer *b = flux2_core_new_buffer(L, size);
    char *data = malloc(size + 1);
    if (!data)
        return luaL_error(L, "not enough memory");
    memcpy(data, text, size + 1);
    flux2_core_fill_buffer(L, b, data, size);
    return 1;
}

static int buffer_gc(lua_State *L)
{
    struct flux2_buffer *b = check_buffer(L, 1);
    char *data = b->data;
    size_t size = b->size;
    b->data = NULL;
    b->size = 0;
    flux2_gc_pressure_remove(L, size);
    flux2_instance_free(L, data, size);
    return 0;
}

/* #buffer -> bytes */
static int buffer_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_buffer(L, 1)->size);
    return 1;
}

/* Returns the buffer of a method call. Raises, at the caller's line, if it was called with a dot. */
static struct flux2_buffer *check_receiver(lua_State *L, const char *method)
{
    struct flux2_buffer *b = luaL_testudata(L, 1, BUFFER_TYPE);
    if (!b)
        luaL_error(L, "call buffer:%s(...) with a colon", method);
    return b;
}

/* buffer:string(count | nil) -> a copy of the first COUNT bytes, or of all, as a string */
static int buffer_string(lua_State *L)
{
    const struct flux2_buffer *b = check_receiver(L, "string");
    lua_Number count = luaL_optnumber(L, 2, (lua_Number)b->size);
    bool is_less = count >= 0 && count < (lua_Number)b->size;
    lua_pushlstring(L, b->data ? b->data : "", is_less ? (size_t)count : b->size);
    return 1;
}

/* buffer:pointer() -> its first byte as a light userdata, valid while the buffer is referenced; the bytes are
 * NUL-terminated */
static int buffer_pointer(lua_State *L)
{
    lua_pushlightuserdata(L, check_receiver(L, "pointer")->data);
    return 1;
}

static int buffer_tostring(lua_State *L)
{
    char text[64];
    snprintf(text, sizeof text, "flux2.Buffer (%zu bytes)", check_buffer(L, 1)->size);
    lua_pushstring(L, text);
    return 1;
}

static const luaL_Reg meta[] = {
    {"__gc", buffer_gc}, {"__len", buffer_len}, {"__tostring", buffer_tostring}, {NULL, NULL}};

static const luaL_Reg methods[] = {{"pointer", buffer_pointer}, {"string", buffer_string}, {NULL, NULL}};

void flux2_core_add_buffer(lua_State *L)
{
    flux2_gc_pressure_open(L);
    flux2_core_new_type(L, BUFFER_TYPE, meta, methods);
    lua_pushcfunction(L, buffer_new);
    lua_setfield(L, -2, "buffer");
}
