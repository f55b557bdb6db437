-- The tester's access checks and shutdown: the page can spend credits, so only the local user may use it.
-- Takes about 10 seconds: each request is a separate curl process, and some wait for a server limit.
local bound = require "support.bound"
local core = require "flux2.core"
local curl = require "emulator_curl"
local json = require "flux2.json"
local page = require "support.tester_page"
local service = require "support.service"
local shell = require "support.shell"
local tester = require "flux2.tester"

local BOUND = bound(15) -- seconds; the 100 ms of the design are measured, not asserted
local REQUEST = '{"request":{"prompt":"a red fox"}}'

local GUARDS = {
    ["x-content-type-options"] = "nosniff", ["referrer-policy"] = "no-referrer", ["x-frame-options"] = "DENY",
    ["cross-origin-opener-policy"] = "same-origin", ["cross-origin-resource-policy"] = "same-origin",
    ["cross-origin-embedder-policy"] = "require-corp", ["cache-control"] = "no-store",
}
local POLICY = {
    ["default-src"] = "'none'", ["script-src"] = "'self'", ["style-src"] = "'self'", ["img-src"] = "'self'",
    ["connect-src"] = "'self'", ["base-uri"] = "'none'", ["form-action"] = "'none'", ["frame-ancestors"] = "'none'",
    ["require-trusted-types-for"] = "'script'", ["trusted-types"] = "'none'",
}

local function assert_guarded(response)
    for name, value in pairs(GUARDS) do assert.equal(value, response.headers[name], name) end
    local policy = {}
    for name, value in response.headers["content-security-policy"]:gmatch "([%l-]+) ([^;]*)" do policy[name] = value end
    assert.same(POLICY, policy)
    assert.is_nil(response.headers["access-control-allow-origin"])
end

