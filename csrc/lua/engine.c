/* engine.c - the methods of the engine userdata: starting jobs, taking events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/event_queue.h"
#include "engine/poll_job.h"
#include "engine/transfer_job.h"
#include "lua/binding.h"
#include "lua/buffer.h"
#include "lua/gc_pressure.h"
#include "lua/image.h"
#include "lua/instance.h"
#include "lua/profile.h"
#include "lua/response.h"
#include "platform/clock.h"
#include "platform/wakeup.h"

#define X(name, word) word,
static const char *const send_steps[] = {FLUX2_SEND_STEPS(X)};
#undef X

static const double WAIT_SLICE = 0.05; /* seconds: the delay of a signal that arrives just before poll() */

/* --- engine: jobs --------------------------------------------------------------------------------------------- */

/* engine:next_id() -> the id for a new job. The caller registers it before it starts the job, so that nothing after the
 * start can fail and leave an unknown job running. */
static int engine_next_id(lua_State *L)
{
    struct flux2_engine *e = flux2_instance_usable(L);
    if (!e)
        return 2;
    lua_pushinteger(L, (lua_Integer)flux2_engine_next_id(e));
    return 1;
}

/* Starts JOB; NULL means out of memory. Its parameters are on the Lua stack; nothing can raise once the engine owns
 * JOB. */
static int start_job(lua_State *L, struct flux2_engine *e, struct flux2_job *job)
{
    if (!job)
        return flux2_lua_fail(L, strerror(ENOMEM));
    int rc = flux2_engine_start(e, job);
    if (rc != 0)
        flux2_job_free(job);
    return flux2_lua_succeed_unless(L, rc ? strerror(rc) : NULL);
}

static uint64_t check_id(lua_State *L)
{
    return (uint64_t)luaL_checknumber(L, 2);
}

/* Pushes a string member of the table at index 4 and returns it; NULL for nil. */
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

/* Returns the kind of a transfer's request, as in core.read_response; the default is a download. */
static enum flux2_request_kind get_request_kind(lua_State *L)
{
    lua_getfield(L, 4, "kind");
    return (enum flux2_request_kind)luaL_checkoption(L, -1, "download", flux2_core_request_kinds);
}

static const char *push_url(lua_State *L, bool is_needed)
{
    luaL_checktype(L, 4, LUA_TTABLE);
    const char *url = push_text(L, "url", NULL);
    luaL_argcheck(L, url || !is_needed, 4, "a url is needed");
    return url;
}

/* Reads `metadata`, the texts for an image in a file. */
static void push_metadata(lua_State *L, struct flux2_image_metadata *metadata)
{
    lua_getfield(L, 4, "metadata");
    flux2_core_push_metadata(L, lua_gettop(L), metadata);
}

/* Reads the query before a repetition: where, with which profile, and the number of the image. */
static void read_query(lua_State *L, struct flux2_transfer_spec *spec)
{
    spec->task_url = push_text(L, "task_url", NULL);
    if (!spec->task_url)
        return;
    lua_getfield(L, 4, "task_profile");
    spec->task_profile = flux2_core_check_profile(L, lua_gettop(L));
    lua_getfield(L, 4, "index");
    spec->image = (size_t)luaL_checknumber(L, -1) - 1;
}

/* engine:transfer(id, profile, { url, body, file, metadata, base64, kind, check, patient, task_url,
 *   task_profile, index, deadline }) -> true | nil, message */
static int engine_transfer(lua_State *L)
{
    struct flux2_transfer_spec spec = {0};
    struct flux2_engine *e = flux2_instance_usable(L);
    if (!e)
        return 2;
    struct flux2_profile *profile = flux2_core_check_profile(L, 3);
    spec.url = push_url(L, true);
    spec.body = push_text(L, "body", &spec.body_size);
    spec.path = push_text(L, "file", NULL);
    push_metadata(L, &spec.metadata);
    spec.kind = get_request_kind(L);
    spec.check_signature = get_flag(L, "check");
    spec.base64 = get_flag(L, "base64");
    spec.patient = get_flag(L, "patient");
    read_query(L, &spec);
    spec.deadline = get_deadline(L);
    return start_job(L, e, flux2_transfer_job_new(check_id(L), profile, &spec));
}

/* Reads the parameters of the download after a successful poll. */
static void read_fetch(lua_State *L, struct flux2_engine *e, struct flux2_poll_spec *spec)
{
    spec->path = push_text(L, "file", NULL);
    push_metadata(L, &spec->metadata);
    spec->check_signature = get_flag(L, "check");
    lua_getfield(L, 4, "fetch");
    if (lua_isnil(L, -1))
        return;
    spec->fetch_profile = flux2_core_check_profile(L, lua_gettop(L));
    spec->fetch_id = flux2_engine_next_id(e);
}

