/* core_site.c - a page that is answered by Lua on a thread of its own, whatever the program that started it does.
 *
 * Owns: the second Lua state, its thread, and the order in which they end.
 * Never: knows what is asked or answered. Between the two states go strings only. */
#include "core.h"
#include "site.h"

#include <errno.h>
#include <lualib.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER "flux2.emulator.server" /* in the state of the program */
#define SITE "flux2.emulator.site"     /* in the state that answers */

/* A page that is served. */
struct server {
    struct emu_site *site;
    lua_State *state; /* the thread's alone, while there is one */
    pthread_t thread;
    bool running;
    pid_t pid;           /* of the process that has the threads */
    struct server *next; /* forsaken before it */
};

/* What a child has of its parent's: never freed, since threads that do not exist here may have been changing it. */
static struct server *forsaken;

/* --- the state that answers ------------------------------------------------------------------------------- */

static struct emu_site *check_site(lua_State *L)
{
    return *(struct emu_site **)luaL_checkudata(L, 1, SITE);
}

/* site:next() -> id, method, path, body | nothing */
static int site_next(lua_State *L)
{
    struct emu_site *site = check_site(L);
    const struct emu_call *call;
    luaL_checkstack(L, 8, "a call");
    call = flux2_emu_site_next(site);
    if (!call)
        return 0;
    lua_pushnumber(L, (lua_Number)call->id);
    lua_pushstring(L, call->method);
    lua_pushstring(L, call->path);
    lua_pushlstring(L, call->body, call->body_len);
    return 4;
}

/* site:answer(id, status, content_type, body) */
static int site_answer(lua_State *L)
{
    size_t len;
    struct emu_site *site = check_site(L);
    uint64_t id = (uint64_t)luaL_checknumber(L, 2);
    int status = (int)luaL_checkinteger(L, 3);
    const char *content_type = luaL_checkstring(L, 4), *body = luaL_checklstring(L, 5, &len);
    if (!flux2_emu_site_answer(site, id, status, content_type, body, len))
        return luaL_error(L, "not enough memory");
    return 0;
}

/* site:wait(descriptor or nil, seconds) -> false once the page is to go */
static int site_wait(lua_State *L)
{
    struct emu_site *site = check_site(L);
    lua_pushboolean(L, flux2_emu_site_wait(site, (int)luaL_optinteger(L, 2, -1), luaL_checknumber(L, 3)));
    return 1;
}

static const luaL_Reg site_methods[] = {
    {"answer", site_answer},
    {"next", site_next},
    {"wait", site_wait},
    {NULL, NULL},
};

static const luaL_Reg site_meta[] = {{NULL, NULL}}; /* the server owns it */

static void push_site(lua_State *L, struct emu_site *site)
{
    struct emu_site **box = lua_newuserdata(L, sizeof(*box));
    *box = site;
    flux2_emu_core_new_type(L, SITE, site_meta, site_methods);
    luaL_setmetatable(L, SITE);
}

/* What the new state is made from. */
struct making {
    struct emu_site *site;
    const char *path, *cpath, *module, *config;
};

/* making -> function, site, config: the module's value, ready to be called. Runs in the new state. */
static int make_state(lua_State *L)
{
    const struct making *m = lua_touserdata(L, 1);
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_pushstring(L, m->path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, m->cpath);
    lua_setfield(L, -2, "cpath");
    lua_getglobal(L, "require");
    lua_pushstring(L, m->module);
    lua_call(L, 1, 1);
    push_site(L, m->site);
    lua_pushstring(L, m->config);
    return 3;
}

/* Answers until the page is to go. Nothing may end it before; if something does, the page says so by not answering. */
static void *serve(void *arg)
{
    struct server *s = arg;
    if (lua_pcall(s->state, 2, 0, 0) != 0)
        fprintf(stderr, "flux2 tester: %s\n", lua_tostring(s->state, -1));
    flux2_emu_site_close(s->site);
    lua_close(s->state);
    s->state = NULL;
    return NULL;
}

/* --- the state of the program -------------------------------------------------------------------------------- */

static struct server *test_server(lua_State *L)
{
    return luaL_checkudata(L, 1, SERVER);
}

