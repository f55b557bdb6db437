/* module.c - the Lua module flux2.gateway.core: the HTTP server of the gateway, whose requests Lua answers.
 *
 * A userdata owns the server; the texts that the server borrows live in the userdata's environment of Lua. */
#include <stdlib.h>
#include <string.h>

#include "base/lua_type.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/terminal.h"
#include "server/bytes.h"
#include "server/request_server.h"

#define SERVER "flux2.gateway.server"
#define BYTES "flux2.gateway.bytes"
#define MAX_EXEMPT 64

struct gateway {
    struct flux2_request_server *server; /* NULL: stopped */
    unsigned forks;                      /* flux2_process_forks() of the process that has the thread */
    const char *exempt[MAX_EXEMPT + 1];  /* owned copies, ended by NULL */
    char *upload_target;                 /* owned */
};

static struct gateway *check_gateway(lua_State *L)
{
    struct gateway *g = luaL_checkudata(L, 1, SERVER);
    if (!g->server)
        luaL_argerror(L, 1, "the server is stopped");
    return g;
}

/* --- start and end --------------------------------------------------------------------------------- */

/* server:stop(); idempotent */
static int server_stop(lua_State *L)
{
    struct gateway *g = luaL_checkudata(L, 1, SERVER);
    size_t i;
    if (g->forks != flux2_process_forks()) {
        if (g->server)
            flux2_request_server_disown(g->server);
        g->server = NULL;
        return 0;
    }
    flux2_request_server_free(g->server);
    g->server = NULL;
    for (i = 0; g->exempt[i]; i++)
        free((void *)(uintptr_t)g->exempt[i]);
    memset(g->exempt, 0, sizeof g->exempt);
    free(g->upload_target);
    g->upload_target = NULL;
    return 0;
}

/* The number NAME of the table at 1. */
static double get_number(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    double n = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return n;
}

static char *copy_text(lua_State *L, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        luaL_error(L, "not enough memory");
    return copy;
}