describe("the tester's guard", function()
    local emu, url, origin, host
    before_each(function()
        emu = service.start()
        url = emu:tester().url
        origin = page.origin(url)
        host = origin:match "//(.*)"
    end)
    after_each(service.stop_all)

    --- A submission with these headers, to this URL.
    local function submit(headers, to)
        return page.post(to or url, "tasks", REQUEST, headers)
    end

    it("accepts requests of the page", function()
        local response = submit { "Origin: " .. origin, "Content-Type: application/json",
            "Sec-Fetch-Site: same-origin" }
        assert.equal(200, response.status)
        page.finish(url, 1)
        assert.equal(1, #emu:ledger())
    end)

    it("rejects a request without the token, or with a wrong one", function()
        local token = url:match "/(%x+)/$"
        assert.equal(32, #token)
        local last = token:sub(-1) == "0" and "1" or "0"
        local other = service.start():tester().url:match "/(%x+)/$"
        local places = {
            origin .. "/", origin .. "/" .. token:sub(1, -2) .. last .. "/", origin .. "/" .. token:sub(1, -2) .. "/",
            origin .. "/" .. token:upper() .. "x/", origin .. "//", origin .. "/" .. other .. "/",
            origin .. "/x/" .. token .. "/",
        }
        for _, place in ipairs(places) do
            local response = submit({ "Origin: " .. origin, "Content-Type: application/json" }, place)
            assert.equal(403, response.status, place)
            assert.is_nil(response.body:find(token, 1, true))
            assert_guarded(response)
            assert.equal(403, page.get(place, "about").status, place)
        end
        assert.equal(403, page.get(origin, "/favicon.ico").status)
        assert.equal(0, emu:stats().requests)
    end)

    it("rejects a foreign or missing Origin", function()
        local json_type = "Content-Type: application/json"
        local origins = {
            "https://evil.example", "null", "http://" .. host .. ".evil.example", "https://" .. host,
            "http://127.0.0.1:1",
            "http://localhost:" .. host:match "%d+$",
        }
        for _, foreign in ipairs(origins) do
            local response = submit { json_type, "Origin: " .. foreign }
            assert.equal(403, response.status, foreign)
            assert_guarded(response)
            assert.equal(403, page.get(url, "about", { "Origin: " .. foreign }).status, foreign)
        end
        assert.equal(403, submit({ json_type }).status)
        assert.equal(403, submit({ json_type, "Origin: " .. origin, "Origin: https://evil.example" }).status)
        assert.equal(403, submit({ json_type, "Origin: " .. origin, "Sec-Fetch-Site: cross-site" }).status)
        assert.equal(0, emu:stats().requests)
    end)

    it("cannot be framed by another site, and opens from a link", function()
        for _, path in ipairs { "", "about", "page/main.js", "events?after=0" } do
            assert.equal(403, page.get(url, path, { "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors" }).status,
                path)
            assert.equal(403, page.get(url, path, { "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors" }).status,
                path)
        end
        assert.equal(200, page.get(url, "", { "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate" }).status)
        assert.equal(200, page.get(url, "", { "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate" }).status)
    end)

    it("rejects a foreign Host (DNS rebinding)", function()
        local json_type, own = "Content-Type: application/json", "Origin: " .. origin
        for _, name in ipairs { "evil.example", "evil.example:" .. host:match "%d+$", "127.0.0.1", "127.0.0.1:1",
            "[::1]" } do
            local response = submit { json_type, own, "Host: " .. name }
            assert.equal(421, response.status, name)
            assert_guarded(response)
            assert.equal(421, page.get(url, "", { "Host: " .. name }).status, name)
            assert.equal(421, submit({ json_type, "Origin: http://" .. name, "Host: " .. name }).status, name)
        end
        assert.not_equal(200, submit({ json_type, own, "Host;" }).status)
        assert.equal(0, emu:stats().requests)
        assert.equal(200, page.get(url, "", { "Host: localhost:" .. host:match "%d+$" }).status)
    end)

    it("accepts JSON only, which requires a preflight request from a foreign page", function()
        local own = "Origin: " .. origin
        for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
            "application/jsonx" } do
            assert.equal(415, submit({ own, "Content-Type: " .. kind }).status, kind)
        end
        for _, method in ipairs { "OPTIONS", "PUT", "DELETE", "PATCH" } do
            local response = curl.request(url .. "tasks", { method = method, headers = {
                "Origin: https://evil.example", "Access-Control-Request-Method: POST",
            } })
            assert.equal(405, response.status, method)
            assert_guarded(response)
        end
        assert.equal(0, emu:stats().requests)
    end)

    it("limits the size of requests", function()
        local headers = { "Origin: " .. origin, "Content-Type: application/json" }
        assert.equal(413, page.post(url, "tasks", ("x"):rep(300000), headers).status)
        headers[3] = "Transfer-Encoding: chunked"
        assert.equal(413, page.post(url, "tasks", ("x"):rep(300000), headers).status)
        local long = page.get(url, "page/" .. ("x"):rep(100000))
        assert.is_true(long.status == 414 or long.status == 413 or long.status == 431, tostring(long.status))
        assert.equal(200, page.get(url, "about").status)
    end)

    it("accepts requests beside many idle connections", function()
        -- The shell holds a hundred connections open as long as this pipe exists. The requests come after them: a newer
        -- connection takes the place of the one that was idle for longest.
        local port, ready = origin:match ":(%d+)$", os.tmpname()
        os.remove(ready)
        local script = "bash -c 'for i in $(seq 100); do exec {fd}<>/dev/tcp/127.0.0.1/%s; done; " ..
            ": >%s; read' >/dev/null 2>&1"
        local holder = assert(io.popen(script:format(port, ready), "w"))
        service.pump_until(function() return service.exists(ready) end)
        os.remove(ready)
        for _ = 1, 20 do assert.equal(200, page.get(url, "about").status) end
        holder:close()
        assert.equal(200, page.get(url, "about").status)
    end)

    it("accepts requests after many reloads, each of which leaves a request for events", function()
        local port, path = origin:match ":(%d+)$", url:match "^http://[^/]+(/.*)$"
        -- The shell closes each connection after its request, for which the server still waits then.
        local script = "for i in $(seq 70); do exec 3<>/dev/tcp/127.0.0.1/%s; " ..
            "printf 'GET %sevents?after=1000 HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n' >&3; exec 3>&-; done"
        local code, printed = shell.run("bash -c " .. shell.quote(script:format(port, path, host)))
        assert.equal(0, code, printed)
        for _ = 1, 20 do assert.equal(200, page.get(url, "about").status) end
    end)

    it("handles malformed requests, with matching error responses", function()
        for _, body in ipairs { "", "[", "null", "[]", "{}", '"x"', '{"request":null}', '{"request":[1]}',
            '{"request":{"a":1}}',
            ("["):rep(5000) } do
            local response = page.post(url, "tasks", body == "" and " " or body,
                { "Origin: " .. origin, "Content-Type: application/json" })
            assert.equal(422, response.status, body:sub(1, 40))
            assert.equal("invalid_request", json.decode(response.body).error.kind)
        end
        for _, path in ipairs {
            "page/../service.lua", "page/..%2fservice.lua", "page/service.lua", "page/", "../tester.lua", "tasks",
            "new",
            "images/1", "images/1/99", "images/9/1", "images/%00", "tasks/1/__index", "%2e%2e/", "page/main.js/x",
        } do
            local response = page.get(url, path)
            assert.equal(404, response.status, path)
            assert_guarded(response)
        end
        assert.equal(404, page.post(url, "tasks/1/submit").status)
        assert.equal(404, page.post(url, "about").status)
        submit { "Origin: " .. origin, "Content-Type: application/json" }
        for _, after in ipairs { "-5", "x", "", "nan", "inf", "1e999", "-nan" } do
            local response = page.get(url, "events?after=" .. after)
            assert.equal(200, response.status)
            assert.equal(1, json.decode(response.body).events[1].n)
        end
    end)

    it("sends the same security headers with every response, page and files included", function()
        for path, kind in pairs { [""] = "text/html; charset=utf-8",
            ["page/main.js"] = "text/javascript; charset=utf-8",
            ["page/style.css"] = "text/css; charset=utf-8", ["page/icon.svg"] = "image/svg+xml",
                about = "application/json" } do
            local response = page.get(url, path)
            assert.equal(200, response.status)
            assert.equal(kind, response.headers["content-type"])
            assert_guarded(response)
        end
        local html = page.get(url).body
        assert.is_nil(html:find "https?:", "nothing from another host")
        assert.is_nil(html:find "<script>", "no inline script")
        assert.is_nil(html:find " style=", "no inline style")
        assert.is_nil(html:find " on%l+=", "no inline handler")
    end)

    it("listens on the loopback address only", function()
        local table_ = service.read_if_there "/proc/net/tcp"
        if not table_ then return pending "no /proc/net/tcp here" end
        local port = ("%04X"):format(tonumber(host:match "%d+$"))
        assert.equal("0100007F", table_:match("%d+: (%x+):" .. port .. " 00000000:0000 0A"))
        local six = service.read_if_there "/proc/net/tcp6"
        if six then assert.is_nil(six:find(":" .. port .. " %x+:0000 0A")) end
    end)
end)

describe("the API key in the tester", function()
    after_each(service.stop_all)

    it("is in no response to the page, for any response of the service", function()
        for _, key in ipairs { "aio_plain_key_1234", "odd/key\\of\"nobody" } do
            local emu = service.start { duration = 0.02, api_key = key }
            local quoted = assert(json.encode(key, "key"))
            local odd = key:gsub(".", function(c) return ("\\u%04x"):format(c:byte()) end)
            for _, fault in ipairs {
                { status = 422, body = '{"error":{"message":"no","detail":"' .. odd .. '"}}' },
                { status = 422, body = '{"error":{"message":"cut","detail":' .. quoted .. ',"filler":"' ..
                    ("x"):rep(20000) .. '"}}' },
                { status = 422, body = '{"error":{"message":' .. quoted .. ',"code":' .. quoted .. ',"type":' ..
                    quoted .. "}}" },
                { status = 500, body = "<title>" .. key .. "</title>" },
                { status = 200, body = '{"code":200,"data":{"task_id":' .. quoted .. ',"status":"IN_PROGRESS"}}' },
            } do
                fault.method, fault.path = "POST", "/api/*"
                emu:fault(fault)
            end
            local one = assert(tester.start { base_url = emu.url, api_key = key, max_retries = 0,
                poll = { interval = 0.02, patience = 0.1 } })
            local all = { page.get(one.url).body, page.get(one.url, "about").body }
            for _ = 1, 6 do
                page.finish(one.url, page.submit(one.url, { prompt = "a red fox" }))
                all[#all + 1] = page.get(one.url, "events?after=0").body
            end
            all[#all + 1] = page.post(one.url, "check", { request = { prompt = "a fox" } }).body
            one:stop()
            local texts, hidden = 0, 0
            local function check_values(value)
                if type(value) == "table" then
                    for _, member in pairs(value) do check_values(member) end
                elseif type(value) == "string" then
                    texts = texts + 1
                    hidden = hidden + (value:find("[key]", 1, true) and 1 or 0)
                    for _, spelling in ipairs { key, quoted:sub(2, -2), odd } do
                        assert.is_nil(value:find(spelling, 1, true), value:sub(1, 200))
                    end
                    check_values(json.decode(value))
                end
            end
            for i, one_response in ipairs(all) do
                assert.is_nil(one_response:find(key, 1, true))
                if i > 1 then check_values(json.decode(one_response)) end
            end
            assert.is_true(hidden >= 6, hidden .. " of " .. texts .. " texts held it")
        end
    end)
end)

describe("stopping the tester", function()
    after_each(service.stop_all)

    --- A program with a page, a pending update request, and a running task.
    local CHILD = [[
        local core = require "flux2.core"
        local emulator = require "flux2.emulator"
        local emu = assert(emulator.start { duration = 60, port = 0 })
        local url = emu:tester().url
        os.execute(("curl -qs -m 30 -o /dev/null -H 'Origin: %s' -H 'Content-Type: application/json' " ..
            "-d '{\"request\":{\"prompt\":\"a red fox\"}}' %stasks"):format(
            url:match "^(http://[^/]+)", url))
        os.execute("(curl -qs -m 30 -o /dev/null '" .. url .. "events?after=1000' &)")
        os.execute "sleep 0.2"
        io.write(("leaving at %.6f\n"):format(core.now()))
        io.stdout:flush()
        local how = arg[1]
        if how == "exit" then os.exit(0) end
        if how == "exit and close" then os.exit(0, true) end
        if how == "error" then error "on purpose" end
        if how == "stop" then
            emu:stop()
            io.write(("stopped in %.6f\n"):format(core.now()))
        elseif how == "collected" then
            emu = nil
            collectgarbage()
            collectgarbage()
        end
    ]]

    local codes = { close = 0, collected = 0, exit = 0, ["exit and close"] = 0, stop = 0, error = 1 }
    for how, code in pairs(codes) do
        it("is fast with " .. how .. ", with a pending request and a running task", function()
            local exit, printed = service.run_lua(CHILD, "'" .. how .. "'")
            local now, left = core.now(), tonumber(printed:match "leaving at (%S+)")
            assert.equal(code, exit, printed)
            assert.is_nil(printed:find("Sanitizer", 1, true), printed)
            assert.is_true(now - left < BOUND, printed)
        end)
    end

    it("twenty times frees the port each time", function()
        local emu = service.start()
        local port
        for _ = 1, 20 do
            local one = assert(tester.start { base_url = emu.url, api_key = emu.api_key, port = port })
            port = one.port
            assert.equal(200, page.get(one.url, "about").status)
            one:stop()
        end
    end)

    it("works in the parent only, after a fork", function()
        local code, printed = service.run_lua([[
            local fork = assert(package.loadlib(arg[1], "fork_process"))
            local wait = assert(package.loadlib(arg[1], "wait_for_process"))
            local emu = assert(require("flux2.emulator").start { port = 0 })
            local url = emu:tester().url
            local function status()
                local pipe = io.popen("curl -qs -m 20 -o /dev/null -w '%{http_code}' " .. url .. "about")
                local said = pipe:read "*a"
                pipe:close()
                return said
            end
            assert(status() == "200")
            local pid = assert(fork())
            if pid == 0 then os.exit(7, true) end
            assert(wait(pid) == 7)
            assert(status() == "200", "the parent's page lives on")
        ]], "'" .. service.library "process" .. "'")
        assert.equal(0, code, printed)
    end)

    it("after a failed start leaves no resources, and the start says why it failed", function()
        local dir = service.directory()
        service.write(dir .. "/broken.lua", [[
            local reason = setmetatable({}, { __tostring = function() return "no such device" end })
            return function(_, config) error(config == "{}" and reason or nil) end
        ]])
        local code, printed = service.run_lua([[
            local core = require "flux2.tester.core"
            local path = arg[1] .. "/?.lua;" .. package.path
            for module, words in pairs { ["no.such.module"] = "no.such.module", ["flux2.version"] = "call",
                broken = "no such device" } do
                local server, reason = core.serve(0, module, path, package.cpath, "{}")
                assert(server == nil and reason:find(words, 1, true), reason)
            end
            local server, reason = core.serve(0, "broken", path, package.cpath, "")
            assert(server == nil and reason == "an error that is a nil", reason)
            collectgarbage()
        ]], "'" .. dir .. "'")
        service.remove(dir)
        assert.equal(0, code, printed)
        assert.equal("", printed)
    end)
end)
