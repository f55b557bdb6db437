-- flux2 under copas: a server that responds while it generates, with the installed version of copas. Debian's 1.1.7
-- supports Lua 5.1, 5.2 and LuaJIT; its loop does not end, so the specs step it.

local has_copas, copas = pcall(require, "copas")

local BOUND = require "support.bound"(60) -- seconds until a program counts as hanging

if not has_copas then
    describe("the host for copas", function()
        pending("needs copas for " .. _VERSION .. ": Debian has it for 5.1, 5.2 and LuaJIT (tools/deps hosts)")
    end)
    return
end

local flux2 = require "flux2"
local host_threads = require "support.host_threads"
local service = require "support.service"
local socket = require "socket"

-- Cases that only one of the two versions supports are pending on the other.
local before_2, since_2 = it, pending
if copas.finished then before_2, since_2 = pending, it end

describe("the host for copas", function()
    local bed = host_threads.bed("copas", { setup = setup, teardown = teardown, after_each = after_each })

    --- Steps copas until `condition()` is true.
    local function step_until(what, condition)
        local until_ = socket.gettime() + BOUND
        while not condition() do
            if socket.gettime() > until_ then error("still not after " .. BOUND .. " s: " .. what, 2) end
            copas.step(0.1)
        end
    end

    --- Runs copas threads to their end, after which flux2 must be inactive. Raises their errors.
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
        step_until("flux2 has nothing to do under copas", function() return not bed.host.active() end)
        assert.equal(0, flux2.pending())
    end

    local function new_server(handler)
        local server = assert(socket.bind("127.0.0.1", 0))
        local _, port = server:getsockname()
        copas.addserver(server, handler)
        return tonumber(port), server
    end

    --- Sends a line and returns the line of the response. The connection must end after it.
    local function send(port, line)
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

    it("generates in a server that keeps responding", function()
        local port = new_server(function(connection)
            local wrapped = copas.wrap(connection)
            local line = wrapped:receive "*l"
            if line == "ping" then
                wrapped:send "pong\n"
            else
                wrapped:send(#assert(bed.client:generate(line)):bytes() .. "\n")
            end
        end)
        bed.emulator:set { duration = 60 }
        local images, pings, pings_while_waiting = 0, 0, 0
        local threads = {}
        for i = 1, 10 do
            threads[i] = function()
                assert.equal("600", send(port, "image " .. i))
                images = images + 1
            end
        end
        threads[11] = function()
            while images < 10 do
                assert.equal("pong", send(port, "ping"))
                pings = pings + 1
                if flux2.pending() == 10 then pings_while_waiting = pings_while_waiting + 1 end
                if pings_while_waiting > 1 then bed.emulator:finish() end
            end
        end
        run((table.unpack or unpack)(threads))
        assert.equal(10, images)
        assert.is_true(pings_while_waiting > 1, pings .. " pings, while all generate " .. pings_while_waiting)
    end)

    host_threads.specs(it, bed, { run = run, sleep = flux2.sleep })

    it("runs tasks and coroutines without waiters, also when started outside copas", function()
        local state, slept
        assert(bed.client:submit "forgotten"):on("done", function(task) state = task.state end)
        flux2.spawn(function() slept = flux2.sleep(0.3) end)
        assert.is_true(bed.host.active())
        run()
        assert.equal("succeeded", state)
        assert.is_true(slept)
    end)

    it("is active until the last resumed coroutine has run", function()
        local done
        copas.addthread(function()
            assert(bed.client:generate "an image in two waits")
            done = true
        end)
        repeat copas.step(0.1) until not bed.host.active()
        assert.is_true(done)
    end)

    local function new_echo()
        return new_server(function(connection)
            local wrapped = copas.wrap(connection)
            wrapped:send(wrapped:receive "*l" .. "\n")
        end)
    end

    it("releases a thread after its wait", function()
        local port, answer = new_echo(), nil
        run(function()
            assert(flux2.sleep(0.02))
            answer = send(port, "after")
        end)
        assert.equal("after", answer)
    end)

    before_2("takes a thread that is a coroutine already", function()
        local port, answer = new_echo(), nil
        copas.addthread(coroutine.create(function()
            assert(flux2.sleep(0.02))
            answer = send(port, "coroutine")
        end))
        step_until("it is answered", function() return answer end)
        assert.equal("coroutine", answer)
    end)

    it("closes the connection of a handler whose last wait was for flux2", function()
        local port, answer = new_server(function(connection)
            local wrapped = copas.wrap(connection)
            wrapped:send(wrapped:receive "*l" .. "\n")
            flux2.sleep(0.02)
        end), nil
        collectgarbage "stop" -- the collector would close it as well
        local ok, err = pcall(run, function() answer = send(port, "close me") end)
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

    it("reports the error of a coroutine without a join", function()
        local code, output = service.run_lua [[
            local copas = require "copas"
            local host = require "flux2.host.copas"
            local flux2 = require "flux2"
            local done = false
            copas.addthread(function()
                flux2.spawn(function()
                    flux2.sleep(0.02)
                    error "an unjoined error"
                end)
                local joined = flux2.spawn(function() error "a joined error" end)
                assert(select(2, joined:join()):find "a joined error")
                flux2.sleep(0.05)
                -- The error handler may start a coroutine that fails, when nothing else happens.
                local n = 0
                flux2.spawn(error, setmetatable({}, { __tostring = function()
                    n = n + 1
                    if n < 9 then flux2.spawn(error, "another one, number " .. n) end
                    return "an object"
                end }))
                done = true
            end)
            while not done or host.active() do copas.step() end
        ]]
        assert.equal(0, code)
        assert.truthy(output:find("uncaught error.*an unjoined error"))
        assert.truthy(output:find("uncaught error[^\n]*an object"))
        assert.truthy(output:find("uncaught error[^\n]*another one, number 1"))
        assert.is_nil(output:find "a joined error")
    end)
end)