/* Reads an image of a body from the table on top of the stack: { path or bytes, limit, after }. Its strings stay in
 * that table. */
static void read_image(lua_State *L, struct flux2_input_image *image)
{
    size_t size;
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "path");
    image->path = (char *)lua_tostring(L, -1);
    lua_getfield(L, -2, "limit");
    image->limit = (size_t)lua_tonumber(L, -1);
    lua_getfield(L, -3, "after");
    image->after = (char *)luaL_checklstring(L, -1, &image->after_size);
    lua_pop(L, 3);
    if (image->path)
        return;
    lua_getfield(L, -1, "bytes");
    image->data = (char *)flux2_core_check_bytes(L, lua_gettop(L), &size);
    image->size = size;
    lua_pop(L, 1);
}

static void read_images(lua_State *L, struct flux2_poll_spec *spec)
{
    size_t i;
    lua_getfield(L, 4, "images");
    if (lua_isnil(L, -1))
        return;
    int list = lua_gettop(L);
    luaL_checktype(L, list, LUA_TTABLE);
    spec->image_count = lua_rawlen(L, list);
    struct flux2_input_image *images = lua_newuserdata(L, spec->image_count * sizeof *images + 1);
    memset(images, 0, spec->image_count * sizeof *images);
    spec->images = images;
    for (i = 0; i < spec->image_count; i++) {
        lua_rawgeti(L, list, (int)i + 1);
        read_image(L, &images[i]);
        lua_pop(L, 1);
    }
}

/* engine:poll(id, profile, { url, submission, body, images, idempotency, resumed, deadline, record_path, record_text,
 *   durations, observe, fetch, file, metadata, check }) -> true | nil, message */
static int engine_poll(lua_State *L)
{
    struct flux2_poll_spec spec = {0};
    struct flux2_engine *e = flux2_instance_usable(L);
    if (!e)
        return 2;
    struct flux2_profile *profile = flux2_core_check_profile(L, 3);
    spec.url = push_url(L, false);
    spec.submission = push_text(L, "submission", NULL);
    luaL_argcheck(L, spec.url || spec.submission, 4, "a url is needed");
    spec.body = push_text(L, "body", &spec.body_size);
    spec.idempotency = push_text(L, "idempotency", NULL);
    spec.resumed = get_flag(L, "resumed");
    read_images(L, &spec);
    spec.record_path = push_text(L, "record_path", NULL);
    spec.record_text = push_text(L, "record_text", NULL);
    spec.durations = push_text(L, "durations", NULL);
    spec.observed = get_flag(L, "observe");
    spec.deadline = get_deadline(L);
    read_fetch(L, e, &spec);
    return start_job(L, e, flux2_poll_job_new(check_id(L), profile, &spec));
}

/* engine:timer(id, seconds) -> true | nil, message */
static int engine_timer(lua_State *L)
{
    struct flux2_engine *e = flux2_instance_usable(L);
    if (!e)
        return 2;
    return start_job(L, e, flux2_timer_new(check_id(L), luaL_checknumber(L, 3)));
}

/* engine:cancel(id): the job's last event still follows. Raises only if out of memory. */
static int engine_cancel(lua_State *L)
{
    struct flux2_engine *e = flux2_instance_check(L)->engine;
    lua_Number id = luaL_checknumber(L, 2);
    if (e && !flux2_engine_is_foreign(e) && !flux2_engine_cancel(e, (uint64_t)id))
        return luaL_error(L, "not enough memory");
    return 0;
}

/* --- engine: events ------------------------------------------------------------------------------------------- */

static void push_progress(lua_State *L, const struct flux2_event *ev)
{
    lua_createtable(L, 0, 4);
    flux2_core_set_text(L, "id", ev->texts.id);
    flux2_core_set_text(L, "poll_url", ev->texts.poll_url);
    flux2_core_set_text(L, "status", ev->status);
    flux2_core_set_text(L, "message", ev->texts.message);
    if (ev->has_progress)
        flux2_core_set_number(L, "progress", ev->progress);
    if (ev->credits >= 0)
        flux2_core_set_number(L, "credits", ev->credits);
}

/* Adds the last poll to the event on top of the stack. */
static void push_last(lua_State *L, const struct flux2_event *ev)
{
    const struct flux2_last_poll *last = &ev->last;
    if (last->asked_pause > 0)
        flux2_core_set_number(L, "asked_pause", last->asked_pause);
    if (last->ago < 0)
        return;
    lua_createtable(L, 0, 6);
    flux2_core_set_number(L, "ago", last->ago);
    flux2_core_set_number(L, "unreachable", last->unreachable);
    if (last->failure != FLUX2_FAILURE_NONE)
        flux2_core_set_text(L, "failure", flux2_core_failures[last->failure]);
    else
        flux2_core_set_number(L, "http_status", last->status);
    if (last->code != (double)last->status && last->code > 0)
        flux2_core_set_number(L, "code", last->code);
    flux2_core_set_text(L, "verdict", flux2_core_verdicts[last->verdict]);
    lua_setfield(L, -2, "last");
}

