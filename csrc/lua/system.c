/* system.c - see system.h. */
#include "lua/system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"
#include "lua/buffer.h"
#include "platform/file.h"
#include "platform/process.h"
#include "platform/terminal.h"

/* Pushes true, or nil, a message, and "missing" where there is no such file. */
static int push_result(lua_State *L, int rc)
{
    if (rc != 0) {
        flux2_core_fail(L, flux2_file_reason(rc));
        lua_pushstring(L, rc == ENOENT ? "missing" : NULL);
        return 3;
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* core.append_file(path, bytes) -> true | nil, message, "missing" | nil */
static int append_file(lua_State *L)
{
    size_t size;
    const char *path = luaL_checkstring(L, 1), *data = luaL_checklstring(L, 2, &size);
    return push_result(L, flux2_file_append(path, data, size));
}

/* core.rename(from, to) -> true | nil, message, "missing" | nil: replaces a file that is there */
static int rename_file(lua_State *L)
{
    return push_result(L, flux2_file_rename(luaL_checkstring(L, 1), luaL_checkstring(L, 2)));
}

/* core.remove(path) -> true | nil, message, "missing" | nil */
static int remove_file(lua_State *L)
{
    return push_result(L, flux2_file_remove(luaL_checkstring(L, 1)));
}

/* core.write_output(string | buffer) -> true | nil, message: to stdout, byte for byte; io.stdout has been flushed */
static int write_output(lua_State *L)
{
    size_t size;
    const char *data = flux2_core_check_bytes(L, 1, &size);
    return push_result(L, flux2_terminal_write(data, size));
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
    {"append_file", append_file},
    {"arguments", arguments},
    {"getenv", get_environment},
    {"remove", remove_file},
    {"rename", rename_file},
    {"write_output", write_output},
    {NULL, NULL},
};

void flux2_core_add_system(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
