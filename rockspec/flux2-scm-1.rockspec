rockspec_format = "3.0"
package = "flux2"
version = "scm-1"

-- `luarocks make rockspec/flux2-scm-1.rockspec` builds the checkout that it stands in and fetches nothing.
source = { url = "." }

description = {
    summary = "Image generation with Flux 2, from a five-line script to a game that must not drop a frame",
    detailed = [[
Asks the Flux 2 HTTP API for images. A worker thread in C does the HTTP, the polling and the files, so the
program that asks keeps running: plain scripts block or use coroutines, a game or an event loop calls one
function that costs nothing while nothing happened. Comes with an emulator of the service for tests.]],
    license = "MIT",
    labels = { "image", "http", "async", "client" },
}

dependencies = {
    "lua >= 5.1, < 5.5",
    "lua-cjson >= 2.1",
    "argparse >= 0.7", -- for the program only
}

-- Found by their libraries: Debian keeps the headers of libcurl where LuaRocks 3.8 does not look and the compiler does.
external_dependencies = {
    CURL = { library = "curl" },
    ZLIB = { library = "z" },
}

-- The Makefile knows the files and the flags. It builds the tester where libmicrohttpd and jansson are there, and the emulator
-- where cairo is there as well.
build = {
    type = "make",
    build_target = "all",
    build_variables = {
        CFLAGS = "$(CFLAGS)",
        LUA_INCDIR = "$(LUA_INCDIR)",
    },
    install_target = "install",
    install_variables = {
        CFLAGS = "$(CFLAGS)",
        LUA_INCDIR = "$(LUA_INCDIR)",
        INST_LUADIR = "$(LUADIR)",
        INST_LIBDIR = "$(LIBDIR)",
    },
    install = { bin = { flux2 = "bin/flux2" } },
    copy_directories = {},
    -- In a shell of MSYS2, whose make, pkg-config and curl are needed. There is no emulator, and no tester.
    platforms = {
        windows = {
            build_variables = { TARGET = "windows", LUA_LIBDIR = "$(LUA_LIBDIR)" },
            install_variables = { TARGET = "windows", LUA_LIBDIR = "$(LUA_LIBDIR)" },
        },
    },
}