/* Adds what only errors and REQUEST events need to the event on top of the stack. */
static void push_details(lua_State *L, const struct flux2_event *ev)
{
    if (ev->outcome.failure != FLUX2_FAILURE_NONE) {
        flux2_core_set_text(L, "failure", flux2_core_failures[ev->outcome.failure]);
        flux2_core_set_number(L, "polls", ev->polls);
        if (ev->kind == FLUX2_EVENT_ENDED)
            push_last(L, ev);
    }
    if (ev->outcome.status > 0)
        flux2_core_set_number(L, "http_status", ev->outcome.status);
    if (ev->outcome.retry_after >= 0)
        flux2_core_set_number(L, "retry_after", ev->outcome.retry_after);
    if (ev->outcome.sent)
        flux2_core_set_true(L, "sent");
    flux2_core_set_number(L, "attempts", ev->attempts);
    if (ev->failed_step != FLUX2_SEND_STEP_NONE)
        flux2_core_set_text(L, "failed_step", send_steps[ev->failed_step]);
    flux2_core_set_text(L, "content_type", ev->texts.content_type);
    flux2_core_set_text(L, "location", ev->texts.location);
    flux2_core_set_text(L, "request_id", ev->texts.trace);
}

static bool is_success(const struct flux2_event *ev)
{
    return ev->kind == FLUX2_EVENT_ENDED && ev->outcome.failure == FLUX2_FAILURE_NONE &&
           ev->response->error == FLUX2_ERROR_NONE;
}

/* Pushes the result of a request; of a success only what Lua uses, to save time in a frame. The response comes first:
 * headers override the body. */
static void push_end(lua_State *L, const struct flux2_event *ev, struct flux2_image_buffers *buffers)
{
    lua_createtable(L, 0, is_success(ev) ? 8 : 16);
    if (ev->response)
        flux2_core_push_response(L, ev->response, buffers);
    if (!is_success(ev))
        push_details(L, ev);
    if (ev->submission)
        flux2_core_set_true(L, "submission");
    if (ev->signature >= 0)
        flux2_core_set_number(L, "signature", ev->signature + 1);
    flux2_core_set_text(L, "message", ev->texts.message);
    flux2_core_set_text(L, "url", ev->texts.url);
    if (ev->fetch > 0)
        flux2_core_set_number(L, "fetch", ev->fetch);
    if (ev->body && ev->signature < 0) {
        lua_pushlstring(L, ev->body, ev->body_size);
        lua_setfield(L, -2, "body");
    }
}

static void push_request(lua_State *L, const struct flux2_event *ev, struct flux2_image_buffers *buffers)
{
    push_end(L, ev, buffers);
    flux2_core_set_text(L, "status", ev->status);
    if (ev->has_progress)
        flux2_core_set_number(L, "progress", ev->progress);
    if (ev->pause >= 0)
        flux2_core_set_number(L, "pause", ev->pause);
    flux2_core_set_number(L, "elapsed", ev->elapsed);
    flux2_core_set_number(L, "seconds", ev->seconds);
    flux2_core_set_number(L, "polls", ev->polls);
    flux2_core_set_number(L, "received", ev->received);
    if (ev->query)
        flux2_core_set_true(L, "query");
}

/* Moves images to buffers without a copy. Nothing raises after the first of them has moved. */
static void move_body(lua_State *L, struct flux2_event *ev, const struct flux2_image_buffers *buffers)
{
    struct flux2_buffer *buffer = NULL;
    if (ev->body && ev->signature >= 0) {
        buffer = flux2_core_new_buffer(L, ev->body_size);
        lua_setfield(L, -2, "buffer");
    }
    if (ev->response)
        flux2_core_fill_images(L, ev->response, buffers);
    if (!buffer)
        return;
    flux2_core_fill_buffer(L, buffer, ev->body, ev->body_size);
    ev->body = NULL;
}

/* Pushes id, kind and table of the first event, and then removes it. Only members with a value are set, to save time in
 * a frame. "accepted": id, poll_url, message, credits; "accepted" and "changed": status, progress. A body with an
 * accepted signature is a `buffer`, any other the string `body`. An "ended" without an `error` has nothing about the
 * HTTP response. "request": all members. */
