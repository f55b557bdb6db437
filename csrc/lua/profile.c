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

enum field_type { SECONDS, BYTES, COUNT, INTEGER, FLAG, NUMBER, TEXT, STRINGS, HEADERS, SECRETS, SIGNATURES, SCHEMA };

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
    HTTP_FIELD("body_headers", HEADERS, body_headers),
    HTTP_FIELD("ca_file", TEXT, ca_file),
    HTTP_FIELD("compressed", FLAG, compressed),
    HTTP_FIELD("connect_timeout", SECONDS, connect_timeout),
    HTTP_FIELD("durable", FLAG, durable),
    HTTP_FIELD("headers", HEADERS, headers),
    FIELD("limit_group", TEXT, limit_group),
    FIELD("max_attempts", COUNT, max_attempts),
    HTTP_FIELD("max_body", BYTES, max_body),
    HTTP_FIELD("max_headers", BYTES, max_headers),
    FIELD("max_in_flight", COUNT, max_in_flight),
    FIELD("max_queued", BYTES, max_queued),
    HTTP_FIELD("max_redirects", INTEGER, max_redirects),
    FIELD("observed", FLAG, observed),
    FIELD("origins", STRINGS, origins),
    FIELD("patience", SECONDS, patience),
    FIELD("poll_interval", SECONDS, poll_policy.interval),
    FIELD("poll_rate", NUMBER, rates[FLUX2_LANE_POLLS]),
    HTTP_FIELD("proxy", TEXT, proxy),
    HTTP_FIELD("request_timeout", SECONDS, request_timeout),
    FIELD("response", SCHEMA, schema),
    HTTP_FIELD("secrets", SECRETS, secrets),
    HTTP_FIELD("signatures", SIGNATURES, accept),
    HTTP_FIELD("silence_timeout", SECONDS, silence_timeout),
    FIELD("submission_rate", NUMBER, rates[FLUX2_LANE_SUBMISSIONS]),
    HTTP_FIELD("traces", STRINGS, traces),
    HTTP_FIELD("user_agent", TEXT, user_agent),
};

static void set_number(lua_State *L, void *member, const struct field *f, int value)
{
    lua_Number n = lua_tonumber(L, value);
    lua_Number most = f->type == BYTES ? 1e15 : 1e6;
    if (lua_type(L, value) != LUA_TNUMBER || !(n >= 0 && n <= most))
        luaL_error(L, "profile: '%s' must be a number from 0 to %f", f->name, most);
    switch (f->type) {
    case BYTES:
        *(size_t *)member = (size_t)n;
        break;
    case COUNT:
        *(unsigned *)member = (unsigned)n;
        break;
    case INTEGER:
        *(long *)member = (long)n;
        break;
    default:
        *(double *)member = n;
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

static void set_secrets(lua_State *L, struct flux2_secrets *out, const char *name, int value)
{
    size_t i, n = flux2_core_list_size(L, value, name);
    flux2_secrets_clear(out);
    for (i = 0; i < n; i++) {
        if (!flux2_secrets_add(out, flux2_core_push_item(L, value, i, name, NULL)))
            luaL_error(L, "not enough memory");
        lua_pop(L, 1);
    }
}

static void set_headers(lua_State *L, struct curl_slist **out, const char *name, int value)
{
    size_t i, n = flux2_core_list_size(L, value, name);
    for (i = 0; i < n; i++) {
        struct curl_slist *more = curl_slist_append(*out, flux2_core_push_item(L, value, i, name, NULL));
        if (!more)
            luaL_error(L, "not enough memory");
        *out = more;
        lua_pop(L, 1);
    }
}

static void set_signatures(lua_State *L, struct flux2_http_config *c, const char *name, int value)
{
    size_t i, n = flux2_core_list_size(L, value, name), size;
    if (n > FLUX2_ACCEPT_MAX)
        luaL_error(L, "profile: at most %d signatures", FLUX2_ACCEPT_MAX);
    for (i = 0; i < n; i++) {
        const char *text = flux2_core_push_item(L, value, i, name, &size);
        if (size == 0 || size > FLUX2_IMAGE_SIGNATURE_MAX)
            luaL_error(L, "profile: a signature has 1 to %d bytes", FLUX2_IMAGE_SIGNATURE_MAX);
        memcpy(c->accept[i].bytes, text, size);
        c->accept[i].size = size;
        c->accept_count = i + 1;
        lua_pop(L, 1);
    }
}

static void set_schema(lua_State *L, struct flux2_response_schema **out, int value)
{
    struct flux2_response_schema *schema = flux2_core_check_schema(L, value);
    flux2_response_schema_release(*out);
    *out = flux2_response_schema_hold(schema);
}

static void set_field(lua_State *L, struct flux2_profile *p, const struct field *f, int value)
{
    void *member = (f->of_http ? (char *)p->http : (char *)p) + f->offset;
    switch (f->type) {
    case FLAG:
        *(bool *)member = lua_toboolean(L, value);
        break;
    case TEXT:
        set_text(L, member, f->name, value);
        break;
    case STRINGS:
        flux2_core_read_strings(L, value, f->name, member);
        break;
    case HEADERS:
        set_headers(L, member, f->name, value);
        break;
    case SECRETS:
        set_secrets(L, member, f->name, value);
        break;
    case SIGNATURES:
        set_signatures(L, p->http, f->name, value);
        break;
    case SCHEMA:
        set_schema(L, member, value);
        break;
    default:
        set_number(L, member, f, value);
    }
}

static const struct field *find_field(lua_State *L, const char *name)
{
    size_t i;
    for (i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    luaL_error(L, "profile: unknown field '%s'", name);
    return NULL;
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
        set_field(L, *box, find_field(L, lua_tostring(L, -2)), lua_gettop(L));
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
