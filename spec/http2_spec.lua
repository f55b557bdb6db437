-- HTTP/2 from a service that resets streams, goes away, or breaks the rules: whatever it does, a poll does not end a task.
-- A submission is not sent by HTTP/2 at all: libcurl repeats by itself what a server calls "refused", and of what a server
-- had not looked at when it went away nobody behind libcurl can tell.
local bound = require "support.bound"
local flux2 = require "flux2"
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

    local function start(plan)
        h2 = h2_service.start(emu.url .. "/picture.png", plan)
        return service.client(emu, {
            base_url = h2.url, ca_file = h2.ca_file, max_retries = 2, timeout = bound(30), exchange_timeout = bound(1),
        })
    end

    local function has_submitted_once()
        local posts, shared = h2:count "POST"
        assert.same({ 1, 0 }, { posts, shared })
        assert.equal(0, flux2.pending())
    end

    it("behaves is understood, and gets its submission by HTTP/1.1", function()
        local client = start()
        assert.equal(PNG, assert(client:generate "a fox"):bytes())
        has_submitted_once()
        local gets, shared = h2:count "GET"
        assert.is_true(gets > 0)
        assert.equal(gets, shared)
    end)

    for _, action in ipairs(some {
        "refused", "away", "cancelled", "internal", "calm", "unknown", "broken", "half", "no headers", "stream 0", "push",
        "bad hpack", "too large", "bad settings", "endless headers",
    }) do
        it("answers polls so does not end the task: " .. action, function()
            local client = start(action .. "," .. action .. ",ok")
            local result, err = assert(client:submit "worth waiting for"):wait()
            assert(result, tostring(err))
            assert.is_true(h2:count "GET" >= 3)
            has_submitted_once()
        end)
    end

    for _, plan in ipairs { "last,ok", "flood,ok" } do
        it("goes away after a last answer, or sends thousands of empty frames, is borne: " .. plan, function()
            local client = start(plan)
            assert(client:generate "a fox")
            has_submitted_once()
        end)
    end
end)
