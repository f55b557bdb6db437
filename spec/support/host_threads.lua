--- What flux2 keeps to under every loop that has threads of its own: the same specs for cqueues and for copas.
local assert = require "luassert"
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"

local host_threads = {}

--- To be called in a `describe`.
---@param it function busted's, which a module does not see
---@param host { run: function, sleep: function, client: function, emulator: function } run: runs functions as threads of
---  the loop, to their end and that of flux2's work, and raises their errors; sleep: that of a thread of the loop, in
---  seconds; client, emulator: give them once `setup` has made them
function host_threads.specs(it, host)
    it("pumps once for what happened, not once for each that waits", function()
        local update, calls, events = scheduler.update, 0, 0
        scheduler.update = function() -- luacheck: no redefined
            local n = update()
            calls, events = calls + 1, events + n
            return n
        end
        local waits, woken = {}, 0
        for i = 1, 20 do
            waits[i] = function()
                assert.is_true(flux2.sleep(0.02 * i))
                woken = woken + 1
            end
        end
        local ok, err = pcall(host.run, (table.unpack or unpack)(waits))
        scheduler.update = update
        assert(ok, err)
        assert.equal(20, woken)
        assert.equal(20, events)
        assert.is_true(calls <= 2 * events, calls .. " calls for " .. events .. " events")
    end)

    it("ends waits that time out, and lets them be taken up again", function()
        host.run(function()
            local task = assert(host.client():submit "a slow fox")
            local result, err = task:wait(0.02)
            assert.is_nil(result)
            assert.equal("timeout", err.kind)
            assert(task:wait())
            assert.equal("succeeded", task.state)
        end)
    end)

    it("wakes whoever waits when a task is cancelled, and ends though no event will come", function()
        host.emulator():set { duration = 60 }
        local kinds = {}
        local task
        local function wait()
            task = task or assert(host.client():submit "never")
            local _, err = task:wait()
            kinds[#kinds + 1] = err.kind
        end
        host.run(wait, wait, function()
            host.sleep(0.05)
            task:cancel()
        end)
        assert.same({ "cancelled", "cancelled" }, kinds)
        -- and one that nobody waits for
        host.run(function()
            task = assert(host.client():submit "never")
            host.sleep(0.05)
            task:cancel()
        end)
        assert.equal("cancelled", task.state)
    end)

    it("ends when what was waited for was none of flux2's work", function()
        local co, joined
        host.run(function()
            local handle = flux2.spawn(function()
                co = coroutine.running()
                coroutine.yield()
                return "resumed"
            end)
            joined = handle:join()
        end, function()
            host.sleep(0.02)
            coroutine.resume(co)
        end)
        assert.equal("resumed", joined)
        host.run(function() flux2.spawn(flux2.sleep, 600):cancel() end)
    end)

    it("serves coroutines that the program resumes itself", function()
        local state
        host.run(function()
            coroutine.wrap(function()
                state = assert(host.client():submit "inside"):wait() and "succeeded"
            end)()
        end)
        assert.equal("succeeded", state)
    end)

    it("lets a callback wait without waiting for itself", function()
        local slept
        host.run(function()
            local task = assert(host.client():submit "a callback")
            task:on("done", function() slept = flux2.sleep(0.02) end)
            assert(task:wait())
        end)
        assert.is_true(slept)
    end)
end

return host_threads
