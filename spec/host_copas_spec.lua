-- flux2 under copas: a server that answers while it generates, with whatever copas is there. Debian's 1.1.7 serves Lua
-- 5.1, 5.2 and LuaJIT; its loop has no end, so what must end is checked step by step.

local has_copas, copas = pcall(require, "copas")

local BOUND = require "support.bound"(30) -- seconds: longer is a hang

if not has_copas then
    describe("the host for copas", function()
        pending("needs copas for " .. _VERSION .. ": Debian has it for 5.1, 5.2 and LuaJIT (tools/deps hosts)")
    end)
    return
end

local flux2 = require "flux2"
local host_threads = require "support.host_threads"
local reports = require "flux2.reports"
local service = require "support.service"
local socket = require "socket"

-- What only one of the two can show, the other lists as pending.
local before_2, since_2 = it, pending
if copas.finished then before_2, since_2 = pending, it end

describe("the host for copas", function()
    local host, emulator, client

    setup(function()
        host = require "flux2.host.copas"
        emulator = service.start { duration = 0.2 }
        client = service.client(emulator)
    end)

    teardown(function()
        reports.tell_by(nil)
        service.stop_all()
    end)

    after_each(function() emulator:set { duration = 0.2 } end)

    --- Lets copas run until `condition()` holds.
    local function step_until(what, condition)
        local until_ = socket.gettime() + BOUND
        while not condition() do
            if socket.gettime() > until_ then error("still not after " .. BOUND .. " s: " .. what, 2) end
            copas.step(0.1)
        end
    end

    --- Runs threads of copas to their end, after which flux2 must have left it. Their errors come out.
    local function run(...)
        local failure, left = nil, select("#", ...)
        for _, fn in ipairs { ... } do
            copas.addthread(function()
                copas.setErrorHandler(function(err) failure = err or "?" end)
                fn()
                left = left - 1
            end)
        end
        step_until("the threads end", function() return left == 0 or failure end)
        if failure then error(failure, 0) end
        step_until("flux2 has nothing to do under copas", function() return not host.active() end)
        assert.equal(0, flux2.pending())
    end

    local function new_server(handler)
        local server = assert(socket.bind("127.0.0.1", 0))
        local _, port = server:getsockname()
        copas.addserver(server, handler)
        return tonumber(port), server
    end

    --- Sends a line, returns the line that comes back; what follows must be the end of the connection.
    local function ask(port, line)
        local connection = socket.tcp()
        connection:settimeout(0)
        assert(copas.connect(connection, "127.0.0.1", port))
        copas.send(connection, line .. "\n")
        local answer = copas.receive(connection, "*l")
        local _, reason = copas.receive(connection, "*l")
        connection:close()
        assert.equal("closed", reason)
        return answer
    end

    it("generates in a server that answers all the time", function()
        local port = new_server(function(connection)
            local wrapped = copas.wrap(connection)
            local line = wrapped:receive "*l"
            if line == "ping" then
                wrapped:send "pong\n"
            else
                wrapped:send(#assert(client:generate(line)):bytes() .. "\n")
            end
        end)
        local pictures, pings, pings_while_waiting = 0, 0, 0
        local threads = {}
        for i = 1, 10 do
            threads[i] = function()
                assert.equal("600", ask(port, "picture " .. i))
                pictures = pictures + 1
            end
        end
        threads[11] = function()
            while pictures < 10 do
                assert.equal("pong", ask(port, "ping"))
                pings = pings + 1
                if flux2.pending() == 10 then pings_while_waiting = pings_while_waiting + 1 end
            end
        end
        run((table.unpack or unpack)(threads))
        assert.equal(10, pictures)
        assert.is_true(pings_while_waiting > 1, pings .. " pings, while all generate " .. pings_while_waiting)
    end)

    host_threads.specs(it, {
        run = run, sleep = flux2.sleep, client = function() return client end, emulator = function() return emulator end,
    })

    it("serves what nobody waits for, from outside of copas as well", function()
        local said, slept
        assert(client:submit "forgotten"):on("done", function(task) said = task.state end)
        flux2.spawn(function() slept = flux2.sleep(0.3) end)
        assert.is_true(host.active())
        run()
        assert.equal("succeeded", said)
        assert.is_true(slept)
    end)

    it("is active until whoever it has woken has gone on", function()
        local done
        copas.addthread(function()
            assert(client:generate "a picture in two waits")
            done = true
        end)
        repeat copas.step(0.1) until not host.active()
        assert.is_true(done)
    end)

    local function new_echo()
        return new_server(function(connection)
            local wrapped = copas.wrap(connection)
            wrapped:send(wrapped:receive "*l" .. "\n")
        end)
    end

    it("leaves a thread that has waited to copas", function()
        local port, answer = new_echo(), nil
        run(function()
            assert(flux2.sleep(0.02))
            answer = ask(port, "after")
        end)
        assert.equal("after", answer)
    end)

    before_2("takes a thread that is a coroutine already", function()
        local port, answer = new_echo(), nil
        copas.addthread(coroutine.create(function()
            assert(flux2.sleep(0.02))
            answer = ask(port, "coroutine")
        end))
        step_until("it is answered", function() return answer end)
        assert.equal("coroutine", answer)
    end)

    it("closes the connection of a handler that waited last for flux2", function()
        local port, answer = new_server(function(connection)
            local wrapped = copas.wrap(connection)
            wrapped:send(wrapped:receive "*l" .. "\n")
            flux2.sleep(0.02)
        end), nil
        collectgarbage "stop" -- which would close it, too
        local ok, err = pcall(run, function() answer = ask(port, "close me") end)
        collectgarbage "restart"
        assert(ok, err)
        assert.equal("close me", answer)
    end)

    since_2("lets copas.loop end", function()
        local code, output = service.run_lua [[
            local copas = require "copas"
            require "flux2.host.copas"
            local flux2 = require "flux2"
            copas.addthread(function()
                flux2.sleep(0.05)
                print "slept"
            end)
            copas.loop()
            print "ended"
        ]]
        assert.equal(0, code)
        assert.equal("slept\nended\n", output)
    end)

    it("tells of the error of a coroutine that nobody joins", function()
        local code, output = service.run_lua [[
            local copas = require "copas"
            local host = require "flux2.host.copas"
            local flux2 = require "flux2"
            local done = false
            copas.addthread(function()
                flux2.spawn(function()
                    flux2.sleep(0.02)
                    error "nobody hears of this"
                end)
                local joined = flux2.spawn(function() error "somebody does" end)
                assert(select(2, joined:join()):find "somebody does")
                flux2.sleep(0.05)
                done = true
            end)
            while not done or host.active() do copas.step() end
        ]]
        assert.equal(0, code)
        assert.truthy(output:find("uncaught error.*nobody hears of this"))
        assert.is_nil(output:find "somebody does")
    end)
end)
