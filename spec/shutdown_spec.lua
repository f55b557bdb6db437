-- Exit and close with jobs in every state: fast, without a crash, a leak or a partial file.
local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"
local tls_front = require "support.tls_front"

local BOUND = bound(15) -- seconds; failures hang for 20 or 60. The 100 ms of the design are measured, not asserted.

-- The child exits in the given way, with 40 tasks in all states, some with slow downloads.
local CHILD = [[
local how, url, dir = arg[1], arg[2], arg[3]
local core, flux2 = require "flux2.core", require "flux2"
local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 },
    max_retries = 0, max_submissions_per_second = 1e6 })
for i = 1, 40 do
    flux2.spawn(function() client:generate("prompt " .. i, { save = dir .. "/" .. i .. ".png" }) end)
end
local until_ = core.now() + (tonumber(arg[4]) or 0.3)
while core.now() < until_ do flux2.update() end
assert(flux2.pending() > 0)
io.write("leaving at ", ("%.6f"):format(core.now()), "\n")
io.stdout:flush()
if how == "exit" then os.exit(7)
elseif how == "exit and close" then os.exit(8, true)
elseif how == "error" then error "on purpose"
elseif how == "collected" then
    client, flux2 = nil, nil
    collectgarbage()
    collectgarbage()
end
]]

local function leave(how, url, dir, wait, prefix)
    local code, printed = service.run_lua(CHILD, ("'%s' '%s' '%s' %s"):format(how, url, dir, wait or ""), prefix)
    local now, left = core.now(), tonumber(printed:match "leaving at (%S+)")
    return code, printed, left and now - left
end

--- The command prefix for a resolver that never resolves names ending in ".hang".
local function with_odd_resolver() return service.preload "odd_resolver" end

describe("exiting", function()
    local emu, dir
    service.around_each(before_each, after_each, { duration = { 0.05, 2 }, image_bytes = 200000 }, function(...)
        emu, dir = ...
        emu:fault { method = "GET", path = "/images/*", times = 1000, trickle = { bytes = 2000, interval = 0.02 } }
    end)

    local codes = { close = 0, collected = 0, exit = 7, ["exit and close"] = 8, error = 1 }
    for how, code in pairs(codes) do
        it("by " .. how .. " with running jobs", function()
            local exit, printed, seconds = leave(how, emu.url, dir)
            assert.equal(code, exit, printed)
            assert.is_nil(printed:find("Sanitizer", 1, true), printed)
            assert.is_true(seconds < BOUND, printed)
            -- The engine waits 80 ms for its thread, which may not be scheduled in that time on a busy machine. Windows ends
            -- the thread before any function that a library has registered for the exit.
            local is_clean = seconds < 0.08 and not (how == "exit" and package.config:sub(1, 1) == "\\")
            for _, name in ipairs(is_clean and service.list(dir) or {}) do
                assert.is_nil(name:find "%.part$", name)
            end
        end)
    end

    it("while the thread reads certificates for longer than the close timeout #preload", function()
        tls_front.make_certificate(dir, {})
        service.write(dir .. "/many.pem", service.read(dir .. "/cert.pem"):rep(20000))
        local code, printed = service.run_lua([[
            local core = require "flux2.core"
            local engine = core.engine()
            assert(engine:transfer(engine:next_id(), core.profile { ca_file = arg[1] },
                { url = "https://127.0.0.1:" .. arg[2] }))
            while engine:stats().in_flight == 0 do end
            io.write "left"
        ]], ("'%s/many.pem' %d"):format(dir, emu.port), service.preload "late_exit")
        assert.same({ 0, "left" }, { code, printed })
    end)

    it("while a name is being resolved by a resolver without a response #preload", function()
        local prefix = with_odd_resolver()
        for how, code in pairs(codes) do
            local exit, printed, seconds = leave(how, "https://service.hang", dir, 0.2, prefix)
            assert.equal(code, exit, printed)
            assert.is_nil(printed:find("Sanitizer", 1, true), printed)
            assert.is_true(seconds < BOUND, how .. ": " .. printed)
        end
    end)

    it("fails after connect_timeout for such a name, and nothing was sent #preload", function()
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            for _, seconds in ipairs { 0.3, 1e-9 } do
                local client = assert(flux2.new { api_key = "aio_k", base_url = "https://service.hang", max_retries = 0,
                    connect_timeout = seconds })
                local result, err = assert(client:submit "hello?"):wait(30)
                assert(result == nil and err.kind == "timeout" and err.attempts == 1, tostring(err))
            end
        ]], nil, with_odd_resolver())
        assert.equal(0, code, printed)
    end)

    it("before the first job, and twice", function()
        local code, printed = service.run_lua [[
            local flux2 = require "flux2"
            local core = require "flux2.core"
            local client = assert(flux2.new { api_key = "aio_k" })
            local engine = core.engine()
            assert(engine == core.engine(), "one engine for each Lua state")
            getmetatable(engine).__gc(engine)
            getmetatable(engine).__gc(engine)
            assert(tostring(engine) == "flux2.engine (closed)")
            local task, err = client:submit "a fox"
            assert(task == nil and err.kind == "io", tostring(err))
            assert(engine:ready() == 0 and engine:next() == nil)
            engine:cancel(1)
        ]]
        assert.equal(0, code, printed)
    end)
