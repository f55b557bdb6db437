-- Several tasks at once: flux2.all, flux2.any and client:map.
local bound = require "support.bound"
local flux2 = require "flux2"
local service = require "support.service"

describe("all and any", function()
    local emu, client
    before_each(function()
        emu = service.start { duration = 0.05 }
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    it("all: returns results in the order given", function()
        local tasks = {}
        for i = 1, 5 do tasks[i] = assert(client:submit("number " .. i)) end
        local results = assert(flux2.all(tasks, bound(30)))
        for i = 1, 5 do assert.equal(tasks[i].result, results[i]) end
        assert.same({}, assert(flux2.all {}))
    end)
    it("all: returns the first failure, its index, and the other results", function()
        local good, bad = assert(client:submit "good"), assert(client:task "missing")
        assert(good:wait())
        local results, err, partial = flux2.all { good, bad }
        assert.is_nil(results)
        assert.equal("not_found", err.kind)
        assert.equal(2, err.index)
        assert.equal(good.result, partial[1])
    end)
    it("all: a timeout does not cancel the tasks", function()
        local long = service.start { duration = 60 }
        local slow = service.client(long)
        local tasks = { assert(client:submit "fast"), assert(slow:submit "slow") }
        assert(tasks[1]:wait())
        local results, err, partial = flux2.all(tasks, { timeout = 0.02 })
        assert.is_nil(results)
        assert.equal("timeout", err.kind)
        assert.equal(tasks[1].result, partial[1])
        service.pump_until(function() return tasks[2].id end)
        long:finish()
        assert(flux2.all(tasks))
    end)
    it("all: cancels the rest on request", function()
        local slow = service.client(service.start { duration = 30 })
        local tasks = { assert(slow:submit "slow"), assert(client:task "missing") }
        assert.is_nil((flux2.all(tasks, { cancel = true })))
        assert.equal("cancelled", tasks[1].state)
    end)
    it("any: returns the first success, and cancels the rest on request", function()
        local slow = service.client(service.start { duration = 30 })
        local tasks = { assert(slow:submit "slow"), assert(client:task "missing"), assert(client:submit "fast") }
        local result, index = flux2.any(tasks, { cancel = true, timeout = bound(30) })
        assert.equal(tasks[3].result, result)
        assert.equal(3, index)
        assert.equal("cancelled", tasks[1].state)
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)
    it("any: returns an error when all fail", function()
        local result, err = flux2.any { assert(client:task "missing"), assert(client:task "gone") }
        assert.is_nil(result)
        assert.equal("not_found", err.kind)
        result, err = flux2.any {}
        assert.is_nil(result)
        assert.equal("invalid_request", err.kind)
    end)
    it("any: returns the last error when the first success is too late or missing", function()
        local h = {
            flux2.spawn(function() flux2.sleep(0.03) error("the last", 0) end),
            flux2.spawn(function() error("the first", 0) end),
        }
        assert.same({ nil, "the last" }, { flux2.any(h) })
        assert.same({ nil, "the first" }, { flux2.any { h[1], h[2] } },
            "of those that have ended, the last in the list")
    end)
    it("a timeout reports the call, the number of finished tasks, and the time", function()
        local slow = { flux2.spawn(flux2.sleep, 60), flux2.spawn(function() return "quick" end),
            flux2.spawn(flux2.sleep, 60) }
        local results, err, partial = flux2.all(slow, 0.01)
        assert.is_nil(results)
        assert.equal("timeout", err.kind)
        assert.is_true(err.retryable)
        assert.equal("flux2.all: 1 of 3 had ended after 0.01 s; the others go on, and can be waited for again",
            err.message)
        assert.same({ [2] = "quick" }, partial)
        local value
        value, err = flux2.any({ slow[1], slow[3] }, 0.01)
        assert.is_nil(value)
        assert.equal("flux2.any: 0 of 2 had ended after 0.01 s; the others go on, and can be waited for again",
            err.message)
        assert.same({ "running", "running" }, { slow[1].state, slow[3].state })
        slow[1]:cancel()
        slow[3]:cancel()
    end)
    it("a timeout cancels the tasks on request only", function()
        for name, call in pairs { all = flux2.all, any = flux2.any } do
            local slow = { flux2.spawn(flux2.sleep, 60), flux2.spawn(flux2.sleep, 60) }
            assert.is_nil((call(slow, { timeout = 0.01, cancel = false })))
            assert.same({ "running", "running" }, { slow[1].state, slow[2].state }, name)
            assert.equal("timeout", select(2, call(slow, { timeout = 0.01, cancel = true })).kind)
            assert.same({ "cancelled", "cancelled" }, { slow[1].state, slow[2].state }, name)
        end
        assert.equal(0, flux2.pending())
    end)
    it("do not cancel the other tasks after a failure or success, except on request", function()
        local function three()
            return { flux2.spawn(flux2.sleep, 60), flux2.spawn(function() error("no", 0) end),
                flux2.spawn(function() return 7 end) }
        end
        local h = three()
        assert.same({ nil, "no", {} }, { flux2.all(h) })
        assert.same({ 7, 3 }, { flux2.any(h) })
        assert.equal("running", h[1].state)
        assert.same({ 7, 3 }, { flux2.any(h, { cancel = true }) })
        assert.equal("cancelled", h[1].state)
        assert.same({ "done", "failed" }, { h[3].state, h[2].state })
    end)
    it("report which item is invalid, and its value", function()
        local h = flux2.spawn(function() end)
        for name, call in pairs { all = flux2.all, any = flux2.any } do
            for _, case in ipairs {
                { function() call { h, "x" } end, ": item 2 is neither a task nor a handle of flux2.spawn, but 'x'" },
                { function() call { {} } end, ": item 1 is neither a task nor a handle of flux2.spawn, but a table" },
                { function() call "x" end, ": a list of tasks is needed, not 'x'" },
                { function() call { fox = h } end, ": a list of tasks is needed; this table has the key 'fox'" },
                { function() call(h) end, ": a list of tasks is needed; this table has the key '" },
                { function() call(nil) end, ": a list of tasks is needed, not nil" },
                { function() call({ h }, { cancel = 1 }) end, ": cancel must be true or false, not 1" },
                { function() call({ h }, { timeot = 1 }) end, ": unknown option 'timeot': did you mean timeout?" },
                { function() call({ h }, 0) end, ": timeout must be a number of seconds above 0, not 0" },
                { function() call({ h }, "1") end, ": options are a table, not '1'" },
            } do
                local ok, message = pcall(case[1])
                assert.is_false(ok)
                assert.matches("^[^\n]*many_spec%.lua:%d+: flux2%." .. name .. ": ", message)
                assert.truthy(message:find(case[2], 1, true), message)
            end
        end
    end)
    it("return any value that a coroutine raises unchanged, even one that refuses changes", function()
        local frozen = setmetatable({}, { __newindex = function() error "frozen" end })
        for _, call in ipairs { flux2.all, flux2.any } do
            local h = flux2.spawn(function()
                flux2.sleep(0.001)
                error(frozen)
            end)
            assert.equal(frozen, select(2, call({ h }, bound(15))))
        end
        assert.is_nil(next(frozen))
    end)
    it("in a cancelled coroutine return an error, and cancel the tasks on request", function()
        for _, call in ipairs { flux2.all, flux2.any } do
            for _, cancel in ipairs { true, false } do
                local slow, got = flux2.spawn(flux2.sleep, 60), nil
                local waits = flux2.spawn(function() got = { call({ slow }, { cancel = cancel }) } end)
                waits:cancel()
                assert.is_nil(got[1])
                assert.equal("cancelled", got[2].kind)
                assert.equal("the waiting coroutine was cancelled", got[2].message)
                assert.equal(cancel and "cancelled" or "running", slow.state)
                slow:cancel()
            end
        end
    end)

    --- KiB by which Lua's memory grows during COUNT calls of `fn`.
    local function growth(times, fn)
        for _ = 1, 20 do fn() end
        collectgarbage()
        collectgarbage()
        local before = collectgarbage "count"
        for _ = 1, times do fn() end
        collectgarbage()
        collectgarbage()
        return collectgarbage "count" - before
    end

    it("leave no state on a long-running task, after any number of calls", function()
        local task = assert(service.client(service.start { duration = 60 }):submit "lives on")
        local quick = flux2.spawn(function() return "quick" end)
        local ways = {
            any = function() flux2.any({ task }, 1e-6) end,
            all = function() flux2.all({ task }, 1e-6) end,
            won = function() assert.equal("quick", (flux2.any { task, quick })) end,
            wait = function() task:wait(1e-6) end,
        }
        for name, way in pairs(ways) do
            local grown = growth(200, way)
            assert.is_true(grown < 20, name .. " grew by " .. grown .. " KiB")
            grown = assert(flux2.spawn(growth, 200, way):join())
            assert.is_true(grown < 20, name .. " in a coroutine grew by " .. grown .. " KiB")
        end
        local given_up = growth(300, function() flux2.spawn(function() task:wait() end):cancel() end)
        assert.is_true(given_up < 20, "cancelled waits grew by " .. given_up .. " KiB")
        task:cancel()
        local timers = growth(1000, function() flux2.spawn(flux2.sleep, 60):cancel() end)
        assert.is_true(timers < 20, "sleeps that are cancelled grew by " .. timers .. " KiB")
        assert.equal(0, flux2.pending())
    end)
    it("accept handles of spawn, also inside coroutines", function()
        service.in_coroutine(function()
            local gate = flux2.spawn(flux2.sleep, 60)
            local h = {
                flux2.spawn(function() gate:join() return "slow" end),
                flux2.spawn(function() flux2.sleep(0.01) return "fast" end),
            }
            local value, index = flux2.any(h)
            assert.same({ "fast", 2 }, { value, index })
            gate:cancel()
            assert.same({ "slow", "fast" }, assert(flux2.all(h)))
        end)
    end)
end)

describe("map", function()
    local emu, client
    before_each(function()
        emu = service.start { duration = { 0.02, 0.1 } }
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    local prompts = {}
    for i = 1, 12 do prompts[i] = "prompt number " .. i end

    it("returns each item once, with its index", function()
        local seen = {}
        for i, image, err in client:map(prompts, { concurrency = 5 }) do
            assert(image, tostring(err))
            assert.is_nil(seen[i])
            seen[i] = image.result.raw.data.task_id
        end
        assert.equal(#prompts, #seen)
        assert.equal(#prompts, #emu:ledger())
    end)
    it("keeps the order with `ordered`", function()
        local n = 0
        for i in client:map(prompts, { concurrency = 5, ordered = true }) do
            n = n + 1
            assert.equal(n, i)
        end
        assert.equal(#prompts, n)
    end)
    it("limits concurrency, and reads the iterator lazily", function()
        local pulled, finished, most = 0, 0, 0
        local source = function()
            if pulled == 20 then return nil end
            pulled = pulled + 1
            most = math.max(most, pulled - finished)
            return { prompt = "pulled " .. pulled }
        end
        for _ in client:map(source, { concurrency = 3 }) do finished = finished + 1 end
        assert.equal(20, finished)
        assert.is_true(most <= 3 + 4 * 3, "pulled " .. most .. " ahead")
    end)
    it("continues after a failure", function()
        local kinds, good = {}, 0
        for i, image, err in client:map { "first prompt", "x", 42, { prompt = "last prompt" } } do
            if image then good = good + 1 else kinds[i] = err.kind end
        end
        assert.equal(2, good)
        assert.same({ [2] = "invalid_request", [3] = "invalid_request" }, kinds)
    end)
    it("saves to the given path", function()
        local dir = service.directory()
        for i, image in client:map({ "one prompt", "two prompts" }, {
            save = function(index, prompt) return dir .. "/" .. index .. prompt:match "^%a+" end,
        }) do
            assert.equal(dir .. "/" .. i .. ({ "one", "two" })[i], image.path)
        end
        assert.same({ "1one", "2two" }, service.list(dir))
        service.remove(dir)
    end)
    it("submits nothing for an invalid save path", function()
        local before, kinds = #emu:ledger(), {}
        for i, image, err in client:map({ "one", "two", "three" }, {
            save = function(index) return ({ 5, "", "no\0where.png" })[index] end,
        }) do
            assert.is_nil(image)
            kinds[i] = err.kind
        end
        assert.same({ "invalid_request", "invalid_request", "io" }, kinds)
        assert.equal(before, #emu:ledger())
    end)
    it("cancels running tasks when the loop is left", function()
        local slow = service.start { duration = 60 }
        local n = 0
        flux2.spawn(function()
            while #slow:ledger() < 8 do flux2.sleep(0.01) end
            slow:finish(slow:ledger()[3].task_id)
        end)
        local function endless()
            n = n + 1
            return "endless " .. n
        end
        for i in service.client(slow):map(endless, { concurrency = 8 }) do
            if i then break end
        end
        collectgarbage() -- before Lua 5.4 only a collection detects that
        collectgarbage()
        -- The collector must not resume coroutines itself: LuaJIT was seen to loop for ever then.
        if _VERSION ~= "Lua 5.4" then assert.is_true(flux2.pending() > 0) end
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        assert.equal(0, flux2.pending())
    end)
    -- In Lua 5.1 (not LuaJIT) a coroutine cannot yield from a `for` iterator: the loop blocks and cannot be cancelled.
    local it_in_coroutines = _VERSION == "Lua 5.1" and not rawget(_G, "jit") and function() end or it
    it_in_coroutines("ends by close, and in a cancelled coroutine", function()
        local slow = service.client(service.start { duration = 30 })
        local iterator = slow:map(prompts)
        local handle = flux2.spawn(function() for _ in iterator do end end)
        iterator:close()
        handle:join()
        assert.equal("done", handle.state)
        handle = flux2.spawn(function() for _ in slow:map(prompts) do end end)
        service.pump_until(function() return flux2.stats().in_flight > 0 end)
        handle:cancel()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)
    it("runs four tasks by default, or the given number", function()
        local slow = service.start { duration = 60 }
        local other = service.client(slow)
        for _, case in ipairs { { nil, 4 }, { 1, 1 }, { 2, 2 }, { 7, 7 } } do
            local before = #slow:ledger()
            local each = other:map(prompts, { concurrency = case[1] })
            local loop = flux2.spawn(function() each() end)
            service.pump_until(function() return #slow:ledger() == before + case[2] end)
            assert.equal(case[2], flux2.pending())
            each:close()
            assert.equal(0, flux2.pending())
            assert.is_nil((each()))
            loop:join()
        end
    end)
    it("pauses when finished tasks queue up behind a slow first one", function()
        local slow = service.start { duration = 60 }
        local pulled = 0
        local each = service.client(slow):map(function()
            pulled = pulled + 1
            return "image " .. pulled
        end, { concurrency = 2, ordered = true })
        local first
        flux2.spawn(function() first = { each() } end)
        service.pump_until(function() return #slow:ledger() == 2 end)
        local held = slow:ledger()[1].prompt == "image 1" and slow:ledger()[1].task_id or slow:ledger()[2].task_id
        -- The remaining tasks end one by one: eight may be finished, and two running.
        for n = 2, 9 do
            service.pump_until(function() return #slow:ledger() >= n end)
            for _, entry in ipairs(slow:ledger()) do if entry.task_id ~= held then slow:finish(entry.task_id) end end
            service.pump_until(function()
                for _, entry in ipairs(slow:ledger()) do
                    if entry.prompt == "image " .. n then return entry.state ~= "running" end
                end
            end)
        end
        service.pump_until(function() return flux2.stats().in_flight == 0 and flux2.pending() == 1 end)
        assert.equal(9, pulled)
        assert.is_nil(first)
        slow:finish(held)
        service.pump_until(function() return first end)
        assert.equal(1, first[1])
        assert.equal(9, pulled)
        assert.equal(2, (each()))
        assert.equal(11, pulled)
        each:close()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)
    it("returns each error with its item: of the caller's functions, and of the service", function()
        local failing = service.start { failure_reason = "no paint" }
        local each = service.client(failing):map({ "first [fail]", "second", false and 1 or "third",
            { prompt = "x" } }, {
            ordered = true, save = function(index) if index == 2 then error("in save", 0) end end,
        })
        local i, image, err = each()
        assert.same({ 1, nil, "task_failed" }, { i, image, err.kind })
        i, image, err = each()
        assert.same({ 2, nil, "invalid_request: in save" }, { i, image, tostring(err) })
        i, image, err = each()
        assert.same({ 3, nil }, { i, err })
        assert.equal(600, #image:bytes())
        i, image, err = each()
        assert.same({ 4, nil, "invalid_request: prompt must have 3 to 5000 characters, has 1" },
            { i, image, tostring(err) })
        assert.same({}, { each() })
        assert.same({}, { each() })
        each = client:map({ 42 })
        assert.equal("invalid_request: a prompt or a request is needed, not 42", tostring(select(3, each())))
        each = client:map({ "a fox" }, { save = function() return 5 end })
        assert.equal("invalid_request: save must give the path of a file, a string that is not empty, not 5",
            tostring(select(3, each())))
        for _ in client:map({}) do error "there is nothing" end
        for _ in client:map(function() end) do error "there is nothing" end
    end)
    it("passes its options to each task", function()
        local slow = service.start { duration = 60 }
        local counts
        local function count(name) return function() counts[name] = counts[name] + 1 end end
        service.with_enough_time(0.4, function(seconds)
            counts = { status = 0, progress = 0, done = 0, request = 0 }
            for _, image in service.client(slow):map({ "one image", "two images" }, {
                timeout = seconds, price = 7, on_status = count "status", on_progress = count "progress",
                on_done = count "done",
                on_request = count "request",
            }) do
                assert.is_nil(image)
            end
            assert.equal(2, counts.done)
            return math.min(counts.status, counts.progress, counts.request) >= 2
        end)
        for name, n in pairs(counts) do assert.is_true(n >= 2, name) end
        local priced = service.client(emu, { budget = 13 })
        local good, bad = 0, 0
        for _, image in priced:map({ "one image", "two images" }, { price = 7 }) do
            if image then good = good + 1 else bad = bad + 1 end
        end
        assert.same({ 1, 1, 7 }, { good, bad, (priced:spent()) })
    end)
    it("propagates an error of the caller's iterator", function()
        local ok, message = pcall(function()
            for _ in client:map(function() error "the source is dry" end) do end
        end)
        assert.is_false(ok)
        assert.matches("the source is dry", message)
    end)
    it("raises an error for one request in the place of a list", function()
        local ok, message = pcall(function() client:map { prompt = "a fox" } end)
        assert.is_false(ok)
        assert.matches("^[^\n]*many_spec%.lua:%d+: client:map: a list of prompts is needed; this table has no item " ..
            "1, but the key 'prompt'$", message)
    end)
    it("can be shared by coroutines, each of which gets other images", function()
        local each, seen, ended = client:map(prompts, { concurrency = 2 }), {}, 0
        for _ = 1, 3 do
            flux2.spawn(function()
                local i = each()
                while i do
                    seen[#seen + 1] = i
                    i = each()
                end
                ended = ended + 1
            end)
        end
        service.pump_until(function() return ended == 3 end)
        table.sort(seen)
        for i = 1, #prompts do assert.equal(i, seen[i]) end
        assert.equal(#prompts, #seen)
    end)
    it("runs in several coroutines at once", function()
        local done = 0
        for _ = 1, 3 do
            flux2.spawn(function()
                for _, image in client:map(prompts, { concurrency = 4 }) do
                    if image then done = done + 1 end
                end
            end)
        end
        flux2.run()
        assert.equal(3 * #prompts, done)
    end)
end)
