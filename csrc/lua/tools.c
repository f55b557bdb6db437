/* tools.c - functions for Lua that need no engine: URLs, files, locks, the clock, the terminal. */
#include "lua/tools.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/http_url.h"
#include "base/url_escape.h"
#include "lua/binding.h"
#include "lua/buffer.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/lock.h"
#include "platform/process.h"
#include "platform/random.h"
#include "platform/terminal.h"

#define LOCK_TYPE "flux2.lock"

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
        return flux2_core_fail(L, "a NUL byte in a URL");
    /* The parts are pieces of the text, which libcurl may escape, and a default path and port. */
    size_t i, room = 3 * size + 64;
    char *out = lua_newuserdata(L, room);
    const char *parts[URL_PARTS];
    CURLUcode rc = split_url(text, out, room, parts);
    if (rc != CURLUE_OK)
        return flux2_core_fail(L, curl_url_strerror(rc));
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
        return flux2_core_fail(L, faults[fault]);
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

/* --- files --------------------------------------------------------------------------------------------------- */

static int succeed_or_fail(lua_State *L, int rc)
{
    if (rc != 0)
        return flux2_core_fail(L, flux2_file_reason(rc));
    lua_pushboolean(L, 1);
    return 1;
}

/* core.check_file(path) -> true | nil, message: whether the file can be written */
static int check_file(lua_State *L)
{
    return succeed_or_fail(L, flux2_file_try(luaL_checkstring(L, 1)));
}

/* core.write_file(path, string | buffer, durable, private) -> true | nil, message: writes the file whole or not at all.
 * DURABLE: flushed to disk; PRIVATE: accessible to its owner only. */
static int write_file(lua_State *L)
{
    struct flux2_file file;
    size_t size;
    const char *path = luaL_checkstring(L, 1), *data = flux2_core_check_bytes(L, 2, &size);
    int rc = flux2_file_open(&file, path, lua_toboolean(L, 4) ? FLUX2_FILE_PRIVATE : FLUX2_FILE_SHARED);
    if (rc == 0)
        rc = flux2_file_write(&file, data, size);
    if (rc == 0)
        rc = flux2_file_commit(&file, lua_toboolean(L, 3));
    if (rc != 0)
        flux2_file_discard(&file);
    return succeed_or_fail(L, rc);
}

static const char *read_failure(int rc)
{
    return rc == ENOENT ? "missing" : rc == EFBIG ? "large" : rc == FLUX2_FILE_SPECIAL ? "special" : NULL;
}

/* core.read_file(path, limit) -> bytes | nil, message, "missing" | "large" | "special" | nil: reads a regular file of
 * at most LIMIT bytes */
