/* response.c - see response.h. */
#include "lua/response.h"

#include <stdlib.h>
#include <string.h>

#include "engine/response_reader.h"
#include "lua/binding.h"
#include "lua/buffer.h"

#define SCHEMA_TYPE "flux2.response_schema"
#define RESPONSE_TYPE "flux2.response"

#define X(name, word) word,
const char *const flux2_core_request_kinds[] = {"download", "task", "submission", NULL};
static const char *const error_kinds[] = {FLUX2_ERROR_KINDS(X) NULL};
const char *const flux2_core_verdicts[] = {FLUX2_VERDICTS(X)};
static const char *const acceptances[] = {FLUX2_ACCEPTANCES(X)};
static const char *const forms[] = {FLUX2_BODY_FORMS(X)};
#undef X

/* --- schema: reading the table ---------------------------------------------------------------------------- */

static void set_numbers(lua_State *L, struct flux2_response_schema *s, int value)
{
    size_t i, n = flux2_core_list_size(L, value, "code_ok");
    s->code_ok = calloc(n ? n : 1, sizeof *s->code_ok);
    if (!s->code_ok)
        luaL_error(L, "not enough memory");
    s->code_ok_count = n;
    for (i = 0; i < n; i++) {
        lua_rawgeti(L, value, (int)i + 1);
        s->code_ok[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
}

/* Reads the hint on top of the stack: { kind = "moderated", words = { ... } }. */
static void set_hint(lua_State *L, struct flux2_hint *hint)
{
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "kind");
    hint->kind = (enum flux2_error_kind)luaL_checkoption(L, -1, NULL, error_kinds);
    lua_getfield(L, -2, "words");
    flux2_core_read_strings(L, lua_gettop(L), "words", &hint->words);
    lua_pop(L, 2);
}

static void set_hints(lua_State *L, struct flux2_hint_list *out, int value)
{
    luaL_checktype(L, value, LUA_TTABLE);
    size_t i, n = lua_rawlen(L, value);
    out->at = calloc(n ? n : 1, sizeof *out->at);
    if (!out->at)
        luaL_error(L, "not enough memory");
    out->count = n;
    for (i = 0; i < n; i++) {
        lua_rawgeti(L, value, (int)i + 1);
        set_hint(L, &out->at[i]);
        lua_pop(L, 1);
    }
}

static void set_lists(lua_State *L, struct flux2_response_schema *s, int table)
{
    const struct {
        const char *name;
        struct flux2_string_list *list;
    } lists[] = {
#define X(name) {#name, &s->name},
        FLUX2_SCHEMA_LISTS(X)
#undef X
    };
    size_t i;
    for (i = 0; i < sizeof lists / sizeof *lists; i++) {
        lua_getfield(L, table, lists[i].name);
        if (!lua_isnil(L, -1))
            flux2_core_read_strings(L, lua_gettop(L), lists[i].name, lists[i].list);
        lua_pop(L, 1);
    }
}

/* core.response_schema(table) -> schema; see flux2.provider.common. Missing lists are empty. */
static int schema_new(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    struct flux2_response_schema **box = lua_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_setmetatable(L, SCHEMA_TYPE);
    int schema = lua_gettop(L);
    *box = flux2_response_schema_new();
    if (!*box)
        return luaL_error(L, "not enough memory");
    set_lists(L, *box, 1);
    lua_getfield(L, 1, "code_ok");
    if (!lua_isnil(L, -1))
        set_numbers(L, *box, lua_gettop(L));
    lua_getfield(L, 1, "hints");
    if (!lua_isnil(L, -1))
        set_hints(L, &(*box)->hints, lua_gettop(L));
    lua_getfield(L, 1, "type_hints");
    if (!lua_isnil(L, -1))
        set_hints(L, &(*box)->type_hints, lua_gettop(L));
    lua_settop(L, schema);
    return 1;
}

static int schema_gc(lua_State *L)
{
    struct flux2_response_schema **box = luaL_checkudata(L, 1, SCHEMA_TYPE);
    flux2_response_schema_release(*box);
    *box = NULL;
    return 0;
}

struct flux2_response_schema *flux2_core_check_schema(lua_State *L, int index)
{
    struct flux2_response_schema **box = luaL_checkudata(L, index, SCHEMA_TYPE);
    luaL_argcheck(L, *box, index, "a closed response schema");
    return *box;
}

/* --- response: as a table --------------------------------------------------------------------------------- */

static void push_images(lua_State *L, const struct flux2_image_list *images, struct flux2_image_buffers *buffers)
{
    size_t i;
    lua_createtable(L, (int)images->count, 0);
    for (i = 0; i < images->count; i++) {
        const struct flux2_response_image *image = &images->at[i];
        lua_createtable(L, 0, 2);
        flux2_core_set_text(L, "url", image->url);
        flux2_core_set_text(L, "content_type", image->content_type);
        if (!image->url) {
            buffers->at[i] = flux2_core_new_buffer(L, image->size);
            lua_setfield(L, -2, "buffer");
        }
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "images");
}

/* Adds the error and the service's texts about it. */
static void push_error(lua_State *L, const struct flux2_response *r)
{
    flux2_core_set_text(L, "error", error_kinds[r->error]);
    if (r->retryable)
        flux2_core_set_true(L, "retryable");
    flux2_core_set_text(L, "reason", r->reason);
    flux2_core_set_text(L, "type", r->type);
    flux2_core_set_text(L, "code", r->code);
    if (r->has_code_number)
        flux2_core_set_number(L, "code", r->code_number);
    if (r->verdict == FLUX2_VERDICT_NONE)
        return;
    flux2_core_set_text(L, "form", forms[r->form]);
    flux2_core_set_text(L, "excerpt", r->excerpt);
    flux2_core_set_text(L, "fault", r->fault);
}

void flux2_core_push_response(lua_State *L, const struct flux2_response *r, struct flux2_image_buffers *buffers)
{
    if (r->verdict != FLUX2_VERDICT_NONE)
        flux2_core_set_text(L, "verdict", flux2_core_verdicts[r->verdict]);
    if (r->acceptance != FLUX2_ACCEPTANCE_NONE)
        flux2_core_set_text(L, "acceptance", acceptances[r->acceptance]);
    if (r->error != FLUX2_ERROR_NONE)
        push_error(L, r);
    flux2_core_set_text(L, "id", r->id);
    flux2_core_set_text(L, "poll_url", r->poll_url);
    flux2_core_set_text(L, "status", r->status);
    flux2_core_set_text(L, "request_id", r->request_id);
    if (r->has_progress && r->verdict != FLUX2_VERDICT_SUCCEEDED) /* it would be 1 */
        flux2_core_set_number(L, "progress", r->progress);
    if (r->has_credits)
        flux2_core_set_number(L, "credits", r->credits);
    if (r->retry_after >= 0)
        flux2_core_set_number(L, "retry_after", r->retry_after);
    if (r->images.count > 0)
        push_images(L, &r->images, buffers);
    else
        flux2_core_set_text(L, "bad_link", r->images.bad_link);
}

void flux2_core_fill_images(lua_State *L, struct flux2_response *r, const struct flux2_image_buffers *buffers)
{
    size_t i;
    for (i = 0; i < r->images.count; i++) {
        struct flux2_response_image *image = &r->images.at[i];
        if (!image->data)
            continue;
        char *data = image->data;
        image->data = NULL;
        flux2_core_fill_buffer(L, buffers->at[i], data, image->size);
    }
}

/* --- reading, for Lua ------------------------------------------------------------------------------------- */

static int response_gc(lua_State *L)
{
    flux2_response_clear(luaL_checkudata(L, 1, RESPONSE_TYPE));
    return 0;
}

/* core.read_response(schema, kind, status, body, content_type | nil, retry_after | nil, url | nil) -> table: the parsed
 * response to a request for URL. Kinds: "submission", "task", "download". Raises "not enough memory". */
static int read_response(lua_State *L)
{
    const struct flux2_response_schema *schema = flux2_core_check_schema(L, 1);
    struct flux2_outcome outcome = {
        .status = (int)luaL_checknumber(L, 3), .sent = true, .retry_after = luaL_optnumber(L, 6, -1)};
    struct flux2_response_source source = {
        .outcome = &outcome, .content_type = luaL_optstring(L, 5, NULL), .url = luaL_optstring(L, 7, NULL)};
    struct flux2_image_buffers buffers;
    source.kind = (enum flux2_request_kind)luaL_checkoption(L, 2, NULL, flux2_core_request_kinds);
    source.body = luaL_checklstring(L, 4, &source.size);
    struct flux2_response *r = lua_newuserdata(L, sizeof *r);
    memset(r, 0, sizeof *r);
    luaL_setmetatable(L, RESPONSE_TYPE);
    if (!flux2_response_read(schema, &source, r))
        return luaL_error(L, "not enough memory");
    lua_createtable(L, 0, 8);
    flux2_core_push_response(L, r, &buffers);
    flux2_core_fill_images(L, r, &buffers);
    return 1;
}

void flux2_core_add_response(lua_State *L)
{
    static const luaL_Reg schema_meta[] = {{"__gc", schema_gc}, {NULL, NULL}};
    static const luaL_Reg response_meta[] = {{"__gc", response_gc}, {NULL, NULL}};
    flux2_core_new_type(L, SCHEMA_TYPE, schema_meta, NULL);
    flux2_core_new_type(L, RESPONSE_TYPE, response_meta, NULL);
    lua_pushcfunction(L, schema_new);
    lua_setfield(L, -2, "response_schema");
    lua_pushcfunction(L, read_response);
    lua_setfield(L, -2, "read_response");
    lua_pushinteger(L, FLUX2_ID_MAX);
    lua_setfield(L, -2, "id_max"); /* bytes; longer ids are invalid */
}