end)

describe("Ctrl-C", function()
    it("ends a blocking wait", function()
        local emu, dir = service.start { duration = 60 }, service.directory()
        service.write(dir .. "/program.lua", [[
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = arg[1] })
            local task = assert(client:submit "for ever")
            while not task.id do flux2.update() end
            print "waiting"
            io.stdout:flush()
            task:wait()
        ]])
        local started = core.now()
        local code, printed = shell.run(("cd '%s' || exit; '%s' program.lua '%s' >out 2>&1 & pid=$!; " ..
            "for i in $(seq %d); do grep -q waiting out && break; sleep 0.02; done; sleep 0.1; kill -INT $pid; " ..
            "wait $pid; code=$?; cat out; (exit $code)"):format(dir, shell.interpreter(), emu.url, bound(1500)))
        service.stop_all()
        service.remove(dir)
        assert.equal(1, code, printed)
        assert.matches("interrupted", printed)
        assert.is_true(core.now() - started < bound(45))
    end)
end)

describe("two Lua states in one process", function()
    it("have separate engines #preload", function()
        local library = service.library "process"
        local emu = service.start()
        local code, printed = service.run_lua([[
            local url, library = arg[1], arg[2]
            local run = assert(package.loadlib(library, "run_in_new_state"))
            local flux2 = require "flux2"
            local function program(n)
                return ("package.path, package.cpath = %q, %q; "):format(package.path, package.cpath) .. [=[
                    local flux2 = require "flux2"
                    local client = assert(flux2.new { api_key = "aio_emulator_key", poll = { interval = 0.02 },
                        base_url = "]=] .. url .. [=[" })
                    for i = 1, ]=] .. n .. [=[ do assert(client:generate("in another state " .. i)) end
                    assert(flux2.stats().ended > 0)
                    return tostring(flux2.fileno())
                ]=]
            end
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url,
                poll = { interval = 0.02 } })
            local task = assert(client:submit "in this state")
            local other = run(program(3))
            assert(tonumber(other), other)
            assert(tonumber(other) ~= flux2.fileno())
            assert(task:wait())
            assert(tonumber(run(program(1))))
            assert(client:generate "still here")
        ]], ("'%s' '%s'"):format(emu.url, library))
        local ledger = #emu:ledger()
        service.stop_all()
        assert.equal(0, code, printed)
        assert.equal(6, ledger)
    end)

    it("leave no work for an update behind #preload", function()
        local code, printed = service.run_lua([[
            local core = require "flux2.core"
            local run = assert(package.loadlib(arg[1], "run_in_new_state"))
            local has_events = run(("package.path, package.cpath = %q, %q; "):format(package.path, package.cpath) .. [=[
                local core, kept = require "flux2.core", {}
                for i = 1, 48 do kept[i] = core.buffer(("x"):rep(2 ^ 20)) end
                return tostring((core.has_events()))
            ]=])
            assert(has_events == (_VERSION == "Lua 5.1" and "nil" or "true"), has_events)
            assert(not core.has_events())
        ]], ("'%s'"):format(service.library "process"))
        assert.equal(0, code, printed)
    end)
end)

describe("a fork", function()
    it("cannot use the parent's engine, and exits normally #fork", function()
        local emu = service.start()
        local code, printed = service.run_lua([[
            local fork = assert(package.loadlib(arg[2], "fork_process"))
            local wait = assert(package.loadlib(arg[2], "wait_for_process"))
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = arg[1],
                poll = { interval = 0.5 } })
            assert(client:generate "in the parent")
            local alive = assert(client:submit "alive in the parent")
            -- The thread sleeps then: a child cannot release a lock that a sanitizer's allocator holds.
            while not alive.id do flux2.sleep(0.01) end
            local pid = assert(fork())
            if pid == 0 then
                local task, err = client:submit "in the child"
                local ok = task == nil and err.kind == "io" and tostring(err):find("fork", 1, true)
                ok = ok and flux2.update() == 0 and not flux2.fileno()
                os.exit(ok and 7 or 8, true)
            end
            assert(wait(pid) == 7)
            assert(alive:wait())
            assert(client:generate "in the parent again")
        ]], ("'%s' '%s'"):format(emu.url, service.library "process"),
            -- The child has no thread: what only the thread's stack held at the fork would count as leaked.
            "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0")
        local ledger = #emu:ledger()
        service.stop_all()
        assert.equal(0, code, printed)
        assert.equal(3, ledger)
    end)
end)
