-- The engine under load: counters return to their start values, queues are fair, concurrency is limited, and waiting
-- uses no processor time. Counters and orders are compared, not only results.
local bound = require "support.bound"
local core = require "flux2.core"
local jobs = require "support.jobs"
local service = require "support.service"

local SCHEMA = core.response_schema {
    task_id = { "id" }, status = { "status" }, progress = { "progress" }, succeeded = { "done" }, failed = { "failed" },
}

--- A profile with one attempt and short pauses; options override.
local function profile(options)
    local p = { max_attempts = 1, response = SCHEMA, poll_interval = 0.005 }
    for name, value in pairs(options or {}) do p[name] = value end
    return core.profile(p)
end

local function in_flight() return jobs.engine:stats().in_flight end

describe("concurrent requests of one profile", function()
    local emu
    before_each(function()
        emu = service.start()
        emu:fault { path = "/hang*", times = 1000, hang = true }
        emu:fault { path = "/good*", times = 1000, body = "good" }
        emu:fault { path = "/busy", times = 1000, status = 429, retry_after = 0, body = "busy" }
        emu:fault { path = "/down", times = 1000, status = 503, body = "down" }
        emu:fault { path = "/later", times = 1000, status = 503, retry_after = 0, body = "later" }
        emu:fault { path = "/missing", times = 1000, status = 404, body = "missing" }
    end)
    after_each(function()
        service.stop_all()
        assert.equal(0, in_flight())
        assert.equal(0, jobs.engine:stats().jobs)
    end)

    local function start(p, path, count)
        local ids = {}
        for i = 1, count do ids[i] = jobs.transfer(p, emu.url .. path) end
        return ids
    end

    --- Waits until COUNT requests are in flight, and verifies that no more follow.
    local function settles_at(n)
        jobs.wait_until(function() return in_flight() == n end)
        jobs.join(jobs.timer(0.02))
        jobs.settle()
        assert.equal(n, in_flight())
    end

    local function open_connections_reach(n)
        jobs.wait_until(function() return emu:stats().open_connections >= n end)
        assert.equal(n, emu:stats().open_connections)
    end

    for _, limit in ipairs { 1, 2, 9 } do
        it(("are limited by max_in_flight, %d, each on its own connection"):format(limit), function()
            local ids = start(profile { max_in_flight = limit }, "/hang", limit + 3)
            settles_at(limit)
            open_connections_reach(limit)
            -- Each finished request frees a slot.
            jobs.cancel_all { ids[1] }
            settles_at(limit)
            jobs.cancel_all(ids)
        end)
    end

    it("are limited for each profile separately", function()
        local ids = start(profile { max_in_flight = 2 }, "/hang", 4)
        for _, id in ipairs(start(profile { max_in_flight = 3 }, "/hang", 5)) do ids[#ids + 1] = id end
        settles_at(5)
        jobs.cancel_all(ids)
    end)

    it("free their slots for every outcome", function()
        local p = profile { max_in_flight = 2, silence_timeout = 0 }
        for _ = 1, 3 do
            for _, path in ipairs { "/good", "/missing", "/down" } do
                for _, id in ipairs(start(p, path, 3)) do jobs.join(id) end
            end
            jobs.fetch(p, { url = "http://127.0.0.1:1/" })
            jobs.fetch(p, { url = emu.url .. "/hang", deadline = 0.01 })
            jobs.join(jobs.poll(p, {
                url = emu.url .. "/good", submission = emu.url .. "/good", body = "",
                record_path = "/no/such/folder/record",
                record_text = "{}",
            }))
        end
        local ids = start(p, "/hang", 5)
        settles_at(2)
        jobs.cancel_all(ids)
    end)

    it("can be cancelled while queued, and the rest of the queue keeps its order", function()
        local p = profile { max_in_flight = 1 }
        local first, queue = start(p, "/hang", 1)[1], {}
        for i = 1, 6 do queue[i] = jobs.transfer(p, emu.url .. "/good" .. i) end
        settles_at(1)
        -- The first, one in the middle, the last.
        jobs.cancel_all { queue[1], queue[3], queue[6] }
        for _, i in ipairs { 1, 3, 6 } do assert.equal("cancelled", jobs.join(queue[i]).failure) end
        queue[7] = jobs.transfer(p, emu.url .. "/good7")
        jobs.cancel_all { first }
        local paths = {}
        for _, i in ipairs { 2, 4, 5, 7 } do assert.equal("good", jobs.join(queue[i]).body) end
        for _, request in ipairs(emu:requests()) do
            if request.path:find "good" then paths[#paths + 1] = request.path end
        end
        assert.same({ "/good2", "/good4", "/good5", "/good7" }, paths)
    end)

    for _, path in ipairs { "/busy", "/later" } do
        it("are halved by " .. path .. ", and grow by one with each success", function()
            local p = profile { max_in_flight = 8 }
            local ids = start(p, "/hang", 7)
            settles_at(7)
            jobs.fetch(p, emu.url .. path)
            -- 7 are left: a half is 3.5.
            for _, id in ipairs(start(p, "/hang", 8)) do ids[#ids + 1] = id end
            settles_at(7)
            jobs.cancel_all { ids[1], ids[2], ids[3] }
            settles_at(4)
            jobs.cancel_all { ids[4], ids[5] }
            settles_at(4)
            jobs.cancel_all(ids)
        end)
    end

    for successes, window in pairs { [0] = 1, [1] = 2, [2] = 3, [6] = 7, [7] = 8, [9] = 8 } do
        it(("are at least one, and %d after %d responses"):format(window, successes), function()
            local p = profile { max_in_flight = 8 }
            jobs.fetch(p, emu.url .. "/busy")
            for i = 1, successes do
                assert.equal("good", jobs.fetch(p, emu.url .. (i % 2 == 0 and "/good" or "/good?x")).body)
            end
            local ids = start(p, "/hang", 12)
            settles_at(window)
            jobs.cancel_all(ids)
        end)
    end

    it("are not halved by failures other than overload, and those do not end the window", function()
        local p = profile { max_in_flight = 4 }
        jobs.fetch(p, emu.url .. "/down")
        jobs.fetch(p, emu.url .. "/missing")
        jobs.fetch(p, { url = emu.url .. "/hang", deadline = 0.01 })
        local ids = start(p, "/hang", 6)
        settles_at(4)
        jobs.cancel_all(ids)
        jobs.fetch(p, emu.url .. "/busy")
        for _ = 1, 5 do jobs.fetch(p, { url = emu.url .. "/hang", deadline = 0.005 }) end
        ids = start(p, "/hang", 6)
        settles_at(1)
        jobs.cancel_all(ids)
    end)

    it("are all delayed by Retry-After of a 429, and other profiles are not", function()
        local p, other = profile(), profile()
        emu:fault { path = "/wait", status = 429, retry_after = "0.15", body = "busy" }
        local ids = start(p, "/hang", 1)
        settles_at(1)
        local began = core.now()
        jobs.fetch(p, emu.url .. "/wait")
        local good = jobs.transfer(p, emu.url .. "/good")
        assert.equal("good", jobs.fetch(other, emu.url .. "/good").body)
        jobs.cancel_all(ids)
        -- A quarter of the jitter is added.
        assert.equal("good", jobs.join(good).body)
        assert.is_true(core.now() - began >= 0.15, "too soon: " .. core.now() - began)
    end)

    it("may be 200, more than the number of pooled handles, repeatedly", function()
        local p = profile { max_in_flight = 200 }
        for _ = 1, 3 do
            local before = jobs.engine:stats()
            local ids = start(p, "/hang", 150)
            settles_at(150)
            jobs.cancel_all(ids)
            for i = 1, 150 do ids[i] = jobs.transfer(p, emu.url .. "/good?" .. i) end
            for i = 1, 150 do assert.equal("good", jobs.join(ids[i]).body) end
            local after = jobs.engine:stats()
            assert.equal(300, after.requests - before.requests)
            assert.equal(300, after.ended - before.ended - 3)
            assert.equal(600, after.received - before.received)
        end
    end)
end)

describe("events that the host has not taken", function()
    local emu
    before_each(function()
        emu = service.start()
        emu:fault { path = "/x", times = 1000, body = ("x"):rep(3000) }
    end)
    after_each(service.stop_all)

    it("stop sending exactly when they exceed max_queued bytes", function()
        for most, count in pairs { [2999] = 1, [4000] = 2, [7000] = 3, [10500] = 4 } do
            local p, ids, before = profile { max_queued = most, max_in_flight = 1 }, {}, emu:stats().requests
            for i = 1, 5 do ids[i] = jobs.transfer(p, emu.url .. "/x") end
            assert.is_true(emu:wait(bound(15), before + count))
            while jobs.engine:ready() < count do emu:wait(0.002) end
            emu:wait(0.03)
            assert.equal(before + count, emu:stats().requests)
            for i = 1, 5 do assert.equal(3000, #jobs.join(ids[i]).body) end
        end
    end)
    it("no longer count once taken", function()
        local p = profile { max_queued = 10000 }
        for _ = 1, 30 do assert.equal(3000, #jobs.fetch(p, emu.url .. "/x").body) end
        emu:fault { path = "/task", times = 1000, body = '{"status":"a","progress":1}' }
        for _ = 1, 30 do
            local id = jobs.poll(p, emu.url .. "/task")
            jobs.wait_until(function() return #jobs.events(id, "changed") == 1 end)
            jobs.cancel_all { id }
        end
        assert.equal(3000, #jobs.fetch(p, emu.url .. "/x").body)
    end)
end)

describe("scheduling", function()
    local emu
    before_each(function()
        emu = service.start()
        emu:fault { path = "/hang", times = 1000, hang = true }
        emu:fault { path = "/open*", times = 1000, body = '{"id":"x"}' }
        emu:fault { path = "/poll*", times = 1000, body = '{"status":"failed"}' }
        emu:fault { path = "/other*", times = 1000, body = "other" }
    end)
    after_each(service.stop_all)

    --- The paths of the requests so far, in order of arrival; the log is in order of completion.
    local function requests(pattern)
        local log, paths = emu:requests(), {}
        table.sort(log, function(a, b) return a.at < b.at end)
        for _, request in ipairs(log) do
            if request.path:find(pattern) then paths[#paths + 1] = request.path end
        end
        return paths
    end

    it("is fair between submissions, polls and other requests", function()
        local p = profile { max_in_flight = 1 }
        local first, all = jobs.transfer(p, emu.url .. "/hang"), {}
        jobs.settle()
        for i = 1, 4 do all[#all + 1] = jobs.transfer(p, emu.url .. "/other" .. i) end
        for i = 1, 4 do all[#all + 1] = jobs.poll(p, emu.url .. "/poll" .. i) end
        for i = 1, 4 do
            all[#all + 1] = jobs.poll(p, { url = emu.url .. "/poll-{id}", submission = emu.url .. "/open" .. i,
                body = "{}" })
        end
        jobs.settle()
        jobs.cancel_all { first }
        for _, id in ipairs(all) do jobs.join(id) end
        local expected = {}
        for i = 1, 4 do
            for _, lane in ipairs { "/open", "/poll", "/other" } do expected[#expected + 1] = lane .. i end
        end
        assert.same(expected, requests "%d$")
        assert.equal(4, #requests "^/poll%-x$")
    end)

    it("serves submissions while polls continue", function()
        emu:fault { path = "/running", times = 100000, body = '{"status":"running"}' }
        local p, polls = profile { max_in_flight = 1, poll_interval = 1e-9 }, {}
        for i = 1, 20 do polls[i] = jobs.poll(p, emu.url .. "/running") end
        jobs.wait_until(function() return emu:stats().requests >= 40 end)
        local id = jobs.poll(p, { url = emu.url .. "/poll-{id}", submission = emu.url .. "/open", body = "{}" })
        local before = emu:stats().requests
        jobs.wait_until(function() return #requests "^/open$" == 1 end)
        local paths = requests "."
        for i, path in ipairs(paths) do
            -- Requests that were in flight, and possibly those started before the command was read.
            if path == "/open" then assert.is_true(i <= before + 20, i .. " after " .. before) end
        end
        polls[#polls + 1] = id
        jobs.cancel_all(polls)
    end)

    for _, lane in ipairs { "submission_rate", "poll_rate" } do
        it("sends per second as many requests as " .. lane .. " allows, after one second's worth at once", function()
            local p, ids = profile { [lane] = 4, max_in_flight = 100 }, {}
            local began = core.now()
            for i = 1, 8 do
                ids[i] = lane == "poll_rate" and jobs.poll(p, emu.url .. "/poll")
                    or jobs.poll(p, { url = emu.url .. "/poll", submission = emu.url .. "/open", body = "{}" })
            end
            -- Requests without a rate are not delayed.
            assert.equal("other", jobs.fetch(p, emu.url .. "/other").body)
            local pattern = lane == "poll_rate" and "^/poll" or "^/open"
            jobs.wait_until(function() return #requests(pattern) >= 5 end)
            jobs.settle()
            assert.is_true(#requests(pattern) <= 5 + math.floor((core.now() - began) * 4),
                #requests(pattern) .. " at once")
            jobs.wait_until(function() return #requests(pattern) >= 6 end)
            assert.is_true(core.now() - began >= 0.25)
            jobs.cancel_all(ids)
        end)
    end

    it("orders polls by estimated completion time", function()
        -- Earliest estimated end first: tasks that began earlier are more likely finished.
        local p, ids = profile { max_in_flight = 1 }, {}
        local first = jobs.transfer(p, emu.url .. "/hang")
        jobs.settle()
        for i = 1, 9 do
            ids[i] = jobs.poll(p, emu.url .. "/poll" .. i)
            jobs.settle()
        end
        jobs.cancel_all { ids[4], ids[7] }
        jobs.cancel_all { first }
        for _, id in ipairs(ids) do jobs.join(id) end
        local paths = {}
        for _, i in ipairs { 1, 2, 3, 5, 6, 8, 9 } do paths[#paths + 1] = "/poll" .. i end
        assert.same(paths, requests "^/poll")
    end)
end)

describe("the engine's thread uses no processor time while #proc", function()
    local emu, ids
    before_each(function()
        emu = service.start()
        emu:fault { path = "/hang", times = 1000, hang = true }
        emu:fault { path = "/good", times = 1000, body = "good" }
        emu:fault { path = "/busy", times = 1000, status = 429, retry_after = 30, body = "busy" }
        emu:fault { path = "/running", times = 1000, body = '{"status":"running"}' }
        ids = {}
    end)
    after_each(function()
        jobs.cancel_all(ids)
        service.stop_all()
    end)

    -- A busy loop uses all of a processor, or the share that other processes leave.
    local function is_idle()
        jobs.settle()
        local before = jobs.processor_time()
        emu:wait(0.2)
        local used = jobs.processor_time() - before
        assert.is_true(used < bound(0.02), ("%.3f s of 0.2 s"):format(used))
    end

    local function start(p, path, count)
        for _ = 1, count do ids[#ids + 1] = jobs.transfer(p, emu.url .. path) end
    end

    it("it is idle", is_idle)
    it("timers are far in the future", function()
        ids = { jobs.timer(1000), jobs.timer(100) }
        is_idle()
    end)
    it("a response is pending", function()
        start(profile(), "/hang", 3)
        is_idle()
    end)
    it("the concurrency limit is reached, and more requests are queued", function()
        start(profile { max_in_flight = 2 }, "/hang", 6)
        is_idle()
    end)
    it("a Retry-After pause lasts, and jobs are queued", function()
        local p = profile()
        jobs.fetch(p, emu.url .. "/busy")
        start(p, "/good", 3)
        is_idle()
        assert.equal(0, in_flight())
    end)
    it("the window is reduced to one", function()
        local p = profile()
        emu:fault { path = "/soon", status = 429, retry_after = 0, body = "busy" }
        jobs.fetch(p, emu.url .. "/soon")
        start(p, "/hang", 3)
        jobs.wait_until(function() return in_flight() == 1 end)
        is_idle()
    end)
    it("submissions and polls wait for their rate limit", function()
        local p = profile { submission_rate = 0.001, poll_rate = 0.001 }
        for _ = 1, 3 do
            ids[#ids + 1] = jobs.poll(p, { url = emu.url .. "/running", submission = emu.url .. "/hang", body = "{}" })
            ids[#ids + 1] = jobs.poll(p, { url = emu.url .. "/running" })
        end
        is_idle()
    end)
    it("a poll waits for its scheduled time", function()
        ids = { jobs.poll(profile { poll_interval = 100 }, emu.url .. "/running") }
        jobs.wait_until(function() return emu:stats().requests == 1 and in_flight() == 0 end)
        is_idle()
    end)
    it("the host takes no events, and jobs are queued", function()
        local p = profile { max_queued = 1 }
        local first = jobs.transfer(p, emu.url .. "/good")
        emu:wait(2, 1)
        while jobs.engine:ready() == 0 do jobs.engine:wait(1) end
        start(p, "/good", 2)
        local before = jobs.processor_time()
        emu:wait(0.2)
        assert.is_true(jobs.processor_time() - before < bound(0.02))
        assert.equal(1, emu:stats().requests)
        jobs.join(first)
    end)
end)
