-- Coroutines that wait, and everything that may wake them wrongly.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"
local service = require "support.service"

describe("waiting", function()
    local emu, client
    setup(function()
        emu = service.start { duration = 0.05 }
        client = service.client(emu)
    end)
    after_each(function()
        flux2.on_error = nil
        service.pump_until(function() return flux2.pending() == 0 end)
    end)
    teardown(service.stop_all)

    it("yields in a coroutine, and update() resumes it", function()
        local trace = {}
        local co = coroutine.create(function()
            trace[1] = "before"
            local result = assert(assert(client:submit "in a coroutine"):wait())
            trace[2] = result.images[1] and "after"
        end)
        assert(coroutine.resume(co))
        assert.same({ "before" }, trace)
        assert.equal("suspended", coroutine.status(co))
        service.pump_until(function() return coroutine.status(co) == "dead" end)
        assert.same({ "before", "after" }, trace)
    end)

    it("blocks on the main coroutine", function()
        assert(assert(client:submit "on the main one"):wait())
    end)

    it("is not fooled by a stray resume", function()
        local woken = 0
        local co = coroutine.create(function()
            local result = assert(client:submit "who woke me"):wait()
            woken = woken + 1
            assert(result)
        end)
        for _ = 1, 5 do assert(coroutine.resume(co, "spurious", "values")) end
        assert.equal(0, woken)
        service.pump_until(function() return coroutine.status(co) == "dead" end)
        assert.equal(1, woken)
    end)

    it("wakes every waiter of one task, in their order", function()
        local task, order = assert(client:submit "one for many"), {}
        for i = 1, 5 do
            coroutine.wrap(function()
                local result = task:wait()
                order[#order + 1] = { i, result }
            end)()
        end
        service.pump_until(function() return #order == 5 end)
        for i = 1, 5 do assert.same({ i, task.result }, order[i]) end
    end)

    it("wakes every waiter with kind 'cancelled', each once", function()
        local task, kinds = assert(client:submit "cancel all"), {}
        for i = 1, 3 do
            coroutine.wrap(function()
                local _, err = task:wait()
                kinds[i] = (kinds[i] or "") .. err.kind
            end)()
        end
        task:cancel()
        assert.same({ "cancelled", "cancelled", "cancelled" }, kinds)
        task:cancel()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        assert.same({ "cancelled", "cancelled", "cancelled" }, kinds)
    end)

    it("does not resume a coroutine that was resumed after a cancel and waits for something else", function()
        local task = assert(client:submit "first")
        local went_on = 0
        local co = coroutine.create(function()
            task:wait()
            coroutine.yield "mine" -- a yield that is nobody's business
            went_on = went_on + 1
        end)
        coroutine.resume(co)
        task:cancel()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        flux2.update()
        assert.equal(0, went_on)
        coroutine.resume(co)
        assert.equal(1, went_on)
    end)

    it("keeps a waiter alive that nobody else holds", function()
        local done = false
        coroutine.wrap(function()
            assert(assert(client:submit "forgotten"):wait())
            done = true
        end)()
        collectgarbage()
        collectgarbage()
        service.pump_until(function() return done end)
    end)

    it("lets the others go on when one waiter raises", function()
        local heard, done = {}, false
        flux2.on_error = function(e) heard[#heard + 1] = e end
        local task = assert(client:submit "one of us raises")
        coroutine.wrap(function()
            task:wait()
            error "waiter's own"
        end)()
        coroutine.wrap(function()
            task:wait()
            done = true
        end)()
        service.pump_until(function() return done end)
        assert.equal(1, #heard)
        assert.matches("waiter's own", heard[1])
        assert.matches("traceback", heard[1])
    end)

    it("lets the others go on when a callback raises", function()
        local heard, called = {}, {}
        flux2.on_error = function(e) heard[#heard + 1] = e end
        local task = assert(client:submit "callbacks raise")
        task:on("status", function() error "in status" end)
        task:on("status", function() called.status = true end)
        task:on("done", function() error { "a table" } end)
        task:on("done", function() called.done = true end)
        assert(task:wait())
        assert.same({ status = true, done = true }, called)
        assert.matches("in status", heard[1])
        assert.same({ "a table" }, heard[#heard])
    end)

    it("survives an on_error that raises", function()
        flux2.on_error = function() error "even this" end
        local stderr = io.stderr
        local task = assert(client:submit "callbacks raise")
        local said = {}
        rawset(io, "stderr", { write = function(_, ...) said[#said + 1] = table.concat({ ... }) end })
        task:on("done", function() error "first" end)
        local ok = task:wait()
        rawset(io, "stderr", stderr)
        assert(ok)
        assert.matches("first", said[1])
    end)

    it("works inside table.sort and metamethods: it yields, blocks or says so", function()
        service.in_coroutine(function()
            local task = assert(client:submit "sorted out")
            table.sort({ 3, 1, 2 }, function(a, b)
                assert(task:wait())
                return a < b
            end)
            local other = assert(client:submit "indexed")
            local object = setmetatable({}, { __index = function() return (other:wait()) end })
            local ok, value = pcall(function() return object.result end)
            if ok then
                assert.equal(other.result, value)
            else
                assert.matches("yield", tostring(value))
            end
            assert(assert(client:submit "and nobody was hurt"):wait())
        end)
    end)

    it("is bounded by its own time-out, and only that", function()
        local slow = service.start { duration = 30 }
        local task = assert(service.client(slow):submit "slow")
        service.in_coroutine(function()
            local result, err = task:wait(0.05)
            assert.is_nil(result)
            assert.equal("timeout", err.kind)
        end)
        assert.equal("running", task.state == "submitting" and "running" or task.state)
        local result, err = task:wait(0)
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        task:cancel()
    end)

    it("that is given up leaves no room taken, of thousands of tasks", function()
        local slow = service.client(service.start { duration = 600 }, { max_submissions_per_second = 1e6 })
        local function submit_and_cancel()
            local tasks = {}
            for i = 1, 5000 do tasks[i] = assert(slow:submit("given up " .. i)) end
            for i = 1, 5000 do tasks[i]:cancel() end
            tasks = nil -- luacheck: ignore
            service.pump_until(function() return flux2.stats().jobs == 0 end, 30)
            flux2.update()
            collectgarbage()
            collectgarbage()
            return collectgarbage "count"
        end
        collectgarbage()
        collectgarbage()
        local before = collectgarbage "count"
        local after = submit_and_cancel()
        assert.is_true(after - before < 150, "grew by " .. after - before .. " KiB")
    end)

    it("of ten thousand coroutines ends, and memory and descriptors are back where they were", function()
        local count = tonumber(os.getenv "FLUX2_WAITERS") or 10000
        local function descriptors()
            return #service.list "/proc/self/fd"
        end
        local quick = service.start { duration = 0.2, image_bytes = 400 }
        local many = service.client(quick, { poll = { interval = 1 }, timeout = bound(120) })
        local function round(n)
            local done = 0
            for i = 1, n do
                coroutine.wrap(function()
                    assert(assert(many:submit("waiter " .. i)):wait())
                    done = done + 1
                end)()
            end
            service.pump_until(function() return done == n end, 120)
        end
        round(100)
        collectgarbage()
        collectgarbage()
        local memory, fds = collectgarbage "count", descriptors()
        round(count)
        assert.equal(count + 100, #quick:ledger())
        collectgarbage()
        collectgarbage()
        assert.is_true(collectgarbage "count" - memory < 500, "grew by " .. collectgarbage "count" - memory .. " KiB")
        -- A leak would be of thousands. How many connections are kept, at either end, depends on the machine.
        assert.is_true(descriptors() <= fds + 32, fds .. " descriptors before, now " .. descriptors())
        assert.equal(0, flux2.stats().jobs)
    end)
end)

describe("spawn", function()
    it("joins: results, nil included", function()
        local h = flux2.spawn(function(...) flux2.sleep(0.01) return nil, select("#", ...), nil end, nil, nil)
        assert.equal("running", h.state)
        local function pack(...) return { n = select("#", ...), ... } end
        assert.same({ n = 3, nil, 2, nil }, pack(h:join()))
        assert.equal("done", h.state)
        assert.same({ n = 3, nil, 2, nil }, pack(h:join()), "again")
    end)
    it("joins: errors of any type", function()
        for _, value in ipairs { "a string", { "a table" }, 42, true } do
            local h = flux2.spawn(function() flux2.sleep(0.001) error(value, 0) end)
            local result, err = h:join()
            assert.is_nil(result)
            assert.same(value, err)
            assert.equal("failed", h.state)
        end
        flux2.run()
    end)
    it("times out of a join without ending what it joins", function()
        local h = flux2.spawn(function() flux2.sleep(0.1) return "late" end)
        local result, err = h:join(0.01)
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        assert.equal("late", h:join())
    end)
    it("cancels a sleep, a join, and what is generated", function()
        local emu = service.start { duration = 30 }
        local client = service.client(emu)
        local seen = {}
        local sleeper = flux2.spawn(function() seen.sleep = select(2, flux2.sleep(60)).kind end)
        local inner = flux2.spawn(function() flux2.sleep(60) end)
        local joiner = flux2.spawn(function() seen.join = select(2, inner:join()).kind end)
        local generating = flux2.spawn(function() seen.generate = select(2, client:generate "never").kind end)
        service.pump_until(function() return #emu:ledger() == 1 end)
        for _, h in ipairs { sleeper, joiner, generating, inner } do
            assert.equal(h, h:cancel())
            assert.equal("cancelled", h.state)
            local result, err = h:join()
            assert.is_nil(result)
            assert.equal("cancelled", err.kind)
        end
        assert.same({ sleep = "cancelled", join = "cancelled", generate = "cancelled" }, seen)
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        assert.equal(0, flux2.pending())
        service.stop_all()
    end)
    it("hands an error that nobody joined to run(), with its traceback", function()
        flux2.spawn(function() flux2.sleep(0.01) error "unheard of" end)
        local ok, message = pcall(flux2.run)
        assert.is_false(ok)
        assert.matches("unheard of", message)
        assert.matches("traceback", message)
        assert.is_true(pcall(flux2.run), "only once")
    end)
    it("hands it to on_error as well", function()
        local heard
        flux2.on_error = function(e) heard = e end
        flux2.spawn(function() flux2.sleep(0.01) error "unheard of" end)
        assert.is_false(pcall(flux2.run))
        flux2.on_error = nil
        assert.matches("unheard of", heard)
    end)
    it("says nothing of an error that somebody joins", function()
        local h = flux2.spawn(function() error "heard" end)
        assert.matches("heard", select(2, h:join()))
        assert.is_true(pcall(flux2.run))
    end)
    if _VERSION == "Lua 5.4" then
        it("is closed with its block", function()
            local h = assert(load [[
                local flux2 = require "flux2"
                local h <close> = flux2.spawn(function() flux2.sleep(60) end)
                return h
            ]])()
            assert.equal("cancelled", h.state)
        end)
    end
end)

describe("run", function()
    it("runs a function, with its arguments, until nothing is pending", function()
        local got
        flux2.run(function(a, b)
            flux2.sleep(0.01)
            got = a + b
            flux2.spawn(function() flux2.sleep(0.02) got = got + 1 end)
        end, 1, 2)
        assert.equal(4, got)
    end)
    it("raises what the function raises", function()
        local ok, message = pcall(flux2.run, function() error "at once" end)
        assert.is_false(ok)
        assert.matches("at once", message)
        ok, message = pcall(flux2.run, function() flux2.sleep(0.01) error "later" end)
        assert.is_false(ok)
        assert.matches("later", message)
    end)
    it("returns at once when nothing is pending", function() flux2.run() end)
end)

describe("the pump", function()
    it("does no more in one call than was there when it began", function()
        local rang, limit = 0, 1000
        local function again()
            rang = rang + 1
            if rang < limit then scheduler.after(0, again) end
        end
        scheduler.after(0, again)
        local calls = 0
        while rang < limit do
            scheduler.block(1)
            flux2.update()
            calls = calls + 1
        end
        assert.is_true(calls > 10)
    end)
    it("may be called from within itself", function()
        local inner
        scheduler.after(0.001, function()
            scheduler.after(0.001, function() inner = true end)
            local until_ = core.now() + bound(5)
            while not inner and core.now() < until_ do
                scheduler.block(0.1)
                flux2.update()
            end
        end)
        service.pump_until(function() return inner end)
    end)
    it("takes over work from a scheduler that is not ours", function()
        local queue, current = {}, nil
        local added = { running = function() return current end }
        function added.suspend(token)
            current = nil
            coroutine.yield(token)
            current = token
        end
        function added.wake(token) queue[#queue + 1] = token end
        scheduler.add_host(added)
        local finished = {}
        local function start(name)
            local co = coroutine.create(function()
                current = name
                flux2.sleep(0.01)
                finished[#finished + 1] = name
                current = nil
            end)
            assert(coroutine.resume(co))
            current = nil
            return co
        end
        local cos = { a = start "a", b = start "b" }
        assert(coroutine.resume(cos.a)) -- without reason
        current = nil
        service.pump_until(function()
            local token = table.remove(queue, 1)
            if token then
                assert(coroutine.resume(cos[token]))
                current = nil
            end
            return #finished == 2
        end)
    end)
end)
