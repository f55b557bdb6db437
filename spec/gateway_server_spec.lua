-- The gateway's HTTP server: suspended requests, and the limits that make it safe to expose.
local has_core, core = pcall(require, "flux2.gateway.core")
if not has_core then return end -- a checkout without libmicrohttpd

local bound = require "support.bound"
local now = require("flux2.core").now
local service = require "support.service"
local shell = require "support.shell"

describe("the gateway's server", function()
    local server, dir, url, port
    before_each(function() dir = service.directory() end)
    after_each(function()
        if server then server:stop() end
        server = nil
        service.remove(dir)
    end)

    local function start(options)
        local given = {
            address = "127.0.0.1", port = 0, max_connections = 100, max_per_address = 100, max_headers = 16384,
            max_body = 1000, upload_target = "/uploads", max_upload = 50000, max_uploads = 120000,
            receive_seconds = bound(20), send_seconds = bound(20),
        }
        for name, value in pairs(options or {}) do given[name] = value end
        server = assert(core.serve(given))
        port = server:port()
        url = "http://127.0.0.1:" .. port
    end

    --- Runs a command in the background. Returns a function that returns its output once it has ended.
    local function background(command)
        local name = dir .. "/" .. service.unique_name()
        os.execute(("{ timeout %d bash -c %s >%s.part 2>/dev/null; mv %s.part %s; } &"):format(bound(60),
            shell.quote(command), name, name, name))
        return function() return service.read_if_there(name) end
    end

    local function curl(path, words)
        return background(("curl -q -sS -i --noproxy '*' %s %s%s"):format(words or "", url, path))
    end

    --- Answers requests until the condition is true. `answer` returns status, headers, body, path; nothing: later.
    local function serve_until(condition, answer)
        local until_ = now() + bound(45)
        repeat
            assert(now() < until_, "still waiting")
            server:wait(nil, 0.02)
            local id, method, target, address, headers, body = server:next()
            if id then
                local status, out, text, path = answer(id, method, target, address, headers, body)
                if status then assert(server:respond(id, status, out or {}, text, path)) end
            end
            local result = condition()
            if result then return result end
        until false
    end

    local function nothing() error "a request arrived" end

    it("passes on method, target, address, headers and body, and sends status, headers and body", function()
        start()
        local got
        local output = serve_until(curl("/a%20b?c=d", "-H 'X-One: 1' -H 'x-one: 2' -d body"), function(_, ...)
            got = { ... }
            return 418, { ["X-Two"] = "2" }, "short and stout"
        end)
        assert.same({ "POST", "/a%20b?c=d", "127.0.0.1" }, { got[1], got[2], got[3] })
        assert.equal("1, 2", got[4]["x-one"])
        assert.equal("body", got[5])
        assert.matches("^HTTP/1.1 418 .*X%-Two: 2.*short and stout$", output)
    end)

    it("answers requests in any order, and needs no thread for those that wait", function()
        start()
        local outputs, held = {}, {}
        for i = 1, 20 do outputs[i] = curl("/" .. i) end
        serve_until(function() return #held == 20 end, function(id, _, target) table.insert(held, 1, { id, target }) end)
        local _, waiting = server:counts()
        assert.equal(20, waiting)
        local status = service.read "/proc/self/status"
        assert.is_true(tonumber(status:match "Threads:%s*(%d+)") < 10)
        for _, request in ipairs(held) do assert(server:respond(request[1], 200, {}, "answer to " .. request[2])) end
        for i = 1, 20 do
            assert.matches("answer to /" .. i .. "$", serve_until(outputs[i], nothing))
        end
    end)

    it("sends a file", function()
        start()
        service.write(dir .. "/file", ("x"):rep(300000))
        local output = serve_until(curl "/", function() return 200, {}, nil, dir .. "/file" end)
        assert.matches("Content%-Length: 300000", output)
        assert.matches("\r\n\r\n" .. ("x"):rep(100), output)
        local answered = serve_until(curl "/", function(id)
            local ok, reason = server:respond(id, 200, {}, nil, dir .. "/missing")
            assert.is_nil(ok)
            assert.matches("No such file", reason)
            ok, reason = server:respond(id, 200, {}, nil, dir)
            assert.is_nil(ok, reason)
            return 404
        end)
        assert.matches("^HTTP/1.1 404", answered)
    end)

    it("refuses a header that would add another one", function()
        start()
        serve_until(curl "/", function(id)
            assert.is_nil((server:respond(id, 200, { ["X-One"] = "1\r\nX-Two: 2" }, "")))
            return 200
        end)
    end)

    it("limits bodies, with a length and chunked, and headers", function()
        start()
        service.write(dir .. "/999", ("x"):rep(1000))
        service.write(dir .. "/1001", ("x"):rep(1001))
        service.write(dir .. "/huge", ("x"):rep(3000000))
        local function sized(_, _, _, _, _, body) return 200, {}, tostring(#body) end
        for _, chunked in ipairs { "", "-H 'Transfer-Encoding: chunked' " } do
            assert.matches("1000$", serve_until(curl("/", chunked .. "--data-binary @" .. dir .. "/999"), sized))
            -- The second request's use of the connection shows that the first one's body has been read.
            local twice = "-w '%{num_connects}' --data-binary @" .. dir .. "/1001 " .. url .. "/ "
            assert.matches("^HTTP/1.1 413.*1HTTP/1.1 413.*0$", serve_until(curl("/", chunked .. twice), nothing))
        end
        assert.equal("", serve_until(curl("/", "-H 'Transfer-Encoding: chunked' -H Expect: --data-binary @" .. dir ..
            "/huge"), nothing):match "200 OK" or "")
        assert.matches("^HTTP/1.1 4%d%d", serve_until(curl("/", "-H 'X-Long: " .. ("x"):rep(17000) .. "'"), nothing))
        assert.matches("^HTTP/1.1 4%d%d", serve_until(curl("/" .. ("x"):rep(17000)), nothing))
    end)

    it("closes the connection of a request with two lengths, of which a proxy may believe the other one", function()
        start()
        for _, lengths in ipairs { "Content-Length: 1\\r\\nContent-Length: 40", "Transfer-Encoding: chunked\\r\\nContent-Length: 1" } do
            local request = ("trap '' PIPE; exec 3<>/dev/tcp/127.0.0.1/%d; printf 'POST / HTTP/1.1\\r\\nHost: a\\r\\n%s\\r\\n\\r\\nx" ..
                "GET /hidden HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3; cat <&3; echo ended"):format(port, lengths)
            assert.equal("ended\n", serve_until(background(request), nothing))
        end
    end)

    it("allows larger bodies of uploads, so many at the same time as their sum allows", function()
        start()
        service.write(dir .. "/50000", ("x"):rep(50000))
        service.write(dir .. "/50001", ("x"):rep(50001))
        local function post(path, size) return curl(path, "-H Expect: --data-binary @" .. dir .. "/" .. size) end
        local held = {}
        local function hold(id) held[#held + 1] = id end
        local outputs = { post("/uploads", 50000), post("/uploads?x=1", 50000) }
        serve_until(function() return #held == 2 end, hold)
        assert.matches("^HTTP/1.1 503 .*too many uploads", serve_until(post("/uploads", 50000), nothing))
        assert.matches("^HTTP/1.1 413", serve_until(post("/uploads", 50001), nothing))
        assert.matches("^HTTP/1.1 413", serve_until(post("/uploads/", 50000), nothing))
        assert.matches("^HTTP/1.1 200", serve_until(curl("/other", "-d small"), function() return 200 end))
        for _, id in ipairs(held) do assert(server:respond(id, 200, {}, "")) end
        for _, output in ipairs(outputs) do assert.matches("^HTTP/1.1 200", serve_until(output, nothing)) end
        local output = serve_until(post("/uploads", 50000), function(_, _, _, _, _, body) return 200, {}, tostring(#body) end)
        assert.matches("50000$", output)
    end)

    it("ends a connection that does not send its request in time", function()
        start { receive_seconds = 0.5 }
        local slow = ("exec 3<>/dev/tcp/127.0.0.1/%d; printf 'GET / HTTP/1.1\\r\\n' >&3; " ..
            "for i in 1 2 3 4 5 6 7 8 9 10; do printf 'X-%%d: 1\\r\\n' $i >&3 || break; sleep 0.2; done; cat <&3; " ..
            "echo $i"):format(port)
        local idle = ("exec 3<>/dev/tcp/127.0.0.1/%d; cat <&3; echo ended"):format(port)
        local slow_output, idle_output = background(slow), background(idle)
        assert.equal("ended\n", serve_until(idle_output, nothing))
        assert.is_nil(serve_until(slow_output, nothing):find "HTTP/1.1 200")
        serve_until(function() return (server:counts()) == 0 end, nothing)
    end)

    it("ends a connection that does not read its response in time", function()
        start { send_seconds = 0.5 }
        service.write(dir .. "/file", ("x"):rep(20000000))
        background(("exec 3<>/dev/tcp/127.0.0.1/%d; printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3; sleep 20"):format(
            port))
        local sent = 0
        serve_until(function() return sent == 1 and (server:counts()) == 0 end, function()
            sent = sent + 1
            return 200, {}, nil, dir .. "/file"
        end)
    end)

    it("limits the connections of an address that is not exempt", function()
        local idle = "exec 3<>/dev/tcp/127.0.0.1/%d; cat <&3; sleep 0.01"
        for _, exempt in ipairs { false, true } do
            start { max_per_address = 3, exempt = exempt and { "127.0.0.1" } or nil }
            for _ = 1, 3 do background(idle:format(port)) end
            serve_until(function() return (server:counts()) == 3 end, nothing)
            local output = serve_until(curl "/", function() return 200 end)
            assert.equal(exempt, output:find "200 OK" ~= nil)
            server:stop()
        end
        server = nil
    end)

    it("makes room for a new connection by ending the one that was idle for longest", function()
        start { max_connections = 5 }
        for _ = 1, 5 do background(("exec 3<>/dev/tcp/127.0.0.1/%d; cat <&3"):format(port)) end
        serve_until(function() return (server:counts()) == 5 end, nothing)
        assert.matches("200 OK", serve_until(curl "/", function() return 200 end))
    end)

    it("takes no request of a connection that it has ended, whose response would not arrive", function()
        local program, seen = dir .. "/server.lua", dir .. "/seen"
        service.write(program, [[
            local server = assert(require("flux2.gateway.core").serve {
                address = "127.0.0.1", port = 0, max_connections = 1, max_per_address = 9, max_headers = 16384,
                max_body = 9, upload_target = "/uploads", max_upload = 9, max_uploads = 9, receive_seconds = 60,
                send_seconds = 60,
            })
            local seen = assert(io.open(arg[1], "w"))
            seen:write(server:port(), "\n")
            seen:flush()
            local target, is_connected
            repeat
                server:wait(nil, 0.02)
                if not is_connected and (server:counts()) == 1 then
                    is_connected = true
                    seen:write "connected\n"
                    seen:flush()
                end
                local id, _, name = server:next()
                if id then
                    seen:write(name, "\n")
                    seen:flush()
                    server:respond(id, 200, {}, "")
                    target = name
                end
            until target == "/last"
            while (server:counts()) > 0 do server:wait(nil, 0.02) end
            server:stop()
        ]])
        -- The process is stopped while a request and a new connection arrive: it accepts the connection, which ends the
        -- other one, before it reads the request.
        local output = background(([[
            '%s' '%s' '%s' & pid=$!
            until port=$(head -n 1 '%s' 2>/dev/null) && [ "$port" ]; do sleep 0.01; done
            exec 3<>/dev/tcp/127.0.0.1/$port
            until grep -q connected '%s'; do sleep 0.01; done
            kill -STOP $pid
            while grep -h ^State: /proc/$pid/task/*/status | grep -qv '[Tt] ('; do sleep 0.01; done
            printf 'POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx' >&3
            exec 4<>/dev/tcp/127.0.0.1/$port
            printf 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&4
            kill -CONT $pid
            head -n 1 <&4
            cat <&3
            wait $pid]]):format(shell.interpreter(), program, seen, seen, seen))
        local until_ = now() + bound(45)
        while not output() do assert(now() < until_) end
        assert.equal("HTTP/1.1 200 OK\r\n", output())
        assert.matches("^%d+\nconnected\n/last\n$", service.read(seen))
    end)

    it("refuses new connections after quiesce, and ends without those that wait", function()
        start()
        local held
        local waiting = curl "/"
        serve_until(function() return held end, function(id) held = id end)
        server:quiesce()
        assert.equal("", serve_until(curl "/", nothing))
        server:stop()
        server = nil
        local until_ = now() + bound(45)
        while not waiting() do assert(now() < until_) end
        assert.equal("", waiting())
    end)

    it("says why it cannot listen", function()
        start()
        local options = {
            address = "127.0.0.1", port = port, max_connections = 1, max_per_address = 1, max_headers = 9000,
            max_body = 1, upload_target = "/", max_upload = 1, max_uploads = 1, receive_seconds = 1, send_seconds = 1,
        }
        local second, reason = core.serve(options)
        assert.is_nil(second)
        assert.matches("in use", reason)
        options.address = "localhost"
        second, reason = core.serve(options)
        assert.is_nil(second)
        assert.matches("Invalid argument", reason)
    end)

    it("compares secrets completely", function()
        assert.is_true(core.same("abc", "abc"))
        assert.is_true(core.same("", ""))
        for _, other in ipairs { "abd", "xbc", "ab", "abcd", "" } do assert.is_false(core.same("abc", other)) end
    end)
end)
