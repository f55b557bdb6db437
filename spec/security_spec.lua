-- Where the API key may be sent, and hostile server data.
local core = require "flux2.core"
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

    it("is sent with every request to the service, and never to an image host", function()
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

    it("is not sent to a redirect target of a submission or a poll", function()
        emu:fault { method = "GET", path = TASKS, times = 1000, redirect = other.url .. "/api/v1/tasks/x" }
        local result, err = assert(client:submit "a fox"):wait()
        assert.is_nil(result)
        assert.equal("protocol", err.kind)
        assert.matches(other.url, tostring(err), nil, true)
        assert.equal(0, other:stats().requests)
    end)

    it("is not sent with a download that is redirected to another host", function()
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

    it("is in no Lua-visible field at any depth", function()
        local key, spool = "sk-no-prefix.at~all", service.directory()
        local keyed = service.start { api_key = key, failure_reason = "no " .. key }
        local c = service.client(keyed, { spool = spool })
        local task = assert(c:submit "a fox")
        local result = assert(task:wait())
        local failed = assert(c:submit "this will [fail]")
        local _, err = failed:wait()
        local seen = {}
        local function walk(value, where)
            if type(value) == "string" then assert.is_nil(value:find(key, 1, true), where) end
            if type(value) ~= "table" or seen[value] then return end
            seen[value] = true
            for name, member in next, value do
                walk(name, where .. ".<name>")
                walk(member, where .. "." .. tostring(name))
            end
            walk(debug.getmetatable(value), where .. ".<metatable>")
        end
        for name, value in pairs { client = c, task = task, result = result, image = result.images[1], failed = failed,
            err = err } do
            walk(value, name)
            assert.is_nil(tostring(value):find(key, 1, true), name)
        end
        local n = 0
        for _ in pairs(seen) do n = n + 1 end
        assert.is_true(n > 20, "only " .. n .. " tables were looked at")
        service.remove(spool)
    end)

    for _, key in ipairs { "aio_emulator_key", "sk-no-prefix.at~all" } do
        it("is in no error, even if the service echoes it: " .. key, function()
            local echo = service.start { api_key = key }
            local c = service.client(echo, { poll = { interval = 0.02, patience = 0.1 } })
            for _, fault in ipairs {
                { path = SUBMIT, method = "POST", status = 400 }, { path = SUBMIT, method = "POST", status = 502 },
                { path = TASKS, method = "GET", status = 403 }, { path = "/images/*", method = "GET", status = 418 },
            } do
                echo:clear_faults()
                fault.times = 100
                fault.body = ('{"error":{"code":"%s","message":"bad key %s","type":"%s"},"key":"%s"}'):format(key, key,
                    key, key)
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

        it("is in no error in part, where the text is truncated: " .. key, function()
            local echo = service.start { api_key = key }
            local c = service.client(echo)
            local half = key:sub(1, 10)
            local function check(body)
                echo:fault { path = SUBMIT, method = "POST", status = 400, body = body, nth = 1 }
                local _, err = c:generate "a fox"
                echo:clear_faults()
                for name, value in pairs(err) do assert.is_nil(tostring(value):find(half, 1, true), name) end
                assert.is_nil(tostring(err):find(half, 1, true))
            end
            for _, length in ipairs { 185, 385, 485 } do
                check(('{"error":{"code":"%s","message":"%s"}}'):format(key, ("x"):rep(length) .. " " .. key))
            end
            for _, length in ipairs { 65536, 131072 } do
                local head = '{"error":{"message":"no"},"pad":"'
                check(head .. ("z"):rep(length - #head - 12) .. key .. '"}')
            end
            check('{"error":{"message":"no"},"pad":"' .. (key .. " "):rep(math.floor(2 ^ 17 / #key)) .. '"}')
        end)
    end

    describe("echoed by the service", function()
        local KEY = "sk-Zq7/Lm9+Xw2=Pt4.Ye6~Rb8Gd1Hn3"
        local echo, c, spool
        before_each(function()
            echo, spool = service.start { api_key = KEY }, service.directory()
            c = service.client(echo, { spool = spool, max_retries = 0 })
        end)
        after_each(function() service.remove(spool) end)

        local function hex(s, format)
            return (s:gsub(".", function(byte) return (format or "%02x"):format(byte:byte()) end))
        end
        local function url_safe(s) return (s:gsub("[+/]", { ["+"] = "-", ["/"] = "_" })) end
        local function escape(s) return (s:gsub("[/+=]", function(mark) return ("%%%02X"):format(mark:byte()) end)) end

        --- The forms of the key in a response. Base64 depends on the number of bytes before it.
        local FORMS = { KEY, hex(KEY), hex(KEY, "%02X") }
        for before = 0, 2 do
            local whole = core.base64(("\0"):rep(before) .. KEY .. "\0\0\0")
            FORMS[#FORMS + 1] = whole:sub(before > 0 and before + 2 or 1, math.floor((before + #KEY) * 4 / 3))
            FORMS[#FORMS + 1] = url_safe(FORMS[#FORMS])
        end

        --- Asserts that the text contains no 8 consecutive bytes of the key in any form.
        local function holds_none(s, where)
            s = s:gsub(("z"):rep(16) .. "+", " ") -- the filler
            for _, form in ipairs(FORMS) do
                for i = 1, #form - 7 do
                    if s:find(form:sub(i, i + 7), 1, true) then error(where .. ": " .. s, 2) end
                end
            end
        end

        local function submit(body, status)
            local seen
            echo:fault { path = SUBMIT, method = "POST", nth = 1, status = status, body = body,
                headers = { ["X-Request-Id"] = ("r"):rep(150) .. KEY } }
            local task = assert(c:submit("a fox", { on_request = function(_, request) seen = request end }))
            local result, err = task:wait()
            return err or result, seen, task
        end

        for name, echoed in pairs {
            ["as it is"] = KEY, ["in JSON"] = KEY:gsub("/", "\\/"),
            ["in JSON, escaped"] = KEY:gsub("%p", function(mark) return ("\\u%04x"):format(mark:byte()) end),
            ["in a URL"] = escape(KEY), ["in hex"] = hex(KEY), ["in upper-case hex"] = hex(KEY, "%02X"),
            ["in Base64"] = core.base64(KEY), ["in Base64 after a byte"] = core.base64(":" .. KEY),
            ["in Base64 among others"] = core.base64("jo" .. KEY .. ":x"),
            ["in URL-safe Base64"] = url_safe(core.base64("u:" .. KEY)),
            ["in Base64 in a URL"] = escape(core.base64(KEY)),
        } do
            it("is not partly visible in truncated text: " .. name, function()
                for _, limit in ipairs { 500, 960, 16384, 65536 } do
                    for _, cut in ipairs { 1, #echoed - 1 } do
                        local body = '{"error":{"code":400,"message":"' .. ("z"):rep(limit - 32 - cut) .. echoed ..
                            '"}}'
                        local err, seen = submit(body, 400)
                        local where = ("%d, %d"):format(limit, cut)
                        holds_none(tostring(err), where)
                        holds_none(err.message, where)
                        holds_none(err.raw or "", where)
                        holds_none(seen.body or "", where)
                        holds_none(err.request_id or "", where)
                        echo:clear_faults()
                    end
                end
            end)

            it("is in no record, no URL and no id: " .. name, function()
                local result = submit('{"data":[{"url":"http://127.0.0.1:1/a.png?k=' .. echoed .. '"}]}')
                holds_none(tostring(result.images[1]), "image")
                holds_none(result.images[1].url, "link")
                local _, _, task = submit('{"data":{"task_id":"id-' .. echoed .. '","status":"' .. echoed .. '"}}')
                holds_none(tostring(task), "task")
                local records = 0
                for _, file in ipairs(service.list(spool)) do
                    records = records + (file:find "^task" and 1 or 0)
                    holds_none(service.read(spool .. "/" .. file), file)
                end
                assert.is_true(records >= 1)
            end)
        end

        it("is hidden completely if another secret is its beginning", function()
            c = service.client(echo, { max_retries = 0, headers = { ["X-Auth-Token"] = KEY:sub(1, 10) } })
            local err = submit('{"error":{"code":400,"message":"' .. KEY .. '"}}', 400)
            holds_none(tostring(err), "error")
            holds_none(err.raw, "body")
        end)

        it("is redacted in every encoding before the text is truncated", function()
            local redact = core._pure.redact
            assert.equal("a [key] b", redact("a " .. KEY .. " b", KEY))
            assert.equal("[key][key]", redact(KEY .. KEY, KEY))
            for room = 0, 20 do assert.equal(("x[key]y"):sub(1, room), redact("x" .. KEY .. "y", KEY, room)) end
            assert.equal(KEY:sub(1, -2), redact(KEY:sub(1, -2), KEY), "a part is no key")
            assert.equal("short", redact("short", "short"), "may be a word")
        end)
    end)

    it("of a proxy is in no error, for any response of the proxy", function()
        local proxy = service.start()
        for _, given in ipairs { "joe:s3cret%40pw", "joe:s3cret@pw" } do
            local plain = given:gsub("%%40", "@")
            proxy:clear_faults()
            proxy:fault { path = "*", times = 1000, status = 407,
                body = "user joe:s3cret%40pw, password " .. plain .. " " .. core.base64(plain) }
            local through, err = flux2.new { api_key = "aio_k", base_url = "http://flux2.invalid",
                insecure_http = true, max_retries = 0,
                proxy = "http://" .. given .. "@" .. proxy.url:match "//(.*)" }
            if through then err = select(2, through:generate "a fox") end
            for _, secret in ipairs { "s3cret", core.base64(plain) } do
                assert.is_nil(err and (tostring(err) .. (err.raw or "")):find(secret, 1, true), tostring(err))
            end
        end
    end)

    it("is not in the arguments or the environment of the process", function()
        local secret = "aio_" .. tostring(os.time()) .. "secret"
        local c = service.client(emu, { api_key = secret })
        assert(c:submit "a fox"):wait()
        assert.is_nil(service.read "/proc/self/cmdline":find(secret, 1, true))
        assert.is_nil(service.read "/proc/self/environ":find(secret, 1, true))
    end)
end)

describe("server data", function()
    local emu, client
    before_each(function()
        emu = service.start()
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    --- The target of the last request for a task, as sent.
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
            emu:fault { method = "GET", path = "*", times = 50, status = 400,
                body = '{"error":{"code":400,"message":"?"}}' }
            local task = assert(client:submit "a fox")
            local result, err = task:wait()
            assert.is_nil(result)
            assert.equal(id, task.id)
            assert.equal(id, err.task_id)
            assert.equal("/api/v1/tasks/" .. escaped, polled())
        end)
    end

    it("with an id of 10 kB is an unusable response", function()
        local body = require("cjson").encode { code = 200, data = { task_id = ("x"):rep(10240) } }
        emu:fault { method = "POST", path = SUBMIT, nth = 1, status = 200, body = body }
        local result, err = assert(client:submit "a fox"):wait()
        assert.is_nil(result)
        assert.equal("unknown_outcome", err.kind, tostring(err))
        assert.is_true(#tostring(err) < 1000)
    end)

    it("with an image URL of another scheme is not followed", function()
        local strict = service.client(emu, { poll = { interval = 0.02, patience = 0.1 } })
        for _, url in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/a.png", "javascript:alert(1)",
            "data:text/html,x.png" } do
            emu:clear_faults()
            local body = require("cjson").encode { code = 200,
                data = { status = "SUCCESS", output = { image_url = url } } }
            emu:fault { method = "GET", path = TASKS, times = 100, status = 200, body = body }
            local image, err = strict:generate "a fox"
            assert.is_nil(image)
            assert.equal("protocol", err.kind, tostring(err))
            assert.equal(url:sub(1, 5) ~= "data:", tostring(err):find(url, 1, true) ~= nil)
        end
    end)

    it("with a status that reverts, or an id that changes, is handled", function()
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
        -- No poll is sent before the last change was seen.
        local task = assert(service.client(emu, { max_event_bytes = 1 }):submit("a fox",
            { on_status = function(t) seen[#seen + 1] = t.status end }))
        assert(task:wait())
        local ledger = emu:ledger()
        assert.equal(ledger[1].task_id, task.id)
        assert.same({ "IN_PROGRESS", "PROCESSING", "QUEUED", "IN_PROGRESS", "SUCCESS" }, seen)
    end)

    it("has a limit for headers, and the error names the option", function()
        local headers = {}
        for i = 1, 20 do headers["X-Long-" .. i] = ("x"):rep(1000) end
        emu:fault { method = "GET", path = "/images/*", times = 20, headers = headers }
        local image, err = service.client(emu, { max_header_bytes = 10000 }):generate "a fox"
        assert.is_nil(image)
        assert.equal("too_large", err.kind)
        assert.matches("max_header_bytes", tostring(err), nil, true)
        assert(client:generate "a fox")
    end)

    it("with control characters is escaped", function()
        local body = '{"error":{"code":400,"message":"\\u001b[31mred\\u0007 \\u202e txt","type":"a\\u0000b"}}'
        emu:fault { method = "POST", path = SUBMIT, nth = 1, status = 400, body = body }
        local _, err = assert(client:submit "a fox"):wait()
        assert.is_nil(tostring(err):find "%c")
    end)
end)

describe("invalid arguments", function()
    for i, case in ipairs {
        { { Authorization = "x" }, "headers['Authorization']: flux2 sets this header itself" },
        { { ["content-LENGTH"] = "9" }, "headers['content-LENGTH']: flux2 sets this header itself" },
        { { ["X-Key"] = "x" }, "headers['X-Key']: flux2 sets this header itself", "bfl" },
        { { ["X Y"] = "x" }, "headers['X Y']: this is not the name of a header" },
        { { ["X:"] = "x" }, "headers['X:']: this is not the name of a header" },
        { { "X-A: b" }, "headers[1]: this is not the name of a header" },
        { { ["X-A"] = "b\r\nX-Evil: 1" }, "headers['X-A'] holds a control character (byte 2)" },
        { { ["X-A"] = "b\n" }, "headers['X-A'] holds a control character (byte 2): a line break at its end?" },
        { { ["X-A"] = "" }, "headers['X-A'] must be a string that is not empty" },
        { { ["X-A"] = 1 }, "headers['X-A'] must be a string that is not empty" },
    } do
        it("in headers are rejected, " .. i, function()
            local client, err = flux2.new { api_key = "aio_k", provider = case[3], headers = case[1] }
            assert.is_nil(client)
            assert.same({ "invalid_request", case[2] }, { err.kind, err.message })
        end)
    end

    it("control characters in a proxy, a user agent or a CA file are rejected", function()
        for _, name in ipairs { "proxy", "user_agent", "ca_file" } do
            local client, err = flux2.new { api_key = "aio_k", [name] = "x\r\nX-Evil: 1" }
            assert.is_nil(client)
            assert.equal("invalid_request", err.kind)
            assert.matches(name, tostring(err), nil, true)
        end
    end)
end)
