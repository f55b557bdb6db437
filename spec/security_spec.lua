-- Where the key may go, and what a server's data may do.
local flux2 = require "flux2"
local service = require "support.service"

local SUBMIT, TASKS = "/api/v1/images/generations", "/api/v1/tasks/*"

describe("the key", function()
    local emu, other, client
    before_each(function()
        emu, other = service.start(), service.start()
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    it("goes with every call to the service, and with none to an image host", function()
        assert(client:generate "a fox")
        local calls, downloads = 0, 0
        for _, request in ipairs(emu:requests()) do
            if request.path:find("/api/", 1, true) then
                calls = calls + 1
                assert.equal("Bearer " .. emu.api_key, request.headers.authorization)
            else
                downloads = downloads + 1
                assert.is_nil(request.headers.authorization)
            end
        end
        assert.is_true(calls >= 2 and downloads == 1)
    end)

    it("follows no redirect, from a submission or from a poll", function()
        emu:fault { method = "GET", path = TASKS, times = 9, redirect = other.url .. "/api/v1/tasks/x" }
        local result, err = assert(client:submit "a fox"):wait()
        assert.is_nil(result)
        assert.equal("protocol", err.kind)
        assert.matches(other.url, tostring(err), nil, true)
        assert.equal(0, other:stats().requests)
    end)

    it("is not on the way with a download that is redirected elsewhere", function()
        local image = assert(assert(client:submit "a fox"):wait()).images[1]
        local there = assert(assert(service.client(other):submit "another fox"):wait()).images[1]
        emu:fault { method = "GET", path = "/images/*", nth = 1, redirect = there.url }
        assert(image:bytes())
        local requests = other:requests()
        local last = requests[#requests]
        assert.matches("^/images/", last.path)
        for name, value in pairs(last.headers) do
            assert.is_nil(value:find(emu.api_key, 1, true), name)
        end
    end)

    for _, key in ipairs { "aio_emulator_key", "sk-no-prefix.at~all" } do
        it("is in no error, even if the service echoes it: " .. key, function()
            local echo = service.start { api_key = key }
            local c = service.client(echo)
            for _, fault in ipairs {
                { path = SUBMIT, method = "POST", status = 400 }, { path = SUBMIT, method = "POST", status = 502 },
                { path = TASKS, method = "GET", status = 403 }, { path = "/images/*", method = "GET", status = 418 },
            } do
                echo:clear_faults()
                fault.nth = 1
                fault.body = ('{"error":{"code":"%s","message":"bad key %s","type":"%s"},"key":"%s"}'):format(key, key, key, key)
                fault.headers = { ["X-Request-Id"] = "req " .. key, ["Content-Type"] = "application/json" }
                echo:fault(fault)
                local image, err = c:generate "a fox"
                assert.is_nil(image)
                for name, value in pairs(err) do
                    assert.is_nil(tostring(value):find(key, 1, true), name)
                end
                assert.is_nil(tostring(err):find(key, 1, true))
            end
            assert.is_nil(tostring(c):find(key, 1, true))
        end)
    end

    it("is neither in the arguments nor in the environment of the process", function()
        local secret = "aio_" .. tostring(os.time()) .. "secret"
        local c = service.client(emu, { api_key = secret })
        assert(c:submit "a fox"):wait()
        assert.is_nil(service.read "/proc/self/cmdline":find(secret, 1, true))
        assert.is_nil(service.read "/proc/self/environ":find(secret, 1, true))
    end)
end)

describe("data of a server", function()
    local emu, client
    before_each(function()
        emu = service.start()
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    --- The target of the last request for a task, as it was on the wire.
    local function polled()
        local requests = emu:requests()
        for i = #requests, 1, -1 do
            if requests[i].method == "GET" then return requests[i].path end
        end
    end

    for id, escaped in pairs {
        ["../../v2/admin"] = "..%2F..%2Fv2%2Fadmin", [".."] = "%2E%2E", ["a?b=c#d"] = "a%3Fb%3Dc%23d",
        ["%2f..%2f"] = "%252f..%252f", ["a b\tc"] = "a%20b%09c", ["{id}"] = "%7Bid%7D",
        ["@evil.example/x"] = "%40evil.example%2Fx",
    } do
        it(("cannot change a path: the id %q"):format(id), function()
            local body = require("cjson").encode { code = 200, data = { task_id = id, status = "IN_PROGRESS" } }
            emu:fault { method = "POST", path = SUBMIT, nth = 1, status = 200, body = body }
            emu:fault { method = "GET", path = "*", times = 50, status = 400, body = '{"error":{"code":400,"message":"?"}}' }
            local task = assert(client:submit "a fox")
            local result, err = task:wait()
            assert.is_nil(result)
            assert.equal(id, task.id)
            assert.equal(id, err.task_id)
            assert.equal("/api/v1/tasks/" .. escaped, polled())
        end)
    end

    it("an id of 10 kB is an answer that cannot be used", function()
        local body = require("cjson").encode { code = 200, data = { task_id = ("x"):rep(10240) } }
        emu:fault { method = "POST", path = SUBMIT, nth = 1, status = 200, body = body }
        local result, err = assert(client:submit "a fox"):wait()
        assert.is_nil(result)
        assert.equal("unknown_outcome", err.kind, tostring(err))
        assert.is_true(#tostring(err) < 1000)
    end)

    it("an image URL of another kind is not followed", function()
        for _, url in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/a.png", "javascript:alert(1)", "//host/a.png" } do
            emu:clear_faults()
            local body = require("cjson").encode { code = 200, data = { status = "SUCCESS", output = { image_url = url } } }
            emu:fault { method = "GET", path = TASKS, nth = 1, status = 200, body = body }
            local image, err = client:generate "a fox"
            assert.is_nil(image)
            assert.equal("protocol", err.kind, tostring(err))
        end
    end)

    it("a status that flips back, and an id that changes, confuse nobody", function()
        local function says(nth, status, id)
            emu:fault {
                method = "GET", path = TASKS, nth = nth, status = 200,
                body = ('{"code":200,"data":{"task_id":"%s","status":"%s"}}'):format(id, status),
            }
        end
        says(1, "PROCESSING", "one")
        says(2, "QUEUED", "two")
        says(3, "IN_PROGRESS", "three")
        local seen = {}
        local task = assert(client:submit("a fox", { on_status = function(t) seen[#seen + 1] = t.status end }))
        assert(task:wait())
        local ledger = emu:ledger()
        assert.equal(ledger[1].task_id, task.id)
        assert.same({ "IN_PROGRESS", "PROCESSING", "QUEUED", "IN_PROGRESS", "SUCCESS" }, seen)
    end)

    it("headers have a limit, and the error says how to raise it", function()
        local headers = {}
        for i = 1, 20 do headers["X-Long-" .. i] = ("x"):rep(1000) end
        emu:fault { method = "GET", path = "/images/*", times = 20, headers = headers }
        local image, err = service.client(emu, { max_header_bytes = 10000 }):generate "a fox"
        assert.is_nil(image)
        assert.equal("too_large", err.kind)
        assert.matches("max_header_bytes", tostring(err), nil, true)
        assert(client:generate "a fox")
    end)

    it("control characters in the texts of the service reach no terminal", function()
        local body = '{"error":{"code":400,"message":"\\u001b[31mred\\u0007 \\u202e txt","type":"a\\u0000b"}}'
        emu:fault { method = "POST", path = SUBMIT, nth = 1, status = 400, body = body }
        local _, err = assert(client:submit "a fox"):wait()
        assert.is_nil(tostring(err):find "%c")
    end)
end)

describe("what a caller gives", function()
    it("a proxy, a user agent or a CA file with control characters is refused", function()
        for _, name in ipairs { "proxy", "user_agent", "ca_file" } do
            local client, err = flux2.new { api_key = "aio_k", [name] = "x\r\nX-Evil: 1" }
            assert.is_nil(client)
            assert.equal("invalid_request", err.kind)
            assert.matches(name, tostring(err), nil, true)
        end
    end)
end)
