-- Every way to leave, with jobs in every state: quickly, without a crash, a leak or a half-written file.
local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"

local BOUND = bound(5) -- seconds; without care these hang for 20 or 60. The 100 ms of the design are measured, not asserted.

-- The child leaves in the way given, with 40 tasks in all stages, some of them downloading slowly.
local CHILD = [[
local how, url, dir = arg[1], arg[2], arg[3]
local core, flux2 = require "flux2.core", require "flux2"
local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 }, max_retries = 0,
    max_submissions_per_second = 1e6 })
for i = 1, 40 do
    flux2.spawn(function() client:generate("prompt " .. i, { save = dir .. "/" .. i .. ".png" }) end)
end
local until_ = core.now() + (tonumber(arg[4]) or 0.3)
while core.now() < until_ do flux2.update() end
assert(flux2.pending() > 0)
io.write("leaving at ", ("%.6f"):format(core.now()), "\n")
io.stdout:flush()
if how == "exit" then os.exit(0)
elseif how == "exit and close" then os.exit(0, true)
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

--- What to put before a command so that names which end in ".hang" are never resolved.
local function with_slow_resolver()
    local library = service.library "slow_resolver"
    return ("FLUX2_TEST_PRELOAD='%s' LD_PRELOAD='%s'"):format(library, library)
end

describe("leaving", function()
    local emu, dir
    before_each(function()
        emu = service.start { duration = { 0.05, 2 }, image_bytes = 200000 }
        emu:fault { method = "GET", path = "/images/*", times = 1000, trickle = { bytes = 2000, interval = 0.02 } }
        dir = service.directory()
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local codes = { close = 0, collected = 0, exit = 0, ["exit and close"] = 0, error = 1 }
    for how, code in pairs(codes) do
        it("by " .. how .. " with jobs alive", function()
            local exit, printed, seconds = leave(how, emu.url, dir)
            assert.equal(code, exit, printed)
            assert.is_nil(printed:find("Sanitizer", 1, true), printed)
            assert.is_true(seconds < BOUND, printed)
            for _, name in ipairs(service.list(dir)) do assert.is_nil(name:find "%.part$", name) end
        end)
    end

    it("while a name is being resolved by a resolver that never answers", function()
        local prefix = with_slow_resolver()
        for how, code in pairs(codes) do
            local exit, printed, seconds = leave(how, "https://service.hang", dir, 0.2, prefix)
            assert.equal(code, exit, printed)
            assert.is_nil(printed:find("Sanitizer", 1, true), printed)
            assert.is_true(seconds < BOUND, how .. ": " .. printed)
        end
    end)

    it("gives such a name up after connect_timeout, and nothing was sent", function()
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            for _, seconds in ipairs { 0.3, 1e-9 } do
                local client = assert(flux2.new { api_key = "aio_k", base_url = "https://service.hang", max_retries = 0,
                    connect_timeout = seconds })
                local result, err = assert(client:submit "hello?"):wait(30)
                assert(result == nil and err.kind == "timeout" and err.attempts == 1, tostring(err))
            end
        ]], nil, with_slow_resolver())
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
        local emu = service.start { duration = 60 }
        local started = core.now()
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = arg[1] })
            local task = assert(client:submit "for ever")
            local pid = io.open "/proc/self/stat":read "*n"
            os.execute("(sleep 0.3; kill -INT " .. ("%d"):format(pid) .. ") &")
            task:wait()
        ]], emu.url)
        service.stop_all()
        assert.equal(1, code, printed)
        assert.matches("interrupted", printed)
        assert.is_true(core.now() - started < bound(10))
    end)
end)

describe("two Lua states in one process", function()
    it("have two engines", function()
        local library = service.process_library()
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
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 } })
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
end)

describe("a fork", function()
    it("is refused the parent's engine, and ends as usual", function()
        local emu = service.start()
        local code, printed = service.run_lua([[
            local fork = assert(package.loadlib(arg[2], "fork_process"))
            local wait = assert(package.loadlib(arg[2], "wait_for_process"))
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = arg[1], poll = { interval = 0.5 } })
            assert(client:generate "in the parent")
            local alive = assert(client:submit "alive in the parent")
            -- The thread sleeps then: what a sanitizer's allocator holds in the middle of something, no child can give back.
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
        ]], ("'%s' '%s'"):format(emu.url, service.process_library()))
        local ledger = #emu:ledger()
        service.stop_all()
        assert.equal(0, code, printed)
        assert.equal(3, ledger)
    end)
end)
