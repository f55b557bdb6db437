/* poll.c - flux2 in a poll loop: a C program with Lua inside, that reads prompts from standard input while the
 * pictures of earlier ones are being made.
 *
 *     cc examples/poll.c -o poll $(pkg-config --cflags --libs lua5.4) -Wl,-E
 *     printf 'a red fox\na lighthouse\n' | ./poll [folder]
 *
 * What matters is the loop in main: flux2.fileno() is readable exactly while flux2.update() has something to do.
 * The same holds for select, epoll, kqueue, and any event loop that can watch a descriptor. Do not read it, do not
 * close it.
 *
 * With FLUX2_API_KEY set this asks the real service, which costs credits. Without, the emulator in this very
 * process. The modules are found by LUA_PATH and LUA_CPATH, as always. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The program's Lua: flux2, and what is to be done with a prompt. */
static const char *const program =
    "flux2 = require 'flux2'\n"
    "local folder, options, n = ..., {}, 0\n"
    "if not os.getenv 'FLUX2_API_KEY' then\n"
    "    emulator = assert(require('flux2.emulator').start {})\n"
    "    options = { base_url = emulator.url, api_key = emulator.api_key }\n"
    "end\n"
    "local client = assert(flux2.new(options))\n"
    "local function paint(prompt, path)\n"
    "    local image, err = client:generate(prompt, { save = path })\n" /* waits; the loop in main goes on */
    "    print(image and path .. '  ' .. prompt or prompt .. ': ' .. tostring(err))\n"
    "end\n"
    "function submit(prompt)\n"
    "    n = n + 1\n"
    "    flux2.spawn(paint, prompt, ('%s/poll-%d.png'):format(folder, n))\n"
    "end\n";

static void check(lua_State *L, int failed)
{
    if (!failed)
        return;
    fprintf(stderr, "poll: %s\n", lua_tostring(L, -1));
    exit(1);
}

/* flux2.NAME() as a number. */
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

/* Submits each whole line that has been read from standard input, and at its end the rest. Returns false then. */
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
            fds[0].fd = -1; /* the end of the input: poll leaves it out from now on */
        if (fds[1].revents)
            ask_flux2(L, "update");
    }
    lua_close(L);
    return 0;
}
