-- libcurl has no memory for a request, once or repeatedly: paid images arrive, and no submission is sent twice.
local service = require "support.service"

local HEAD = [[
local url, dir, library = arg[1], arg[2], arg[3]
local core, flux2 = require "flux2.core", require "flux2"
local starve = assert(package.loadlib(library, "starve"))
local child = require "support.child"
local new, fails = child.clients(url), child.fails
local function pump(condition) child.pump(condition, 50) end
--- Submits a task and returns it when its polling begins.
local function polled(client)
    local task = assert(client:submit "a fox")
    pump(function() return task.id end)
    return task
end
local function has_struck() assert(starve("handle", 0) == 0, "the fault did not occur") end
]]

describe("without memory for libcurl", function()
    local emu, dir
    service.around_each(before_each, after_each, { duration = 0.3 }, function(...) emu, dir = ... end)

    local function run(body)
        local code, printed = service.run_preloaded("starved", HEAD .. body, emu, dir)
        assert.equal(0, code, printed)
        assert.is_nil(printed:find("Sanitizer", 1, true), printed)
    end

    for _, what in ipairs { "begin", "end" } do
        it("to " .. what .. " a poll, polling continues", function()
            run(([[
                local task = polled(new())
                starve("%s", 2)
                local result, err = task:wait(30)
                has_struck()
                assert(result, tostring(err))
            ]]):format(what))
            assert.equal(1, #emu:ledger())
        end)

        it("to " .. what .. " a download, the download is retried for poll.patience", function()
            run(([[
                local image = assert(polled(new()):wait(30)).images[1]
                starve("%s", 1)
                assert(image:save(dir .. "/a.png"))
                has_struck()
                image = assert(polled(new { poll = { patience = 1e-9 } }):wait(30)).images[1]
                starve("%s", 1)
                local err = fails("io", "out of memory during the request to 127.0.0.1", image:bytes())
                has_struck()
                assert(err.attempts == 1 and not tostring(err):find("nil", 1, true), tostring(err))
                assert(image:bytes())
            ]]):format(what, what))
            assert.same({ "a.png" }, service.list(dir))
        end)
    end

    it("for a handle, polling continues", function()
        -- The second submission keeps the first handle in use.
        emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 2, delay = 2 }
        run [[
            local client = new { poll = { interval = 0.5 } }
            local task = polled(client)
            local other = assert(client:submit "takes its time")
            pump(function() return flux2.stats().in_flight == 1 end)
            starve("handle", 1)
            assert(task:wait(30))
            has_struck()
            assert(other:wait(30))
        ]]
    end)

    it("repeatedly, a poll ends like an unreachable one after poll.patience", function()
        emu:set { duration = 60 }
        run [[
            local tries
            -- With more patience if a busy machine was late for the second attempt.
            for _, patience in ipairs { 0.1, 2, 15 } do
                local task = polled(new { poll = { interval = 0.02, patience = patience } })
                starve("begin", 1000)
                local err = fails("io", "out of memory during the request to 127.0.0.1", task:wait(60))
                tries = 1000 - starve("begin", 0)
                assert(err.task_id == task.id, tostring(err))
                if tries >= 2 then break end
            end
            assert(tries >= 2, tries)
        ]]
    end)

    it("for the start of a submission, the task ends, and the error does not mention the spool", function()
        run [[
            local client = new { spool = dir .. "/spool", max_retries = 5 }
            starve("begin", 1)
            local task = assert(client:submit "a fox")
            local err = fails("io", "out of memory during the request to 127.0.0.1", task:wait(30))
            has_struck()
            assert(err.attempts == 1 and not tostring(err):find("spool", 1, true), tostring(err))
            assert(select(2, client:spent()) == 0)
            assert(#assert(client:recover()) == 0)
        ]]
        assert.equal(0, #emu:ledger())
    end)

    it("to set the proxy, no request is sent without it", function()
        run [[
            local client = new { proxy = "http://127.0.0.1:1", max_retries = 0 }
            starve("proxy", 1)
            fails("io", "out of memory during the request to 127.0.0.1", assert(client:submit "a fox"):wait(30))
            has_struck()
            fails("network", "no connection to", assert(client:submit "a fox"):wait(30))
        ]]
        assert.equal(0, emu:stats().requests)
    end)

    it("to sleep, the engine does not spin, and continues", function()
        run [[
            local task = polled(new())
            local began = core.now()
            starve("sleep", 1e9)
            assert(task:wait(30))
            flux2.sleep(0.5)
            local tries, seconds = 1e9 - starve("handle", 0), core.now() - began
            assert(tries > 0 and tries < 2000 * (1 + seconds), tries .. " tries in " .. seconds .. " s")
        ]]
    end)

    it("after a submission was sent, the outcome is unknown, and it is not sent again", function()
        run [[
            local client = new { max_retries = 5 }
            starve("end", 1)
            fails("unknown_outcome", "out of memory during the request to 127.0.0.1", assert(client:submit "a fox"):wait(30))
            has_struck()
        ]]
        assert.equal(1, #emu:ledger())
    end)
end)
