-- The system clock is set forward and back by years: waits keep their length, a server's dates keep their meaning, and
-- the spool loses nothing. See support/clock.c.
local service = require "support.service"

local HEAD = [[
local url, dir, library = arg[1], arg[2], arg[3]
local set = assert(package.loadlib(library, "set_clock"))
local core, flux2 = require "flux2.core", require "flux2"
local bound = require "support.bound"
local YEAR = 365 * 86400
local new = require("support.child").clients(url, { timeout = bound(20) })
-- Calls fn while the clock is changed. Fails unless fn takes at least `least` seconds, or if it takes much longer.
local function lasts(least, what, fn)
    for _, years in ipairs { 20, -1 / 365 } do
        local began, before = core.now(), os.time()
        set(0)
        local timer = flux2.spawn(function()
            flux2.sleep(least / 3)
            set(years * YEAR)
            flux2.sleep(least / 3)
            assert(math.abs(os.time() - before) > 40000, "the clock was not set")
            return true
        end)
        fn()
        local took = core.now() - began
        assert(timer:join(bound(30)))
        assert(took >= least - 0.01 and took < least + bound(20), what .. " took " .. took .. " s")
    end
    set(0)
end
]]

describe("a clock that is set", function()
    local emu, dir
    service.around_each(before_each, after_each, { duration = 0.3 }, function(...) emu, dir = ... end)

    local function run(body)
        local code, printed = service.run_preloaded("clock", HEAD .. body, emu, dir)
        assert.equal(0, code, printed)
        return printed
    end

    it("does not shorten or extend a wait", function()
        run [[
            local client = new()
            lasts(0.3, "a sleep", function() flux2.sleep(0.3) end)
            lasts(0.3, "a generation", function() assert(client:generate "a fox") end)
            local never = new { poll = { interval = 1000 }, timeout = 1000 }
            lasts(0.3, "a wait with a time-out", function()
                local result, err = assert(never:submit "a fox"):wait(0.3)
                assert(not result and err.kind == "timeout", tostring(err))
            end)
            assert(require "support.service".with_enough_time(0.5, function(seconds)
                local is_over = true
                lasts(seconds, "a task's own time-out", function()
                    local task = assert(never:submit("a fox", { timeout = seconds }))
                    local result, err = task:wait()
                    assert(not result and (err.kind == "timeout" or not task.id), tostring(err))
                    is_over = is_over and task.id
                end)
                return is_over
            end))
        ]]
    end)

    it("does not change the pause of a Retry-After, in seconds or as a date", function()
        for _, kind in ipairs { "seconds", "date" } do
            emu:clear_faults()
            local seconds = kind == "seconds" and 0.2 or 1 -- a date has whole seconds
            local after = kind == "seconds" and "0.2" or os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 3600)
            -- The server's clock is an hour ahead, minus the requested second.
            local headers = kind == "date" and { Date = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 3599) } or nil
            for nth = 1, 3, 2 do
                emu:fault { method = "POST", path = "/api/v1/images/generations", nth = nth, retry_after = after,
                    headers = headers }
            end
            run(("local pause = %s\n"):format(seconds) .. [[
                local client = new()
                for _, years in ipairs { 20, -20 } do
                    set(years * YEAR)
                    local began = core.now()
                    assert(client:generate "asked to wait")
                    local took = core.now() - began
                    assert(took >= pause and took < pause + bound(20), took)
                end
            ]])
        end
    end)

    it("does not affect the spool: nothing is lost, nothing is taken from a living owner", function()
        emu:set { duration = 60 }
        run [[
            local clients, tasks = {}, {}
            for i, years in ipairs { 5, -30, 0, -1 } do
                set(years * YEAR)
                clients[i] = new { spool = dir }
                tasks[i] = assert(clients[i]:submit("in another year " .. i))
                while not tasks[i].id do flux2.sleep(0.01) end
                -- The other owners are alive at any time of the clock.
                assert(#assert(clients[i]:recover()) == 0)
            end
            for i = 1, 4 do tasks[i]:cancel() end
        ]]
        emu:finish()
        assert.equal(4, #emu:ledger())
        local printed = run [[
            set(-40 * YEAR)
            local found, unknown, damaged = assert(new { spool = dir }:recover())
            assert(#found == 4 and #unknown == 0 and #damaged == 0, #found)
            for i, task in ipairs(found) do
                assert(i == 1 or found[i - 1]._record.submitted <= task._record.submitted)
                assert(assert(task:wait()).images[1]:bytes())
            end
            print(#core.list(dir))
        ]]
        assert.equal("1", printed:match "%d+")
    end)
end)
