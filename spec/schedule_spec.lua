-- When to try again and when to look again: the engine's pure functions.
local core = require "flux2.core"
local pure = core._pure

describe("what may be tried again", function()
    -- failure, status, sent, retry_after -> once, safe
    local table_of_attempts = {
        { "resolve", 0, false, nil, true, true },
        { "connect", 0, false, nil, true, true },
        { "tls", 0, false, nil, true, true },
        { "timeout", 0, false, nil, true, true },
        { "network", 0, false, nil, true, true },
        { "timeout", 0, true, nil, false, true },
        { "network", 0, true, nil, false, true },
        { "network", 200, true, nil, false, true },
        { "too_large", 200, true, nil, false, false },
        { "headers_too_large", 200, true, nil, false, false },
        { "io", 0, false, nil, false, false },
        { "io", 200, true, nil, false, false },
        { "memory", 0, false, nil, false, true },
        { "memory", 200, true, nil, false, true },
        { "cancelled", 0, false, nil, false, false },
        { "signature", 200, true, nil, false, false },
        { "protocol", 0, false, nil, false, false },
        { "redirect", 302, true, nil, false, false },
        { "closed", 0, false, nil, false, false },
        { "none", 200, true, nil, false, false },
        { "none", 301, true, nil, false, false },
        { "none", 400, true, nil, false, false },
        { "none", 401, true, nil, false, false },
        { "none", 402, true, nil, false, false },
        { "none", 404, true, nil, false, false },
        { "none", 408, true, nil, false, true },
        { "none", 422, true, nil, false, false },
        { "none", 429, true, nil, true, true },
        { "none", 429, true, 5, true, true },
        { "none", 500, true, nil, false, true },
        { "none", 501, true, nil, false, false },
        { "none", 502, true, nil, false, true },
        { "none", 503, true, nil, false, true },
        { "none", 503, true, 0, true, true },
        { "none", 503, true, 7, true, true },
        { "none", 504, true, nil, false, true },
    }
    for _, row in ipairs(table_of_attempts) do
        local failure, status, sent, retry_after, once, safe = row[1], row[2], row[3], row[4], row[5], row[6]
        local name = ("%s, HTTP %d, %s, Retry-After %s"):format(failure, status, sent and "sent" or "not sent",
            tostring(retry_after))
        it("a submission: " .. name, function()
            assert.equal(once, pure.may_retry(true, failure, status, sent, retry_after))
        end)
        it("a poll or download: " .. name, function()
            assert.equal(safe, pure.may_retry(false, failure, status, sent, retry_after))
        end)
    end
end)

describe("back-off", function()
    it("is a random share of a span that doubles up to the ceiling", function()
        for attempt, span in ipairs { 0.5, 1, 2, 4, 8, 10, 10, 10 } do
            local least, most = math.huge, 0
            for seed = 1, 500 do
                local pause = pure.pause(0.5, 10, attempt, nil, seed * 7919)
                least, most = math.min(least, pause), math.max(most, pause)
            end
            assert.is_true(least >= 0 and least < span * 0.1, "full jitter reaches down to nothing")
            assert.is_true(most <= span and most > span * 0.9, "and up to the span")
        end
    end)
    it("never comes back sooner than the server asked, and adds jitter to it", function()
        local seen = {}
        for seed = 1, 50 do
            local pause = pure.pause(0.5, 30, 1, 3, seed)
            assert.is_true(pause >= 3 and pause < 3.5)
            seen[pause] = true
        end
        local n = 0
        for _ in pairs(seen) do n = n + 1 end
        assert.is_true(n > 40)
    end)
    it("caps what the server asks", function()
        assert.is_true(pure.pause(0.5, 30, 1, 86400, 1) < 31)
    end)
    it("survives any number of attempts", function()
        assert.is_true(pure.pause(0.5, 30, 4000000000, nil, 1) <= 30)
    end)
end)

describe("Retry-After", function()
    local now = 784111777 -- Sun, 06 Nov 1994 08:49:37 GMT
    for _, case in ipairs {
        { "0", 0 }, { "120", 120 }, { "  7 ", 7 }, { "1.5", 1.5 }, { "99999999999", 99999999999 },
        { "Sun, 06 Nov 1994 08:49:47 GMT", 10 }, { "Sunday, 06-Nov-94 08:49:47 GMT", 10 },
        { "Sun, 06 Nov 1994 08:49:27 GMT", 0 },
    } do
        it(("reads %q"):format(case[1]), function() assert.near(case[2], pure.retry_after(case[1], nil, now), 1e-6) end)
    end
    for _, bad in ipairs { "", " ", "-1", "soon", "1e9", "0x10", "1 2", "12s", "nan", "inf", "Sun", "tomorrow, maybe" } do
        it(("refuses %q"):format(bad), function() assert.is_nil(pure.retry_after(bad, nil, now)) end)
    end
    it("takes a date against the server's own clock, not ours", function()
        assert.equal(10, pure.retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now, now + 5000))
    end)
end)

describe("the polling schedule", function()
    it("is fixed by poll_interval", function()
        local p = core.profile { poll_interval = 0.25 }
        for _, elapsed in ipairs { 0, 1, 100 } do assert.equal(0.25, pure.gap(p, elapsed, 1)) end
    end)
    it("grows with the time that has passed, within its bounds", function()
        local p = core.profile {}
        local function mean(elapsed)
            local sum = 0
            for seed = 1, 200 do sum = sum + pure.gap(p, elapsed, seed * 31) end
            return sum / 200
        end
        assert.near(1, mean(0), 0.05)
        assert.near(1, mean(2), 0.05)
        assert.near(4, mean(20), 0.2)
        assert.near(10, mean(50), 0.5)
        assert.near(10, mean(500), 0.5)
    end)
    it("spreads tasks that began together", function()
        local p = core.profile {}
        assert.are_not.equal(pure.gap(p, 10, 1), pure.gap(p, 10, 2))
    end)
end)
