/* core_tools.c - small tools for the Lua side that need no engine: URLs, files, the clock. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "core.h"
#include "escape.h"
#include "platform.h"

#define URL_TYPE "flux2.url"
#define NAMES_TYPE "flux2.names"
#define LOCK_TYPE "flux2.lock"

struct url_box {
    CURLU *url;
    char *part;
};

static int url_gc(lua_State *L)
{
    struct url_box *box = lua_touserdata(L, 1);
    curl_free(box->part);
    curl_url_cleanup(box->url);
    box->part = NULL;
    box->url = NULL;
    return 0;
}

static struct url_box *new_url_box(lua_State *L)
{
    struct url_box *box = lua_newuserdata(L, sizeof *box);
    *box = (struct url_box){NULL, NULL};
    luaL_setmetatable(L, URL_TYPE);
    return box;
}

/* Sets a member of the table on top of the stack to PART, unless the URL has none. */
static void set_part(lua_State *L, struct url_box *box, CURLUPart part, const char *name)
{
    if (curl_url_get(box->url, part, &box->part, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return;
    lua_pushstring(L, box->part);
    lua_setfield(L, -2, name);
    curl_free(box->part);
    box->part = NULL;
}

/* core.url(text) -> { scheme, host, port, path, query, user } | nil, message. The port is always there. */
static int parse_url(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    if (strlen(text) != size)
        return flux2_core_fail(L, "a NUL byte in a URL");
    struct url_box *box = new_url_box(L);
    box->url = curl_url();
    CURLUcode rc = box->url ? curl_url_set(box->url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME)
                            : CURLUE_OUT_OF_MEMORY;
    if (rc != CURLUE_OK)
        return flux2_core_fail(L, curl_url_strerror(rc));
    lua_createtable(L, 0, 6);
    set_part(L, box, CURLUPART_SCHEME, "scheme");
    set_part(L, box, CURLUPART_HOST, "host");
    set_part(L, box, CURLUPART_PORT, "port");
    set_part(L, box, CURLUPART_PATH, "path");
    set_part(L, box, CURLUPART_QUERY, "query");
    set_part(L, box, CURLUPART_USER, "user");
    return 1;
}

/* core.base64(string | buffer) -> the same as Base64 */
static int base64(lua_State *L)
{
    size_t size;
    const char *data = flux2_core_check_bytes(L, 1, &size);
    char *out = lua_newuserdata(L, FLUX2_BASE64_SIZE(size));
    flux2_base64_encode(data, size, out);
    lua_pushlstring(L, out, FLUX2_BASE64_SIZE(size));
    return 1;
}

/* core.unbase64(text) -> bytes | nil, what is wrong with it */
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
    enum flux2_base64_fault fault = flux2_base64_decode(text, size, out, &made);
    if (fault == FLUX2_BASE64_CHARACTER) {
        lua_pushnil(L);
        lua_pushfstring(L, "character %d is not one of Base64", (int)made);
        return 2;
    }
    if (fault != FLUX2_BASE64_FINE)
        return flux2_core_fail(L, faults[fault]);
    lua_pushlstring(L, (const char *)out, made);
    return 1;
}

/* core.escape(text) -> text fit to be one segment of a URL's path, whatever it holds */
static int escape(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    char *out = lua_newuserdata(L, FLUX2_ESCAPED_SIZE(size));
    flux2_escape(text, size, out);
    lua_pushstring(L, out);
    return 1;
}

/* core.check_file(path) -> true | nil, message: could a file be written there? */
static int check_file(lua_State *L)
{
    int rc = flux2_platform_file_try(luaL_checkstring(L, 1));
    if (rc != 0)
        return flux2_core_fail(L, strerror(rc));
    lua_pushboolean(L, 1);
    return 1;
}

/* core.write_file(path, string | buffer, durable, private) -> true | nil, message: whole or not at all; private: nobody else may
 * read it */
static int write_file(lua_State *L)
{
    struct flux2_file file;
    size_t size;
    const char *path = luaL_checkstring(L, 1), *data = flux2_core_check_bytes(L, 2, &size);
    int rc = flux2_platform_file_open(&file, path, lua_toboolean(L, 4) ? 0600 : 0666);
    if (rc == 0)
        rc = flux2_platform_file_write(&file, data, size);
    if (rc == 0)
        rc = flux2_platform_file_commit(&file, lua_toboolean(L, 3));
    if (rc != 0) {
        flux2_platform_file_discard(&file);
        return flux2_core_fail(L, strerror(rc));
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* --- directories and locks --------------------------------------------------------------------------------- */

static int names_gc(lua_State *L)
{
    char **names = lua_touserdata(L, 1);
    free(*names);
    *names = NULL;
    return 0;
}

/* core.list(directory) -> { name... } | nil, message, in no order */
static int list(lua_State *L)
{
    size_t size, at, n = 0;
    const char *path = luaL_checkstring(L, 1);
    char **names = lua_newuserdata(L, sizeof(char *));
    *names = NULL;
    luaL_setmetatable(L, NAMES_TYPE);
    int rc = flux2_platform_list(path, names, &size);
    if (rc != 0)
        return flux2_core_fail(L, strerror(rc));
    lua_newtable(L);
    for (at = 0; at < size; at += strlen(*names + at) + 1) {
        lua_pushstring(L, *names + at);
        lua_rawseti(L, -2, (int)++n);
    }
    return 1;
}

/* core.directory(path) -> true | nil, message: it is there now; made for its owner only if it was not */
static int directory(lua_State *L)
{
    int rc = flux2_platform_directory(luaL_checkstring(L, 1));
    if (rc != 0)
        return flux2_core_fail(L, strerror(rc));
    lua_pushboolean(L, 1);
    return 1;
}

struct lock_box {
    int fd; /* -1: let go */
    unsigned forks;
    char *owned; /* the path to remove at the end, NULL for one who tries */
};

/* Lets go. In a child the descriptor is a copy of the parent's, whose lock stays. */
static int lock_release(lua_State *L)
{
    struct lock_box *box = luaL_checkudata(L, 1, LOCK_TYPE);
    bool here = box->forks == flux2_platform_forks();
    flux2_platform_unlock(box->fd, here ? box->owned : NULL);
    free(box->owned);
    box->owned = NULL;
    box->fd = -1;
    return 0;
}

/* lock:mine() -> boolean: held, and by this process rather than by one that it is a fork of */
static int lock_mine(lua_State *L)
{
    struct lock_box *box = luaL_checkudata(L, 1, LOCK_TYPE);
    lua_pushboolean(L, box->fd >= 0 && box->forks == flux2_platform_forks());
    return 1;
}

/* core.lock(path, own) -> lock | nil, message, "busy" | "missing" | nil. OWN makes the file, which must not be there, and
 * takes it away at the end; otherwise it must be there, and is busy while somebody who lives owns it. */
static int lock(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    bool own = lua_toboolean(L, 2);
    struct lock_box *box = lua_newuserdata(L, sizeof *box);
    *box = (struct lock_box){.fd = -1, .forks = flux2_platform_forks()};
    luaL_setmetatable(L, LOCK_TYPE);
    box->owned = own ? strdup(path) : NULL;
    int rc = own && !box->owned ? ENOMEM
                                : flux2_platform_lock(path, own ? FLUX2_LOCK_OWN : FLUX2_LOCK_TRY, &box->fd);
    if (rc == 0)
        return 1;
    flux2_core_fail(L, strerror(rc));
    lua_pushstring(L, rc == EWOULDBLOCK ? "busy" : rc == ENOENT ? "missing" : NULL);
    return 3;
}

/* core.ca_file() -> the CA bundle that libcurl was built with, if it is there */
static int ca_file(lua_State *L)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (info->age < CURLVERSION_SEVENTH || !info->cainfo || !flux2_platform_file_readable(info->cainfo))
        return 0;
    lua_pushstring(L, info->cainfo);
    return 1;
}

/* core.suspend(...): coroutine.yield under a name of ours, by which a coroutine that waits for us is known */
static int suspend(lua_State *L)
{
    return lua_yield(L, lua_gettop(L));
}

/* core.is_suspended(coroutine) -> whether it waits for us: debug.getinfo would make a table to tell */
static int is_suspended(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    lua_Debug top;
    luaL_argcheck(L, co, 1, "a coroutine is needed");
    bool ours = false;
    if (lua_status(co) == LUA_YIELD && lua_getstack(co, 0, &top)) {
        if (!lua_checkstack(co, 1))
            return luaL_error(L, "not enough memory");
        lua_getinfo(co, "f", &top);
        ours = lua_tocfunction(co, -1) == suspend;
        lua_pop(co, 1);
    }
    lua_pushboolean(L, ours);
    return 1;
}

/* core.token() -> 16 hexadecimal digits that nobody else has: a name, not a secret */
static int token(lua_State *L)
{
    char out[17];
    snprintf(out, sizeof out, "%016llx", (unsigned long long)flux2_platform_seed());
    lua_pushstring(L, out);
    return 1;
}

/* core.now() -> seconds on a clock that never goes back */
static int now(lua_State *L)
{
    lua_pushnumber(L, flux2_platform_now());
    return 1;
}

/* --- the terminal, for the command line ---------------------------------------------------------------------- */

/* core.is_terminal(fd) -> boolean */
static int is_terminal(lua_State *L)
{
    lua_pushboolean(L, flux2_platform_is_terminal((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* core.columns(fd) -> columns of the terminal, or nothing where that is not known */
static int columns(lua_State *L)
{
    unsigned n = flux2_platform_columns((int)luaL_checkinteger(L, 1));
    if (n == 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

/* core.interrupts(begin) -> how often Ctrl-C was pressed since the first call with BEGIN, from which on it is counted and
 * does nothing else, until the third takes its usual meaning back */
static int interrupts(lua_State *L)
{
    if (lua_toboolean(L, 1))
        flux2_platform_count_interrupts();
    lua_pushinteger(L, (lua_Integer)flux2_platform_interrupts());
    return 1;
}

static const luaL_Reg functions[] = {
    {"ca_file", ca_file},
    {"base64", base64},
    {"check_file", check_file},
    {"columns", columns},
    {"directory", directory},
    {"escape", escape},
    {"is_suspended", is_suspended},
    {"interrupts", interrupts},
    {"is_terminal", is_terminal},
    {"list", list},
    {"lock", lock},
    {"now", now},
    {"suspend", suspend},
    {"token", token},
    {"unbase64", unbase64},
    {"url", parse_url},
    {"write_file", write_file},
    {NULL, NULL},
};

static const luaL_Reg url_meta[] = {{"__gc", url_gc}, {NULL, NULL}};
static const luaL_Reg names_meta[] = {{"__gc", names_gc}, {NULL, NULL}};
static const luaL_Reg lock_meta[] = {{"__gc", lock_release}, {NULL, NULL}};
static const luaL_Reg lock_methods[] = {{"mine", lock_mine}, {"release", lock_release}, {NULL, NULL}};

void flux2_core_add_tools(lua_State *L)
{
    flux2_core_new_type(L, URL_TYPE, url_meta, NULL);
    flux2_core_new_type(L, NAMES_TYPE, names_meta, NULL);
    flux2_core_new_type(L, LOCK_TYPE, lock_meta, lock_methods);
    luaL_setfuncs(L, functions, 0);
}
