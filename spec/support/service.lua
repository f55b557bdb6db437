--- What nearly every spec needs: an emulator, a client for it, and waiting for a condition.
local bound = require "support.bound"
local emulator = require "flux2.emulator"
local flux2 = require "flux2"

local service = {}

local started = {}

--- An emulator that answers quickly and draws little; options override. Stopped by service.stop_all.
function service.start(options)
    local settings = { port = 0, duration = 0.02, image_bytes = 600, seed = 7 }
    for name, value in pairs(options or {}) do settings[name] = value end
    local emu = assert(emulator.start(settings))
    started[#started + 1] = emu
    return emu
end

--- A client for EMU that polls often; options override.
function service.client(emu, options)
    local settings = {
        api_key = emu.api_key, base_url = emu.url, poll = { interval = 0.02 }, timeout = bound(20),
        max_submissions_per_second = 1e6,
    }
    for name, value in pairs(options or {}) do settings[name] = value end
    return assert(flux2.new(settings))
end

function service.stop_all()
    for i = #started, 1, -1 do
        started[i]:stop()
        started[i] = nil
    end
end

--- Pumps until `condition()` is true; fails after `seconds`, or more where all is slow.
function service.pump_until(condition, seconds)
    local core = require "flux2.core"
    local scheduler = require "flux2.scheduler"
    seconds = bound(seconds or 10)
    local until_ = core.now() + seconds
    while not condition() do
        if core.now() > until_ then error("still waiting after " .. seconds .. " s", 2) end
        scheduler.block(0.01)
        scheduler.update()
    end
end

--- Runs fn in a coroutine and pumps until it has ended; errors come out.
function service.in_coroutine(fn)
    local handle = flux2.spawn(fn)
    service.pump_until(function() return handle.state ~= "running" end, 20)
    local ok, err = handle:join()
    if handle.state == "failed" then error(err, 0) end
    return ok, err
end

--- A directory of its own, removed by service.remove.
function service.directory()
    local path = os.tmpname()
    os.remove(path)
    assert(os.execute("mkdir -p '" .. path .. "'"))
    return path
end

function service.remove(path)
    os.execute("chmod -R u+rwx '" .. path .. "' 2>/dev/null; rm -rf '" .. path .. "'")
end

--- The names in a directory, hidden ones included, sorted.
function service.list(path)
    local names = {}
    local pipe = assert(io.popen("ls -A '" .. path .. "'"))
    for name in pipe:lines() do names[#names + 1] = name end
    pipe:close()
    table.sort(names)
    return names
end

function service.read(path)
    local file = assert(io.open(path, "rb"))
    local bytes = file:read "*a"
    file:close()
    return bytes
end

--- Runs a Lua program in an interpreter like the one that runs the specs; `prefix` goes before the command. Returns
--- its exit code and what it printed, errors too.
function service.run_lua(program, arguments, prefix)
    local file = os.tmpname()
    local out = assert(io.open(file, "w"))
    out:write(program)
    out:close()
    os.execute("chmod 644 " .. file) -- PREFIX may make it another user's
    local lua = os.getenv "FLUX2_TEST_LUA" or arg and arg[-1] or "lua"
    local command = ("%s timeout -k 5 %d '%s' '%s' %s 2>&1; echo \"exit:$?\""):format(prefix or "", bound(60), lua, file,
        arguments or "")
    local pipe = assert(io.popen(command))
    local printed = pipe:read "*a"
    pipe:close()
    os.remove(file)
    local before, code = printed:match "^(.*)exit:(%d+)%s*$"
    return tonumber(code), before
end

local libraries = {}

--- Compiles spec/support/NAME.c to a library, which stays: signals come also after Lua has let go of it. Under a name of its own: runs for several Luas may go on side by side.
function service.library(name, flags)
    if not libraries[name] then
        local unique = os.tmpname()
        os.remove(unique)
        local dir = os.getenv "FLUX2_BUILD" or os.getenv "PWD" .. "/build"
        libraries[name] = ("%s/spec/%s-%s.so"):format(dir, name, unique:match "[^/]+$")
        assert(os.execute(("mkdir -p '%s/spec' && ${CC:-cc} -shared -fPIC -Wl,-z,nodelete %s -o '%s' spec/support/%s.c -ldl"):format(dir,
            flags or "", libraries[name], name)))
    end
    return libraries[name]
end

--- Compiles spec/support/NAME.c, which holds functions for Lua, for package.loadlib.
function service.lua_library(name)
    local abi = _VERSION:match "%d%.%d"
    -- Lua unloads it at its end, with a handler of signals in it perhaps: -z nodelete keeps it.
    return service.library(name, ("-Wl,-z,nodelete $(pkg-config --cflags lua%s 2>/dev/null || pkg-config --cflags luajit)"):format(abi))
end

--- Lua cannot fork by itself, nor make another Lua state: a library of C functions that can.
function service.process_library()
    return service.lua_library "process"
end

--- Signals and descriptors, likewise: see support/trouble.c.
function service.trouble_library()
    return service.lua_library "trouble"
end

return service
