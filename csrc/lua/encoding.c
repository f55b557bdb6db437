/* encoding.c - URLs, Base64, digests and unique names. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/http_url.h"
#include "base/url_escape.h"
#include "lua/binding.h"
#include "lua/buffer.h"
#include "platform/random.h"

enum { URL_PARTS = 6 };

static const struct {
    CURLUPart part;
    const char *name;
} url_parts[URL_PARTS] = {
    {CURLUPART_SCHEME, "scheme"}, {CURLUPART_HOST, "host"},   {CURLUPART_PORT, "port"},
    {CURLUPART_PATH, "path"},     {CURLUPART_QUERY, "query"}, {CURLUPART_USER, "user"},
};

/* Copies the parts of URL into OUT, and sets PARTS to the copies; NULL: URL has no such part. */
static CURLUcode copy_parts(CURLU *url, char *out, size_t room, const char *parts[URL_PARTS])
{
    size_t i;
    for (i = 0; i < URL_PARTS; i++) {
        char *part;
        CURLUcode rc = curl_url_get(url, url_parts[i].part, &part, CURLU_DEFAULT_PORT);
        parts[i] = NULL;
        if (rc == CURLUE_OUT_OF_MEMORY)
            return rc;
        if (rc != CURLUE_OK)
            continue;
        size_t size = strlen(part) + 1;
        bool fits = size <= room;
        if (fits)
            parts[i] = memcpy(out, part, size);
        curl_free(part);
        if (!fits)
            return CURLUE_OUT_OF_MEMORY;
        out += size;
        room -= size;
    }
    return CURLUE_OK;
}

/* Parses TEXT. No Lua function is called while libcurl's memory is held: a finalizer may fail for lack of memory. */
static CURLUcode split_url(const char *text, char *out, size_t room, const char *parts[URL_PARTS])
{
    CURLU *url = curl_url();
    CURLUcode rc = url ? curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) : CURLUE_OUT_OF_MEMORY;
    if (rc == CURLUE_OK)
        rc = copy_parts(url, out, room, parts);
    curl_url_cleanup(url);
    return rc;
}

/* core.is_of_origin(url, origin) -> boolean: see http_url.h. URL may be any text. */
static int is_of_origin(lua_State *L)
{
    size_t size;
    const char *url = luaL_checklstring(L, 1, &size);
    const char *origin = luaL_checkstring(L, 2);
    lua_pushboolean(L, strlen(url) == size && flux2_is_http_url(url, size) && flux2_is_of_origin(url, origin));
    return 1;
}

/* core.url(text) -> { scheme, host, port, path, query, user } | nil, message. The port is always set. */
static int parse_url(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    if (strlen(text) != size)
        return flux2_lua_fail(L, "a NUL byte in a URL");
    /* The parts are pieces of the text, which libcurl may escape, and a default path and port. */
    size_t i, room = 3 * size + 64;
    char *out = lua_newuserdata(L, room);
    const char *parts[URL_PARTS];
    CURLUcode rc = split_url(text, out, room, parts);
    if (rc != CURLUE_OK)
        return flux2_lua_fail(L, curl_url_strerror(rc));
    lua_createtable(L, 0, URL_PARTS);
    for (i = 0; i < URL_PARTS; i++) {
        lua_pushstring(L, parts[i]);
        lua_setfield(L, -2, url_parts[i].name);
    }
    return 1;
}

/* core.base64(string | buffer) -> Base64 text */
static int base64(lua_State *L)
{
    size_t size;
    const char *data = flux2_core_check_bytes(L, 1, &size);
    char *out = lua_newuserdata(L, FLUX2_BASE64_SIZE(size));
    flux2_base64_encode(data, size, out);
    lua_pushlstring(L, out, FLUX2_BASE64_SIZE(size));
    return 1;
}

/* core.unbase64(text) -> bytes | nil, message */
static int unbase64(lua_State *L)
{
    static const char *const faults[] = {
        [FLUX2_BASE64_MIXED] = "it mixes the standard and the URL-safe alphabet",
        [FLUX2_BASE64_PADDING] = "its padding is wrong",
        [FLUX2_BASE64_SHORT] = "it is cut short",
        [FLUX2_BASE64_BITS] = "its last character holds bits that belong to no byte",
    };
    size_t size, made;
    const char *text = luaL_checklstring(L, 1, &size);
    unsigned char *out = lua_newuserdata(L, size);
    enum flux2_base64_error fault = flux2_base64_decode(text, size, out, &made);
    if (fault == FLUX2_BASE64_CHARACTER) {
        lua_pushnil(L);
        lua_pushfstring(L, "character %d is not one of Base64", (int)made);
        return 2;
    }
    if (fault != FLUX2_BASE64_OK)
        return flux2_lua_fail(L, faults[fault]);
    lua_pushlstring(L, (const char *)out, made);
    return 1;
}

/* core.escape(text) -> TEXT escaped as one segment of a URL's path */
static int escape(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    char *out = lua_newuserdata(L, FLUX2_URL_ESCAPED_SIZE(size));
    flux2_url_escape(text, size, out);
    lua_pushstring(L, out);
    return 1;
}

/* core.digest(bytes) -> 16 hexadecimal digits; not a cryptographic hash */
static int digest(lua_State *L)
{
    char out[17];
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    snprintf(out, sizeof out, "%016llx", (unsigned long long)flux2_hash(FLUX2_HASH_START, bytes, size));
    lua_pushstring(L, out);
    return 1;
}

/* core.token() -> 16 random hexadecimal digits: a unique name, not a secret */
static int token(lua_State *L)
{
    char out[17];
    snprintf(out, sizeof out, "%016llx", (unsigned long long)flux2_random_seed());
    lua_pushstring(L, out);
    return 1;
}

static const luaL_Reg functions[] = {
    {"base64", base64}, {"digest", digest},     {"escape", escape}, {"is_of_origin", is_of_origin},
    {"token", token},   {"unbase64", unbase64}, {"url", parse_url}, {NULL, NULL},
};

void flux2_core_add_encoding(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
