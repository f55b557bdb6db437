-- HTTP/2 with a service that resets streams, closes connections, or violates the protocol, also that of TLS: a failed
-- poll does not end a task. Submissions use HTTP/1.1: over HTTP/2 libcurl repeats a refused request, and after GOAWAY a
-- client of libcurl cannot tell whether the request was processed.
local bound = require "support.bound"
local flux2 = require "flux2"
local h2_service = require "support.h2_service"
local service = require "support.service"

-- HTTP/2 is implemented below Lua: other Lua versions run fewer cases.
local function some(actions)
    return _VERSION == "Lua 5.4" and actions or { actions[1], actions[2] }
end

local PNG = require "support.png".holding "and so on"

describe("with HTTP/2", function()
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

    local function new_client(request_timeout, interval)
        return service.client(emu, {
            base_url = h2.url, ca_file = h2.ca_file, max_retries = 2, request_timeout = request_timeout,
            poll = { interval = interval or 0.02 },
        })
    end

    local function start(plan, interval)
        h2 = h2_service.start(emu.url .. "/picture.png", plan)
        return new_client(bound(15), interval)
    end

    local function has_submitted_once()
        local posts, shared = h2:count "POST"
        assert.same({ 1, 0 }, { posts, shared })
        assert.equal(0, flux2.pending())
    end

    it("polls use HTTP/2, and the submission uses HTTP/1.1", function()
        local client = start()
        assert.equal(PNG, assert(client:generate "a fox"):bytes())
        has_submitted_once()
        local gets, shared = h2:count "GET"
        assert.is_true(gets > 0)
        assert.equal(gets, shared)
    end)

    for _, action in ipairs(some {
        "refused", "away", "cancelled", "internal", "calm", "unknown", "broken", "half",
        "no headers", "stream 0", "push",
        "bad hpack", "too large", "bad settings", "endless headers",
    }) do
        it("a failed poll does not end the task: " .. action, function()
            -- The polls are those of another client: a poll may wait in vain for a response, a submission must not.
            local task = assert(start(action .. "," .. action .. ",ok", 1000):submit "worth waiting for")
            service.pump_until(function() return task.id end)
            task:cancel()
            local result, err = assert(new_client(bound(1)):task(task.id)):wait()
            assert(result, tostring(err))
            assert.is_true(h2:count "GET" >= 3)
            has_submitted_once()
        end)
    end

    for _, plan in ipairs { "cut 0", "cut 20", "cut 90", "cut open 70" } do
        it("a submission whose connection ends without a notice of TLS is of unknown outcome, and counts once: " .. plan,
            function()
            local client = start(plan)
            local _, err = assert(client:submit "paid for, perhaps"):wait()
            assert.equal("unknown_outcome", err.kind, tostring(err))
            assert.same({ 0, 10 }, { client:spent() })
            has_submitted_once()
        end)
    end

    for _, plan in ipairs { "last,ok", "flood,ok" } do
        it("GOAWAY after a last response, or a flood of empty frames, is tolerated: " .. plan, function()
            local client = start(plan)
            assert(client:generate "a fox")
            has_submitted_once()
        end)
    end
end)
