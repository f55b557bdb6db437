/* trace_lua.c - a Lua library that records which lines ran.
 *
 * Each traced file loads `mutants_trace` with package.loadlib and calls it with its number. The hook is written in
 * C: it allocates nothing, and new coroutines inherit it. Byte NUMBER * 4096 + LINE of the trace file "lua" is 1 if
 * the line ran. */
#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

#include "trace.h"

enum {
    LINES = 4096,
    FILES = 256,
    SLOTS = 1024,
};

static unsigned char *lines;
/* Maps chunk names, whose pointer is shared by all functions of a chunk, to numbers. */
static struct {
    const char *source;
    int number;
} chunks[SLOTS];

static unsigned slot_of(const char *source)
{
    unsigned slot = (unsigned)((uintptr_t)source >> 3) % SLOTS;
    for (int tries = 0; tries < SLOTS && chunks[slot].source && chunks[slot].source != source; tries++)
        slot = (slot + 1) % SLOTS;
    return slot;
}

static void note(lua_State *L, lua_Debug *ar)
{
    if (!lua_getinfo(L, "S", ar) || ar->currentline >= LINES)
        return;
    unsigned slot = slot_of(ar->source);
    if (chunks[slot].source == ar->source)
        lines[chunks[slot].number * LINES + ar->currentline] = 1;
}

/* The hook is set on the main coroutine as well, because another coroutine may load the first file. LuaJIT has one
 * hook for all coroutines. */
static void hook_main_thread(lua_State *L)
{
#ifdef LUA_RIDX_MAINTHREAD
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main_thread = lua_tothread(L, -1);
    if (main_thread)
        lua_sethook(main_thread, note, LUA_MASKLINE, 0);
    lua_pop(L, 1);
#else
    (void)L;
#endif
}

int mutants_trace(lua_State *L);

/* mutants_trace(number): sets the number of the calling chunk. */
int mutants_trace(lua_State *L)
{
    lua_Debug ar;
    lua_Integer number = luaL_checkinteger(L, 1);
    if (!lines)
        lines = trace_open("lua", FILES * LINES);
    if (!lines || number < 0 || number >= FILES || !lua_getstack(L, 1, &ar) || !lua_getinfo(L, "S", &ar))
        return 0;
    unsigned slot = slot_of(ar.source);
    chunks[slot].source = ar.source;
    chunks[slot].number = (int)number;
    hook_main_thread(L);
    lua_sethook(L, note, LUA_MASKLINE, 0);
    return 0;
}
