/* core.c - the Lua binding: arguments in, userdata and events out, and nothing else.
 *
 * Owns: the two userdata, the engine (one for each Lua state) and the profile. Never: decides anything. Run-time
 * failures are returned as nil and a message; what only a bug in flux2's own Lua files can cause is raised.
 *
 * Lua may leave any function here by longjmp, for want of memory: whatever is allocated belongs to a userdata or
 * to the engine before the next call into Lua. */
#include "compat.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "platform.h"
#include "profile.h"

#define ENGINE_TYPE "flux2.engine"
#define ENGINE_KEY "flux2.engine.instance"
#define PROFILE_TYPE "flux2.profile"

static const double WAIT_SLICE =
    0.05; /* seconds: a signal that slips in before poll() is noticed this late */

static int fail(lua_State *L, const char *message)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

/* --- profile: fields ------------------------------------------------------------------------------------- */

enum field_type { SECONDS, BYTES, COUNT, LONG, FLAG, NUMBER };

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
};

#define FIELD(name, type, member)                                                                            \
    {                                                                                                        \
        name, type, offsetof(struct flux2_profile, member)                                                   \
    }
static const struct field fields[] = {
    FIELD("backoff_base", SECONDS, backoff.base),
    FIELD("backoff_ceiling", SECONDS, backoff.ceiling),
    FIELD("compressed", FLAG, compressed),
    FIELD("connect_timeout", SECONDS, connect_timeout),
    FIELD("durable", FLAG, durable),
    FIELD("exchange_timeout", SECONDS, exchange_timeout),
    FIELD("max_attempts", COUNT, max_attempts),
    FIELD("max_body", BYTES, max_body),
    FIELD("max_headers", BYTES, max_headers),
    FIELD("max_in_flight", COUNT, max_in_flight),
    FIELD("max_redirects", LONG, max_redirects),
    FIELD("poll_failures", COUNT, poll_failures),
    FIELD("poll_first", SECONDS, cadence.first),
    FIELD("poll_interval", SECONDS, cadence.interval),
    FIELD("poll_least", SECONDS, cadence.least),
    FIELD("poll_most", SECONDS, cadence.most),
    FIELD("poll_ratio", NUMBER, cadence.ratio),
    FIELD("silence_timeout", SECONDS, silence_timeout),
};

static void set_field(lua_State *L, struct flux2_profile *p, const struct field *f, int value)
{
    char *at = (char *)p + f->offset;
    if (f->type == FLAG) {
        *(bool *)at = lua_toboolean(L, value);
        return;
    }
    lua_Number n = lua_tonumber(L, value);
    lua_Number most = f->type == BYTES ? 1e15 : 1e6;
    if (lua_type(L, value) != LUA_TNUMBER || !(n >= 0 && n <= most))
        luaL_error(L, "profile: '%s' must be a number from 0 to %f", f->name, most);
    switch (f->type) {
    case BYTES:
        *(size_t *)(void *)at = (size_t)n;
        break;
    case COUNT:
        *(unsigned *)(void *)at = (unsigned)n;
        break;
    case LONG:
        *(long *)(void *)at = (long)n;
        break;
    default:
        *(double *)(void *)at = n;
    }
}

static void set_text(lua_State *L, char **out, const char *name, int value)
{
    if (lua_type(L, value) != LUA_TSTRING)
        luaL_error(L, "profile: '%s' must be a string", name);
    free(*out);
    *out = strdup(lua_tostring(L, value));
    if (!*out)
        luaL_error(L, "not enough memory");
}

/* The I-th string of the list at VALUE. It stays on the stack. */
static const char *push_item(lua_State *L, const char *name, int value, size_t i)
{
    lua_rawgeti(L, value, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "profile: '%s' must be a list of strings", name);
    return lua_tostring(L, -1);
}

