-- The bytes of each request, and its route: headers, compression, proxies from the environment.
local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"
local version = require "flux2.version"

local function headers_of(emu, method, path)
    for _, request in ipairs(emu:requests()) do
        if request.method == method and request.path:find(path) then return request.headers end
    end
    error("no " .. method .. " of " .. path)
end

describe("a request", function()
    after_each(service.stop_all)

    it("has User-Agent and Accept headers, as a submission, a poll and a download", function()
        local emu = service.start()
        local image = assert(service.client(emu):generate "a red fox")
        assert(image:bytes())
        local agent = "flux2-lua/" .. version._VERSION
        local submission = headers_of(emu, "POST", "/generations$")
        local poll = headers_of(emu, "GET", "/tasks/")
        local download = headers_of(emu, "GET", "%.png")
        assert.same({ agent, agent, agent },
            { submission["user-agent"], poll["user-agent"], download["user-agent"] })
        assert.same({ "gzip", "gzip" }, { submission["accept-encoding"], poll["accept-encoding"] })
        assert.is_nil(download["accept-encoding"])
        assert.equal("application/json", submission["content-type"])
        assert.is_nil(poll["content-type"])
        assert.is_nil(submission["expect"])
        assert.is_nil(download["authorization"])
    end)

    it("has the configured user agent", function()
        local emu = service.start()
        assert(service.client(emu, { user_agent = "a-game/2.1 " .. ("x"):rep(2000) }):generate "a red fox")
        assert.equal("a-game/2.1 " .. ("x"):rep(2000), headers_of(emu, "POST", "/generations$")["user-agent"])
        assert.equal("a-game/2.1 " .. ("x"):rep(2000), headers_of(emu, "GET", "%.png")["user-agent"])
    end)

    it("has the configured headers, unless it is for an image", function()
        local emu = service.start()
        local headers = { ["X-Gateway"] = "eu-1", ["CF-Access-Client-Secret"] = "sesame-0123" }
        local client = service.client(emu, { headers = headers })
        assert(assert(client:generate "a red fox"):bytes())
        for method, path in pairs { POST = "/generations$", GET = "/tasks/" } do
            local sent = headers_of(emu, method, path)
            assert.same({ "eu-1", "sesame-0123", "Bearer " .. emu.api_key },
                { sent["x-gateway"], sent["cf-access-client-secret"], sent.authorization })
        end
        local download = headers_of(emu, "GET", "%.png")
        assert.same({}, { download["x-gateway"], download["cf-access-client-secret"] })
        -- A secret value is in no error; another one is.
        emu:fault { status = 403, body = '{"error":"eu-1 refuses sesame-0123"}' }
        assert.equal("eu-1 refuses [key]", select(2, client:generate "a red fox").message:match "^[^(]*%]")
    end)

    it("accepts gzip", function()
        -- {"code":200,"data":{"status":"PACKED","progress":37}}
        local packed = ("1f8b0800000000000203ab564ace4f4955b2323230d0514a492c4954b2aa562a2e492c292d56b2520a7074f676" ..
            "7551d2512a28ca4f2f4a2d068a199bd7d60200c761e6e335000000"):gsub("%x%x", function(hex)
            return string.char(tonumber(hex, 16))
        end)
        local emu, words = service.start(), {}
        emu:fault {
            method = "GET", path = "/api/v1/tasks/*", body = packed, headers = { ["Content-Encoding"] = "gzip" },
        }
        -- No poll is sent before the last change was seen.
        local task = assert(service.client(emu, { max_event_bytes = 1 }):submit "a red fox")
        task:on("status", function(t) words[#words + 1] = t.status end)
        assert(task:wait(bound(30)))
        assert.equal("PACKED", words[2] or words[1])
    end)

    -- In another process, to change the environment.
    local function generate_with(environment, base_url, api_key)
        local script = ([[
            local client = assert(require("flux2").new{ api_key = %q, base_url = %q, max_retries = 0,
                insecure_http = true, connect_timeout = %d, timeout = %d })
            local task = assert(client:submit "a red fox")
            local _, err = task:wait()
            io.write(task.id and "accepted" or err.kind)]]):format(api_key, base_url, bound(15), bound(30))
        return (select(2, service.run_lua(script, "", environment)))
    end

    it("to localhost goes to this machine, whatever the resolver says #preload", function()
        local emu = service.start()
        local code, printed = service.run_lua([[
            local client = assert(require("flux2").new { base_url = arg[1], api_key = "aio_k", max_retries = 0,
                insecure_http = true })
            local task = assert(client:submit "a red fox")
            local _, err = task:wait()
            io.write(err.kind)]], ("http://localhost:%d"):format(emu.port), service.preload "odd_resolver")
        assert.same({ 0, "auth" }, { code, printed }) -- from the emulator: it is not its key
    end)

    it("uses the proxy from the environment, unless that excludes the host", function()
        local emu = service.start()
        -- Only the proxy can resolve this host. The emulator acts as the proxy and logs the request.
        generate_with("http_proxy=" .. emu.url, "http://flux2.invalid", emu.api_key)
        assert.equal(1, #emu:requests())
        assert.equal("POST", emu:requests()[1].method)
        assert.equal("flux2.invalid", emu:requests()[1].headers.host)
        local seen = generate_with("http_proxy=" .. emu.url .. " no_proxy=flux2.invalid", "http://flux2.invalid", "x")
        assert.equal("network", seen)
        assert.equal(1, #emu:requests())
    end)

    it("to loopback ignores the proxy from the environment, but not one in the options", function()
        local emu, proxy = service.start(), service.start()
        for _, name in ipairs { "http_proxy", "all_proxy", "ALL_PROXY" } do
            for _, except in ipairs { "", " no_proxy=other.example", " NO_PROXY=.example" } do
                assert.equal("accepted", generate_with(name .. "=" .. proxy.url .. except, emu.url, emu.api_key))
            end
        end
        for _, host in ipairs { "localhost", "127.0.0.2", "127.255.255.254", "[::1]" } do
            -- Nothing listens there except at the first name.
            local seen = generate_with("http_proxy=" .. proxy.url, emu.url:gsub("127.0.0.1", host), emu.api_key)
            assert.equal(host == "localhost" and "accepted" or "network", seen, host)
        end
        assert.equal(0, #proxy:requests())
        service.client(emu, { proxy = proxy.url }):submit("a red fox"):wait(bound(10))
        assert.equal("POST", proxy:requests()[1].method)
    end)

    it("fails for an invalid proxy in the environment, and the error contains no password", function()
        for _, address in ipairs { "http://joe:s3cretpw@h:bad", "http://joe:s3c#retpw@h:1",
            "foo://joe:s3cretpw@h:1" } do
            local code, printed = service.run_lua(([[
                local client, err = require("flux2").new { api_key = "aio_k", base_url = "http://flux2.invalid",
                    insecure_http = true }
                assert(not client and err.kind == "invalid_request", err)
                print(err)
                local image = assert(require("flux2").new { api_key = "aio_k", base_url = "https://flux2.invalid" })
            ]]), nil, ("http_proxy='%s'"):format(address))
            assert.equal(0, code, printed)
            assert.matches("http_proxy in the environment '.-%*%*%*@h:%w+' was refused", printed)
            assert.is_nil(printed:find("s3c", 1, true))
        end
    end)

    it("is sent directly otherwise #names", function()
        local emu = service.start()
        -- HTTP_PROXY is ignored by convention: a web server sets it from a request header.
        assert.equal("accepted", generate_with("HTTP_PROXY=http://127.0.0.1:1", emu.url, emu.api_key))
        assert.equal("accepted", generate_with("", emu.url, emu.api_key))
    end)
end)

describe("the digest of a response", function()
    local digest = core._pure.digest
    it("is the same for the same bytes", function()
        for size = 0, 40 do assert.equal(digest(("x"):rep(size)), digest(("x"):rep(size))) end
    end)
    it("changes with every single bit, and with the length", function()
        local text, seen = '{"code":200,"data":{"status":"IN_PROGRESS","progress":50}}', {}
        local function check(variant)
            local value = digest(variant)
            assert.is_nil(seen[value], variant)
            seen[value] = true
        end
        check(text)
        for i = 1, #text do
            for bit = 0, 7 do
                local byte = text:byte(i)
                local on = math.floor(byte / 2 ^ bit) % 2 == 1
                check(text:sub(1, i - 1) .. string.char(byte + (on and -1 or 1) * 2 ^ bit) .. text:sub(i + 1))
            end
        end
        for i = 0, 40 do check(("\0"):rep(i)) end
    end)
end)

describe("a poll response equal to the previous one", function()
    after_each(service.stop_all)

    it("hides no later change", function()
        local emu = service.start { duration = 60, progress = "none" }
        local task, changes = assert(service.client(emu, { poll = { interval = 0.01 } }):submit "a red fox"), 0
        task:on("status", function() changes = changes + 1 end)
        service.pump_until(function() return emu:stats().polls > 5 end)
        emu:finish()
        assert(task:wait(bound(30)))
        assert.equal("succeeded", task.state)
        assert.is_true(changes >= 1)
    end)
end)