static int read_file(lua_State *L)
{
    size_t size;
    const char *path = luaL_checkstring(L, 1);
    lua_Number limit = luaL_checknumber(L, 2);
    char **memory = flux2_core_push_memory(L);
    int rc = flux2_file_read(path, (size_t)limit, memory, &size);
    if (rc != 0) {
        flux2_core_fail(L, flux2_file_reason(rc));
        lua_pushstring(L, read_failure(rc));
        return 3;
    }
    lua_pushlstring(L, *memory, size);
    free(*memory);
    *memory = NULL;
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

/* core.file_head(path, most | nil) -> the first bytes, at most MOST (64), and the size | nil, message and kind as in
 * core.read_file: of a regular file */
static int file_head(lua_State *L)
{
    size_t got;
    uint64_t size;
    const char *path = luaL_checkstring(L, 1);
    size_t most = (size_t)luaL_optnumber(L, 2, 64);
    char *head = lua_newuserdata(L, most);
    int rc = flux2_file_head(path, head, most, &got, &size);
    if (rc != 0) {
        flux2_core_fail(L, flux2_file_reason(rc));
        lua_pushstring(L, read_failure(rc));
        return 3;
    }
    lua_pushlstring(L, head, got);
    lua_pushnumber(L, (lua_Number)size);
    return 2;
}

/* core.make_private(path) -> true | nil, message: creates the file if missing, and restricts access to its owner */
static int make_private(lua_State *L)
{
    return succeed_or_fail(L, flux2_file_make_private(luaL_checkstring(L, 1)));
}

/* --- directories and locks --------------------------------------------------------------------------------- */

/* core.list(directory) -> { name... } in any order | nil, message */
static int list(lua_State *L)
{
    size_t size, at, n = 0;
    const char *path = luaL_checkstring(L, 1);
    char **memory = flux2_core_push_memory(L);
    int rc = flux2_directory_list(path, memory, &size);
    if (rc != 0)
        return flux2_core_fail(L, flux2_file_reason(rc));
    lua_newtable(L);
    for (at = 0; at < size; at += strlen(*memory + at) + 1) {
        lua_pushstring(L, *memory + at);
        lua_rawseti(L, -2, (int)++n);
    }
    return 1;
}

/* core.directory(path, shared) -> its absolute path | nil, message: creates it unless it exists, with access for its
 * owner only unless SHARED */
static int directory(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    bool shared = lua_toboolean(L, 2);
    char **memory = flux2_core_push_memory(L);
    int rc = flux2_directory_create(path, shared ? 0777 : 0700);
    if (rc == 0 && !(*memory = flux2_directory_resolve(path)))
        rc = errno;
    if (rc != 0)
        return flux2_core_fail(L, flux2_file_reason(rc));
    lua_pushstring(L, *memory);
    return 1;
}

struct lock_box {
    struct flux2_lock lock;
    unsigned forks; /* flux2_process_forks() of the process that holds the lock */
    char *owned;    /* the file to remove on release; NULL: none */
};

/* Releases the lock. In a forked child the parent keeps it. */
static int lock_release(lua_State *L)
{
    struct lock_box *box = luaL_checkudata(L, 1, LOCK_TYPE);
    bool here = box->forks == flux2_process_forks();
    flux2_lock_release(&box->lock, here ? box->owned : NULL);
    free(box->owned);
    box->owned = NULL;
    return 0;
}

/* lock:mine() -> boolean: whether this process holds it, not a parent process */
static int lock_mine(lua_State *L)
{
    struct lock_box *box = luaL_checkudata(L, 1, LOCK_TYPE);
    lua_pushboolean(L, box->lock.handle >= 0 && box->forks == flux2_process_forks());
    return 1;
}

static const char *lock_failure(int rc)
{
    return rc == EWOULDBLOCK ? "busy" : rc == ENOENT ? "missing" : rc == EEXIST ? "taken" : NULL;
}

/* core.lock(path, own, claim) -> lock | nil, message, "busy" | "missing" | "taken" | nil. With OWN the file is created,
 * must not exist, and is removed on release; CLAIM also works on a file system without locks. With OWN "keep" the file
 * is created unless it exists, and stays. Without OWN the file must exist, and is "busy" while its owner is alive. */
static int lock(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    bool own = lua_toboolean(L, 2);
    bool keep = lua_type(L, 2) == LUA_TSTRING;
    enum flux2_lock_mode mode = !own                  ? FLUX2_LOCK_TRY
                                : keep                ? FLUX2_LOCK_KEEP
                                : lua_toboolean(L, 3) ? FLUX2_LOCK_CLAIM
                                                      : FLUX2_LOCK_OWN;
    struct lock_box *box = lua_newuserdata(L, sizeof *box);
    *box = (struct lock_box){.lock = {.handle = -1}, .forks = flux2_process_forks()};
    luaL_setmetatable(L, LOCK_TYPE);
    box->owned = own && !keep ? strdup(path) : NULL;
    int rc = own && !keep && !box->owned ? ENOMEM : flux2_lock_acquire(path, mode, &box->lock);
    if (rc == 0)
        return 1;
    flux2_core_fail(L, strerror(rc));
    lua_pushstring(L, lock_failure(rc));
    return 3;
}

/* core.ca_file() -> libcurl's default CA bundle, if it is readable */
static int ca_file(lua_State *L)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (info->age < CURLVERSION_SEVENTH || !info->cainfo || !flux2_file_is_readable(info->cainfo))
        return 0;
    lua_pushstring(L, info->cainfo);
    return 1;
}

