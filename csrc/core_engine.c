/* core_engine.c - the engine of a Lua state as a userdata: jobs in, events out. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "engine.h"
#include "platform.h"

#define ENGINE_TYPE "flux2.engine"
#define ENGINE_KEY "flux2.engine.instance"

static const double WAIT_SLICE =
    0.05; /* seconds: a signal that slips in before poll() is noticed this late */

/* What the userdata holds. */
struct box {
    struct flux2_engine *engine; /* NULL once it is closed */
    struct flux2_hoard *hoard;   /* lives as long as the state */
};

/* --- engine: life ------------------------------------------------------------------------------------------- */

/* The engine, or NULL once it is closed. */
static struct flux2_engine *test_engine(lua_State *L)
{
    struct box *box = luaL_checkudata(L, 1, ENGINE_TYPE);
    return box->engine;
}

/* The engine, usable; otherwise NULL with nil and the reason on the stack. */
static struct flux2_engine *usable_engine(lua_State *L)
{
    struct flux2_engine *e = test_engine(L);
    if (e && !flux2_engine_is_foreign(e))
        return e;
    flux2_core_fail(L,
                    e ? "this process is a fork of the one that started flux2, and the engine stayed there: "
                        "require flux2 in a fresh Lua state, or fork before its first use"
                      : "the engine is closed: its Lua state is ending");
    return NULL;
}

/* The engine of this Lua state, made when it is first asked for. */
static int engine_get(lua_State *L)
{
    int error;
    lua_getfield(L, LUA_REGISTRYINDEX, ENGINE_KEY);
    if (lua_type(L, -1) == LUA_TUSERDATA)
        return 1;
    struct flux2_hoard *hoard = flux2_core_push_hoard(L);
    struct box *box = lua_newuserdata(L, sizeof *box);
    *box = (struct box){.hoard = hoard};
    luaL_setmetatable(L, ENGINE_TYPE);
    box->engine = flux2_engine_new(&error);
    if (!box->engine)
        return flux2_core_fail(L, strerror(error));
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, ENGINE_KEY);
    return 1;
}

static int engine_gc(lua_State *L)
{
    struct box *box = luaL_checkudata(L, 1, ENGINE_TYPE);
    struct flux2_engine *e = box->engine;
    box->engine = NULL;
    flux2_engine_close(e);
    return 0;
}

static int engine_tostring(lua_State *L)
{
    struct flux2_engine *e = test_engine(L);
    lua_pushfstring(L, ENGINE_TYPE " (%s)", e ? "open" : "closed");
    return 1;
}

void flux2_core_free(lua_State *L, void *block, size_t size)
{
    lua_getfield(L, LUA_REGISTRYINDEX, ENGINE_KEY);
    struct box *box = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (box && box->engine && !flux2_engine_is_foreign(box->engine))
        flux2_engine_free(box->engine, block, size);
    else
        free(block);
}

/* --- engine: jobs --------------------------------------------------------------------------------------------- */

/* engine:next_id() -> the id of a job that is to be started. Whoever starts one enters it in his books first: nothing may
 * be left to do afterwards that needs memory, or a job would run of which nobody knows. */
static int engine_next_id(lua_State *L)
{
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    lua_pushinteger(L, (lua_Integer)flux2_engine_next_id(e));
    return 1;
}

/* Starts a job made from SPEC, with the id at index 2. Everything SPEC points to is on the Lua stack; nothing here can
 * fail once the engine owns the job. */
