/* module.c - the Lua module flux2.tester.core: runs a Lua module on its own thread to respond to the tester's page.
 *
 * A userdata owns the server, the thread and a second Lua state, which only the thread uses. Only strings pass
 * between the two states. */
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_type.h"
#include "platform/process.h"
#include "platform/thread.h"
#include "tester/tester_server.h"

#define TESTER "flux2.tester"        /* in the program's state */
#define SERVER "flux2.tester.server" /* in the second state */

struct tester {
    struct flux2_tester_server server;
    lua_State *state; /* used only by the thread while it runs */
    struct flux2_thread thread;
    bool is_running;
    unsigned forks;      /* flux2_process_forks() of the process that has the threads */
    struct tester *next; /* in the list of testers retained after a fork */
};

/* --- the second state ---------------------------------------------------------------------------- */

static struct flux2_request_server *check_server(lua_State *L)
{
    return *(struct flux2_request_server **)luaL_checkudata(L, 1, SERVER);
}

/* server:next() -> id, method, path, body | nothing */
static int server_next(lua_State *L)
{
    struct flux2_request_server *server = check_server(L);
    luaL_checkstack(L, 8, "a request");
    const struct flux2_served_request *request = flux2_request_server_next(server);
    if (!request)
        return 0;
    lua_pushnumber(L, (lua_Number)request->id);
    lua_pushstring(L, request->method);
    lua_pushstring(L, flux2_tester_path(request->target));
    lua_pushlstring(L, request->body, request->body_size);
    return 4;
}

/* server:respond(id, status, content_type, body) */
static int server_respond(lua_State *L)
{
    static const char name[] = "Content-Type";
    char headers[sizeof name + 128];
    size_t type_size;
    struct flux2_served_response r = {.headers = headers};
    struct flux2_request_server *server = check_server(L);
    uint64_t id = (uint64_t)luaL_checknumber(L, 2);
    r.status = (int)luaL_checkinteger(L, 3);
    const char *type = luaL_checklstring(L, 4, &type_size);
    luaL_argcheck(L, type_size < sizeof headers - sizeof name, 4, "too long");
    r.body = luaL_checklstring(L, 5, &r.body_size);
    r.headers_size = sizeof name + type_size + 1;
    memcpy(headers, name, sizeof name);
    memcpy(headers + sizeof name, type, type_size + 1);
    int rc = flux2_request_server_respond(server, id, &r);
    return rc == 0 ? 0 : luaL_error(L, "%s", strerror(rc));
}

/* server:wait(descriptor or nil, seconds) -> false after the tester is stopped */
static int server_wait(lua_State *L)
{
    struct flux2_request_server *server = check_server(L);
    flux2_descriptor other = (flux2_descriptor)luaL_optnumber(L, 2, -1);
    lua_pushboolean(L, flux2_request_server_wait(server, other, luaL_checknumber(L, 3)));
    return 1;
}

static const luaL_Reg server_methods[] = {
    {"respond", server_respond},
    {"next", server_next},
    {"wait", server_wait},
    {NULL, NULL},
};

static const luaL_Reg server_meta[] = {{NULL, NULL}}; /* the tester owns the server */

static void push_server(lua_State *L, struct flux2_request_server *server)
{
    struct flux2_request_server **box = lua_newuserdata(L, sizeof *box);
    *box = server;
    flux2_lua_new_type(L, SERVER, server_meta, server_methods);
    luaL_setmetatable(L, SERVER);
}

/* Parameters of the second state. */
struct state_params {
    struct flux2_request_server *server;
    const char *path, *cpath, *module, *config;
};

/* The handler of errors in the second state: error -> its text. */
static int describe_error(lua_State *L)
{
    if (!luaL_callmeta(L, 1, "__tostring") && !lua_isstring(L, 1))
        lua_pushfstring(L, "an error that is a %s", luaL_typename(L, 1));
    return 1;
}

/* params -> function that responds until the tester stops. Runs in the second state. */
static int init_state(lua_State *L)
{
    const struct state_params *m = lua_touserdata(L, 1);
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_pushstring(L, m->path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, m->cpath);
    lua_setfield(L, -2, "cpath");
    lua_getglobal(L, "require");
    lua_pushstring(L, m->module);
    lua_call(L, 1, 1);
    push_server(L, m->server);
    lua_pushstring(L, m->config);
    lua_call(L, 2, 1);
    luaL_checktype(L, -1, LUA_TFUNCTION);
    return 1;
}

