-- Several at once: all of them, the first, and a bounded number of many.
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

    it("all: results in the order given", function()
        local tasks = {}
        for i = 1, 5 do tasks[i] = assert(client:submit("number " .. i)) end
        local results = assert(flux2.all(tasks, 10))
        for i = 1, 5 do assert.equal(tasks[i].result, results[i]) end
        assert.same({}, assert(flux2.all {}))
    end)
    it("all: the first failure, which it was, and what the others had", function()
        local good, bad = assert(client:submit "good"), assert(client:task "missing")
        assert(good:wait())
        local results, err, partial = flux2.all { good, bad }
        assert.is_nil(results)
        assert.equal("not_found", err.kind)
        assert.equal(2, err.index)
        assert.equal(good.result, partial[1])
    end)
    it("all: a time-out leaves them alone", function()
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
    it("all: gives up the others when asked", function()
        local slow = service.client(service.start { duration = 30 })
        local tasks = { assert(slow:submit "slow"), assert(client:task "missing") }
        assert.is_nil((flux2.all(tasks, { cancel = true })))
        assert.equal("cancelled", tasks[1].state)
    end)
    it("any: the first that succeeds, and the losers cancelled when asked", function()
        local slow = service.client(service.start { duration = 30 })
        local tasks = { assert(slow:submit "slow"), assert(client:task "missing"), assert(client:submit "fast") }
        local result, index = flux2.any(tasks, { cancel = true, timeout = bound(10) })
        assert.equal(tasks[3].result, result)
        assert.equal(3, index)
        assert.equal("cancelled", tasks[1].state)
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)
    it("any: an error when all fail", function()
        local result, err = flux2.any { assert(client:task "missing"), assert(client:task "gone") }
        assert.is_nil(result)
        assert.equal("not_found", err.kind)
        result, err = flux2.any {}
        assert.is_nil(result)
        assert.equal("invalid_request", err.kind)
    end)
    it("take handles of spawn too, inside coroutines too", function()
        service.in_coroutine(function()
            local h = {
                flux2.spawn(function() flux2.sleep(0.05) return "slow" end),
                flux2.spawn(function() flux2.sleep(0.01) return "fast" end),
            }
            local value, index = flux2.any(h)
            assert.same({ "fast", 2 }, { value, index })
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

    it("gives every one once, with its index", function()
        local seen = {}
        for i, image, err in client:map(prompts, { concurrency = 5 }) do
            assert(image, tostring(err))
            assert.is_nil(seen[i])
            seen[i] = image.result.raw.data.task_id
        end
        assert.equal(#prompts, #seen)
        assert.equal(#prompts, #emu:ledger())
    end)
    it("in the order given with `ordered`", function()
        local n = 0
        for i in client:map(prompts, { concurrency = 5, ordered = true }) do
            n = n + 1
            assert.equal(n, i)
        end
        assert.equal(#prompts, n)
    end)
    it("never has more at work than allowed, and pulls lazily", function()
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
    it("goes on after a failure", function()
        local kinds, good = {}, 0
        for i, image, err in client:map { "first prompt", "x", 42, { prompt = "last prompt" } } do
            if image then good = good + 1 else kinds[i] = err.kind end
        end
        assert.equal(2, good)
        assert.same({ [2] = "invalid_request", [3] = "invalid_request" }, kinds)
    end)
    it("saves where it is told", function()
        local dir = service.directory()
        for i, image in client:map({ "one prompt", "two prompts" }, {
            save = function(index, prompt) return dir .. "/" .. index .. prompt:match "^%a+" end,
        }) do
            assert.equal(image.path, dir .. "/" .. i .. prompts[i] and image.path)
        end
        assert.same({ "1one", "2two" }, service.list(dir))
        service.remove(dir)
    end)
    it("pays for nothing that cannot be saved where it is told", function()
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
    it("cancels what is running when the loop is left", function()
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
        collectgarbage() -- before Lua 5.4 nothing else tells
        collectgarbage()
        -- The collector itself must not resume coroutines: LuaJIT was seen to loop for ever in that.
        if _VERSION ~= "Lua 5.4" then assert.is_true(flux2.pending() > 0) end
        service.pump_until(function() return flux2.stats().jobs == 0 end, 5)
        assert.equal(0, flux2.pending())
    end)
    -- On Lua 5.1 (not LuaJIT) no coroutine can yield out of a `for`: there the loop blocks, and nobody could cancel it.
    local it_in_coroutines = _VERSION == "Lua 5.1" and not rawget(_G, "jit") and function() end or it
    it_in_coroutines("ends by close, and in a cancelled coroutine", function()
        local slow = service.client(service.start { duration = 30 })
        local iterator = slow:map(prompts)
        local handle = flux2.spawn(function() for _ in iterator do end end)
        iterator:close()
        handle:join()
        handle = flux2.spawn(function() for _ in slow:map(prompts) do end end)
        service.pump_until(function() return flux2.stats().in_flight > 0 end)
        handle:cancel()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)
    it("lets an error of the caller's iterator out", function()
        local ok, message = pcall(function()
            for _ in client:map(function() error "the source is dry" end) do end
        end)
        assert.is_false(ok)
        assert.matches("the source is dry", message)
    end)
    it("works in several coroutines at once", function()
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
