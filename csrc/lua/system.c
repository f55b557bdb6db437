/* system.c - the process: its coroutines, clock, terminal, environment and arguments. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"
#include "lua/buffer.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/terminal.h"

/* core.suspend(...): like coroutine.yield; identifies coroutines that wait for flux2 */
static int suspend(lua_State *L)
{
    return lua_yield(L, lua_gettop(L));
}

/* core.is_suspended(coroutine) -> whether it waits in core.suspend, without the table that debug.getinfo creates */
static int is_suspended(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    lua_Debug top;
    luaL_argcheck(L, co, 1, "a coroutine is needed");
    bool ours = false;
    if (lua_status(co) == LUA_YIELD && lua_getstack(co, 0, &top)) {
        if (!lua_checkstack(co, 1))
            return luaL_error(L, "not enough memory");
        lua_getinfo(co, "f", &top);
        ours = lua_tocfunction(co, -1) == suspend;
        lua_pop(co, 1);
    }
    lua_pushboolean(L, ours);
    return 1;
}

/* core.now() -> seconds of a monotonic clock */
static int now(lua_State *L)
{
    lua_pushnumber(L, flux2_clock_now());
    return 1;
}

/* core.pause(seconds): returns early after a signal, whose Lua handler runs then */
static int pause_for(lua_State *L)
{
    flux2_clock_pause(luaL_checknumber(L, 1));
    return 0;
}

/* core.ca_file() -> libcurl's default CA bundle, if it is readable */
static int ca_file(lua_State *L)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (info->age < CURLVERSION_SEVENTH || !info->cainfo || !flux2_file_is_readable(info->cainfo))
        return 0;
    lua_pushstring(L, info->cainfo);
    return 1;
}

/* --- the terminal, for the command line ---------------------------------------------------------------------- */

/* core.is_terminal(fd) -> boolean */
static int is_terminal(lua_State *L)
{
    lua_pushboolean(L, flux2_terminal_is_attached((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* core.claim_streams(): see flux2_terminal_claim_streams */
static int claim_streams(lua_State *L)
{
    (void)L;
    flux2_terminal_claim_streams();
    return 0;
}

/* core.is_writable(fd) -> boolean: whether a standard stream is open for writing */
static int is_writable(lua_State *L)
{
    lua_pushboolean(L, flux2_terminal_is_writable((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* core.columns(fd) -> the terminal's width in columns, or nothing if it is unknown */
static int columns(lua_State *L)
{
    unsigned n = flux2_terminal_columns((int)luaL_checkinteger(L, 1));
    if (n == 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

/* core.interrupts(begin) -> the SIGINTs since the first call with BEGIN, see flux2_terminal_count_interrupts */
static int interrupts(lua_State *L)
{
    if (lua_toboolean(L, 1))
        flux2_terminal_count_interrupts();
    lua_pushinteger(L, (lua_Integer)flux2_terminal_interrupts());
    return 1;
}

/* core.write_output(string | buffer) -> true | nil, message: to stdout, byte for byte; io.stdout has been flushed */
static int write_output(lua_State *L)
{
    size_t size;
    const char *data = flux2_core_check_bytes(L, 1, &size);
    int rc = flux2_terminal_write(data, size);
    return flux2_lua_succeed_unless(L, rc ? flux2_file_reason(rc) : NULL);
}

/* --- texts of the process -------------------------------------------------------------------------------------- */

/* core.getenv(name) -> the variable of the environment | nil where there is none, or os.getenv has it in UTF-8 */
static int get_environment(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    char **text = flux2_core_push_memory(L);
    *text = flux2_process_getenv(name);
    lua_pushstring(L, *text);
    return 1;
}

/* core.arguments(count) -> { the last COUNT words of the command line } | nothing where Lua has them in UTF-8 */
static int arguments(lua_State *L)
{
    int i, count = (int)luaL_checkinteger(L, 1);
    char **text = flux2_core_push_memory(L);
    lua_createtable(L, count, 0);
    for (i = 1; i <= count; i++) {
        *text = flux2_process_argument((unsigned)(count - i));
        if (!*text)
            return 0;
        lua_pushstring(L, *text);
        lua_rawseti(L, -2, i);
        free(*text);
        *text = NULL;
    }
    return 1;
}

static const luaL_Reg functions[] = {
    {"arguments", arguments},
    {"ca_file", ca_file},
    {"claim_streams", claim_streams},
    {"columns", columns},
    {"getenv", get_environment},
    {"interrupts", interrupts},
    {"is_suspended", is_suspended},
    {"is_terminal", is_terminal},
    {"is_writable", is_writable},
    {"now", now},
    {"pause", pause_for},
    {"suspend", suspend},
    {"write_output", write_output},
    {NULL, NULL},
};

void flux2_core_add_system(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