static int start_job(lua_State *L, struct flux2_engine *e, struct flux2_profile *profile,
                     const struct flux2_job_spec *spec)
{
    struct flux2_job *job = flux2_job_new((uint64_t)luaL_checknumber(L, 2), profile, spec);
    if (!job)
        return flux2_core_fail(L, strerror(ENOMEM));
    int rc = flux2_engine_start(e, job);
    if (rc != 0) {
        flux2_job_free(job);
        return flux2_core_fail(L, strerror(rc));
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* A string member of the table at index 4, which stays on the stack; NULL for nil. */
static const char *push_text(lua_State *L, const char *name, size_t *size)
{
    lua_getfield(L, 4, name);
    if (lua_isnil(L, -1))
        return NULL;
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "job: '%s' must be a string", name);
    return lua_tolstring(L, -1, size);
}

static double get_deadline(lua_State *L)
{
    lua_getfield(L, 4, "deadline");
    double seconds = lua_tonumber(L, -1);
    return seconds > 0 ? seconds : 0;
}

static bool get_flag(lua_State *L, const char *name)
{
    lua_getfield(L, 4, name);
    return lua_toboolean(L, -1);
}

/* What follows a poll that ends well: the picture is fetched as a transfer with the profile `fetch` would. */
static void read_fetch(lua_State *L, struct flux2_engine *e, struct flux2_job_spec *spec)
{
    lua_getfield(L, 4, "fetch");
    if (lua_isnil(L, -1))
        return;
    spec->fetch_profile = flux2_core_check_profile(L, lua_gettop(L));
    spec->fetch_id = flux2_engine_next_id(e);
}

/* engine:transfer(id, profile, { url, body, file, base64, once, check, deadline }) -> true | nil, message
 * engine:poll(id, profile, { url, opening, body, deadline, record_path, record_text, durations, observe,
 *   fetch, file, check }) -> true | nil, message */
static int start_exchanges(lua_State *L, enum flux2_job_kind kind)
{
    struct flux2_job_spec spec = {.kind = kind};
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    struct flux2_profile *profile = flux2_core_check_profile(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    spec.url = push_text(L, "url", NULL);
    spec.body = push_text(L, "body", &spec.body_size);
    spec.deadline = get_deadline(L);
    luaL_argcheck(L, spec.url, 4, "a url is needed");
    spec.path = push_text(L, "file", NULL);
    spec.check_signature = get_flag(L, "check");
    if (kind == FLUX2_JOB_TRANSFER) {
        spec.nature = get_flag(L, "once") ? FLUX2_ONCE : FLUX2_SAFE;
        spec.base64 = get_flag(L, "base64");
    } else {
        spec.opening = push_text(L, "opening", NULL);
        spec.record_path = push_text(L, "record_path", NULL);
        spec.record_text = push_text(L, "record_text", NULL);
        lua_getfield(L, 4, "durations");
        spec.durations = flux2_core_opt_kind(L, lua_gettop(L));
        spec.observed = get_flag(L, "observe");
        read_fetch(L, e, &spec);
    }
    return start_job(L, e, profile, &spec);
}

static int engine_transfer(lua_State *L)
{
    return start_exchanges(L, FLUX2_JOB_TRANSFER);
}

static int engine_poll(lua_State *L)
{
    return start_exchanges(L, FLUX2_JOB_POLL);
}

/* engine:timer(id, seconds) -> true | nil, message */
static int engine_timer(lua_State *L)
{
    struct flux2_job_spec spec = {.kind = FLUX2_JOB_TIMER};
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    double seconds = luaL_checknumber(L, 3);
    /* Zero would be "none"; a timer without a time ends as soon as it is seen. */
    spec.deadline = seconds > 1e-9 ? seconds : 1e-9;
    return start_job(L, e, NULL, &spec);
}

/* engine:cancel(id): the job's last event still comes. Never fails from the caller's point of view. */
static int engine_cancel(lua_State *L)
{
    struct flux2_engine *e = test_engine(L);
    lua_Number id = luaL_checknumber(L, 2);
    if (e && !flux2_engine_is_foreign(e) && !flux2_engine_cancel(e, (uint64_t)id))
        return luaL_error(L, "not enough memory");
    return 0;
}

/* --- engine: events ------------------------------------------------------------------------------------------- */

static void set_string(lua_State *L, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, lua_Number n)
{
    lua_pushnumber(L, n);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, uint64_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, name);
}

static void set_true(lua_State *L, const char *name)
{
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, name);
}

