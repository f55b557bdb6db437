-- HTTP/2 from a service that resets streams, goes away, or breaks the rules: whatever it does, a submission leaves once, and
-- a poll does not end a task. libcurl repeats by itself what a server calls "refused": not a submission.
local flux2 = require "flux2"
local core = require "flux2.core"
local h2_service = require "support.h2_service"
local service = require "support.service"

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
        local all = { base_url = h2.url, ca_file = h2.ca_file, max_retries = 2, timeout = 30, silence_timeout = 5 }
        for name, value in pairs(options or {}) do all[name] = value end
        return service.client(emu, all)
    end

    it("behaves is understood", function()
        local client = start {}
        for i = 1, 3 do assert.equal(PNG, assert(client:generate("a fox " .. i)):bytes()) end
        assert.equal(3, (h2:count "POST"))
        assert.equal(1, (select(2, h2:count "POST")))
    end)

    for _, action in ipairs {
        "refused", "cancelled", "internal", "calm", "unknown", "away", "broken", "half", "no headers", "stream 0", "push",
        "bad hpack", "too large", "bad settings", "endless headers",
    } do
        it("answers a submission so is not sent another: " .. action, function()
            local client = start { post = action .. ",ok" }
            local began = core.now()
            local result, err = assert(client:submit "paid for once"):wait()
            assert.is_nil(result)
            assert.equal("unknown_outcome", err.kind, tostring(err))
            assert.is_false(err.retryable)
            assert.equal(1, (h2:count "POST"), tostring(err))
            assert.is_true(core.now() - began < 20)
            assert.equal(0, flux2.pending())
        end)

        it("answers a submission so on a kept connection is not sent another: " .. action, function()
            local client = start { post = "ok," .. action .. ",ok" }
            assert(client:generate "opens the connection")
            local result, err = assert(client:submit "paid for once"):wait()
            assert.is_nil(result)
            assert.equal("unknown_outcome", err.kind, tostring(err))
            assert.equal(2, (h2:count "POST"), tostring(err))
        end)

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

    it("sends thousands of empty frames costs nothing but time", function()
        local client = start { post = "flood", get = "flood" }
        assert(client:generate "a fox")
        assert.equal(1, (h2:count "POST"))
    end)
end)
