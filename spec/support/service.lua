--- What nearly every spec needs: an emulator, a client for it, waiting for a condition, files, and programs in Lua.
local bound = require "support.bound"
local emulator = require "flux2.emulator"
local flux2 = require "flux2"
local shell = require "support.shell"

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

--- What a file holds; nil and the reason if it cannot be opened.
function service.read_if_there(path)
    local file, reason = io.open(path, "rb")
    if not file then return nil, reason end
    local bytes = file:read "*a"
    file:close()
    return bytes
end

function service.read(path)
    return assert(service.read_if_there(path))
end

function service.write(path, bytes)
    local file = assert(io.open(path, "wb"))
    assert(file:write(bytes))
    assert(file:close())
end

function service.exists(path)
    local file = io.open(path, "rb")
    if file then file:close() end
    return file ~= nil
end

--- Runs a Lua program in an interpreter like the one that runs the specs; `prefix` goes before the command. Returns
--- its exit code and what it printed, errors too.
function service.run_lua(program, arguments, prefix)
    local file = os.tmpname()
    service.write(file, program)
    os.execute("chmod 644 " .. file) -- PREFIX may make it another user's
    local code, printed = shell.run(("%s timeout -k 5 %d '%s' '%s' %s"):format(prefix or "", bound(60), shell.interpreter(),
        file, arguments or ""))
    os.remove(file)
    return code, printed
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

--- Runs a Lua program with spec/support/NAME.c preloaded; its arguments are the emulator's address, a folder, the library,
--- and `more`. Returns its exit code and what it printed.
function service.run_preloaded(name, program, emu, dir, more)
    local library = service.lua_library(name)
    return service.run_lua(program, ("'%s' '%s' '%s' %s"):format(emu.url, dir, library, more or ""),
        ("FLUX2_TEST_PRELOAD='%s' LD_PRELOAD='%s'"):format(library, library))
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
