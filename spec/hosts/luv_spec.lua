-- flux2 in libuv's loop: when the handle is active, when the loop ends, and that it is not blocked. Debian's luv
-- supports every Lua.

if package.config:sub(1, 1) == "\\" and not pcall(require, "luv") then
    return describe("the host for luv", function() pending "luv.dll was not built: see tools/windows-deps" end)
end

local uv = require "luv"
local flux2 = require "flux2"
local reports = require "flux2.uncaught"
local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(60) -- seconds until a program counts as hanging

--- Runs Lua code or a file in a separate process. Returns its exit status and output.
local function run_lua(arguments)
    return shell.run(("LUA_PATH='%s' LUA_CPATH='%s' timeout -k 5 %d '%s' %s"):format(
        package.path, package.cpath, BOUND, shell.interpreter(), arguments))
end

local function head_of(path) return service.read(path):sub(1, 8) end

local PNG = "\137PNG\r\n\26\n"

describe("the host for luv", function()
    local host, emulator, client, folder

    setup(function()
        host = require "flux2.host.luv"
        emulator = assert(require("flux2.emulator").start { duration = 0.2 })
        client = assert(flux2.new { api_key = emulator.api_key, base_url = emulator.url, poll = { interval = 0.05 } })
        folder = service.directory()
    end)

    teardown(function()
        host.stop()
        reports.print_by(nil)
        uv.run()
        emulator:stop()
        service.remove(folder)
    end)

    after_each(function() flux2.on_error = nil end)

    --- Runs the loop. Returns true if it ended before the time limit.
    local function run_loop()
        local hangs, watchdog = false, uv.new_timer()
        watchdog:start(BOUND * 1000, 0, function()
            hangs = true
            uv.stop()
        end)
        watchdog:unref()
        uv.run()
        watchdog:close()
        uv.run "nowait"
        return not hangs
    end

    local function handles()
        local n = 0
        uv.walk(function(handle)
            if not handle:is_closing() then n = n + 1 end
        end)
        return n
    end

    it("keeps the loop alive until the work is done", function()
        local image
        flux2.spawn(function() image = assert(client:generate("a fox", { save = folder .. "/fox.png" })) end)
        assert.is_true(run_loop())
        assert.equal(folder .. "/fox.png", image.path)
        assert.equal(PNG, head_of(image.path))
        assert.equal(0, flux2.pending())
        assert.is_true(run_loop()) -- without work the loop ends, although the handle exists
        assert.equal(1, handles())
    end)

    it("supports several rounds of work in one run", function()
        local states = {}
        flux2.spawn(function()
            for i = 1, 3 do
                states[i] = assert(client:submit("round " .. i):wait()).images[1].url and "url"
                assert(flux2.sleep(0.02))
            end
        end)
        assert.is_true(run_loop())
        assert.same({ "url", "url", "url" }, states)
    end)

    it("runs the program's timers during many waits", function()
        local ticks, done, timer = 0, 0, uv.new_timer()
        timer:start(5, 5, function() ticks = ticks + 1 end)
        for i = 1, 8 do
            flux2.spawn(function()
                assert(#assert(client:generate("image " .. i)):bytes() > 8)
                done = done + 1
                if done == 8 then timer:close() end
            end)
        end
        assert.equal(0, done) -- no timer has run before the first wait
        assert.is_true(run_loop())
        assert.equal(8, done)
        assert.is_true(ticks > 1)
    end)

    it("calls listeners from the loop, and continues after their errors", function()
        local errors, states = {}, {}
        flux2.on_error = function(message) errors[#errors + 1] = message end
        local task = assert(client:submit "a fox")
        task:on("status", function() error "in a listener" end)
        task:on("done", function(t) states[#states + 1] = t.state end)
        assert.is_true(run_loop())
        assert.same({ "succeeded" }, states)
        assert.matches("in a listener", errors[1])
    end)

    it("ends the loop when the work is cancelled", function()
        local task, timer = assert(client:submit "a fox"), uv.new_timer()
        local state
        task:on("done", function(t) state = t.state end)
        timer:start(1, 0, function()
            task:cancel()
            timer:close()
        end)
        assert.is_true(run_loop())
        assert.equal("cancelled", state)
    end)

    it("delivers the time-out of a join while other work keeps the loop alive", function()
        local timer, co = uv.new_timer(), nil
        local handle = flux2.spawn(function()
            co = coroutine.running()
            coroutine.yield()
            return "the timer"
        end)
        local first, second
        flux2.spawn(function()
            first = { handle:join(0.02) }
            timer:start(1, 0, function()
                timer:close()
                coroutine.resume(co)
            end)
            second = { handle:join(BOUND) }
        end)
        timer:start(BOUND * 2000, 0, function() end) -- active until the join has timed out
        assert.equal(0, flux2.pending())
        assert.is_true(run_loop())
        assert.equal("timeout", first[2].kind)
        assert.same({ "the timer" }, second)
    end)

    it("can block in a wait that a loop callback makes outside a coroutine", function()
        local timer, result, other = uv.new_timer(), nil, nil
        flux2.spawn(function() other = assert(client:generate "the other") end)
        timer:start(1, 0, function()
            timer:close()
            result = assert(client:submit("blocking"):wait(BOUND))
        end)
        assert.is_true(run_loop())
        assert.equal(1, #result.images)
        assert.equal(PNG, other:bytes():sub(1, 8))
    end)

    it("removes its handle with stop(), and continues after start()", function()
        local image
        flux2.spawn(function() image = assert(client:generate "a fox") end)
        host.stop()
        host.stop()
        assert.is_true(run_loop())
        assert.equal(0, handles())
        assert.is_nil(image)
        assert.equal(1, flux2.pending())

        assert.is_true(host.start())
        assert.is_true(host.start())
        assert.is_true(run_loop())
        assert.equal(1, handles())
        assert.equal(PNG, image:bytes():sub(1, 8))
    end)

    it("remains stopped when new work begins", function()
        host.stop()
        local task = assert(client:submit "a fox")
        assert.is_true(run_loop())
        assert.equal(0, handles())
        task:cancel()
        assert.is_true(host.start())
    end)

    it("can be stopped from a callback", function()
        local task = assert(client:submit "a fox")
        task:on("done", host.stop)
        assert.is_true(run_loop())
        assert.equal("succeeded", task.state)
        assert.equal(0, handles())
        assert.is_true(host.start())
        assert.is_true(run_loop()) -- a handle without work does not keep the loop alive
    end)

    for _, how in ipairs { "handle:close()", "uv.close(handle)" } do
        it("ends waits with an error when other code closes its handle by " .. how .. ", and recovers", function()
            local reported, ended, second, task = {}, {}, nil, nil
            flux2.on_error = function(message) reported[#reported + 1] = message end
            emulator:set { duration = BOUND * 2 }
            flux2.spawn(function()
                task = assert(client:submit "a fox")
                ended[1] = select(2, task:wait())
                second = task:wait(BOUND)
            end)
            flux2.spawn(function() ended[2] = select(2, flux2.sleep(BOUND * 2)) end)
            local others = uv.new_timer() -- keeps the loop alive forever
            others:start(BOUND * 2000, 0, function() end)
            uv.walk(function(handle)
                if handle == others then return end
                if how == "uv.close(handle)" then uv.close(handle) else handle:close() end
            end)
            while not (ended[1] and ended[2]) do uv.run "once" end
            assert.equal("cancelled", ended[1].kind)
            assert.equal("cancelled", ended[2].kind)
            assert.is_nil(task.error)
            assert.equal(1, #reported)
            assert.matches("other code has closed the poll handle", reported[1])
            while not task.id do uv.run "once" end
            emulator:finish()
            others:close()
            assert.is_true(run_loop())
            assert.equal(1, #second.images)
            emulator:set { duration = 0.2 }
        end)
    end

    it("can be stopped and started after other code closed its handle", function()
        flux2.on_error = function() end
        local task = assert(client:submit "a fox")
        uv.walk(function(handle) handle:close() end)
        host.stop()
        assert.is_true(host.start())
        assert.is_true(run_loop())
        assert.equal("succeeded", task.state)
        assert.equal(1, handles())
    end)

    it("creates no handle before the first job", function()
        local status, output = run_lua [[-e '
            local uv = require "luv"
            local function count()
                local n = 0
                uv.walk(function() n = n + 1 end)
                return n
            end
            local flux2, host = require "flux2", require "flux2.host.luv"
            local none = count()
            uv.run()
            flux2.spawn(function() flux2.sleep(0.01) print(none, count()) end)
            uv.run()
        ']]
        assert.equal("0\t1\n", output)
        assert.equal(0, status)
    end)

    it("delivers a time-out without any earlier work", function()
        local status, output = run_lua [[-e '
            local uv, flux2 = require "luv", require "flux2"
            require "flux2.host.luv"
            local timer = uv.new_timer() -- keeps the loop alive
            timer:start(25000, 0, function() timer:close() end)
            local handle = flux2.spawn(coroutine.yield)
            flux2.spawn(function()
                print(select(2, handle:join(0.02)).kind)
                timer:close()
            end)
            uv.run()
        ']]
        assert.equal("timeout\n", output)
        assert.equal(0, status)
    end)

    it("runs work that began before the module was loaded", function()
        local status, output = run_lua [[-e '
            local uv, flux2 = require "luv", require "flux2"
            flux2.spawn(function() flux2.sleep(0.05) print "slept" end)
            require "flux2.host.luv"
            uv.run()
        ']]
        assert.equal("slept\n", output)
        assert.equal(0, status)
    end)

    it("reports the error of a coroutine without a join, although run() is not called", function()
        local status, output = run_lua [[-e '
            local uv, flux2 = require "luv", require "flux2"
            require "flux2.host.luv"
            flux2.spawn(error, "before any wait")
            flux2.spawn(function() flux2.sleep(0.01) error "after a wait" end)
            local joined = flux2.spawn(error, "but joined")
            joined:join()
            uv.run()
            print "the end"
        ']]
        assert.matches("before any wait", output)
        assert.matches("after a wait", output)
        assert.not_matches("but joined", output)
        assert.matches("the end", output)
        assert.equal(0, status)
    end)

    it("lets a program exit with active work", function()
        local status, output = run_lua(([[-e '
            local uv, flux2 = require "luv", require "flux2"
            require "flux2.host.luv"
            local client = flux2.new { api_key = "%s", base_url = "%s", poll = { interval = 0.01 } }
            local task = assert(client:submit "never to be seen")
            task:on("status", function() uv.stop() end)
            uv.run()
            print(task.state, flux2.pending())
            os.exit(3, true)
        ']]):format(emulator.api_key, emulator.url))
        assert.equal("running\t1\n", output)
        assert.equal(3, status)
    end)

    it("is demonstrated by examples/luv.lua #checkout", function()
        local status, output = run_lua("examples/luv.lua '" .. folder .. "'")
        assert.equal(0, status, output)
        for i = 1, 3 do
            local path = ("%s/luv-%d.png"):format(folder, i)
            assert.equal(PNG, head_of(path))
            local ticks = output:match(path:gsub("%p", "%%%0") .. "  [^(]*%((%d+) ticks")
            assert.is_true(tonumber(ticks) > 1, output)
        end
    end)
end)
