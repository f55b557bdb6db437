--- Specs for every event loop with threads of its own: cqueues and copas.
local assert = require "luassert"
local core = require "flux2.core"
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"
local service = require "support.service"
local uncaught = require "flux2.uncaught"

local host_threads = {}

--- For a `describe`: loads a host, and starts an emulator for it.
---@param name string "copas", "cqueues"
---@param busted table setup, teardown and after_each, which are not visible in a module
---@return { host: table, emulator: table, client: table } bed filled by `setup`
function host_threads.bed(name, busted)
    local bed = {}
    busted.setup(function()
        bed.host = require("flux2.host." .. name)
        bed.emulator = service.start { duration = 0.2 }
        bed.client = service.client(bed.emulator)
    end)
    busted.teardown(function()
        uncaught.print_by(nil)
        service.stop_all()
    end)
    busted.after_each(function()
        flux2.on_error = nil
        bed.emulator:set { duration = 0.2 }
    end)
    return bed
end

--- To be called in a `describe`.
---@param it function busted's, which is not visible in a module
---@param bed table as `bed` returns it
---@param loop { run: function, sleep: function } run: runs functions as threads of the loop until they and flux2's
---  jobs have ended, and raises their errors; sleep: the loop's sleep, in seconds
function host_threads.specs(it, bed, loop)
    it("pumps once per wakeup, not once per waiter", function()
        -- The waits of earlier cases were cancelled, and their events may not have been delivered.
        service.pump_until(function() return flux2.stats().jobs == 0 and core.engine():ready() == 0 end)
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
        local ok, err = pcall(loop.run, (table.unpack or unpack)(waits))
        scheduler.update = update
        assert(ok, err)
        assert.equal(20, woken)
        assert.equal(20, events)
        assert.is_true(calls <= 2 * events, calls .. " calls for " .. events .. " events")
    end)

    it("ends waits that time out, and lets them be repeated", function()
        loop.run(function()
            bed.emulator:set { duration = 60 }
            local task = assert(bed.client:submit "a slow fox")
            while not task.id do loop.sleep(0.005) end
            local result, err = task:wait(0.02)
            assert.is_nil(result)
            assert.equal("timeout", err.kind)
            bed.emulator:finish()
            assert(task:wait())
            assert.equal("succeeded", task.state)
        end)
    end)

    it("wakes every waiter when a task is cancelled, and ends although no event follows", function()
        bed.emulator:set { duration = 60 }
        local kinds = {}
        local task
        local function wait()
            task = task or assert(bed.client:submit "never")
            local _, err = task:wait()
            kinds[#kinds + 1] = err.kind
        end
        loop.run(wait, wait, function()
            loop.sleep(0.05)
            task:cancel()
        end)
        assert.same({ "cancelled", "cancelled" }, kinds)
        -- and one without a waiter
        loop.run(function()
            task = assert(bed.client:submit "never")
            loop.sleep(0.05)
            task:cancel()
        end)
        assert.equal("cancelled", task.state)
    end)

    it("ends after a wait that involved no flux2 job", function()
        local co, joined
        loop.run(function()
            local handle = flux2.spawn(function()
                co = coroutine.running()
                coroutine.yield()
                return "resumed"
            end)
            joined = handle:join()
        end, function()
            loop.sleep(0.02)
            coroutine.resume(co)
        end)
        assert.equal("resumed", joined)
        loop.run(function() flux2.spawn(flux2.sleep, 600):cancel() end)
    end)

    it("serves coroutines that the program resumes itself", function()
        local state
        loop.run(function()
            coroutine.wrap(function()
                state = assert(bed.client:submit "inside"):wait() and "succeeded"
            end)()
        end)
        assert.equal("succeeded", state)
    end)

    it("lets a callback wait without a deadlock", function()
        local slept
        loop.run(function()
            local task = assert(bed.client:submit "a callback")
            task:on("done", function() slept = flux2.sleep(0.02) end)
            assert(task:wait())
        end)
        assert.is_true(slept)
    end)
end

return host_threads