static void push_progress(lua_State *L, const struct flux2_event *ev)
{
    lua_createtable(L, 0, 4);
    set_string(L, "id", ev->texts.id);
    set_string(L, "status", ev->status);
    set_string(L, "message", ev->texts.message);
    if (ev->has_progress)
        set_number(L, "progress", ev->progress);
}

void flux2_core_push_links(lua_State *L, const struct flux2_links *links)
{
    size_t i;
    lua_createtable(L, (int)links->count, 0);
    for (i = 0; i < links->count; i++) {
        lua_createtable(L, 0, 2);
        set_string(L, "url", links->at[i].url);
        set_string(L, "content_type", links->at[i].type);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* What was read of a task that ended well: nobody has to read its body. */
static void set_success(lua_State *L, const struct flux2_event *ev)
{
    set_string(L, "status", ev->status);
    if (ev->links->has_credits)
        set_number(L, "credits", ev->links->credits);
    flux2_core_push_links(L, ev->links);
    lua_setfield(L, -2, "images");
    if (ev->fetch > 0)
        set_integer(L, "fetch", ev->fetch);
}

static void push_end(lua_State *L, const struct flux2_event *ev)
{
    lua_createtable(L, 0, 8);
    if (ev->outcome.failure != FLUX2_FAILURE_NONE) {
        set_string(L, "failure", flux2_core_failures[ev->outcome.failure]);
        set_integer(L, "polls", ev->polls);
    }
    if (ev->outcome.status > 0)
        set_integer(L, "http_status", (uint64_t)ev->outcome.status);
    if (ev->outcome.retry_after >= 0)
        set_number(L, "retry_after", ev->outcome.retry_after);
    if (ev->outcome.sent)
        set_true(L, "sent");
    if (ev->opening)
        set_true(L, "opening");
    set_integer(L, "attempts", ev->attempts);
    if (ev->signature >= 0)
        set_integer(L, "signature", (uint64_t)ev->signature + 1);
    set_string(L, "message", ev->texts.message);
    set_string(L, "content_type", ev->texts.content_type);
    set_string(L, "location", ev->texts.location);
    set_string(L, "request_id", ev->texts.trace);
    if (ev->links)
        set_success(L, ev);
    if (ev->body && ev->signature < 0) {
        lua_pushlstring(L, ev->body, ev->body_size);
        lua_setfield(L, -2, "body");
    }
}

static void push_exchange(lua_State *L, const struct flux2_event *ev)
{
    push_end(L, ev);
    set_string(L, "status", ev->status);
    if (ev->has_progress)
        set_number(L, "progress", ev->progress);
    if (ev->pause >= 0)
        set_number(L, "pause", ev->pause);
    set_number(L, "elapsed", ev->elapsed);
    set_integer(L, "polls", ev->polls);
    set_integer(L, "received", ev->received);
}

/* A picture is large, and is not copied. Nothing that can raise follows once Lua has it. */
static void hand_over_body(lua_State *L, struct flux2_event *ev)
{
    if (!ev->body || ev->signature < 0)
        return;
    struct flux2_buffer *buffer = flux2_core_new_buffer(L, ev->body_size);
    lua_setfield(L, -2, "buffer");
    flux2_core_fill_buffer(L, buffer, ev->body, ev->body_size);
    ev->body = NULL;
}

/* engine:next() -> id, kind, event | nothing. An event is gone only once Lua has all of it. It tells what is so and no
 * more: every member costs a frame something. "opened": id, message; "opened" and "changed": status, progress. A body
 * that was checked and is what was asked for comes as `buffer`, any other as the string `body`. "exchanged": all of it. */
static int engine_next(lua_State *L)
{
    static const char *const kinds[] = {"opened", "changed", "exchanged", "ended"};
    struct flux2_engine *e = test_engine(L);
    struct flux2_event *ev = e && !flux2_engine_is_foreign(e) ? flux2_engine_peek(e) : NULL;
    if (!ev)
        return 0;
    lua_pushinteger(L, (lua_Integer)ev->job);
    lua_pushstring(L, kinds[ev->kind]);
    if (ev->kind == FLUX2_EVENT_ENDED)
        push_end(L, ev);
    else if (ev->kind == FLUX2_EVENT_EXCHANGED)
        push_exchange(L, ev);
    else
        push_progress(L, ev);
    hand_over_body(L, ev);
    flux2_engine_drop(e);
    return 3;
}

static int push_ready(lua_State *L, const struct flux2_engine *e)
{
    bool usable = e && !flux2_engine_is_foreign(e);
    lua_pushinteger(L, usable ? (lua_Integer)flux2_engine_ready(e) : 0);
    return 1;
}

/* engine:ready() -> how many events wait; an atomic load */
static int engine_ready(lua_State *L)
{
    return push_ready(L, test_engine(L));
}

/* The same as a closure over the engine, for every frame: checking the type of an argument costs more than the rest. */
static int read_ready(lua_State *L)
{
    struct box *box = lua_touserdata(L, lua_upvalueindex(1));
    flux2_core_relieve(L, box->hoard);
    return push_ready(L, box->engine);
}

/* engine:reader() -> a function that tells how many events wait, and has the collector look for a while for pictures that
 * nobody holds */
static int engine_reader(lua_State *L)
{
    luaL_checkudata(L, 1, ENGINE_TYPE);
    lua_settop(L, 1);
    lua_pushcclosure(L, read_ready, 1);
    return 1;
}

/* engine:wait(seconds): returns when events wait, the time is over, or a signal has come that Lua has to see: the
 * standalone interpreters answer Ctrl-C by setting a hook, which runs at the next instruction. */
static int engine_wait(lua_State *L)
{
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    double until = flux2_platform_now() + luaL_checknumber(L, 2), left;
    lua_Hook hook = lua_gethook(L);
    int rc = 0;
    while (flux2_engine_ready(e) == 0 && rc == 0 && lua_gethook(L) == hook) {
        left = until - flux2_platform_now();
        if (left <= 0)
            break;
        rc = flux2_platform_wait_readable(flux2_engine_fd(e), left < WAIT_SLICE ? left : WAIT_SLICE);
    }
    lua_pushboolean(L, flux2_engine_ready(e) > 0);
    return 1;
}

/* engine:fileno() -> descriptor | nil, message */
static int engine_fileno(lua_State *L)
{
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    lua_pushinteger(L, flux2_engine_fd(e));
    return 1;
}

static int engine_stats(lua_State *L)
{
    struct flux2_engine_stats s = {0};
    struct flux2_engine *e = test_engine(L);
    if (e)
        flux2_engine_read_stats(e, &s);
    lua_createtable(L, 0, 6);
    set_integer(L, "jobs", s.jobs);
    set_integer(L, "in_flight", s.in_flight);
    set_integer(L, "exchanges", s.exchanges);
    set_integer(L, "connections", s.connections);
    set_integer(L, "received", s.received);
    set_integer(L, "ended", s.ended);
    return 1;
}

/* --- registration ---------------------------------------------------------------------------------------- */

static const luaL_Reg engine_meta[] = {{"__gc", engine_gc}, {"__tostring", engine_tostring}, {NULL, NULL}};

static const luaL_Reg engine_methods[] = {
    {"cancel", engine_cancel},     {"fileno", engine_fileno}, {"next", engine_next},
    {"next_id", engine_next_id},   {"poll", engine_poll},     {"reader", engine_reader},
    {"ready", engine_ready},       {"stats", engine_stats},   {"timer", engine_timer},
    {"transfer", engine_transfer}, {"wait", engine_wait},     {NULL, NULL},
};

void flux2_core_add_engine(lua_State *L)
{
    flux2_core_new_type(L, ENGINE_TYPE, engine_meta, engine_methods);
    lua_pushcfunction(L, engine_get);
    lua_setfield(L, -2, "engine");
}
