-- HTTP/2 from a service that resets streams, goes away, or breaks the rules: whatever it does, a submission leaves once, and
-- a poll does not end a task. A server that refuses a stream says that it did not look at the request, and libcurl asks
-- again by itself without telling: not for a submission, whose outcome is then called unknown, because libcurl does the same
-- on a connection that broke, and nobody behind it can tell which it was.
local flux2 = require "flux2"
local core = require "flux2.core"
local h2_service = require "support.h2_service"
local service = require "support.service"

-- All of this happens below Lua: where another Lua runs, a few will do.
local function some(actions)
    return _VERSION == "Lua 5.4" and actions or { actions[1], actions[2] }
end

local PNG = "\137PNG\r\n\26\n and so on"

describe("over HTTP/2, a service that", function()
    local emu, h2
    before_each(function()
        emu = service.start()
        emu:fault { path = "/picture.png", times = 1000, body = PNG }
    end)
    after_each(function()
        if h2 then h2:stop() end
        h2 = nil
        service.stop_all()
    end)

    local function start(plans, options)
        h2 = h2_service.start(emu.url .. "/picture.png", plans)
        local all = { base_url = h2.url, ca_file = h2.ca_file, max_retries = 2, timeout = 30, exchange_timeout = 1 }
        for name, value in pairs(options or {}) do all[name] = value end
        return service.client(emu, all)
    end

    it("behaves is understood", function()
        local client = start {}
        for i = 1, 3 do assert.equal(PNG, assert(client:generate("a fox " .. i)):bytes()) end
        assert.equal(3, (h2:count "POST"))
        assert.equal(1, (select(2, h2:count "POST")))
    end)

    local function submit_once(client, count)
        local began = core.now()
        local result, err = assert(client:submit "paid for once"):wait()
        assert.is_nil(result)
        assert.equal("unknown_outcome", err.kind, tostring(err))
        assert.is_false(err.retryable)
        assert.equal(count, (h2:count "POST"), tostring(err))
        assert.is_true(core.now() - began < 20)
        assert.equal(0, flux2.pending())
    end

    for _, action in ipairs(some {
        "refused", "away", "cancelled", "internal", "calm", "unknown", "broken", "half", "no headers", "stream 0", "push",
        "bad hpack", "too large", "bad settings", "endless headers",
    }) do
        it("answers a submission so is not sent another: " .. action, function()
            submit_once(start { post = action .. ",ok" }, 1)
        end)
    end

    for _, action in ipairs(some { "refused", "away", "no headers", "stream 0", "bad settings" }) do
        it("answers a submission so on a kept connection is not sent another: " .. action, function()
            local client = start { post = "ok," .. action .. ",ok" }
            assert(client:generate "opens the connection")
            submit_once(client, 2)
        end)
    end

    for _, action in ipairs(some { "refused", "away", "internal", "broken", "half", "push", "bad hpack", "endless headers" }) do
        it("answers polls so does not end the task: " .. action, function()
            local client = start { get = action .. "," .. action .. ",ok" }
            local result, err = assert(client:submit "worth waiting for"):wait()
            assert(result, tostring(err))
            assert.is_true(h2:count "GET" >= 3)
            assert.equal(1, (h2:count "POST"))
        end)
    end

    it("goes away after a last answer is believed", function()
        local client = start { post = "last,last,ok", get = "last,ok" }
        for i = 1, 3 do assert(client:generate("one after the other " .. i)) end
        assert.equal(3, (h2:count "POST"))
    end)

    it("sends thousands of empty frames is borne, or given up, and asked once", function()
        local client = start { post = "flood", get = "flood,ok" }
        local image, err = client:generate "a fox"
        assert.is_true(image ~= nil or err.kind == "unknown_outcome", tostring(err))
        assert.equal(1, (h2:count "POST"))
        assert.equal(0, flux2.pending())
    end)
end)
