/* process.c - functions missing in Lua: another Lua state in this process, fork, and a change of the working
 * directory. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <sys/wait.h>
#include <unistd.h>

int run_in_new_state(lua_State *L);
int fork_process(lua_State *L);
int wait_for_process(lua_State *L);
int change_directory(lua_State *L);

/* run_in_new_state(program) -> its result, or its error, as a string */
int run_in_new_state(lua_State *L)
{
    lua_State *other = luaL_newstate();
    luaL_openlibs(other);
    int failed = luaL_loadstring(other, luaL_checkstring(L, 1)) || lua_pcall(other, 0, 1, 0);
    const char *said = lua_tostring(other, -1);
    lua_pushfstring(L, "%s%s", failed ? "error: " : "", said ? said : "nothing");
    lua_close(other);
    return 1;
}

/* fork_process() -> 0 in the child, its pid in the parent */
int fork_process(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)fork());
    return 1;
}

/* wait_for_process(pid) -> exit code, or -1 and the signal if it did not exit by itself */
int wait_for_process(lua_State *L)
{
    int status = 0;
    pid_t pid = waitpid((pid_t)luaL_checknumber(L, 1), &status, 0);
    lua_pushnumber(L, pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    if (pid <= 0 || !WIFSIGNALED(status))
        return 1;
    lua_pushnumber(L, WTERMSIG(status));
    return 2;
}

/* change_directory(path) */
int change_directory(lua_State *L)
{
    if (chdir(luaL_checkstring(L, 1)) != 0)
        return luaL_error(L, "chdir failed");
    return 0;
}