static void set_words(lua_State *L, struct flux2_words *out, const char *name, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value);
    flux2_words_free(out);
    out->at = calloc(n ? n : 1, sizeof *out->at);
    if (!out->at)
        luaL_error(L, "not enough memory");
    for (i = 0; i < n; i++) {
        out->at[i] = strdup(push_item(L, name, value, i));
        if (!out->at[i])
            luaL_error(L, "not enough memory");
        out->count = i + 1;
        lua_pop(L, 1);
    }
}

static void set_headers(lua_State *L, struct curl_slist **out, const char *name, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value);
    for (i = 0; i < n; i++) {
        struct curl_slist *more = curl_slist_append(*out, push_item(L, name, value, i));
        if (!more)
            luaL_error(L, "not enough memory");
        *out = more;
        lua_pop(L, 1);
    }
}

static void set_signatures(lua_State *L, struct flux2_profile *p, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value), size;
    if (n > FLUX2_ACCEPT_MAX)
        luaL_error(L, "profile: at most %d signatures", FLUX2_ACCEPT_MAX);
    for (i = 0; i < n; i++) {
        const char *text = push_item(L, "signatures", value, i);
        text = lua_tolstring(L, -1, &size);
        if (size == 0 || size > FLUX2_SIGNATURE_MAX)
            luaL_error(L, "profile: a signature has 1 to %d bytes", FLUX2_SIGNATURE_MAX);
        memcpy(p->accept[i].bytes, text, size);
        p->accept[i].size = size;
        p->accept_count = i + 1;
        lua_pop(L, 1);
    }
}

static void set_codes(lua_State *L, struct flux2_watch *w, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value);
    w->code_ok = calloc(n ? n : 1, sizeof *w->code_ok);
    if (!w->code_ok)
        luaL_error(L, "not enough memory");
    w->code_ok_count = n;
    for (i = 0; i < n; i++) {
        lua_rawgeti(L, value, (int)i + 1);
        w->code_ok[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
}

static void set_watch(lua_State *L, struct flux2_watch *w, int value)
{
    const struct {
        const char *name;
        struct flux2_words *words;
    } lists[] = {{"code", &w->code},         {"done", &w->done},       {"id", &w->id},
                 {"progress", &w->progress}, {"refused", &w->refused}, {"result", &w->result},
                 {"status", &w->status}};
    size_t i;
    luaL_checktype(L, value, LUA_TTABLE);
    for (i = 0; i < sizeof lists / sizeof *lists; i++) {
        lua_getfield(L, value, lists[i].name);
        if (!lua_isnil(L, -1))
            set_words(L, lists[i].words, lists[i].name, lua_gettop(L));
        lua_pop(L, 1);
    }
    lua_getfield(L, value, "code_ok");
    if (!lua_isnil(L, -1))
        set_codes(L, w, lua_gettop(L));
    lua_pop(L, 1);
}

/* One member of the table that describes a profile; raises on what it does not know. */
static void set_any(lua_State *L, struct flux2_profile *p, const char *name, int value)
{
    size_t i;
    for (i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].name, name) == 0) {
            set_field(L, p, &fields[i], value);
            return;
        }
    if (strcmp(name, "headers") == 0)
        set_headers(L, &p->headers, name, value);
    else if (strcmp(name, "body_headers") == 0)
        set_headers(L, &p->body_headers, name, value);
    else if (strcmp(name, "user_agent") == 0)
        set_text(L, &p->user_agent, name, value);
    else if (strcmp(name, "proxy") == 0)
        set_text(L, &p->proxy, name, value);
    else if (strcmp(name, "ca_file") == 0)
        set_text(L, &p->ca_file, name, value);
    else if (strcmp(name, "traces") == 0)
        set_words(L, &p->traces, name, value);
    else if (strcmp(name, "signatures") == 0)
        set_signatures(L, p, value);
    else if (strcmp(name, "watch") == 0)
        set_watch(L, &p->watch, value);
    else
        luaL_error(L, "profile: unknown field '%s'", name);
}

/* --- profile: life ---------------------------------------------------------------------------------------- */

