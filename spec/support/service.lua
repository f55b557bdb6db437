--- Common functions of the specs: emulator, client, waiting for a condition, files, and programs in Lua.
local bound = require "support.bound"
local emulator = require "flux2.emulator"
local flux2 = require "flux2"
local shell = require "support.shell"

local service = {}

local started = {}

--- A fast emulator with small images; options override. Stopped by service.stop_all.
function service.start(options)
    local settings = { port = 0, duration = 0.02, image_bytes = 600, seed = 7 }
    for name, value in pairs(options or {}) do settings[name] = value end
    local emu = assert(emulator.start(settings))
    started[#started + 1] = emu
    return emu
end

--- A client for EMU with short poll intervals; options override.
function service.client(emu, options)
    local settings = {
        api_key = emu.api_key, base_url = emu.url, poll = { interval = 0.02, patience = bound(1) }, timeout = bound(60),
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

--- For a `describe`: an emulator and a folder for each spec, removed after it.
---@param before_each function busted's, which is not visible in a module
---@param after_each function busted's
---@param options? table as for `start`
---@param given fun(emu: table, dir: string) gets both before each spec
---@param new_directory? fun(): string creates the folder
function service.around_each(before_each, after_each, options, given, new_directory)
    local dir
    before_each(function()
        dir = (new_directory or service.directory)()
        given(service.start(options), dir)
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)
end

--- Pumps until `condition()` is true; fails after `seconds`, or more in a slow run.
function service.pump_until(condition, seconds)
    local core = require "flux2.core"
    local scheduler = require "flux2.scheduler"
    seconds = bound(seconds or 30)
    local until_ = core.now() + seconds
    while not condition() do
        if core.now() > until_ then error("still waiting after " .. seconds .. " s", 2) end
        scheduler.block(0.01)
        scheduler.update()
    end
end

--- Calls fn(seconds) until it returns a true value, at most three times, each time with more seconds: on a busy machine a
--- short time-out may come before what has to precede it. Returns whether it did.
function service.with_enough_time(seconds, fn)
    for _, factor in ipairs { 1, 6, 36 } do
        if fn(bound(seconds) * factor) then return true end
    end
    return false
end

--- Runs fn in a coroutine and pumps until it has ended; propagates errors.
function service.in_coroutine(fn)
    local handle = flux2.spawn(fn)
    service.pump_until(function() return handle.state ~= "running" end, 60)
    local ok, err = handle:join()
    if handle.state == "failed" then error(err, 0) end
    return ok, err
end

--- A unique file name.
function service.unique_name()
    local path = os.tmpname()
    os.remove(path)
    return path:match "[^/]+$"
end

--- A new directory, removed by service.remove.
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

--- The contents of a file; nil and the reason if it cannot be opened.
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

--- Runs a Lua program with the interpreter of the specs; `prefix` precedes the command. Returns its exit code and
--- its output, stderr included. It has two minutes, or the given time.
function service.run_lua(program, arguments, prefix, seconds)
    local file = os.tmpname()
    service.write(file, program)
    os.execute("chmod 644 " .. file) -- PREFIX may change the user
    local code, printed = shell.run(("%s timeout -k 5 %d '%s' '%s' %s"):format(prefix or "", bound(seconds or 120),
        shell.interpreter(),
        file, arguments or ""))
    os.remove(file)
    return code, printed
end

--- The path of spec/support/NAME.c as a library, for LD_PRELOAD or package.loadlib; built by `make spec-libraries`.
function service.library(name)
    local build = os.getenv "FLUX2_BUILD" or os.getenv "PWD" .. "/build"
    local path = ("%s/%s/spec/%s.so"):format(build, _VERSION:match "%d%.%d", name)
    assert(service.exists(path), path .. " is missing: run `make spec-libraries`")
    return path
end

--- The command prefix that preloads spec/support/NAME.c.
function service.preload(name)
    local library = service.library(name)
    return ("FLUX2_TEST_PRELOAD='%s' LD_PRELOAD='%s'"):format(library, library)
end

--- Runs a Lua program with spec/support/NAME.c preloaded; its arguments are the emulator's URL, a folder, the library,
--- and `more`. Returns its exit code and its output.
function service.run_preloaded(name, program, emu, dir, more)
    local arguments = ("'%s' '%s' '%s' %s"):format(emu.url, dir, service.library(name), more or "")
    return service.run_lua(program, arguments, service.preload(name))
end

return service
