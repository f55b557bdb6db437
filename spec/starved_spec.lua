-- libcurl finds no memory for an exchange, once or often: what is paid is waited for and fetched all the same, and no
-- submission is sent twice.
local service = require "support.service"

local HEAD = [[
local url, dir, library = arg[1], arg[2], arg[3]
local core, flux2 = require "flux2.core", require "flux2"
local starve = assert(package.loadlib(library, "starve"))
local child = require "support.child"
local new, fails = child.clients(url), child.fails
local function pump(condition) child.pump(condition, 20) end
--- A task that is polled from now on.
local function polled(client)
    local task = assert(client:submit "a fox")
    pump(function() return task.id end)
    return task
end
local function has_struck() assert(starve("handle", 0) == 0, "it was never tried") end
]]

describe("without memory for libcurl", function()
    local emu, dir
    before_each(function()
        emu = service.start { duration = 0.3 }
        dir = service.directory()
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local function run(body)
        local code, printed = service.run_preloaded("starved", HEAD .. body, emu, dir)
        assert.equal(0, code, printed)
        assert.is_nil(printed:find("Sanitizer", 1, true), printed)
    end

    for _, what in ipairs { "begin", "end" } do
        it("to " .. what .. " a poll, polling goes on", function()
            run(([[
                local task = polled(new())
                starve("%s", 2)
                local result, err = task:wait(30)
                has_struck()
                assert(result, tostring(err))
            ]]):format(what))
            assert.equal(1, #emu:ledger())
        end)

        it("to " .. what .. " a download, it is tried again, as often as max_retries says", function()
            run(([[
                local image = assert(polled(new { max_retries = 1 }):wait(30)).images[1]
                starve("%s", 1)
                assert(image:save(dir .. "/a.png"))
                has_struck()
                image = assert(polled(new { max_retries = 0 }):wait(30)).images[1]
                starve("%s", 1)
                local err = fails("io", "no memory left for the exchange with 127.0.0.1", image:bytes())
                has_struck()
                assert(err.attempts == 1 and not tostring(err):find("nil", 1, true), tostring(err))
                assert(image:bytes())
            ]]):format(what, what))
            assert.same({ "a.png" }, service.list(dir))
        end)
    end

    it("for a handle, polling goes on", function()
        -- The second submission keeps the handle of the first.
        emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 2, delay = 2 }
        run [[
            local client = new { poll = { interval = 0.5 } }
            local task = polled(client)
            local other = assert(client:submit "takes its time")
            starve("handle", 1)
            assert(task:wait(30))
            has_struck()
            assert(other:wait(30))
        ]]
    end)

    it("a poll that never gets any is given up when one that never gets through is", function()
        emu:set { duration = 60 }
        run [[
            local task = polled(new { max_retries = 0 })
            starve("begin", 1000)
            local err = fails("io", "no memory left", task:wait(60))
            assert(starve("begin", 0) == 996 and err.task_id == task.id, tostring(err))
        ]]
    end)

    it("a submission that did not begin ends, and is no fault of the spool", function()
        run [[
            local client = new { spool = dir .. "/spool", max_retries = 5 }
            starve("begin", 1)
            local task = assert(client:submit "a fox")
            local err = fails("io", "no memory left", task:wait(30))
            has_struck()
            assert(err.attempts == 1 and not tostring(err):find("spool", 1, true), tostring(err))
            assert(select(2, client:spent()) == 0)
            assert(#assert(client:recover()) == 0)
        ]]
        assert.equal(0, #emu:ledger())
    end)

    it("to set the proxy, nothing goes past it", function()
        run [[
            local client = new { proxy = "http://127.0.0.1:1", max_retries = 0 }
            starve("proxy", 1)
            fails("io", "no memory left", assert(client:submit "a fox"):wait(30))
            has_struck()
            fails("network", "no connection to", assert(client:submit "a fox"):wait(30))
        ]]
        assert.equal(0, emu:stats().requests)
    end)

    it("to sleep, the engine rests all the same, and goes on", function()
        run [[
            local task = polled(new())
            starve("sleep", 1e9)
            assert(task:wait(30))
            flux2.sleep(0.5)
            local tries = 1e9 - starve("handle", 0)
            assert(tries > 0 and tries < 2000, tries .. " tries")
        ]]
    end)

    it("a submission that was sent is of unknown outcome, and not sent again", function()
        run [[
            local client = new { max_retries = 5 }
            starve("end", 1)
            fails("unknown_outcome", "no memory left", assert(client:submit "a fox"):wait(30))
            has_struck()
        ]]
        assert.equal(1, #emu:ledger())
    end)
end)