static void read_exempt(lua_State *L, struct gateway *g)
{
    size_t i, n;
    lua_getfield(L, 1, "exempt");
    n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    luaL_argcheck(L, n <= MAX_EXEMPT, 1, "too many exempt addresses");
    for (i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        g->exempt[i] = copy_text(L, luaL_checkstring(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static struct gateway *new_gateway(lua_State *L)
{
    struct gateway *g = lua_newuserdata(L, sizeof *g);
    memset(g, 0, sizeof *g);
    g->forks = flux2_process_forks();
    luaL_setmetatable(L, SERVER);
    return g;
}

/* serve{address, port, max_connections, max_per_address, exempt, max_headers, max_body, upload_target, max_upload,
 * max_uploads, receive_seconds, send_seconds} -> server | nil, reason */
static int serve(lua_State *L)
{
    char err[256] = "";
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "address");
    struct flux2_request_server_config c = {
        .address = luaL_checkstring(L, 2),
        .port = (int)get_number(L, "port"),
        .max_connections = (unsigned)get_number(L, "max_connections"),
        .max_per_address = (unsigned)get_number(L, "max_per_address"),
        .max_headers = (size_t)get_number(L, "max_headers"),
        .max_body = (size_t)get_number(L, "max_body"),
        .max_large_body = (size_t)get_number(L, "max_upload"),
        .max_large_bodies = (size_t)get_number(L, "max_uploads"),
        .receive_seconds = get_number(L, "receive_seconds"),
        .send_seconds = get_number(L, "send_seconds"),
        .too_large = {413, "application/json",
                      "{\"error\":{\"code\":413,\"message\":\"the request body is too large\","
                      "\"type\":\"invalid_request\"}}"},
        .crowded = {503, "application/json",
                    "{\"error\":{\"code\":503,\"message\":\"too many uploads at the same time; try again later\","
                    "\"type\":\"server_error\"}}"},
    };
    struct gateway *g = new_gateway(L);
    read_exempt(L, g);
    c.exempt = g->exempt;
    lua_getfield(L, 1, "upload_target");
    c.large_target = g->upload_target = copy_text(L, luaL_checkstring(L, -1));
    lua_pop(L, 1);
    g->server = flux2_request_server_start(&c, err, sizeof err);
    return g->server ? 1 : flux2_lua_fail(L, err);
}

/* --- requests -------------------------------------------------------------------------------------- */

/* Headers of the same name are joined by ", ". */
static void push_headers(lua_State *L, const struct flux2_served_request *r)
{
    const char *at = r->headers, *end = r->headers + r->headers_size, *name, *value;
    lua_newtable(L);
    while (flux2_pair_next(&at, end, &name, &value)) {
        lua_getfield(L, -1, name);
        if (lua_isnil(L, -1))
            lua_pushstring(L, value);
        else
            lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
        lua_setfield(L, -3, name);
        lua_pop(L, 1);
    }
}

/* server:next() -> id, method, target, address, headers, body | nothing */
static int server_next(lua_State *L)
{
    struct gateway *g = check_gateway(L);
    luaL_checkstack(L, 12, "a request");
    const struct flux2_served_request *r = flux2_request_server_next(g->server);
    if (!r)
        return 0;
    lua_pushnumber(L, (lua_Number)r->id);
    lua_pushstring(L, r->method);
    lua_pushstring(L, r->target);
    lua_pushstring(L, r->address);
    push_headers(L, r);
    lua_pushlstring(L, r->body, r->body_size);
    return 6;
}

/* server:wait(descriptor or nil, seconds) */
static int server_wait(lua_State *L)
{
    flux2_descriptor other = (flux2_descriptor)luaL_optnumber(L, 2, -1);
    flux2_request_server_wait(check_gateway(L)->server, other, luaL_checknumber(L, 3));
    return 0;
}

/* --- responses ------------------------------------------------------------------------------------- */

static int bytes_gc(lua_State *L)
{
    flux2_bytes_free(luaL_checkudata(L, 1, BYTES));
    return 0;
}

/* Pushes the owner of the names and values of the table at INDEX, each ended by a NUL. */
static struct flux2_bytes *push_lines(lua_State *L, int index)
{
    struct flux2_bytes *lines = lua_newuserdata(L, sizeof *lines);
    *lines = (struct flux2_bytes){0};
    luaL_setmetatable(L, BYTES);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *value = lua_tostring(L, -1);
        if (lua_type(L, -2) != LUA_TSTRING || !value)
            luaL_error(L, "a header needs a name and a value");
        flux2_bytes_append(lines, lua_tostring(L, -2), strlen(lua_tostring(L, -2)) + 1);
        flux2_bytes_append(lines, value, strlen(value) + 1);
    }
    if (lines->failed)
        luaL_error(L, "not enough memory");
    return lines;
}

/* server:respond(id, status, headers, body or nil, path or nil) -> true | nil, reason. With a path the body is that
 * file. Fails if a header holds a line break, or the file cannot be read; then the request still waits. */
static int server_respond(lua_State *L)
{
    struct flux2_served_response r = {.body = ""};
    struct gateway *g = check_gateway(L);
    uint64_t id = (uint64_t)luaL_checknumber(L, 2);
    r.status = (int)luaL_checkinteger(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    r.body = luaL_optlstring(L, 5, "", &r.body_size);
    r.path = luaL_optstring(L, 6, NULL);
    struct flux2_bytes *lines = push_lines(L, 4);
    r.headers = lines->data ? lines->data : "";
    r.headers_size = lines->size;
    int rc = flux2_request_server_respond(g->server, id, &r);
    return flux2_lua_succeed_unless(L, rc ? strerror(rc < 0 ? 0 : rc) : NULL);
}

/* server:quiesce() */
static int server_quiesce(lua_State *L)
{
    flux2_request_server_quiesce(check_gateway(L)->server);
    return 0;
}

/* server:counts() -> connections, requests without a response, responses that are being sent */
static int server_counts(lua_State *L)
{
    struct flux2_request_server_counts counts = flux2_request_server_count(check_gateway(L)->server);
    lua_pushinteger(L, (lua_Integer)counts.connections);
    lua_pushinteger(L, (lua_Integer)counts.waiting);
    lua_pushinteger(L, (lua_Integer)counts.sending);
    return 3;
}

/* server:port() */
static int server_port(lua_State *L)
{
    lua_pushinteger(L, flux2_request_server_port(check_gateway(L)->server));
    return 1;
}

/* --- helpers --------------------------------------------------------------------------------------- */

/* same(a, b) -> whether two strings are equal, in a time that depends on their lengths only */
static int same(lua_State *L)
{
    size_t i, size, other;
    const char *a = luaL_checklstring(L, 1, &size), *b = luaL_checklstring(L, 2, &other);
    volatile unsigned char difference = size != other;
    for (i = 0; i < size && i < other; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    lua_pushboolean(L, difference == 0);
    return 1;
}

/* sync(paths) -> true | nil, reason: makes files and directories survive a power failure, see flux2_file_sync_all */
static int sync_paths(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t i, count = lua_rawlen(L, 1);
    const char **paths = lua_newuserdata(L, (count + 1) * sizeof *paths);
    for (i = 0; i < count; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        luaL_checktype(L, -1, LUA_TSTRING);
        paths[i] = lua_tostring(L, -1); /* valid while it is in the table */
        lua_pop(L, 1);
    }
    int rc = flux2_file_sync_all(paths, count);
    return flux2_lua_succeed_unless(L, rc ? flux2_file_reason(rc) : NULL);
}

/* terminations(begin) -> the SIGTERMs since the first call with BEGIN */
static int terminations(lua_State *L)
{
    if (lua_toboolean(L, 1))
        flux2_terminal_count_terminations();
    lua_pushinteger(L, (lua_Integer)flux2_terminal_terminations());
    return 1;
}

static const luaL_Reg server_meta[] = {{"__gc", server_stop}, {NULL, NULL}};

static const luaL_Reg server_methods[] = {
    {"counts", server_counts},   {"next", server_next}, {"port", server_port}, {"quiesce", server_quiesce},
    {"respond", server_respond}, {"stop", server_stop}, {"wait", server_wait}, {NULL, NULL},
};

static const luaL_Reg bytes_meta[] = {{"__gc", bytes_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"same", same}, {"serve", serve}, {"sync", sync_paths}, {"terminations", terminations}, {NULL, NULL},
};

FLUX2_EXPORT int luaopen_flux2_gateway_core(lua_State *L);

FLUX2_EXPORT int luaopen_flux2_gateway_core(lua_State *L)
{
    flux2_process_pin_module(); /* lua_close would unload the module while libraries that it loaded still run threads */
    flux2_lua_new_type(L, SERVER, server_meta, server_methods);
    flux2_lua_new_type(L, BYTES, bytes_meta, NULL);
    luaL_newlib(L, functions);
    return 1;
}
