-- flux2 in a poll loop of another program: examples/poll.c, compiled against this Lua.

local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(60) -- seconds until a program counts as hanging

local PNG = "\137PNG\r\n\26\n"

--- Returns the pkg-config names of this Lua, as in the Makefile.
local function packages()
    if rawget(_G, "jit") then return "luajit" end
    local version = _VERSION:match "%d%.%d"
    return ("lua%s lua-%s lua%s"):format(version, version, (version:gsub("%.", "")))
end

--- Returns the compiler flags for an instrumented build of the core.
local function sanitizer()
    local flags = { asan = "-fsanitize=address,undefined", tsan = "-fsanitize=thread" }
    return flags[require "support.build".flavour] or ""
end

describe("a poll loop in C", function()
    local folder, program

    setup(function()
        folder = service.directory()
        local status, output = shell.run(([[
            for p in %s; do if pkg-config --exists $p; then package=$p; break; fi; done
            ${CC:-gcc} -Wall -Wextra -Werror %s examples/poll.c -o '%s/poll' $(pkg-config --cflags --libs $package) -Wl,-E
        ]]):format(packages(), sanitizer(), folder))
        assert.equal(0, status, output)
        program = ("LUA_PATH='%s' LUA_CPATH='%s' timeout -k 5 %d '%s/poll' '%s'"):format(
            package.path, package.cpath, BOUND, folder, folder)
    end)

    teardown(function()
        service.stop_all()
        service.remove(folder)
    end)

    local function check_image(n)
        assert.equal(PNG, service.read(("%s/poll-%d.png"):format(folder, n)):sub(1, 8))
    end

    it("generates an image for each input line, and ends after the last", function()
        local status, output = shell.run("printf 'a red fox\\n\\na lighthouse\\na boat without a newline' | "
            .. program)
        assert.equal(0, status, output)
        assert.matches("poll%-1%.png  a red fox\n", output)
        assert.matches("poll%-2%.png  a lighthouse\n", output)
        assert.matches("poll%-3%.png  a boat without a newline\n", output)
        for n = 1, 3 do check_image(n) end
    end)

    it("runs flux2 while its input is open and silent", function()
        -- The input remains open until the path of the image is printed. The emulator runs in this process.
        local emu = service.start()
        local elsewhere = ("env FLUX2_API_KEY='%s' FLUX2_BASE_URL='%s' "):format(emu.api_key, emu.url)
        local status, output = shell.run(([[
            mkfifo '%s/in' && { %s%s <'%s/in' >'%s/out' & } && exec 3>'%s/in' && echo 'a red fox' >&3
            for i in $(seq 300); do grep -q 'red fox' '%s/out' && break; sleep 0.1; done
            grep 'red fox' '%s/out'; found=$?
            exec 3>&-; wait $! || found=2; (exit $found)
        ]]):format(folder, elsewhere, program, folder, folder, folder, folder, folder))
        assert.equal(0, status, output)
        assert.matches("poll%-1%.png  a red fox\n", output)
        check_image(1)
    end)

    it("ends immediately on empty input", function()
        local status, output = shell.run(program .. " </dev/null")
        assert.equal(0, status, output)
        assert.equal("", output)
    end)
end)
