-- The engine as seen from Lua: jobs in, events out, one descriptor.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local service = require "support.service"

--- Whether the descriptor is readable. On Windows the byte that makes it so is on its way for a moment.
local function becomes_readable(fd)
    local until_ = core.now() + (package.config:sub(1, 1) == "\\" and bound(1) or 0)
    repeat
        if core._pure.readable(fd) then return true end
    until core.now() > until_
    return false
end

describe("the descriptor", function()
    it("is readable exactly while events wait", function()
        local fd = assert(flux2.fileno())
        assert.equal(fd, flux2.fileno())
        local readable = core._pure.readable
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        flux2.update()
        assert.is_false(readable(fd))
        local scheduler = require "flux2.scheduler"
        for _ = 1, 20 do
            local rang = 0
            for _ = 1, 5 do scheduler.after(0.001, function() rang = rang + 1 end) end
            while rang < 5 do
                scheduler.block(30)
                assert.is_true(becomes_readable(fd))
                assert.is_true(flux2.update() > 0)
            end
            assert.is_false(readable(fd))
            assert.equal(0, flux2.update())
        end
    end)
    it("comes from a thread that does not preempt the host when it wakes up #proc", function()
        local scheduler = require "flux2.scheduler"
        local rang = false
        scheduler.after(0.001, function() rang = true end)
        service.pump_until(function() return rang end)
        local batch, threads = 0, "/proc/" .. service.read "/proc/self/stat":match "^%d+" .. "/task/"
        for _, thread in ipairs(service.list(threads)) do
            -- A thread of another spec may be exiting.
            local stat = service.read_if_there(threads .. thread .. "/stat") or ") "
            -- Fields 3, 4, ... follow the name in brackets; field 41 is the policy, and 3 is SCHED_BATCH.
            local fields = {}
            for field in stat:match "^.*%)%s+(.*)$":gmatch "%S+" do fields[#fields + 1] = field end
            if fields[39] == "3" then batch = batch + 1 end
        end
        assert.equal(1, batch)
    end)
    it("is non-blocking and not inherited #proc", function()
        local info = service.read("/proc/self/fdinfo/" .. ("%d"):format(flux2.fileno()))
        local flags = tonumber(info:match "flags:%s*(%d+)", 8)
        assert.equal(1, math.floor(flags / tonumber("2000000", 8)) % 2, "O_CLOEXEC")
        assert.equal(1, math.floor(flags / tonumber("4000", 8)) % 2, "O_NONBLOCK")
    end)
end)

describe("jobs", function()
    local emu, client
    before_each(function()
        emu = service.start { duration = 0.3 }
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    it("share kept connections: 200 concurrent tasks and 200 files use at most 16 connections", function()
        local dir = service.directory()
        local failed = {}
        for i = 1, 200 do
            flux2.spawn(function()
                local image, err = client:generate("task " .. i, { save = ("%s/%d.png"):format(dir, i) })
                if not image then failed[#failed + 1] = tostring(err) end
            end)
        end
        assert.is_true(flux2.pending() >= 200)
        service.pump_until(function() return flux2.pending() == 0 end, 60)
        assert.same({}, failed)
        assert.equal(200, #service.list(dir))
        assert.equal(200, #emu:ledger())
        assert.is_true(emu:stats().connections <= 16, "opened " .. emu:stats().connections)
        service.remove(dir)
    end)

    it("release their connection between polls", function()
        local lazy = service.client(emu, { poll = { interval = 50 } })
        local tasks = {}
        for i = 1, 30 do tasks[i] = assert(lazy:submit("lazy " .. i)) end
        service.pump_until(function()
            for i = 1, 30 do if not tasks[i].id then return false end end
            return flux2.stats().in_flight == 0
        end)
        assert.is_true(flux2.stats().jobs >= 30)
        for i = 1, 30 do tasks[i]:cancel() end
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    it("report a change once, and a busy host gets only the latest", function()
        local slow = service.start { duration = 20, progress = "percent" }
        local count, last = 0, nil
        local task = assert(service.client(slow):submit("changing", {
            on_progress = function(t)
                count = count + 1
                last = t.progress
            end,
        }))
        -- Polled more than once after its progress has begun.
        while slow:stats().submissions == 0 do slow:wait(0.01) end
        slow:wait(0.5)
        local polls = slow:stats().polls
        while slow:stats().polls < polls + 2 do slow:wait(0.01) end
        flux2.update()
        assert.is_true(count <= 1, "one event for all the changes that nobody saw: " .. count)
        assert.is_true(last > 0)
        task:cancel()
    end)

    it("that are cancelled end with one last event each", function()
        local before = flux2.stats().ended
        for i = 1, 50 do assert(client:submit("cancel me " .. i)):cancel() end
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        assert.is_true(flux2.stats().ended >= before + 50)
        assert.equal(0, flux2.pending())
    end)

    it("are delivered once, also if a finalizer updates while an event is read", function()
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local scheduler = require "flux2.scheduler"
            local calls, rang, refused = 0, 0, nil
            local function arm()
                local function finalize()
                    calls = calls + 1
                    local ok, reason = pcall(scheduler.block, 0)
                    refused = not ok and reason or refused
                    if calls % 3 == 0 then flux2.update() end
                    arm()
                end
                local proxy = newproxy and newproxy(true)
                if proxy then getmetatable(proxy).__gc = finalize else setmetatable({}, { __gc = finalize }) end
            end
            -- A collection at each allocation, but only in update.
            collectgarbage "stop"
            collectgarbage("setpause", 0)
            collectgarbage("setstepmul", _VERSION == "Lua 5.1" and 0 or 1e8)
            pcall(collectgarbage, "incremental", 0, 0, 60)
            collectgarbage "stop"
            arm()
            for round = 1, 20 do
                for _ = 1, 3 do assert(scheduler.after(0.001, function() rang = rang + 1 end)) end
                while rang < 3 * round do
                    scheduler.block(30)
                    collectgarbage "restart"
                    flux2.update()
                    collectgarbage "stop"
                end
            end
            assert(rang == 60 and flux2.update() == 0, rang)
            assert(calls > 0, "no finalizer has run")
            -- Lua 5.2 collects too rarely for a finalizer that runs exactly then.
            assert(_VERSION == "Lua 5.2" or tostring(refused):find "a finalizer cannot wait", tostring(refused))
        ]])
        assert.equal(0, code, printed)
    end)

    it("refuse invalid arguments", function()
        assert.has_error(function() core.profile { colour = "red" } end, "profile: unknown field 'colour'")
        assert.has_error(function() core.profile { max_body = -1 } end)
        assert.has_error(function() core.profile { headers = { 1 } } end)
        assert.has_error(function() core.profile { signatures = { ("x"):rep(33) } } end)
        assert.has_error(function() core.engine():transfer(core.engine():next_id(), core.profile {}, {}) end)
        assert.has_error(function()
            core.engine():transfer(core.engine():next_id(), {}, { url = "http://127.0.0.1" })
        end)
    end)
end)

describe("a silent server", function()
    after_each(service.stop_all)
    it("causes an error after silence_timeout", function()
        local emu = service.start { duration = 0 }
        emu:fault { method = "GET", path = "/images/*", times = 10, hang = true }
        -- The submission is that of another client: a busy machine may be silent for as long.
        local task = assert(service.client(emu):submit "silence")
        assert(task:wait())
        local client = service.client(emu, { silence_timeout = 1, max_retries = 0 })
        local image = assert(assert(client:task(task.id)):wait()).images[1]
        local bytes, err = image:bytes()
        assert.is_nil(bytes)
        assert.equal("timeout", err.kind)
    end)
    it("that does not respond to TLS causes a tls error, and nothing was sent", function()
        local emu = service.start()
        local client = service.client(emu, { base_url = emu.url:gsub("^http:", "https:"), max_retries = 0 })
        local result, err = assert(client:submit "hello?"):wait()
        assert.is_nil(result)
        assert.equal("tls", err.kind, tostring(err))
        assert.equal(0, #emu:ledger())
    end)
end)

-- LuaJIT would compile frequent code, during a frame of the host.
if rawget(_G, "jit") then
    describe("LuaJIT does not compile flux2", function()
        after_each(service.stop_all)

        --- Generates 200 images, and prints the flux2 files for which LuaJIT began a trace.
        local PROGRAM = [[
            local client, sources, all, images = %s, {}, 0, 0
            local funcinfo = require("jit.util").funcinfo
            local function on_trace(what, _, fn, pc)
                if what ~= "start" then return end
                all = all + 1
                local source = funcinfo(fn, pc).source or ""
                if source:find "[/\\]lua[/\\]flux2[/\\]" then sources[source] = true end
            end
            jit.attach(on_trace, "trace")
            local function work()
                local spawn = require("flux2.spawn").spawn
                for _ = 1, 10 do
                    local handles = {}
                    for i = 1, 20 do handles[i] = spawn(function() return client:generate "a red fox" end) end
                    for i = 1, 20 do assert(handles[i]:join()) end
                    images = images + 20
                end
            end
            %s
            local n = 0
            for i = 1, 1000 do n = n + i %% 7 end
            jit.attach(on_trace)
            assert(n > 0 and all > 0, "the compiler is active and observed")
            assert(images == 200, images)
            for source in pairs(sources) do print(source) end
        ]]

        local NEW = 'require("flux2").new(...)'
        local PROGRAMS = {
            { "on the event path", NEW, "require('flux2').run(work)" },
            { "where flux2.openai is all that is loaded", 'require("flux2.openai").new(...).client',
                "require('flux2.scheduler').run(work)" },
            { "with luv", '(require "flux2.host.luv" and ' .. NEW .. ")",
                "coroutine.wrap(work)() require('luv').run()", needs = "luv" },
            { "with luv, loaded last", "assert(" .. NEW .. ', require "flux2.host.luv")',
                "coroutine.wrap(work)() require('luv').run()", needs = "luv" },
            { "with copas", '(require "flux2.host.copas" and ' .. NEW .. ")",
                "local done require('copas').addthread(function() work() done = true end) " ..
                "repeat require('copas').step(1) until done", needs = "copas" },
            { "with cqueues", '(require "flux2.host.cqueues" and ' .. NEW .. ")",
                "assert(require('cqueues').new():wrap(work):loop())", needs = "cqueues" },
        }

        for _, case in ipairs(PROGRAMS) do
            local name, client, run = unpack(case)
            if not case.needs or pcall(require, case.needs) then
                it(name, function()
                    local emu = service.start { duration = 0 }
                    local options = ("{ api_key = %q, base_url = %q, poll = { interval = 0.02 }, " ..
                        "max_submissions_per_second = 1e6 }"):format(emu.api_key, emu.url)
                    local code, printed = service.run_lua(PROGRAM:format(client:gsub("%.%.%.", options), run))
                    assert.equal(0, code, printed)
                    assert.equal("", printed)
                end)
            end
        end
    end)
end