/* Runs the function until the tester stops. If it raises an error, the page gets no more responses. */
static void *run(void *arg)
{
    struct tester *t = arg;
    if (lua_pcall(t->state, 0, 0, 1) != 0)
        fprintf(stderr, "flux2 tester: %s\n", lua_tostring(t->state, -1));
    flux2_request_server_close(t->server.requests);
    flux2_request_server_drop(t->server.requests);
    lua_close(t->state);
    t->state = NULL;
    return NULL;
}

/* --- the program's state -------------------------------------------------------------------------- */

static struct tester **check_box(lua_State *L)
{
    return luaL_checkudata(L, 1, TESTER);
}

/* For a forked child, which has the memory but not the threads: closes the port and keeps the memory reachable for
 * leak checkers. */
static void retain(struct tester *t)
{
    static struct tester *list;
    if (t->server.requests)
        flux2_request_server_disown(t->server.requests);
    t->next = list;
    list = t;
}

/* Stops and frees T. */
static void stop(struct tester *t)
{
    if (t->forks != flux2_process_forks()) {
        retain(t);
        return;
    }
    if (t->server.requests)
        flux2_request_server_close(t->server.requests);
    if (t->is_running)
        flux2_thread_join(&t->thread);
    else if (t->state)
        lua_close(t->state);
    flux2_request_server_free(t->server.requests);
    free(t);
}

static void release(struct tester **box)
{
    struct tester *t = *box;
    *box = NULL;
    if (t)
        stop(t);
}

/* stop(tester); idempotent */
static int tester_stop(lua_State *L)
{
    release(check_box(L));
    return 0;
}

/* Pushes the owner of a new tester without a server. */
static struct tester **new_tester(lua_State *L)
{
    struct tester **box = lua_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_setmetatable(L, TESTER);
    *box = calloc(1, sizeof **box);
    if (!*box)
        luaL_error(L, "not enough memory");
    (*box)->forks = flux2_process_forks();
    return box;
}

/* Loads and calls the module in a new state. On failure pushes the reason and returns false. */
static bool load(lua_State *L, struct tester *t, const struct state_params *m)
{
    t->state = luaL_newstate();
    if (!t->state) {
        lua_pushliteral(L, "not enough memory");
        return false;
    }
    lua_pushcfunction(t->state, describe_error);
    lua_pushcfunction(t->state, init_state);
    lua_pushlightuserdata(t->state, (void *)(uintptr_t)m);
    if (lua_pcall(t->state, 1, 1, 1) == 0)
        return true;
    lua_pushstring(L, lua_tostring(t->state, -1));
    return false;
}

/* serve(port, module, path, cpath, config) -> tester | nil, reason. Requires MODULE in a new Lua state, calls its value
 * with the server and CONFIG, and runs the function that it returns on a new thread. Collecting the tester stops it. */
static int serve(lua_State *L)
{
    char err[256] = "";
    int port = (int)luaL_checkinteger(L, 1);
    struct state_params m = {NULL, luaL_checkstring(L, 3), luaL_checkstring(L, 4), luaL_checkstring(L, 2),
                             luaL_checkstring(L, 5)};
    struct tester **box = new_tester(L), *t = *box;
    if (!flux2_tester_server_start(&t->server, port, err, sizeof err))
        return flux2_lua_fail(L, err);
    m.server = t->server.requests;
    if (!load(L, t, &m)) {
        release(box);
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    int rc = flux2_thread_start(&t->thread, run, t);
    t->is_running = rc == 0;
    if (rc == 0)
        return 1;
    release(box);
    return flux2_lua_fail(L, strerror(rc));
}

/* url(tester) -> "http://127.0.0.1:PORT/TOKEN/", port */
static int tester_url(lua_State *L)
{
    struct tester *t = *check_box(L);
    luaL_argcheck(L, t, 1, "the tester is stopped");
    lua_pushstring(L, t->server.url);
    lua_pushinteger(L, flux2_request_server_port(t->server.requests));
    return 2;
}

static const luaL_Reg tester_meta[] = {{"__gc", tester_stop}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"serve", serve}, {"stop", tester_stop}, {"url", tester_url}, {NULL, NULL}};

FLUX2_EXPORT int luaopen_flux2_tester_core(lua_State *L);

FLUX2_EXPORT int luaopen_flux2_tester_core(lua_State *L)
{
    flux2_check_lua(L);
    flux2_process_pin_module(); /* lua_close would unload the module while libraries that it loaded still run threads */
    flux2_lua_new_type(L, TESTER, tester_meta, NULL);
    luaL_newlib(L, functions);
    return 1;
}