static struct server *check_server(lua_State *L)
{
    struct server *s = test_server(L);
    if (!s->site)
        luaL_argerror(L, 1, "the page is gone");
    return s;
}

/* A child has the memory of the parent's threads, but not the threads: it lets go of the port and touches nothing. */
static void forsake(struct server *s)
{
    struct server *kept = malloc(sizeof(*kept));
    flux2_emu_site_disown(s->site);
    if (kept) {
        *kept = *s;
        kept->next = forsaken;
        forsaken = kept;
    }
    memset(s, 0, sizeof(*s));
}

static void stop(struct server *s)
{
    if (!s->site)
        return;
    if (s->pid != getpid()) {
        forsake(s);
        return;
    }
    flux2_emu_site_close(s->site);
    if (s->running)
        pthread_join(s->thread, NULL);
    else if (s->state)
        lua_close(s->state);
    flux2_emu_site_free(s->site);
    memset(s, 0, sizeof(*s));
}

static int server_stop(lua_State *L)
{
    stop(test_server(L));
    return 0;
}

static int start_thread(struct server *s)
{
    sigset_t all, before;
    int rc;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&s->thread, NULL, serve, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->running = rc == 0;
    return rc;
}

static int fail(lua_State *L, const char *reason)
{
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
}

/* Pushes a server that serves nothing yet: it owns whatever comes to be before an error. */
static struct server *new_server(lua_State *L)
{
    struct server *s = lua_newuserdata(L, sizeof(*s));
    memset(s, 0, sizeof(*s));
    s->pid = getpid();
    luaL_setmetatable(L, SERVER);
    return s;
}

/* Loads MODULE in a state of its own; the reason why it cannot be loaded is left on the stack. */
static bool load(lua_State *L, struct server *s, const struct making *m)
{
    s->state = luaL_newstate();
    if (!s->state) {
        lua_pushliteral(L, "not enough memory");
        return false;
    }
    lua_pushcfunction(s->state, make_state);
    lua_pushlightuserdata(s->state, (void *)(uintptr_t)m);
    if (lua_pcall(s->state, 1, 3, 0) == 0)
        return true;
    lua_pushfstring(L, "%s", lua_tostring(s->state, -1) ? lua_tostring(s->state, -1) : "no reason was given");
    return false;
}

/* serve(port, module, path, cpath, config) -> server | nil, reason. Calls what MODULE is, in a Lua state and on a thread
 * of its own, with the site and CONFIG. Dropped, it stops. */
static int serve_module(lua_State *L)
{
    char err[256] = "";
    int rc, port = (int)luaL_checkinteger(L, 1);
    struct making m = {NULL, luaL_checkstring(L, 3), luaL_checkstring(L, 4), luaL_checkstring(L, 2),
                       luaL_checkstring(L, 5)};
    struct server *s = new_server(L);
    s->site = m.site = flux2_emu_site_start(port, err, sizeof(err));
    if (!s->site)
        return fail(L, err);
    if (!load(L, s, &m)) {
        stop(s);
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    rc = start_thread(s);
    if (rc != 0) {
        stop(s);
        return fail(L, strerror(rc));
    }
    return 1;
}

/* server_url(server) -> "http://127.0.0.1:PORT/TOKEN/", port */
static int server_url(lua_State *L)
{
    struct server *s = check_server(L);
    lua_pushstring(L, flux2_emu_site_url(s->site));
    lua_pushinteger(L, flux2_emu_site_port(s->site));
    return 2;
}

/* pause(seconds): returns early when a signal came, which Lua's own handler then sees to. */
static int pause_here(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    poll(NULL, 0, (int)fmin(ceil(fmax(seconds, 0) * 1000), 60000));
    return 0;
}

static const luaL_Reg server_meta[] = {{"__gc", server_stop}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"pause", pause_here}, {"serve", serve_module}, {"server_stop", server_stop}, {"server_url", server_url},
    {NULL, NULL},
};

void flux2_emu_core_add_site(lua_State *L)
{
    flux2_emu_core_new_type(L, SERVER, server_meta, NULL);
    luaL_setfuncs(L, functions, 0);
}