static int read_event(lua_State *L)
{
    static const char *const kinds[] = {"accepted", "changed", "request", "ended"};
    struct flux2_image_buffers buffers;
    struct flux2_engine *e = ((const struct flux2_instance *)lua_touserdata(L, 1))->engine;
    struct flux2_event *ev = flux2_engine_peek(e);
    lua_pushinteger(L, (lua_Integer)ev->job);
    lua_pushstring(L, kinds[ev->kind]);
    if (ev->kind == FLUX2_EVENT_ENDED)
        push_end(L, ev, &buffers);
    else if (ev->kind == FLUX2_EVENT_REQUEST)
        push_request(L, ev, &buffers);
    else
        push_progress(L, ev);
    move_body(L, ev, &buffers);
    flux2_engine_drop(e);
    return 3;
}

static size_t count_events(const struct flux2_instance *box)
{
    const struct flux2_engine *e = box->engine;
    return e && !box->is_reading && !flux2_engine_is_foreign(e) ? flux2_engine_ready(e) : 0;
}

/* engine:next() -> id, kind, event | nothing. An event is removed only after Lua has all of it. */
static int engine_next(lua_State *L)
{
    struct flux2_instance *box = flux2_instance_check(L);
    lua_pushcfunction(L, read_event); /* allocates: a finalizer may take the last event */
    if (count_events(box) == 0)
        return 0;
    lua_pushvalue(L, 1);
    box->is_reading = true;
    int rc = lua_pcall(L, 1, 3, 0);
    box->is_reading = false;
    return rc == 0 ? 3 : lua_error(L);
}

/* engine:ready() -> the number of waiting events; an atomic load */
static int engine_ready(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)count_events(flux2_instance_check(L)));
    return 1;
}

/* engine:relieve(): runs collector steps that are due */
static int engine_relieve(lua_State *L)
{
    flux2_gc_pressure_relieve(L);
    return 0;
}

/* core.has_events() -> true | nothing: whether `update` may have something to do, in any Lua state of the process.
 * Called in each frame, when the game has displaced all of this from the processor's caches: without an event it calls
 * no function of Lua, and reads one variable. */
static int has_events(lua_State *L)
{
    if (atomic_load_explicit(&flux2_pending_work, memory_order_relaxed) == 0)
        return 0;
    lua_pushboolean(L, 1);
    return 1;
}

/* engine:wait(seconds) -> whether events wait. Returns early if a signal arrives that Lua must handle: the standalone
 * interpreters handle Ctrl-C by a hook, which runs at the next instruction. */
static int engine_wait(lua_State *L)
{
    if (flux2_instance_check(L)->is_reading)
        return flux2_lua_fail(L, "a finalizer cannot wait: flux2 is reading an event");
    struct flux2_engine *e = flux2_instance_usable(L);
    if (!e)
        return 2;
    double until = flux2_clock_now() + luaL_checknumber(L, 2), left;
    lua_Hook hook = lua_gethook(L);
    int rc = 0;
    while (flux2_engine_ready(e) == 0 && rc == 0 && lua_gethook(L) == hook) {
        left = until - flux2_clock_now();
        if (left <= 0)
            break;
        rc = flux2_wait_readable(flux2_engine_fd(e), -1, left < WAIT_SLICE ? left : WAIT_SLICE);
    }
    lua_pushboolean(L, flux2_engine_ready(e) > 0);
    return 1;
}

/* engine:fileno() -> descriptor | nil, message */
static int engine_fileno(lua_State *L)
{
    struct flux2_engine *e = flux2_instance_usable(L);
    if (!e)
        return 2;
    lua_pushinteger(L, flux2_engine_fd(e));
    return 1;
}

static int engine_stats(lua_State *L)
{
    struct flux2_engine_stats s = {0};
    struct flux2_engine *e = flux2_instance_check(L)->engine;
    if (e)
        flux2_engine_read_stats(e, &s);
    lua_createtable(L, 0, 6);
    flux2_core_set_number(L, "jobs", s.jobs);
    flux2_core_set_number(L, "in_flight", s.in_flight);
    flux2_core_set_number(L, "requests", s.requests);
    flux2_core_set_number(L, "connections", s.connections);
    flux2_core_set_number(L, "received", s.received);
    flux2_core_set_number(L, "ended", s.ended);
    return 1;
}

/* --- registration ---------------------------------------------------------------------------------------- */

static const luaL_Reg engine_methods[] = {
    {"cancel", engine_cancel}, {"fileno", engine_fileno},     {"next", engine_next},       {"next_id", engine_next_id},
    {"poll", engine_poll},     {"ready", engine_ready},       {"relieve", engine_relieve}, {"stats", engine_stats},
    {"timer", engine_timer},   {"transfer", engine_transfer}, {"wait", engine_wait},       {NULL, NULL},
};

void flux2_core_add_engine(lua_State *L)
{
    flux2_instance_add(L, engine_methods);
    lua_pushcfunction(L, has_events);
    lua_setfield(L, -2, "has_events");
}