/* core.suspend(...): like coroutine.yield; identifies coroutines that wait for flux2 */
static int suspend(lua_State *L)
{
    return lua_yield(L, lua_gettop(L));
}

/* core.is_suspended(coroutine) -> whether it waits in core.suspend, without the table that debug.getinfo creates */
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

/* core.token() -> 16 random hexadecimal digits: a unique name, not a secret */
static int token(lua_State *L)
{
    char out[17];
    snprintf(out, sizeof out, "%016llx", (unsigned long long)flux2_random_seed());
    lua_pushstring(L, out);
    return 1;
}

/* core.now() -> seconds of a monotonic clock */
static int now(lua_State *L)
{
    lua_pushnumber(L, flux2_clock_now());
    return 1;
}

/* core.pause(seconds): returns early after a signal, whose Lua handler runs then */
static int pause_for(lua_State *L)
{
    flux2_clock_pause(luaL_checknumber(L, 1));
    return 0;
}

/* --- the terminal, for the command line ---------------------------------------------------------------------- */

/* core.is_terminal(fd) -> boolean */
static int is_terminal(lua_State *L)
{
    lua_pushboolean(L, flux2_terminal_is_attached((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* core.claim_streams(): see flux2_terminal_claim_streams */
static int claim_streams(lua_State *L)
{
    (void)L;
    flux2_terminal_claim_streams();
    return 0;
}

/* core.is_writable(fd) -> boolean: whether a standard stream is open for writing */
static int is_writable(lua_State *L)
{
    lua_pushboolean(L, flux2_terminal_is_writable((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* core.columns(fd) -> the terminal's width in columns, or nothing if it is unknown */
static int columns(lua_State *L)
{
    unsigned n = flux2_terminal_columns((int)luaL_checkinteger(L, 1));
    if (n == 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

/* core.interrupts(begin) -> the SIGINTs since the first call with BEGIN, see flux2_terminal_count_interrupts */
static int interrupts(lua_State *L)
{
    if (lua_toboolean(L, 1))
        flux2_terminal_count_interrupts();
    lua_pushinteger(L, (lua_Integer)flux2_terminal_interrupts());
    return 1;
}

static const luaL_Reg functions[] = {
    {"ca_file", ca_file},
    {"base64", base64},
    {"check_file", check_file},
    {"claim_streams", claim_streams},
    {"columns", columns},
    {"directory", directory},
    {"escape", escape},
    {"is_suspended", is_suspended},
    {"interrupts", interrupts},
    {"is_terminal", is_terminal},
    {"is_writable", is_writable},
    {"list", list},
    {"lock", lock},
    {"make_private", make_private},
    {"now", now},
    {"pause", pause_for},
    {"digest", digest},
    {"file_head", file_head},
    {"read_file", read_file},
    {"suspend", suspend},
    {"token", token},
    {"unbase64", unbase64},
    {"is_of_origin", is_of_origin},
    {"url", parse_url},
    {"write_file", write_file},
    {NULL, NULL},
};

static const luaL_Reg lock_meta[] = {{"__gc", lock_release}, {NULL, NULL}};
static const luaL_Reg lock_methods[] = {{"mine", lock_mine}, {"release", lock_release}, {NULL, NULL}};

void flux2_core_add_tools(lua_State *L)
{
    flux2_core_new_type(L, LOCK_TYPE, lock_meta, lock_methods);
    luaL_setfuncs(L, functions, 0);
}