static int profile_new(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct flux2_profile **box = lua_newuserdata(L, sizeof(struct flux2_profile *));
    *box = NULL;
    luaL_setmetatable(L, PROFILE_TYPE);
    *box = flux2_profile_new();
    if (!*box)
        return luaL_error(L, "not enough memory");
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return luaL_error(L, "profile: the names of its fields are strings");
        set_any(L, *box, lua_tostring(L, -2), lua_gettop(L));
        lua_pop(L, 1);
    }
    return 1;
}

static int profile_gc(lua_State *L)
{
    struct flux2_profile **box = luaL_checkudata(L, 1, PROFILE_TYPE);
    flux2_profile_release(*box);
    *box = NULL;
    return 0;
}

static struct flux2_profile *check_profile(lua_State *L, int index)
{
    struct flux2_profile **box = luaL_checkudata(L, index, PROFILE_TYPE);
    luaL_argcheck(L, *box, index, "a closed profile");
    return *box;
}

/* --- engine: life ------------------------------------------------------------------------------------------- */

/* The engine, or NULL once it is closed. */
static struct flux2_engine *test_engine(lua_State *L)
{
    struct flux2_engine **box = luaL_checkudata(L, 1, ENGINE_TYPE);
    return *box;
}

/* The engine, usable; otherwise NULL with nil and the reason on the stack. */
static struct flux2_engine *usable_engine(lua_State *L)
{
    struct flux2_engine *e = test_engine(L);
    if (e && !flux2_engine_is_foreign(e))
        return e;
    fail(L, e ? "this process is a fork of the one that started flux2, and the engine stayed there: "
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
    struct flux2_engine **box = lua_newuserdata(L, sizeof(struct flux2_engine *));
    *box = NULL;
    luaL_setmetatable(L, ENGINE_TYPE);
    *box = flux2_engine_new(&error);
    if (!*box)
        return fail(L, strerror(error));
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, ENGINE_KEY);
    return 1;
}

static int engine_gc(lua_State *L)
{
    struct flux2_engine **box = luaL_checkudata(L, 1, ENGINE_TYPE);
    struct flux2_engine *e = *box;
    *box = NULL;
    flux2_engine_close(e);
    return 0;
}

static int engine_tostring(lua_State *L)
{
    struct flux2_engine *e = test_engine(L);
    lua_pushfstring(L, ENGINE_TYPE " (%s)", e ? "open" : "closed");
    return 1;
}

/* --- engine: jobs --------------------------------------------------------------------------------------------- */

/* Starts a job made from SPEC. Everything SPEC points to is on the Lua stack; nothing here calls Lua before the
 * engine owns the job. */
static int start_job(lua_State *L, struct flux2_engine *e, struct flux2_profile *profile,
                     const struct flux2_job_spec *spec)
{
    struct flux2_job *job = flux2_job_new(flux2_engine_next_id(e), profile, spec);
    if (!job)
        return fail(L, strerror(ENOMEM));
    uint64_t id = job->id;
    int rc = flux2_engine_start(e, job);
    if (rc != 0) {
        flux2_job_free(job);
        return fail(L, strerror(rc));
    }
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

/* A string member of the table at index 3, which stays on the stack; NULL for nil. */
static const char *push_text(lua_State *L, const char *name, size_t *size)
{
    lua_getfield(L, 3, name);
    if (lua_isnil(L, -1))
        return NULL;
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "job: '%s' must be a string", name);
    return lua_tolstring(L, -1, size);
}

static double get_deadline(lua_State *L)
{
    lua_getfield(L, 3, "deadline");
    double seconds = lua_tonumber(L, -1);
    return seconds > 0 ? seconds : 0;
}

static bool get_flag(lua_State *L, const char *name)
{
    lua_getfield(L, 3, name);
    return lua_toboolean(L, -1);
}

