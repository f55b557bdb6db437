/* core_profile.c - makes a profile of a Lua table. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define PROFILE_TYPE "flux2.profile"

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
    FIELD("max_queued", BYTES, max_queued),
    FIELD("max_redirects", LONG, max_redirects),
    FIELD("opening_rate", NUMBER, opening_rate),
    FIELD("poll_closest", SECONDS, cadence.closest),
    FIELD("poll_failures", COUNT, poll_failures),
    FIELD("poll_first", SECONDS, cadence.first),
    FIELD("poll_interval", SECONDS, cadence.interval),
    FIELD("poll_least", SECONDS, cadence.least),
    FIELD("poll_most", SECONDS, cadence.most),
    FIELD("poll_rate", NUMBER, poll_rate),
    FIELD("poll_ratio", NUMBER, cadence.ratio),
    FIELD("poll_thrift", NUMBER, cadence.thrift),
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
    } lists[] = {{"code", &w->code},
                 {"credits", &w->pictures.credits},
                 {"done", &w->done},
                 {"id", &w->id},
                 {"media_types", &w->pictures.types},
                 {"packed", &w->pictures.packed},
                 {"picture_bytes", &w->pictures.bytes},
                 {"picture_keys", &w->pictures.keys},
                 {"pictures", &w->pictures.places},
                 {"progress", &w->progress},
                 {"refused", &w->refused},
                 {"result", &w->result},
                 {"status", &w->status},
                 {"succeeded", &w->succeeded}};
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
    if (!flux2_profile_complete(*box))
        return luaL_error(L, "not enough memory");
    return 1;
}

static int profile_gc(lua_State *L)
{
    struct flux2_profile **box = luaL_checkudata(L, 1, PROFILE_TYPE);
    flux2_profile_release(*box);
    *box = NULL;
    return 0;
}

struct flux2_profile *flux2_core_check_profile(lua_State *L, int index)
{
    struct flux2_profile **box = luaL_checkudata(L, index, PROFILE_TYPE);
    luaL_argcheck(L, *box, index, "a closed profile");
    return *box;
}

static const luaL_Reg meta[] = {{"__gc", profile_gc}, {NULL, NULL}};

void flux2_core_add_profile(lua_State *L)
{
    flux2_core_new_type(L, PROFILE_TYPE, meta, NULL);
    lua_pushcfunction(L, profile_new);
    lua_setfield(L, -2, "profile");
}
