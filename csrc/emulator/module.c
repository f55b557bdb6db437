/* module.c - the Lua module flux2.emulator.core.
 *
 * Lua values are converted to and from JSON values; no setting or command is named here. JSON values and emulators
 * are owned by userdata, so a Lua error leaks nothing. */
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/lua_type.h"
#include "emulator/emulator.h"
#include "platform/process.h"

#define EMULATOR "flux2.emulator"
#define VALUE "flux2.emulator.value"
#define MAX_DEPTH 32
#define MAX_EXACT 9007199254740992.0 /* 2^53: largest integer that Lua 5.1 represents exactly */

/* --- JSON values, owned by userdata ------------------------------------------------------------ */

static int value_gc(lua_State *L)
{
    json_t **value = luaL_checkudata(L, 1, VALUE);
    json_decref(*value);
    *value = NULL;
    return 0;
}

/* Pushes an owner without a value. */
static json_t **new_value(lua_State *L)
{
    json_t **value = lua_newuserdata(L, sizeof(*value));
    *value = NULL;
    luaL_setmetatable(L, VALUE);
    return value;
}

/* State of a conversion. */
struct conversion {
    lua_State *L;
    char wrong[80]; /* why it failed */
};

static json_t *fail(struct conversion *c, const char *format, const char *type)
{
    snprintf(c->wrong, sizeof(c->wrong), format, type);
    return NULL;
}

static json_t *number_to_json(lua_State *L, int index)
{
    double n = lua_tonumber(L, index);
    if (isinf(n))
        n = n > 0 ? 1e308 : -1e308;
    if (isnan(n))
        return NULL;
    return n == floor(n) && fabs(n) <= MAX_EXACT ? json_integer((json_int_t)n) : json_real(n);
}

static json_t *to_json(struct conversion *c, int index, int depth);

static json_t *array_to_json(struct conversion *c, int index, int depth)
{
    json_t *array = json_array();
    int i, n = (int)lua_rawlen(c->L, index);
    for (i = 1; i <= n; i++) {
        lua_rawgeti(c->L, index, i);
        if (json_array_append_new(array, to_json(c, lua_gettop(c->L), depth)) != 0) {
            json_decref(array);
            return NULL;
        }
        lua_pop(c->L, 1);
    }
    return array;
}

