/* poll.c - flux2 in a poll loop: a C program with embedded Lua that reads prompts from standard input while it
 * generates the images of earlier ones.
 *
 *     cc examples/poll.c -o poll $(pkg-config --cflags --libs lua5.4) -Wl,-E
 *     printf 'a red fox\na lighthouse\n' | ./poll [folder]
 *
 * The descriptor flux2.fileno() is readable exactly while flux2.update() has work. It can be used with select, epoll,
 * kqueue and any event loop that watches descriptors. Do not read or close it.
 *
 * With FLUX2_API_KEY it uses the service, which costs credits; otherwise an emulator in this process. The modules
 * are found by LUA_PATH and LUA_CPATH. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The Lua part of the program. */
static const char *const program =
    "flux2 = require 'flux2'\n"
    "local folder, options, n = ..., {}, 0\n"
    "if not os.getenv 'FLUX2_API_KEY' then\n"
    "    emulator = assert(require('flux2.emulator').start {})\n"
    "    options = { base_url = emulator.url, api_key = emulator.api_key }\n"
    "end\n"
    "local client = assert(flux2.new(options))\n"
    "local function generate(prompt, path)\n"
    "    local image, err = client:generate(prompt, { save = path })\n" /* the coroutine waits; the loop in main continues */
    "    print(image and path .. '  ' .. prompt or prompt .. ': ' .. tostring(err))\n"
    "end\n"
    "function submit(prompt)\n"
    "    n = n + 1\n"
    "    flux2.spawn(generate, prompt, ('%s/poll-%d.png'):format(folder, n))\n"
    "end\n";

static void check(lua_State *L, int failed)
{
    if (!failed)
        return;
    fprintf(stderr, "poll: %s\n", lua_tostring(L, -1));
    exit(1);
}

/* Calls flux2.NAME() and returns a number. */
static int ask_flux2(lua_State *L, const char *name)
{
    lua_getglobal(L, "flux2");
    lua_getfield(L, -1, name);
    check(L, lua_pcall(L, 0, 1, 0));
    int n = (int)lua_tonumber(L, -1);
    lua_pop(L, 2);
    return n;
}

static void submit(lua_State *L, const char *prompt, size_t size)
{
    lua_getglobal(L, "submit");
    lua_pushlstring(L, prompt, size);
    check(L, lua_pcall(L, 1, 0, 0));
}

/* Reads standard input and submits each complete line, and at the end the rest. Returns false at the end. */
static int read_prompts(lua_State *L)
{
    static char text[4096];
    static size_t size;
    ssize_t got = read(STDIN_FILENO, text + size, sizeof text - size);
    char *line = text, *end;
    size += got > 0 ? (size_t)got : 0;
    while ((end = memchr(line, '\n', size)) || (size > 0 && (got <= 0 || size == sizeof text))) {
        size_t length = end ? (size_t)(end - line) : size;
        if (length > 0)
            submit(L, line, length);
        length += end ? 1 : 0;
        line += length;
        size -= length;
    }
    memmove(text, line, size);
    return got > 0;
}

int main(int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    setvbuf(stdout, NULL, _IOLBF, 0);
    check(L, luaL_loadstring(L, program));
    lua_pushstring(L, argc > 1 ? argv[1] : ".");
    check(L, lua_pcall(L, 1, 0, 0));

    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {ask_flux2(L, "fileno"), POLLIN, 0}};
    while (fds[0].fd >= 0 || ask_flux2(L, "pending") > 0) {
        if (poll(fds, 2, -1) < 0)
            continue; /* a signal */
        if (fds[0].fd >= 0 && fds[0].revents && !read_prompts(L))
            fds[0].fd = -1; /* end of the input: poll ignores negative descriptors */
        if (fds[1].revents)
            ask_flux2(L, "update");
    }
    lua_close(L);
    return 0;
}