/* engine:transfer(profile, { url, body, file, once, check, deadline }) -> id | nil, message */
static int engine_transfer(lua_State *L)
{
    struct flux2_job_spec spec = {.kind = FLUX2_JOB_TRANSFER};
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    struct flux2_profile *profile = check_profile(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    spec.url = push_text(L, "url", NULL);
    spec.body = push_text(L, "body", &spec.body_size);
    spec.path = push_text(L, "file", NULL);
    spec.nature = get_flag(L, "once") ? FLUX2_ONCE : FLUX2_SAFE;
    spec.check_signature = get_flag(L, "check");
    spec.deadline = get_deadline(L);
    luaL_argcheck(L, spec.url, 3, "a transfer needs a url");
    return start_job(L, e, profile, &spec);
}

/* engine:poll(profile, { url, opening, body, deadline }) -> id | nil, message */
static int engine_poll(lua_State *L)
{
    struct flux2_job_spec spec = {.kind = FLUX2_JOB_POLL};
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    struct flux2_profile *profile = check_profile(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    spec.url = push_text(L, "url", NULL);
    spec.opening = push_text(L, "opening", NULL);
    spec.body = push_text(L, "body", &spec.body_size);
    spec.deadline = get_deadline(L);
    luaL_argcheck(L, spec.url, 3, "a poll needs a url");
    return start_job(L, e, profile, &spec);
}

/* engine:timer(seconds) -> id | nil, message */
static int engine_timer(lua_State *L)
{
    struct flux2_job_spec spec = {.kind = FLUX2_JOB_TIMER};
    struct flux2_engine *e = usable_engine(L);
    if (!e)
        return 2;
    double seconds = luaL_checknumber(L, 2);
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

static void set_boolean(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

static const char *failure_word(enum flux2_failure failure)
{
    static const char *const words[] = {
#define X(name, word) word,
        FLUX2_FAILURES(X)
#undef X
    };
    return words[failure];
}

static void push_event(lua_State *L, const struct flux2_event *ev)
{
    lua_createtable(L, 0, 16);
    set_string(L, "status", ev->status);
    if (ev->has_progress)
        set_number(L, "progress", ev->progress);
    set_number(L, "elapsed", ev->elapsed);
    set_integer(L, "polls", ev->polls);
    if (ev->kind == FLUX2_EVENT_CHANGED)
        return;
    if (ev->outcome.failure != FLUX2_FAILURE_NONE)
        set_string(L, "failure", failure_word(ev->outcome.failure));
    if (ev->outcome.status > 0)
        set_integer(L, "http_status", (uint64_t)ev->outcome.status);
    if (ev->outcome.retry_after >= 0)
        set_number(L, "retry_after", ev->outcome.retry_after);
    set_boolean(L, "sent", ev->outcome.sent);
    set_boolean(L, "opening", ev->opening);
    set_integer(L, "attempts", ev->attempts);
    set_integer(L, "received", ev->received);
    if (ev->signature >= 0)
        set_integer(L, "signature", (uint64_t)ev->signature + 1);
    set_string(L, "message", ev->texts.message);
    set_string(L, "content_type", ev->texts.content_type);
    set_string(L, "location", ev->texts.location);
    set_string(L, "request_id", ev->texts.trace);
    if (ev->body) {
        lua_pushlstring(L, ev->body, ev->body_size);
        lua_setfield(L, -2, "body");
    }
}

/* engine:next() -> id, kind, event | nothing. An event is gone only once Lua has all of it. */
static int engine_next(lua_State *L)
{
    static const char *const kinds[] = {"opened", "changed", "ended"};
    struct flux2_engine *e = test_engine(L);
    struct flux2_event *ev = e && !flux2_engine_is_foreign(e) ? flux2_engine_peek(e) : NULL;
    if (!ev)
        return 0;
    lua_pushinteger(L, (lua_Integer)ev->job);
    lua_pushstring(L, kinds[ev->kind]);
    push_event(L, ev);
    flux2_engine_drop(e);
    return 3;
}

/* engine:ready() -> how many events wait; an atomic load */
static int engine_ready(lua_State *L)
{
    struct flux2_engine *e = test_engine(L);
    lua_pushinteger(L, e && !flux2_engine_is_foreign(e) ? (lua_Integer)flux2_engine_ready(e) : 0);
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

/* --- what needs no engine --------------------------------------------------------------------------------------- */

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
    if (luaL_newmetatable(L, "flux2.url")) {
        lua_pushcfunction(L, url_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
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
        return fail(L, "a NUL byte in a URL");
    struct url_box *box = new_url_box(L);
    box->url = curl_url();
    CURLUcode rc = box->url ? curl_url_set(box->url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME)
                            : CURLUE_OUT_OF_MEMORY;
    if (rc != CURLUE_OK)
        return fail(L, curl_url_strerror(rc));
    lua_createtable(L, 0, 6);
    set_part(L, box, CURLUPART_SCHEME, "scheme");
    set_part(L, box, CURLUPART_HOST, "host");
    set_part(L, box, CURLUPART_PORT, "port");
    set_part(L, box, CURLUPART_PATH, "path");
    set_part(L, box, CURLUPART_QUERY, "query");
    set_part(L, box, CURLUPART_USER, "user");
    return 1;
}

/* core.escape(text) -> text fit to be one segment of a URL's path, whatever it holds */
static int escape(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    char *out = lua_newuserdata(L, FLUX2_ESCAPED_SIZE(size));
    flux2_job_escape(text, size, out);
    lua_pushstring(L, out);
    return 1;
}

/* core.check_file(path) -> true | nil, message: could a file be written there? */
static int check_file(lua_State *L)
{
    int rc = flux2_platform_file_try(luaL_checkstring(L, 1));
    if (rc != 0)
        return fail(L, strerror(rc));
    lua_pushboolean(L, 1);
    return 1;
}

/* core.write_file(path, bytes, durable) -> true | nil, message: whole or not at all */
static int write_file(lua_State *L)
{
    struct flux2_file file;
    size_t size;
    const char *path = luaL_checkstring(L, 1), *data = luaL_checklstring(L, 2, &size);
    int rc = flux2_platform_file_open(&file, path);
    if (rc == 0)
        rc = flux2_platform_file_write(&file, data, size);
    if (rc == 0)
        rc = flux2_platform_file_commit(&file, lua_toboolean(L, 3));
    if (rc != 0) {
        flux2_platform_file_discard(&file);
        return fail(L, strerror(rc));
    }
    lua_pushboolean(L, 1);
    return 1;
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

/* core.now() -> seconds on a clock that never goes back */
static int now(lua_State *L)
{
    lua_pushnumber(L, flux2_platform_now());
    return 1;
}

/* --- registration ------------------------------------------------------------------------------------------------- */

static const luaL_Reg engine_methods[] = {
    {"cancel", engine_cancel}, {"fileno", engine_fileno},
    {"next", engine_next},     {"poll", engine_poll},
    {"ready", engine_ready},   {"stats", engine_stats},
    {"timer", engine_timer},   {"transfer", engine_transfer},
    {"wait", engine_wait},     {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"ca_file", ca_file},
    {"check_file", check_file},
    {"engine", engine_get},
    {"escape", escape},
    {"now", now},
    {"profile", profile_new},
    {"suspend", suspend},
    {"url", parse_url},
    {"write_file", write_file},
    {NULL, NULL},
};

static void new_type(lua_State *L, const char *name, lua_CFunction gc, lua_CFunction tostring)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    if (tostring) {
        lua_pushcfunction(L, tostring);
        lua_setfield(L, -2, "__tostring");
    }
}

FLUX2_EXPORT int luaopen_flux2_core(lua_State *L);

FLUX2_EXPORT int luaopen_flux2_core(lua_State *L)
{
    new_type(L, ENGINE_TYPE, engine_gc, engine_tostring);
    luaL_newlib(L, engine_methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    new_type(L, PROFILE_TYPE, profile_gc, NULL);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    lua_pushstring(L, curl_version());
    lua_setfield(L, -2, "libcurl");
    return 1;
}
