-- Waiting coroutines, and resumes by others.
-- Takes about 10 seconds: ten thousand coroutines wait at once, and each of their tasks is submitted and polled.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local openai = require "flux2.openai"
local scheduler = require "flux2.scheduler"
local service = require "support.service"
local uncaught = require "flux2.uncaught"

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

    it("that blocks ends with its event: a lost wakeup would take a minute", function()
        local before = core.now()
        for i = 1, 5 do assert(assert(client:submit("blocking " .. i)):wait()) end
        for _ = 1, 100 do assert(flux2.sleep(0)) end
        assert.is_true(core.now() - before < bound(15), core.now() - before .. " s")
    end)

    it("continues after a stray resume", function()
        local woken = 0
        local co = coroutine.create(function()
            assert(assert(client:submit "stray resumes"):wait())
            woken = woken + 1
        end)
        for _ = 1, 5 do assert(coroutine.resume(co, "spurious", "values")) end
        assert.equal(0, woken)
        service.pump_until(function() return coroutine.status(co) == "dead" end)
        assert.equal(1, woken)
    end)

    it("wakes every waiter of one task in order", function()
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

    it("wakes every waiter with kind 'cancelled' once", function()
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

    it("does not resume a coroutine that was resumed after a cancel and waits for another event", function()
        local task = assert(client:submit "first")
        local went_on = 0
        local co = coroutine.create(function()
            task:wait()
            coroutine.yield "mine" -- a yield to the program
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

    it("keeps a reference to the waiting coroutine", function()
        local done = false
        coroutine.wrap(function()
            assert(assert(client:submit "forgotten"):wait())
            done = true
        end)()
        collectgarbage()
        collectgarbage()
        service.pump_until(function() return done end)
    end)

    it("continues other waiters when one raises", function()
        local reported, done = {}, false
        flux2.on_error = function(e) reported[#reported + 1] = e end
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
        assert.equal(1, #reported)
        assert.matches("waiter's own", reported[1])
        assert.matches("traceback", reported[1])
    end)

    it("continues other waiters when a callback raises", function()
        local reported, called = {}, {}
        flux2.on_error = function(e) reported[#reported + 1] = e end
        local task = assert(client:submit "callbacks raise")
        task:on("status", function() error "in status" end)
        task:on("status", function() called.status = true end)
        task:on("done", function() error { "a table" } end)
        task:on("done", function() called.done = true end)
        assert(task:wait())
        assert.same({ status = true, done = true }, called)
        assert.matches("in status", reported[1])
        assert.same({ "a table" }, reported[#reported])
    end)

    it("in a listener of the end returns at once", function()
        local task = assert(client:submit "a red fox")
        local results = {}
        task:on("done", function(t)
            results[1], results[2] = t:wait(bound(15)), flux2.all({ t }, bound(15))
            results[3] = flux2.any({ t }, bound(15))
        end)
        local result = assert(task:wait())
        assert.same({ result, { result }, result }, results)
    end)

    it("in a listener of the last status or progress returns at once", function()
        local dir = service.directory()
        finally(function() service.remove(dir) end)
        for i, case in ipairs {
            { "a red fox", "status", "SUCCESS" }, { "a red fox", "progress", 1 }, { "a [fail]", "status", "FAILED" },
            { "a saved fox", "status", "SUCCESS", dir .. "/fox.png" },
        } do
            local task, ends, got = assert(client:submit(case[1], { save = case[4] })), 0, nil
            task:on("done", function() ends = ends + 1 end)
            task:on(case[2], function(t)
                if t[case[2]] == case[3] then got = { t:wait(bound(15)) } end
            end)
            local result, err = task:wait()
            assert.same({ i ~= 3, 1 }, { result ~= nil, ends })
            assert.same({ result, err }, got)
        end
        assert.equal(600, #service.read(dir .. "/fox.png"))
        assert.equal(0, flux2.pending())
    end)

    it("ends once if a listener cancels the task at its end", function()
        for _, case in ipairs {
            { "a red fox", "status", "SUCCESS" }, { "a red fox", "progress", 1 }, { "a [fail]", "status", "FAILED" },
        } do
            local task, ends, later = assert(client:submit(case[1])), {}, 0
            task:on("done", function(_, _, err) ends[#ends + 1] = err and err.kind or "result" end)
            task:on(case[2], function(t)
                if t[case[2]] == case[3] then t:cancel() elseif t.state == "cancelled" then later = later + 1 end
            end)
            task:on("progress", function(t) if t.state == "cancelled" and case[2] == "status" then later = later + 1 end end)
            local result, err = task:wait()
            assert.is_nil(result)
            assert.same({ "cancelled", "cancelled", { "cancelled" }, 0 }, { err.kind, task.state, ends, later })
        end
        assert.equal(0, flux2.pending())
    end)

    it("continues when an error has no text", function()
        local reported, ends = {}, 0
        local bad = setmetatable({}, { __tostring = function() error "no text" end })
        local worse = setmetatable({}, { __tostring = function() return 7 end })
        uncaught.print_by(nil, function(message) reported[#reported + 1] = message end)
        for _, e in ipairs { bad, worse } do
            local task = assert(client:submit("a red fox", { on_done = function()
                ends = ends + 1
                error(e)
            end }))
            assert(task:wait())
            local handle = flux2.spawn(function()
                flux2.sleep(0.001)
                error(e)
            end)
            local _, err = handle:join()
            assert.equal(e, err)
            local each = client:map({ "a fox" }, { save = function() error(e) end })
            assert.equal("invalid_request", select(3, each()).kind)
        end
        uncaught.print_by()
        assert.equal(2, ends)
        assert.equal(2, #reported)
        assert.matches("an error whose __tostring fails: table", reported[1])
    end)

    it("continues when on_error raises", function()
        flux2.on_error = function() error "even this" end
        local stderr = io.stderr
        local task = assert(client:submit "callbacks raise")
        local output = {}
        rawset(io, "stderr", { write = function(_, ...) output[#output + 1] = table.concat({ ... }) end })
        task:on("done", function() error "first" end)
        local ok = task:wait()
        rawset(io, "stderr", stderr)
        assert(ok)
        assert.matches("first", output[1])
    end)

    it("works inside table.sort and metamethods: yields, blocks or raises an error", function()
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
            assert(assert(client:submit "after the errors"):wait())
        end)
    end)

    it("is limited by its own timeout only", function()
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

    it("that times out frees its slot, for thousands of tasks", function()
        local slow = service.client(service.start { duration = 600 }, { max_submissions_per_second = 1e6 })
        local function submit_and_cancel()
            local tasks = {}
            for i = 1, 5000 do tasks[i] = assert(slow:submit("given up " .. i)) end
            for i = 1, 5000 do tasks[i]:cancel() end
            tasks = nil -- luacheck: ignore
            service.pump_until(function() return flux2.stats().jobs == 0 end, 30)
        end
        local function memory()
            collectgarbage()
            collectgarbage()
            return collectgarbage "count"
        end
        local before = memory()
        submit_and_cancel()
        -- The last events may be on their way.
        service.pump_until(function() return memory() - before < 150 end, 30)
    end)

    it("of ten thousand coroutines ends, and memory and descriptors return to their previous level", function()
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
        -- A leak would be of thousands. The number of kept connections depends on the machine.
        assert.is_true(descriptors() <= fds + 32, fds .. " descriptors before, now " .. descriptors())
        assert.equal(0, flux2.stats().jobs)
    end)
end)

describe("spawn", function()
    after_each(function() flux2.on_error = nil end)
    it("join returns results, nil included", function()
        local h = flux2.spawn(function(...) flux2.sleep(0.01) return nil, select("#", ...), nil end, nil, nil)
        assert.equal("running", h.state)
        local function pack(...) return { n = select("#", ...), ... } end
        assert.same({ n = 3, nil, 2, nil }, pack(h:join()))
        assert.equal("done", h.state)
        assert.same({ n = 3, nil, 2, nil }, pack(h:join()), "again")
    end)
    it("join returns errors of any type", function()
        for _, value in ipairs { "a string", { "a table" }, 42, true } do
            local h = flux2.spawn(function() flux2.sleep(0.001) error(value, 0) end)
            local result, err = h:join()
            assert.is_nil(result)
            assert.same(value, err)
            assert.equal("failed", h.state)
        end
        flux2.run()
    end)
    it("a timeout of a join does not end the coroutine", function()
        local gate = flux2.spawn(flux2.sleep, 60)
        local h = flux2.spawn(function() gate:join() return "late" end)
        local result, err = h:join(0.01)
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        gate:cancel()
        assert.equal("late", h:join())
    end)
    it("cancels a sleep, a join, and a generation", function()
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
    it("passes an unhandled error to run(), with its traceback", function()
        flux2.spawn(function() flux2.sleep(0.01) error "unheard of" end)
        local ok, message = pcall(flux2.run)
        assert.is_false(ok)
        assert.matches("unheard of", message)
        assert.matches("traceback", message)
        assert.is_true(pcall(flux2.run), "only once")
    end)
    it("passes an unhandled error to on_error as well", function()
        local reported
        flux2.on_error = function(e) reported = e end
        flux2.spawn(function() flux2.sleep(0.01) error "unheard of" end)
        assert.is_false(pcall(flux2.run))
        flux2.on_error = nil
        assert.matches("unheard of", reported)
    end)
    it("does not report an error that is joined", function()
        local h = flux2.spawn(function() error "heard" end)
        assert.matches("heard", select(2, h:join()))
        assert.is_true(pcall(flux2.run))
    end)
    it("reports an error once: to a join before or after, or to on_error and run()", function()
        local reported = {}
        flux2.on_error = function(e) reported[#reported + 1] = e end
        -- Joined before the error: the caller handles it, and it is not reported elsewhere.
        local h = flux2.spawn(function() flux2.sleep(0.01) error "joined before" end)
        local joined
        flux2.spawn(function() joined = select(2, h:join()) end)
        flux2.run()
        assert.matches("joined before", joined)
        assert.same({}, reported)
        -- After the timeout of its join, a coroutine has no waiter.
        local gate = flux2.spawn(flux2.sleep, 60)
        h = flux2.spawn(function() gate:join() error "left alone" end)
        assert.equal("timeout", select(2, h:join(0.001)).kind)
        gate:cancel()
        local ok, message = pcall(flux2.run)
        assert.is_false(ok)
        assert.matches("left alone", message)
        assert.equal(1, #reported)
        assert.matches("left alone.*traceback", reported[1])
        -- Joined after the error: on_error was already called, run() raises nothing.
        h = flux2.spawn(function() error "joined after" end)
        assert.equal(2, #reported)
        assert.matches("joined after", select(2, h:join()))
        assert.matches("joined after", select(2, h:join()))
        flux2.run()
        flux2.on_error = nil
        assert.equal(2, #reported)
    end)
    it("has a string form with its state", function()
        local h = flux2.spawn(flux2.sleep, 60)
        assert.equal("flux2.Handle (running)", tostring(h))
        assert.equal("flux2.Handle (cancelled)", tostring(h:cancel()))
        local err = select(2, h:join())
        assert.equal("cancelled: the coroutine was cancelled", tostring(err))
        assert.equal("flux2.Handle (done)", tostring(flux2.spawn(function() end)))
        h = flux2.spawn(function() error("x", 0) end)
        assert.equal("flux2.Handle (failed)", tostring(h))
        assert.equal("x", select(2, h:join()))
        assert.equal("failed", h:cancel().state, "too late")
        h = flux2.spawn(function() error(nil) end)
        assert.same({ nil, "nil" }, { h:join() })
    end)
    it("reports at least the given time when a join times out", function()
        local h = flux2.spawn(flux2.sleep, 60)
        for _, seconds in ipairs { 0, -1, 0.002 } do
            local result, err = h:join(seconds)
            assert.is_nil(result)
            assert.equal(("timeout: waited for %s s; it is still running"):format(tostring(seconds)), tostring(err))
        end
        local err
        local waits = flux2.spawn(function() err = select(2, h:join(60)) end)
        waits:cancel()
        assert.equal("cancelled: the waiting coroutine was cancelled", tostring(err))
        assert.equal("running", h.state)
        h:cancel()
        for _, wrong in ipairs { "1", {}, 0 / 0, true } do
            local ok, message = pcall(function() h:join(wrong) end)
            assert.is_false(ok)
            assert.matches("^[^\n]*waiting_spec%.lua:%d+: handle:join: timeout must be a number of seconds, not ",
                message)
        end
        for _, wrong in ipairs { "1", 0 / 0, true } do
            local ok, message = pcall(function() flux2.sleep(wrong) end)
            assert.is_false(ok)
            assert.matches("^[^\n]*waiting_spec%.lua:%d+: flux2%.sleep: a number of seconds is needed, not ", message)
        end
        local ok, message = pcall(function() flux2.spawn "x" end)
        assert.is_false(ok)
        assert.matches("^[^\n]*waiting_spec%.lua:%d+: flux2%.spawn: a function is needed, not 'x'", message)
    end)
    it("sleeps exactly as long as requested, and not at all below 0", function()
        for _, seconds in ipairs { 0, -5, 0.02 } do
            local before = core.now()
            assert.is_true(flux2.sleep(seconds))
            assert.is_true(core.now() - before >= seconds and core.now() - before < bound(15))
        end
        assert.equal(0, flux2.pending())
        local err
        local h = flux2.spawn(function() err = select(2, flux2.sleep(60)) end)
        assert.equal(1, flux2.pending())
        h:cancel()
        assert.equal("cancelled: the coroutine was cancelled during flux2.sleep", tostring(err))
        assert.equal(0, flux2.pending())
        -- From here on only another coroutine can wait for it.
        assert.is_true(flux2.sleep(0))
    end)
    it("a cancelled coroutine is cancelled at once in every later wait", function()
        local kinds = {}
        local h = flux2.spawn(function()
            for i = 1, 3 do kinds[i] = select(2, flux2.sleep(60)).kind end
        end)
        h:cancel()
        assert.same({ "cancelled", "cancelled", "cancelled" }, kinds)
    end)
    it("a cancelled coroutine submits nothing", function()
        local emu, pulled, errs = service.start(), 0, {}
        local client = service.client(emu)
        local ai = assert(openai.new(client))
        local function next_prompt()
            pulled = pulled + 1
            return "prompt " .. pulled
        end
        local h = flux2.spawn(function()
            flux2.sleep(60)
            errs[1] = select(2, client:submit "after the end")
            errs[2] = select(2, client:generate "after the end")
            errs[3] = select(2, ai.images:generate { prompt = "after the end", n = 2 })
            for _ in client:map(next_prompt) do error "there is nothing" end
        end)
        h:cancel()
        assert.equal(0, flux2.pending())
        for i = 1, 3 do
            assert.equal("cancelled: nothing was sent, because the coroutine was cancelled", tostring(errs[i]))
        end
        assert.equal(0, pulled)
        assert.same({ 0, 0 }, { client:spent() })
        service.stop_all()
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
    after_each(function() flux2.on_error = nil end)
    it("runs a function, with its arguments, until nothing is pending", function()
        local got
        flux2.run(function(a, b)
            flux2.sleep(0.01)
            got = a + b
            flux2.spawn(function() flux2.sleep(0.02) got = got + 1 end)
        end, 1, 2)
        assert.equal(4, got)
    end)
    it("raises the function's error", function()
        local ok, message = pcall(flux2.run, function() error "at once" end)
        assert.is_false(ok)
        assert.matches("at once", message)
        ok, message = pcall(flux2.run, function() flux2.sleep(0.01) error "later" end)
        assert.is_false(ok)
        assert.matches("later", message)
    end)
    it("returns at once when nothing is pending", function() flux2.run() end)
    it("raises an error value unchanged, and an error string with its traceback", function()
        local mine = { "a table" }
        local _, e = pcall(flux2.run, function() error(mine) end)
        assert.equal(mine, e)
        _, e = pcall(flux2.run, function() flux2.sleep(0.001) error(mine) end)
        assert.equal(mine, e)
        _, e = pcall(flux2.run, function() error "text" end)
        assert.matches("^[^\n]*waiting_spec%.lua:%d+: text\nstack traceback:", e)
    end)
    it("continues to the end before it raises", function()
        local rang = false
        assert.is_false(pcall(flux2.run, function()
            flux2.spawn(function() flux2.sleep(0.02) rang = true end)
            error "at once"
        end))
        assert.is_true(rang)
        assert.equal(0, flux2.pending())
    end)

    --- Returns the output to stderr while fn runs.
    local function stderr_of(fn)
        local stderr, output = io.stderr, {}
        rawset(io, "stderr", { write = function(_, ...) output[#output + 1] = table.concat({ ... }) end })
        local ok, e = pcall(fn, output)
        rawset(io, "stderr", stderr)
        return table.concat(output), ok, e
    end

    it("raises the first of several errors, and reports the others", function()
        local output, ok, e = stderr_of(function()
            flux2.run(function()
                for i = 1, 3 do flux2.spawn(function() flux2.sleep(0.001 * i) error("number " .. i, 0) end) end
            end)
        end)
        assert.is_false(ok)
        assert.matches("^number 1\n", e)
        assert.matches("^flux2: uncaught error in a callback or coroutine: number 2\nstack traceback:.*\nflux2: " ..
            "uncaught error in a callback or "
            .. "coroutine: number 3\nstack traceback:.*\n$", output)
        assert.is_nil(output:find("number 1", 1, true))
        assert.same({ "", true }, { stderr_of(function() flux2.run() end) })
        -- The function's own error is raised; the others are reported.
        output, ok, e = stderr_of(function()
            flux2.run(function()
                flux2.spawn(function() flux2.sleep(0.001) error("of a coroutine", 0) end)
                error("its own", 0)
            end)
        end)
        assert.is_false(ok)
        assert.matches("^its own\n", e)
        assert.matches("^flux2: uncaught error in a callback or coroutine: of a coroutine\n", output)
    end)
    it("does not repeat errors that on_error has received", function()
        local reported = {}
        flux2.on_error = function(e) reported[#reported + 1] = e end
        local output, ok, e = stderr_of(function()
            flux2.run(function()
                for i = 1, 2 do flux2.spawn(function() flux2.sleep(0.001 * i) error("number " .. i, 0) end) end
            end)
        end)
        flux2.on_error = nil
        assert.is_false(ok)
        assert.matches("^number 1\n", e)
        assert.equal(2, #reported)
        assert.equal("", output)
    end)
    it("rejects a non-function at the caller's line, and keeps no error to report later", function()
        for _, wrong in ipairs { "x", {}, 7, true } do
            local ok, message = pcall(function() flux2.run(wrong) end)
            assert.is_false(ok)
            assert.matches("^[^\n]*waiting_spec%.lua:%d+: flux2%.run: a function is needed, not ", message)
        end
        local output = stderr_of(function(lines)
            scheduler.after(0, function() error("told at once", 0) end)
            service.pump_until(function() return #lines > 0 end)
        end)
        assert.matches("told at once", output)
    end)
    it("may be nested, and only the outer call raises", function()
        local inner
        local ok, e = pcall(flux2.run, function()
            flux2.spawn(function() error("left behind", 0) end)
            inner = pcall(flux2.run)
        end)
        assert.is_true(inner)
        assert.is_false(ok)
        assert.matches("^left behind\n", e)
    end)
    it("reports a callback's error at once without on_error, and a coroutine's after a second", function()
        local emu = service.start()
        local task = assert(service.client(emu):submit "callbacks raise")
        task:on("done", function() error("in a callback", 0) end)
        local output = stderr_of(function() assert(task:wait()) end)
        assert.matches("^flux2: uncaught error in a callback or coroutine: in a callback\n", output)
        -- Within a run it is reported at the end.
        local other
        local ok, e
        output, ok, e = stderr_of(function()
            flux2.run(function()
                other = assert(service.client(emu):submit "callbacks raise")
                other:on("done", function() error("in a run", 0) end)
                assert(other:wait())
            end)
        end)
        assert.same({ "", false, "in a run" }, { output, ok, e:match "^[^\n]*" })
        service.stop_all()
        output = stderr_of(function(lines)
            flux2.spawn(function() error("not joined", 0) end)
            service.pump_until(function() return #lines > 0 end)
        end)
        assert.matches("^flux2: uncaught error in a callback or coroutine: not joined\n", output)
        assert.same({ "", true }, { stderr_of(function() flux2.run() end) })
    end)
end)

describe("the pump", function()
    it("handles only the events that were queued when the call began", function()
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
    it("leaves the rest for the next call when its time budget is spent, but handles at least one event", function()
        service.pump_until(function() return flux2.stats().jobs == 0 and core.engine():ready() == 0 end)
        local rang = 0
        for _ = 1, 64 do scheduler.after(0, function() rang = rang + 1 end) end
        assert.equal(64, flux2.pending())
        local until_ = core.now() + bound(30)
        while core.engine():ready() < 64 do assert(core.now() < until_) end
        for i = 1, 3 do assert.same({ 1, i }, { flux2.update(0), rang }) end
        assert.equal(61, flux2.pending())
        assert.same({ 61, 64 }, { flux2.update(bound(60)), rang })
        assert.same({ 0, 0 }, { flux2.update(0), flux2.pending() })
    end)
    it("refuses a time budget that is no number of seconds, at the caller's line", function()
        for _, bad in ipairs { -1, 0 / 0, "1", true, {} } do
            local ok, message = pcall(function() flux2.update(bad) end)
            assert.is_false(ok)
            assert.matches("waiting_spec.lua:%d+: flux2.update: the time budget must be a number of seconds, 0 or more, " ..
                "not ", message)
        end
        assert.equal(0, flux2.update(math.huge))
    end)
    it("notifies observers of the first and the last job", function()
        local reported = {}
        flux2.sleep(0) -- the first job was another sleep
        scheduler.on_work(function(busy) reported[#reported + 1] = busy end)
        assert.same({ false }, reported)
        local sleepers = { flux2.spawn(flux2.sleep, 60), flux2.spawn(flux2.sleep, 60) }
        assert.same({ false, true }, reported)
        sleepers[1]:cancel()
        assert.same({ false, true }, reported)
        sleepers[2]:cancel()
        assert.same({ false, true, false }, reported)
        -- The timeout of a wait is not a job.
        local long = flux2.spawn(flux2.sleep, 60)
        local waits = flux2.spawn(function() long:join(0.001) end)
        assert.same({ false, true, false, true }, reported)
        assert.equal(1, flux2.pending())
        service.pump_until(function() return waits.state == "done" end)
        assert.equal(4, #reported)
        assert.equal(1, flux2.pending())
        long:cancel()
        assert.same({ 5, false }, { #reported, reported[5] })
    end)
    it("blocks with the host's function if there is one, and reports when that fails", function()
        local timeouts = {}
        scheduler.block_by(function(engine, seconds)
            timeouts[#timeouts + 1] = seconds
            return engine:wait(seconds)
        end)
        local _, refused
        local ok = pcall(function()
            assert.is_true(flux2.sleep(0.01))
            scheduler.block_by(function() return nil, "the host is gone" end)
            _, refused = pcall(flux2.sleep, 0.01)
        end)
        scheduler.block_by(nil)
        assert.is_true(ok)
        assert.is_true(#timeouts >= 1)
        for _, seconds in ipairs(timeouts) do assert.equal(60, seconds) end
        assert.matches("the host is gone", tostring(refused))
        service.pump_until(function() return flux2.stats().in_flight == 0 end)
    end)
    it("counts its work", function()
        service.pump_until(function() return flux2.stats().jobs <= flux2.pending() end)
        local before = flux2.stats()
        local sleeper = flux2.spawn(flux2.sleep, 60)
        local stats = flux2.stats()
        for _, name in ipairs { "jobs", "in_flight", "requests", "connections", "received", "ended", "pending" } do
            assert.equal("number", type(stats[name]), name)
        end
        assert.equal(before.pending + 1, stats.pending)
        sleeper:cancel()
        assert.equal(before.pending, flux2.stats().pending)
        local code, printed = service.run_lua [[
            local flux2 = require "flux2"
            local stats = flux2.stats()
            for _, name in ipairs { "jobs", "in_flight", "requests", "connections", "received", "ended", "pending",
                "spent", "unpriced" } do
                assert(stats[name] == 0, name)
            end
            assert(flux2.update() == 0 and flux2.pending() == 0)
            flux2.run()
            assert(type(flux2.fileno()) == "number" and flux2.fileno() == flux2.fileno())
        ]]
        assert.equal(0, code, printed)
    end)
    it("may be called from within itself", function()
        local inner, nested
        scheduler.after(0.001, function()
            scheduler.after(0.001, function() inner = true end)
            local until_ = core.now() + bound(15)
            while not inner and core.now() < until_ do
                scheduler.block(0.1)
                flux2.update()
            end
            nested = inner
        end)
        service.pump_until(function() return inner end)
        assert.is_true(nested)
    end)
    it("takes over from a foreign scheduler", function()
        local queue, current = {}, nil
        local added = { running = function() return current end }
        function added.suspend(token)
            current = nil
            coroutine.yield(token)
            current = token
        end
        function added.wake(token) queue[#queue + 1] = token end
        require("flux2.waits").add_host(added)
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
        assert(coroutine.resume(cos.a)) -- a stray resume
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
