-- When to retry and when to poll: the engine's pure functions.
local core = require "flux2.core"
local pure = core._pure

describe("which requests are retried", function()
    -- failure, status, sent, retry_after -> NON_IDEMPOTENT, IDEMPOTENT
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

describe("backoff", function()
    it("is a random part of a span that doubles up to 30 s", function()
        for attempt, span in ipairs { 0.5, 1, 2, 4, 8, 16, 30, 30 } do
            local least, most = math.huge, 0
            for seed = 1, 500 do
                local pause = pure.pause(0, attempt, nil, seed * 7919)
                least, most = math.min(least, pause), math.max(most, pause)
            end
            assert.is_true(least >= 0 and least < span * 0.1, "full jitter reaches down to nothing")
            assert.is_true(most <= span and most > span * 0.9, "and up to the span")
        end
    end)
    it("starts with the poll interval, if that is fixed and shorter", function()
        local whole = pure.pause(0, 1, nil, 5)
        for interval, span in pairs { [0.001] = 0.001, [0.5] = 0.5, [0.51] = 0.5, [100] = 0.5 } do
            assert.near(span / 0.5, pure.pause(interval, 1, nil, 5) / whole, 1e-9)
        end
    end)
    it("is never shorter than Retry-After, and adds jitter to it", function()
        local seen = {}
        for seed = 1, 50 do
            local pause = pure.pause(0, 1, 3, seed)
            assert.is_true(pause >= 3 and pause < 3.5)
            seen[pause] = true
        end
        local n = 0
        for _ in pairs(seen) do n = n + 1 end
        assert.is_true(n > 40)
    end)
    it("limits Retry-After", function()
        assert.is_true(pure.pause(0, 1, 86400, 1) < 31)
    end)
    it("works for any number of attempts", function()
        assert.is_true(pure.pause(0, 4000000000, nil, 1) <= 30)
    end)
    it("doubles from the second attempt to the 32nd", function()
        local first = pure.pause(1e-9, 1, nil, 5)
        for attempt, factor in pairs {
            [0] = 1, [1] = 1, [2] = 2, [3] = 4, [30] = 2 ^ 29, [31] = 2 ^ 30, [32] = 2 ^ 31, [33] = 2 ^ 31,
            [1000] = 2 ^ 31,
        } do
            assert.near(factor, pure.pause(1e-9, attempt, nil, 5) / first, factor * 1e-12)
        end
    end)
    it("adds a quarter of its jitter to Retry-After, up to 30 s, and nothing else", function()
        for seed = 1, 20 do
            local jitter = pure.pause(0, 1, nil, seed)
            for retry_after, pause in pairs { [0] = 0, [3] = 3, [30] = 30, [30.5] = 30, [1e9] = 30 } do
                assert.near(pause + jitter / 4, pure.pause(0, 1, retry_after, seed), 1e-12)
            end
            assert.equal(jitter, pure.pause(0, 1, -0.5, seed))
        end
    end)
    it("differs with each seed, and is evenly distributed", function()
        local sum = 0
        for seed = 1, 1000 do sum = sum + pure.pause(0, 2, nil, seed) end
        assert.near(500, sum, 30)
        -- splitmix64: these are its first numbers.
        assert.near(0.88331080821, pure.pause(0, 2, nil, 0), 1e-9)
        assert.near(0.56656157517, pure.pause(0, 2, nil, 1), 1e-9)
        assert.near(0.59118973420, pure.pause(0, 2, nil, 2), 1e-9)
    end)
end)

describe("Retry-After", function()
    local now = 784111777 -- Sun, 06 Nov 1994 08:49:37 GMT
    for _, case in ipairs {
        { "0", 0 }, { "120", 120 }, { "  7 ", 7 }, { "1.5", 1.5 }, { "99999999999", 99999999999 },
        { "Sun, 06 Nov 1994 08:49:47 GMT", 10 }, { "Sunday, 06-Nov-94 08:49:47 GMT", 10 },
        { "Sun, 06 Nov 1994 08:49:27 GMT", 0 }, { "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
        { "Sun, 06 Nov 1994 08:49:38 GMT", 1 },
        { "\t7\t ", 7 }, { "7.", 7 }, { "0.0", 0 }, { "1.25 \t", 1.25 }, { " Sun, 06 Nov 1994 08:49:47 GMT", 10 },
        { "000012", 12 }, { "1" .. ("0"):rep(30), 1e30 },
    } do
        it(("reads %q"):format(case[1]), function() assert.near(case[2], pure.retry_after(case[1], nil, now), 1e-6) end)
    end
    for _, bad in ipairs { "", " ", "-1", "soon", "1e9", "0x10", "1 2", "12s", "nan", "inf", "Sun", "tomorrow, maybe",
        "+1", ".5", "1E1", "1p1", "1P1", "1X", "1x", "5;", "5,", "5 ;", "1" .. ("0"):rep(400), "Sun, 06 Nov",
        "06 Nov 1994 08:49:47 GMT",
    } do
        it(("refuses %q"):format(bad), function() assert.is_nil(pure.retry_after(bad, nil, now)) end)
    end
    it("is relative to the server's clock", function()
        assert.equal(10, pure.retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now, now + 5000))
        assert.equal(0, pure.retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now + 10, now))
        assert.equal(1, pure.retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now + 9, now))
    end)
