/* profile.c - creates a profile from a Lua table. */
#include "lua/profile.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "engine/profile.h"
#include "lua/binding.h"
#include "lua/response.h"

#define PROFILE_TYPE "flux2.profile"

/* --- profile: fields ------------------------------------------------------------------------------------- */

enum field_type { SECONDS, BYTES, COUNT, INTEGER, FLAG, NUMBER };

struct field {
    const char *name;
    enum field_type type;
    bool of_http; /* the offset is in the HTTP configuration */
    size_t offset;
};

#define FIELD(name, type, member)                                                                                      \
    {                                                                                                                  \
        name, type, false, offsetof(struct flux2_profile, member)                                                      \
    }
#define HTTP_FIELD(name, type, member)                                                                                 \
    {                                                                                                                  \
        name, type, true, offsetof(struct flux2_http_config, member)                                                   \
    }
static const struct field fields[] = {
    HTTP_FIELD("compressed", FLAG, compressed),
    HTTP_FIELD("connect_timeout", SECONDS, connect_timeout),
    HTTP_FIELD("durable", FLAG, durable),
    HTTP_FIELD("request_timeout", SECONDS, request_timeout),
    FIELD("max_attempts", COUNT, max_attempts),
    HTTP_FIELD("max_body", BYTES, max_body),
    HTTP_FIELD("max_headers", BYTES, max_headers),
    FIELD("max_in_flight", COUNT, max_in_flight),
    FIELD("max_queued", BYTES, max_queued),
    HTTP_FIELD("max_redirects", INTEGER, max_redirects),
    FIELD("observed", FLAG, observed),
    FIELD("poll_interval", SECONDS, poll_policy.interval),
    FIELD("patience", SECONDS, patience),
    FIELD("poll_rate", NUMBER, rates.polls),
    HTTP_FIELD("silence_timeout", SECONDS, silence_timeout),
    FIELD("submission_rate", NUMBER, rates.submissions),
};

static void set_field(lua_State *L, struct flux2_profile *p, const struct field *f, int value)
{
    char *at = (f->of_http ? (char *)p->http : (char *)p) + f->offset;
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
    case INTEGER:
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

/* Pushes the I-th string of the list at VALUE and returns it. */
static const char *push_item(lua_State *L, const char *name, int value, size_t i)
{
    lua_rawgeti(L, value, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "profile: '%s' must be a list of strings", name);
    return lua_tostring(L, -1);
}

static void set_words(lua_State *L, struct flux2_string_list *out, const char *name, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value);
    flux2_string_list_free(out);
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

static void set_secrets(lua_State *L, struct flux2_secrets *out, const char *name, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value);
    flux2_secrets_clear(out);
    for (i = 0; i < n; i++) {
        if (!flux2_secrets_add(out, push_item(L, name, value, i)))
            luaL_error(L, "not enough memory");
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

static void set_signatures(lua_State *L, struct flux2_http_config *c, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value), size;
    if (n > FLUX2_ACCEPT_MAX)
        luaL_error(L, "profile: at most %d signatures", FLUX2_ACCEPT_MAX);
    for (i = 0; i < n; i++) {
        const char *text = push_item(L, "signatures", value, i);
        text = lua_tolstring(L, -1, &size);
        if (size == 0 || size > FLUX2_IMAGE_SIGNATURE_MAX)
            luaL_error(L, "profile: a signature has 1 to %d bytes", FLUX2_IMAGE_SIGNATURE_MAX);
        memcpy(c->accept[i].bytes, text, size);
        c->accept[i].size = size;
        c->accept_count = i + 1;
        lua_pop(L, 1);
    }
}

static void set_schema(lua_State *L, struct flux2_profile *p, int value)
{
    struct flux2_response_schema *schema = flux2_core_check_schema(L, value);
    flux2_response_schema_release(p->schema);
    p->schema = flux2_response_schema_hold(schema);
}

/* Sets one member; raises if it is unknown. */
static void set_any(lua_State *L, struct flux2_profile *p, const char *name, int value)
{
    size_t i;
    for (i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].name, name) == 0) {
            set_field(L, p, &fields[i], value);
            return;
        }
    if (strcmp(name, "headers") == 0)
        set_headers(L, &p->http->headers, name, value);
    else if (strcmp(name, "body_headers") == 0)
        set_headers(L, &p->http->body_headers, name, value);
    else if (strcmp(name, "user_agent") == 0)
        set_text(L, &p->http->user_agent, name, value);
    else if (strcmp(name, "limit_group") == 0)
        set_text(L, &p->limit_group, name, value);
    else if (strcmp(name, "proxy") == 0)
        set_text(L, &p->http->proxy, name, value);
    else if (strcmp(name, "ca_file") == 0)
        set_text(L, &p->http->ca_file, name, value);
    else if (strcmp(name, "traces") == 0)
        set_words(L, &p->http->traces, name, value);
    else if (strcmp(name, "secrets") == 0)
        set_secrets(L, &p->http->secrets, name, value);
    else if (strcmp(name, "origins") == 0)
        set_words(L, &p->origins, name, value);
    else if (strcmp(name, "signatures") == 0)
        set_signatures(L, p->http, value);
    else if (strcmp(name, "response") == 0)
        set_schema(L, p, value);
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
    if (!flux2_http_config_complete((*box)->http))
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
