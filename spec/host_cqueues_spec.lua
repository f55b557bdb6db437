-- flux2 in the controllers of cqueues: nobody is held up, everybody is woken, and the loop comes to its end. Debian's
-- lua-cqueues serves every Lua, LuaJIT as well.

local has_cqueues, cqueues = pcall(require, "cqueues")

local BOUND = require "support.bound"(30) -- seconds: longer is a hang

if not has_cqueues then
    describe("the host for cqueues", function()
        pending("needs cqueues for " .. _VERSION .. " (tools/deps hosts)")
    end)
    return
end

local flux2 = require "flux2"
local host_threads = require "support.host_threads"
local reports = require "flux2.reports"
local service = require "support.service"

describe("the host for cqueues", function()
    local host, emulator, client

    setup(function()
        host = require "flux2.host.cqueues"
        emulator = service.start { duration = 0.2 }
        client = service.client(emulator)
    end)

    teardown(function()
        reports.tell_by(nil)
        service.stop_all()
    end)

    after_each(function()
        flux2.on_error = nil
        emulator:set { duration = 0.2 }
    end)

    --- Runs the controller to its end, which must come by itself.
    local function finish(cq)
        local ok, err = cq:loop(BOUND)
        assert(ok, err)
        assert.is_true(cq:empty(), "the loop did not end by itself")
    end

    --- Runs functions in one controller, to the end.
    local function run(...)
        local cq = cqueues.new()
        for _, fn in ipairs { ... } do cq:wrap(fn) end
        finish(cq)
        return cq
    end

    it("generates ten at once, and a timer never slips", function()
        emulator:set { duration = 1 }
        local cq, done, ticks, latest = cqueues.new(), 0, 0, 0
        local began = cqueues.monotime()
        for i = 1, 10 do
            cq:wrap(function()
                assert.equal(600, #assert(client:generate("picture " .. i)):bytes())
                done = done + 1
            end)
        end
        cq:wrap(function()
            local due = cqueues.monotime()
            while done < 10 do
                due = due + 0.01
                cqueues.sleep(math.max(due - cqueues.monotime(), 0))
                ticks = ticks + 1
                latest = math.max(latest, cqueues.monotime() - due)
            end
        end)
        finish(cq)
        assert.equal(10, done)
        assert.equal(0, flux2.pending())
        assert.is_true(latest < 0.5, "a tick was late by " .. latest .. " s")
        local due = math.floor((cqueues.monotime() - began) / 0.01)
        assert.is_true(ticks > due / 2, ticks .. " ticks of " .. due)
    end)

    host_threads.specs(it, {
        run = run, sleep = cqueues.sleep, client = function() return client end, emulator = function() return emulator end,
    })

    it("keeps the loop alive for what nobody waits for", function()
        local said, slept
        run(function()
            assert(client:submit "forgotten"):on("done", function(task) said = task.state end)
            flux2.spawn(function() slept = flux2.sleep(0.3) end)
        end)
        assert.equal("succeeded", said)
        assert.is_true(slept)
    end)

    it("works in several controllers, one inside the other and one after the other", function()
        local done = {}
        local inner = cqueues.new()
        inner:wrap(function()
            assert(client:generate "inner")
            done[#done + 1] = "inner"
        end)
        run(function() finish(inner) end, function()
            emulator:set { duration = 0.02 }
            assert(client:generate "outer")
            done[#done + 1] = "outer"
        end)
        table.sort(done)
        assert.same({ "inner", "outer" }, done)
    end)

    it("tells of the error of a coroutine that nobody joins", function()
        local code, output = service.run_lua [[
            local cqueues, flux2 = require "cqueues", require "flux2"
            require "flux2.host.cqueues"
            local cq = cqueues.new()
            cq:wrap(function()
                flux2.spawn(function()
                    flux2.sleep(0.02)
                    error "nobody hears of this"
                end)
                local joined = flux2.spawn(function() error "somebody does" end)
                assert(select(2, joined:join()):find "somebody does")
            end)
            assert(cq:loop())
        ]]
        assert.equal(0, code)
        assert.truthy(output:find("uncaught error.*nobody hears of this"))
        assert.is_nil(output:find "somebody does")
    end)

    describe("makes waitable objects:", function()
        it("a task", function()
            run(function()
                local task = assert(client:submit "polled")
                assert.equal(0.01, cqueues.poll(task, 0.01))
                assert.equal(task, cqueues.poll(task, BOUND))
                assert.equal("succeeded", task.state)
                assert.equal(task, cqueues.poll(task, BOUND)) -- at once
            end)
        end)

        it("the first of several", function()
            run(function()
                local slow = assert(client:submit "slow")
                while not slow.id do cqueues.sleep(0.005) end
                emulator:set { duration = 60 }
                local never = assert(client:submit "never")
                assert.equal(slow, cqueues.poll(never, slow, BOUND))
                never:cancel()
                assert.equal(never, cqueues.poll(never, BOUND))
            end)
        end)

        it("a handle", function()
            run(function()
                local handle = flux2.spawn(function()
                    flux2.sleep(0.05)
                    return 7
                end)
                local waitable = host.waitable(handle)
                assert.equal(waitable, cqueues.poll(waitable, BOUND))
                assert.equal(7, handle:join())
            end)
            assert.has_error(function() host.waitable(7) end)
        end)

        it("a task from outside, when the controller serves flux2", function()
            emulator:set { duration = 0.3 }
            local task = assert(client:submit "from outside")
            local cq = cqueues.new()
            local polled
            cq:wrap(function() polled = cqueues.poll(task, BOUND) end)
            local ok, err = cq:loop(BOUND)
            assert.is_false(ok)
            assert.truthy(tostring(err):find "serve")
            cq = cqueues.new()
            host.serve(cq)
            cq:wrap(function() polled = cqueues.poll(task, BOUND) end)
            finish(cq)
            assert.equal(task, polled)
        end)
    end)
end)
