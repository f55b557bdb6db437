-- flux2 in cqueues controllers: other coroutines run during a wait, waiters are resumed, and the loop ends. Debian's
-- lua-cqueues supports every Lua, including LuaJIT.

local has_cqueues, cqueues = pcall(require, "cqueues")

local BOUND = require "support.bound"(60) -- seconds until a program counts as hanging

if not has_cqueues then
    describe("the host for cqueues", function()
        pending("needs cqueues for " .. _VERSION .. " (tools/deps hosts)")
    end)
    return
end

local flux2 = require "flux2"
local host_threads = require "support.host_threads"
local service = require "support.service"

describe("the host for cqueues", function()
    local bed = host_threads.bed("cqueues", { setup = setup, teardown = teardown, after_each = after_each })

    --- Runs the controller until its loop ends.
    local function finish(cq)
        local ok, err = cq:loop(BOUND)
        assert(ok, err)
        assert.is_true(cq:empty(), "the loop did not end by itself")
    end

    --- Runs functions in one controller until it ends.
    local function run(...)
        local cq = cqueues.new()
        for _, fn in ipairs { ... } do cq:wrap(fn) end
        finish(cq)
        return cq
    end

    it("generates ten images concurrently without delaying a timer", function()
        bed.emulator:set { duration = 1 }
        local ticks, due, latest

        local function generate_ten()
            local cq, done, began = cqueues.new(), 0, cqueues.monotime()
            ticks, latest = 0, 0
            for i = 1, 10 do
                cq:wrap(function()
                    assert.equal(600, #assert(bed.client:generate("image " .. i)):bytes())
                    done = done + 1
                end)
            end
            cq:wrap(function()
                local next_tick = cqueues.monotime()
                while done < 10 do
                    next_tick = next_tick + 0.01
                    cqueues.sleep(math.max(next_tick - cqueues.monotime(), 0))
                    ticks = ticks + 1
                    latest = math.max(latest, cqueues.monotime() - next_tick)
                end
            end)
            finish(cq)
            assert.equal(10, done)
            assert.equal(0, flux2.pending())
            due = math.floor((cqueues.monotime() - began) / 0.01)
        end

        -- A busy machine may delay a timer, but not each time.
        for _ = 1, 5 do
            generate_ten()
            if latest < 0.5 and ticks > due / 2 then break end
        end
        assert.is_true(latest < 0.5, "a tick was late by " .. latest .. " s")
        assert.is_true(ticks > due / 2, ticks .. " ticks of " .. due)
    end)

    host_threads.specs(it, bed, { run = run, sleep = cqueues.sleep })

    it("keeps the loop alive for tasks without waiters", function()
        local state, slept
        run(function()
            assert(bed.client:submit "forgotten"):on("done", function(task) state = task.state end)
            flux2.spawn(function() slept = flux2.sleep(0.3) end)
        end)
        assert.equal("succeeded", state)
        assert.is_true(slept)
    end)

    it("works in several controllers, nested and one after another", function()
        local done = {}
        local inner = cqueues.new()
        inner:wrap(function()
            assert(bed.client:generate "inner")
            done[#done + 1] = "inner"
        end)
        run(function() finish(inner) end, function()
            bed.emulator:set { duration = 0.02 }
            assert(bed.client:generate "outer")
            done[#done + 1] = "outer"
        end)
        table.sort(done)
        assert.same({ "inner", "outer" }, done)
    end)

    it("reports the error of a coroutine without a join", function()
        local code, output = service.run_lua [[
            local cqueues, flux2 = require "cqueues", require "flux2"
            require "flux2.host.cqueues"
            local cq = cqueues.new()
            cq:wrap(function()
                flux2.spawn(function()
                    flux2.sleep(0.02)
                    error "an unjoined error"
                end)
                local joined = flux2.spawn(function() error "a joined error" end)
                assert(select(2, joined:join()):find "a joined error")
            end)
            flux2.spawn(function() error "outside of the controller" end)
            assert(cq:loop())
            flux2.sleep(1.1)
        ]]
        assert.equal(0, code)
        assert.truthy(output:find("uncaught error.*an unjoined error"))
        assert.truthy(output:find("uncaught error.*outside of the controller"))
        assert.is_nil(output:find "a joined error")
    end)

    describe("makes objects waitable:", function()
        it("a task", function()
            run(function()
                bed.emulator:set { duration = 60 }
                local task = assert(bed.client:submit "polled")
                while not task.id do cqueues.sleep(0.005) end
                assert.equal(0.01, cqueues.poll(task, 0.01))
                bed.emulator:finish()
                assert.equal(task, cqueues.poll(task, BOUND))
                assert.equal("succeeded", task.state)
                assert.equal(task, cqueues.poll(task, BOUND)) -- returns immediately
            end)
        end)

        it("objects that report a dot instead of a colon", function()
            run(function()
                local task = assert(bed.client:submit "a fox")
                local waitable = bed.host.waitable(flux2.spawn(flux2.sleep, 0))
                for _, name in ipairs { "pollfd", "events", "timeout" } do
                    for _, object in ipairs { task, waitable } do
                        local ok, message = pcall(function() object[name]() end)
                        assert.is_false(ok)
                        assert.matches("^[^\n]*cqueues_spec%.lua:%d+: call waitable:" .. name
                            .. "%(%.%.%.%) with a colon$", message)
                    end
                end
                assert(task:wait())
            end)
        end)

        it("several tasks, and returns the first that ends", function()
            run(function()
                local slow = assert(bed.client:submit "slow")
                while not slow.id do cqueues.sleep(0.005) end
                bed.emulator:set { duration = 60 }
                local never = assert(bed.client:submit "never")
                assert.equal(slow, cqueues.poll(never, slow, BOUND))
                never:cancel()
                assert.equal(never, cqueues.poll(never, BOUND))
            end)
        end)

        it("no other value, and raises at the caller's line", function()
            for _, wrong in ipairs { 7, "x", {}, print } do
                local ok, message = pcall(function() bed.host.waitable(wrong) end)
                assert.is_false(ok)
                assert.matches("^[^\n]*cqueues_spec%.lua:%d+: waitable: a task or a handle of flux2%.spawn is needed, "
                    .. "not ", message)
            end
            local ok, message = pcall(function() bed.host.serve() end)
            assert.is_false(ok)
            assert.matches("^[^\n]*cqueues_spec%.lua:%d+: serve: a controller is needed outside of one$", message)
            local handle
            local waitable
            run(function()
                handle = flux2.spawn(flux2.sleep, 60)
                waitable = bed.host.waitable(handle)
                assert.same({ "r" }, { waitable:events(), waitable:timeout() })
                assert.equal(waitable:pollfd(), waitable:pollfd())
                handle:cancel()
                assert.equal(0, waitable:timeout())
            end)
            assert.equal("cancelled", handle.state)
            assert.equal(waitable:pollfd(), waitable:pollfd())
        end)

        it("a handle", function()
            run(function()
                local handle = flux2.spawn(function()
                    flux2.sleep(0.05)
                    return 7
                end)
                local waitable = bed.host.waitable(handle)
                assert.equal(waitable, cqueues.poll(waitable, BOUND))
                assert.equal(7, handle:join())
            end)
            assert.has_error(function() bed.host.waitable(7) end)
        end)

        it("a task outside a flux2 coroutine, if the controller serves flux2", function()
            bed.emulator:set { duration = 0.3 }
            local task = assert(bed.client:submit "from outside")
            local cq = cqueues.new()
            local polled
            cq:wrap(function() polled = cqueues.poll(task, BOUND) end)
            local ok, err = cq:loop(BOUND)
            assert.is_false(ok)
            assert.truthy(tostring(err):find "serve")
            cq = cqueues.new()
            bed.host.serve(cq)
            cq:wrap(function() polled = cqueues.poll(task, BOUND) end)
            finish(cq)
            assert.equal(task, polled)
        end)
    end)
end)
