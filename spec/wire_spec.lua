-- What leaves this machine with each request, and by which way: headers, compression, proxies of the environment.
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

    it("says who asks and what it wants, as a submission, a poll and a download", function()
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

    it("says what the client was told to say", function()
        local emu = service.start()
        assert(service.client(emu, { user_agent = "a-game/2.1 " .. ("x"):rep(2000) }):generate "a red fox")
        assert.equal("a-game/2.1 " .. ("x"):rep(2000), headers_of(emu, "POST", "/generations$")["user-agent"])
        assert.equal("a-game/2.1 " .. ("x"):rep(2000), headers_of(emu, "GET", "%.png")["user-agent"])
    end)

    it("may be answered with gzip", function()
        -- {"code":200,"data":{"status":"PACKED","progress":37}}
        local packed = ("1f8b0800000000000203ab564ace4f4955b2323230d0514a492c4954b2aa562a2e492c292d56b2520a7074f676755" ..
            "1d2512a28ca4f2f4a2d068a199bd7d60200c761e6e335000000"):gsub("%x%x", function(hex)
            return string.char(tonumber(hex, 16))
        end)
        local emu, words = service.start(), {}
        emu:fault {
            method = "GET", path = "/api/v1/tasks/*", body = packed, headers = { ["Content-Encoding"] = "gzip" },
        }
        local task = assert(service.client(emu):submit "a red fox")
        task:on("status", function(t) words[#words + 1] = t.status end)
        assert(task:wait(bound(10)))
        assert.equal("PACKED", words[2] or words[1])
    end)

    -- In a process of its own: the environment is everybody's.
    local function generate_with(environment, base_url, api_key)
        local script = ([[
            local client = assert(require("flux2").new{ api_key = %q, base_url = %q, max_retries = 0,
                insecure_http = true, connect_timeout = %d, timeout = %d })
            local task = assert(client:submit "a red fox")
            local _, err = task:wait()
            io.write(task.id and "accepted" or err.kind)]]):format(api_key, base_url, bound(5), bound(10))
        return (select(2, service.run_lua(script, "", environment)))
    end

    it("goes through the proxy that the environment names, unless that excepts the host", function()
        local emu = service.start()
        -- Only the proxy knows where that is. An emulator is no proxy, but it sees who asks.
        generate_with("http_proxy=" .. emu.url, "http://flux2.invalid", emu.api_key)
        assert.equal(1, #emu:requests())
        assert.equal("POST", emu:requests()[1].method)
        assert.equal("flux2.invalid", emu:requests()[1].headers.host)
        local seen = generate_with("http_proxy=" .. emu.url .. " no_proxy=flux2.invalid", "http://flux2.invalid", "x")
        assert.equal("network", seen)
        assert.equal(1, #emu:requests())
    end)

    it("goes straight to the service otherwise", function()
        local emu = service.start()
        -- Not one by the conventions: a web server sets it from what a client sends.
        assert.equal("accepted", generate_with("HTTP_PROXY=http://127.0.0.1:1", emu.url, emu.api_key))
        assert.equal("accepted", generate_with("", emu.url, emu.api_key))
    end)
end)

describe("the digest of an answer", function()
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

describe("a polled answer that is what the last one was", function()
    after_each(service.stop_all)

    it("hides nothing that comes after it", function()
        local emu = service.start { duration = 0.4, progress = "none" }
        local task, told = assert(service.client(emu, { poll = { interval = 0.01 } }):submit "a red fox"), 0
        task:on("status", function() told = told + 1 end)
        assert(task:wait(bound(10)))
        assert.is_true(emu:task(task.id).polls > 5)
        assert.equal("succeeded", task.state)
        assert.is_true(told >= 1)
    end)
end)
