/* module.c - the Lua module flux2.emulator.core.
 *
 * Lua values are converted to and from JSON values; no setting or command is named here. JSON values and emulators
 * are owned by userdata, so a Lua error leaks nothing. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/lua_type.h"
#include "emulator/commands.h"
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

static json_t *number_to_json(lua_State *L, int index)
{
    double n = lua_tonumber(L, index);
    if (isinf(n))
        n = n > 0 ? 1e308 : -1e308;
    if (isnan(n))
        return NULL;
    return n == floor(n) && fabs(n) <= MAX_EXACT ? json_integer((json_int_t)n) : json_real(n);
}

static void to_json(lua_State *L, int index, json_t **slot, int depth);

/* On failure jansson has already released the value. */
static void check_kept(lua_State *L, int rc)
{
    if (rc != 0)
        luaL_error(L, "not enough memory");
}

/* Each element is attached to its parent before it is filled, so that an error does not leak it. */
static void array_to_json(lua_State *L, int index, json_t *array, int depth)
{
    int i, n = (int)lua_rawlen(L, index);
    for (i = 1; i <= n; i++) {
        json_t *element = NULL;
        lua_rawgeti(L, index, i);
        if (lua_istable(L, -1)) {
            element = lua_rawlen(L, -1) ? json_array() : json_object();
            check_kept(L, json_array_append_new(array, element));
        }
        to_json(L, lua_gettop(L), &element, depth);
        if (!lua_istable(L, -1))
            check_kept(L, json_array_append_new(array, element));
        lua_pop(L, 1);
    }
}

static void object_to_json(lua_State *L, int index, json_t *object, int depth)
{
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        json_t *member = NULL;
        const char *name;
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "a field name must be a string, not a %s", luaL_typename(L, -2));
        name = lua_tostring(L, -2);
        if (lua_istable(L, -1)) {
            member = lua_rawlen(L, -1) ? json_array() : json_object();
            check_kept(L, json_object_set_new_nocheck(object, name, member));
        }
        to_json(L, lua_gettop(L), &member, depth);
        if (!lua_istable(L, -1))
            check_kept(L, json_object_set_new_nocheck(object, name, member));
    }
}

/* Converts the value at INDEX to *SLOT. A table is converted into the existing array or object *SLOT. Strings may
 * hold any bytes. */
static void to_json(lua_State *L, int index, json_t **slot, int depth)
{
    size_t len;
    const char *text;
    if (depth > MAX_DEPTH)
        luaL_error(L, "table nested too deeply");
    luaL_checkstack(L, 8, "table nested too deeply");
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        *slot = json_boolean(lua_toboolean(L, index));
        break;
    case LUA_TNUMBER:
        *slot = number_to_json(L, index);
        break;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        *slot = json_stringn_nocheck(text, len);
        break;
    case LUA_TTABLE:
        if (json_is_array(*slot))
            array_to_json(L, index, *slot, depth + 1);
        else if (*slot)
            object_to_json(L, index, *slot, depth + 1);
        break;
    default:
        luaL_error(L, "a value must not be a %s", luaL_typename(L, index));
    }
    if (!*slot)
        luaL_error(L, "cannot convert a value: NaN, or out of memory");
}

/* Converts the argument at INDEX and pushes its owner. Returns NULL for nil or none. */
static json_t *check_json(lua_State *L, int index)
{
    json_t **value = new_value(L);
    if (lua_isnoneornil(L, index))
        return NULL;
    if (lua_istable(L, index))
        *value = lua_rawlen(L, index) ? json_array() : json_object();
    to_json(L, index, value, 0);
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

/* start(settings) -> emulator | nil, reason, whether a setting is invalid */
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
    if (*emu)
        return 1;
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

static int emulator_port(lua_State *L)
{
    lua_pushinteger(L, check_emulator(L)->port);
    return 1;
}

static int emulator_url(lua_State *L)
{
    lua_pushstring(L, check_emulator(L)->url);
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

static int push_names(lua_State *L, json_t *(*names)(void))
{
    json_t **value = new_value(L);
    *value = names();
    if (!*value)
        return luaL_error(L, "not enough memory");
    push_json(L, *value);
    return 1;
}

static int setting_names(lua_State *L)
{
    return push_names(L, flux2_emu_settings_names);
}

static int fault_names(lua_State *L)
{
    return push_names(L, flux2_emu_fault_fields);
}

static const luaL_Reg emulator_meta[] = {{"__gc", emulator_gc}, {NULL, NULL}};
static const luaL_Reg value_meta[] = {{"__gc", value_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"call", emulator_call},     {"fault_fields", fault_names}, {"port", emulator_port},
    {"settings", setting_names}, {"start", emulator_start},     {"stop", emulator_stop},
    {"url", emulator_url},       {"wait", emulator_wait},       {NULL, NULL},
};

FLUX2_EXPORT int luaopen_flux2_emulator_core(lua_State *L);

FLUX2_EXPORT int luaopen_flux2_emulator_core(lua_State *L)
{
    flux2_check_lua(L);
    flux2_process_pin_module(); /* lua_close would unload the module while libraries that it loaded still run threads */
    flux2_lua_new_type(L, EMULATOR, emulator_meta, NULL);
    flux2_lua_new_type(L, VALUE, value_meta, NULL);
    luaL_newlib(L, functions);
    return 1;
}