end)

describe("the polling schedule", function()
    it("is fixed by poll_interval", function()
        local p = core.profile { poll_interval = 0.25 }
        for _, elapsed in ipairs { 0, 1, 100 } do assert.equal(0.25, pure.gap(p, elapsed, 1)) end
    end)
    it("grows with the elapsed time, within its bounds", function()
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
    it("spreads the polls of tasks that started together", function()
        local p = core.profile {}
        assert.are_not.equal(pure.gap(p, 10, 1), pure.gap(p, 10, 2))
    end)
end)

describe("the polling schedule without recorded durations", function()
    local p = core.profile {}
    local function bounds(elapsed)
        local least, most = math.huge, 0
        for seed = 1, 3000 do
            local gap = pure.gap(p, elapsed, seed * 7919)
            least, most = math.min(least, gap), math.max(most, gap)
        end
        return least, most
    end
    -- Elapsed, gap: within a tenth of that.
    for elapsed, gap in pairs { [-1] = 1, [0] = 1, [0.001] = 1, [4] = 1, [5] = 1, [6.25] = 1.25, [25] = 5, [50] = 10,
        [400] = 10 } do
        it(("is %g s after %g s"):format(gap, elapsed), function()
            local least, most = bounds(elapsed)
            assert.near(0.9 * gap, least, 0.001 * gap)
            assert.near(1.1 * gap, most, 0.001 * gap)
        end)
    end
    it("expects half of the tasks to end within twice the elapsed time", function()
        for _, elapsed in ipairs { 0, 1, 13, 1e6 } do
            assert.equal(2 * elapsed, (select(2, pure.gap(p, elapsed, 1))))
        end
        assert.equal(26, (select(2, pure.gap(core.profile { poll_interval = 5 }, 13, 1))))
    end)
end)

-- Recorded schedules (bench/polling.txt): they must not change by accident.
describe("the polling schedule with recorded durations", function()
    local p = core.profile {}
    local many = {}
    for i = 1, 30 do many[i] = { 12 + i % 5 * 0.3, 13 + i % 5 * 0.3 } end
    local AT = { 0, 0.01, 5, 13.2, 14, 60 }
    local cases = {
        ["the seed alone"] = {
            {}, { 4, 14 },
            { { 0.956656158, 15.3351096 }, { 5.299281, 15.3390307 }, { 2.33476365, 16.1835252 },
                { 1.71767645, 23.5991112 },
                { 1.71789807, 24.6442172 }, { 5.68915619, 120 } },
        },
        ["one end"] = {
            { { 13, 14 } }, { 4.85305764, 13.8960087 },
            { { 5.55309704, 14.4243526 }, { 5.56375083, 14.4262734 }, { 2.55905356, 14.8214534 },
                { 1.3331017, 20.6544789 },
                { 1.30708837, 22.223271 }, { 5.72374652, 120 } },
        },
        ["an end before the first poll"] = {
            { { 0, 0.5 } }, { 1.00000584, 0.0500423398 },
            { { 0.1, 0.10008468 }, { 0.1, 0.10008468 }, { 0.172631378, 10 }, { 0.261922795, 26.4 }, { 0.268537258, 28 },
                { 0.498171195, 120 } },
        },
        ["thirty ends"] = {
            many, { 26.1269721, 13.1617186 },
            { { 9.53674675, 13.1132584 }, { 9.5430449, 13.1133322 }, { 6.28053117, 13.1250199 },
                { 0.524997036, 14.001543 },
                { 0.467361311, 14.6947281 }, { 6.2462528, 120 } },
        },
        ["ends at two times"] = {
            { { 8, 9 }, { 40, 44 }, { 8.5, 9 }, { 41, 42 } }, { 7.51137825, 16.4410916 },
            { { 6.70225741, 15.6326918 }, { 6.70938527, 15.6371865 }, { 2.9165389, 16.4835763 },
                { 2.50688775, 32.8821833 },
                { 2.54256363, 32.8821833 }, { 6.35892814, 120 } },
        },
        ["an end within a millisecond"] = {
            { { 0, 0.001 } }, { 1.00000004, 0.00532759252 },
            { { 0.1, 0.010655185 }, { 0.1, 0.02 }, { 0.1, 10 }, { 0.1, 26.4 }, { 0.1, 28 }, { 0.162545796, 120 } },
        },
        ["an unobserved end"] = {
            { { 20, math.huge } }, { 3.49698141, 23.7647479 },
            { { 6.95411709, 21.2330201 }, { 6.9675994, 21.2399256 }, { 3.46445617, 22.0785826 },
                { 2.93582693, 29.25103 },
                { 2.97437559, 30.1990168 }, { 7.98593425, 120 } },
        },
        ["an end after days"] = {
            { { 1e5, 1e6 } }, { 1.00000004, 15340.031 },
            { { 3623.67664, 15422.2847 }, { 10, 15426.3502 }, { 10, 15462.8021 }, { 10, 15468.4961 },
                { 10, 15468.8412 },
                { 10, 15477.3777 } },
        },
    }
    for name, case in pairs(cases) do
        it("from " .. name, function()
            local histogram = pure.histogram()
            for _, lesson in ipairs(case[1]) do pure.learn(histogram, lesson[1], lesson[2]) end
            local lessons, typical = pure.known(histogram)
            assert.near(case[2][1], lessons, 1e-5)
            assert.near(case[2][2], typical, 1e-5 * typical)
            for i, elapsed in ipairs(AT) do
                local gap, likely = pure.gap(p, elapsed, 1, histogram)
                assert.near(case[3][i][1], gap, 1e-5 * gap, "gap at " .. elapsed)
                assert.near(case[3][i][2], likely, 1e-5 * likely, "likely at " .. elapsed)
            end
        end)
    end
    it("is the longest pause after hours without information", function()
        local histogram = pure.histogram()
        pure.learn(histogram, 13, 14)
        for _, elapsed in ipairs { 17000, 20000, 1e6 } do
            local gap, likely = pure.gap(p, elapsed, 1, histogram)
            assert.equal(10, gap)
            assert.equal(elapsed, likely)
        end
    end)
    it("starts with the published durations, but polls within the first second", function()
        local histogram = pure.histogram()
        local lessons, typical = pure.known(histogram)
        assert.near(4, lessons, 1e-3)
        assert.near(14, typical, 0.02)
        local least, longest = math.huge, 0
        for seed = 1, 1000 do
            local gap = pure.gap(p, 0, seed * 7919, histogram)
            least, longest = math.min(least, gap), math.max(longest, gap)
        end
        assert.is_true(longest <= 1 and least > 0.89, least .. " to " .. longest)
        -- The median, and the upper bound.
        assert.near(15, (select(2, pure.gap(p, 0, 1, histogram))), 0.5)
        pure.learn(histogram, 13, 14)
        assert.is_true(pure.gap(p, 0, 1, histogram) > 3)
    end)
end)

describe("the polling schedule with reported progress", function()
    local p = core.profile {}
    for _, case in ipairs {
        -- elapsed and progress, time of the poll, gap, likely end
        { { 2, 0.1, 4, 0.2 }, 18, 2.14128132, 20 }, { { 2, 0.1, 4, 0.2 }, 19, 1.14128132, 20 },
        { { 2, 0.1, 4, 0.2, 8, 0.4 }, 18, 2.14128132, 20 }, { { 2, 0.1, 10, 0.5, 18, 0.9 }, 18, 2.14128132, 20 },
        { { 2, 0.1, 10, 0.5, 18, 0.9 }, 19, 1.14128132, 20 }, { { 1, 1, 3, 0.02, 4, 0.03, 5, 0.04 }, 18, 10, 101 },
        { { 2, 0.5, 3, 0.6, 4, 0.55, 5, 0.65, 6, 0.75 }, 6, 2.56004456, 8.5 },
        { { 2, 0.5, 3, 0.6, 4, 0.55, 5, 0.65, 6, 0.75 }, 8, 0.56004456, 8.5 },
        -- Overdue: later than the likely end plus its uncertainty.
        { { 2, 0.1, 4, 0.2 }, 20.15, 0.170591172, 20 }, { { 2, 0.1, 4, 0.2 }, 20.21, 4.09580838 },
    } do
        it(("%s, at %g s"):format(table.concat(case[1], " "), case[2]), function()
            local gap, likely = pure.gap(p, case[2], 1, nil, case[1])
            assert.near(case[3], gap, 1e-5 * gap)
            assert.near(case[4] or 2 * case[2], likely, 1e-5 * likely)
        end)
    end
end)