static json_t *object_to_json(struct conversion *c, int index, int depth)
{
    json_t *object = json_object(), *member;
    for (lua_pushnil(c->L); lua_next(c->L, index); lua_pop(c->L, 1)) {
        bool is_named = lua_type(c->L, -2) == LUA_TSTRING;
        member = is_named ? to_json(c, lua_gettop(c->L), depth)
                          : fail(c, "a field name must be a string, not a %s", luaL_typename(c->L, -2));
        if (!member || json_object_set_new_nocheck(object, lua_tostring(c->L, -2), member) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* Returns NULL with the reason in C, and raises no error, which would leak. Strings may hold any bytes. */
static json_t *to_json(struct conversion *c, int index, int depth)
{
    size_t len;
    const char *text;
    if (depth > MAX_DEPTH || !lua_checkstack(c->L, 8))
        return fail(c, "%s nested too deeply", "table");
    switch (lua_type(c->L, index)) {
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(c->L, index));
    case LUA_TNUMBER:
        return number_to_json(c->L, index);
    case LUA_TSTRING:
        text = lua_tolstring(c->L, index, &len);
        return json_stringn_nocheck(text, len);
    case LUA_TTABLE:
        return (lua_rawlen(c->L, index) ? array_to_json : object_to_json)(c, index, depth + 1);
    default:
        return fail(c, "a value must not be a %s", luaL_typename(c->L, index));
    }
}

/* Converts the argument at INDEX and pushes its owner. Returns NULL for nil or none. */
static json_t *check_json(lua_State *L, int index)
{
    struct conversion c = {L, "cannot convert a value: NaN, or out of memory"};
    json_t **value = new_value(L);
    if (lua_isnoneornil(L, index))
        return NULL;
    *value = to_json(&c, index, 0);
    if (!*value)
        luaL_error(L, "%s", c.wrong);
    return *value;
}

/* Pushes an integer where possible, which prints without a fraction. */
static void push_number(lua_State *L, double n)
{
    if (n == floor(n) && fabs(n) <= MAX_EXACT && sizeof(lua_Integer) >= 8)
        lua_pushinteger(L, (lua_Integer)n);
    else
        lua_pushnumber(L, n);
}

static void push_json(lua_State *L, const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    luaL_checkstack(L, 8, "result nested too deeply");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        lua_createtable(L, 0, (int)json_object_size(value));
        json_object_foreach((json_t *)value, name, member)
        {
            push_json(L, member);
            lua_setfield(L, -2, name);
        }
        break;
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(value), 0);
        json_array_foreach(value, i, member)
        {
            push_json(L, member);
            lua_rawseti(L, -2, (int)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        push_number(L, json_number_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(value));
        break;
    default:
        lua_pushnil(L);
    }
}

/* --- the emulator ------------------------------------------------------------------------------ */

/* start(settings) -> emulator, URL, port | nil, reason, whether a setting is invalid */
static int emulator_start(lua_State *L)
{
    char err[256] = "";
    bool misuse = false;
    json_t *settings;
    struct flux2_emu **emu;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    settings = check_json(L, 1);
    emu = lua_newuserdata(L, sizeof(*emu));
    *emu = NULL;
    luaL_setmetatable(L, EMULATOR);
    *emu = flux2_emu_start(settings, err, sizeof(err), &misuse);
    if (*emu) {
        lua_pushstring(L, (*emu)->url);
        lua_pushinteger(L, (*emu)->port);
        return 3;
    }
    flux2_lua_fail(L, err);
    lua_pushboolean(L, misuse);
    return 3;
}

static struct flux2_emu *check_emulator(lua_State *L)
{
    struct flux2_emu **emu = luaL_checkudata(L, 1, EMULATOR);
    if (!*emu)
        luaL_argerror(L, 1, "the emulator did not start");
    return *emu;
}

/* call(emulator, command, argument) -> result of the command | nil, reason */
static int emulator_call(lua_State *L)
{
    char err[256] = "";
    struct flux2_emu *emu = check_emulator(L);
    const char *command = luaL_checkstring(L, 2);
    json_t *arg, **result;
    lua_settop(L, 3);
    arg = check_json(L, 3);
    result = new_value(L);
    *result = flux2_emu_call(emu, command, arg, err, sizeof(err));
    if (!*result)
        return flux2_lua_fail(L, err);
    push_json(L, *result);
    return 1;
}

static int emulator_stop(lua_State *L)
{
    flux2_emu_stop(check_emulator(L));
    return 0;
}

/* wait(emulator, seconds, requests or nil) -> whether that many requests are logged */
static int emulator_wait(lua_State *L)
{
    struct flux2_emu *emu = check_emulator(L);
    lua_pushboolean(L, flux2_emu_wait(emu, luaL_checknumber(L, 2), luaL_optnumber(L, 3, -1)));
    return 1;
}

static int emulator_gc(lua_State *L)
{
    struct flux2_emu **emu = luaL_checkudata(L, 1, EMULATOR);
    flux2_emu_free(*emu);
    *emu = NULL;
    return 0;
}

/* Sets the field NAME of the module to an array. */
static void set_names(lua_State *L, const char *name, json_t *(*names)(void))
{
    json_t **value = new_value(L);
    *value = names();
    if (!*value)
        luaL_error(L, "not enough memory");
    push_json(L, *value);
    lua_setfield(L, -3, name);
    lua_pop(L, 1);
}

static const luaL_Reg emulator_meta[] = {{"__gc", emulator_gc}, {NULL, NULL}};
static const luaL_Reg value_meta[] = {{"__gc", value_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"call", emulator_call}, {"start", emulator_start}, {"stop", emulator_stop}, {"wait", emulator_wait}, {NULL, NULL},
};

FLUX2_EXPORT int luaopen_flux2_emulator_core(lua_State *L);

FLUX2_EXPORT int luaopen_flux2_emulator_core(lua_State *L)
{
    flux2_check_lua(L);
    flux2_process_pin_module(); /* lua_close would unload the module while libraries that it loaded still run threads */
    flux2_lua_new_type(L, EMULATOR, emulator_meta, NULL);
    flux2_lua_new_type(L, VALUE, value_meta, NULL);
    luaL_newlib(L, functions);
    set_names(L, "settings", flux2_emu_settings_names);
    set_names(L, "fault_fields", flux2_emu_fault_fields);
    return 1;
}
