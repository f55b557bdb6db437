-- Adaptive polling: the histogram of durations, the derived schedule, the kinds of tasks, and the order of polls.
local core = require "flux2.core"
local flux2 = require "flux2"
local service = require "support.service"
local simulation = dofile "bench/polling.lua"

local pure = core._pure
local profile = core.profile {}

local function mean_gap(histogram, elapsed)
    local sum = 0
    for seed = 1, 100 do sum = sum + (pure.gap(profile, elapsed, seed * 7919, histogram)) end
    return sum / 100
end

--- Records durations in `histogram` from polls `interval` apart, with random phase.
local function watch(histogram, draw, interval, count)
    local random = simulation.generator(5)
    for i = 1, count do
        local duration, now = draw(random, i), interval * random()
        local low = 0
        while now < duration do low, now = now, now + interval end
        pure.learn(histogram, low, now)
    end
end

--- Runs a task of `request` to its end, with polls 10 ms apart; returns its requests.
local function run_task(emu, request, interval)
    local client, requests = service.client(emu, { poll = { interval = interval or 0.01 } }), {}
    local task = assert(client:submit(request, { on_request = function(_, e) requests[#requests + 1] = e end }))
    assert(task:wait(60))
    return requests
end

--- Returns the first `count` requests of a task of `request`, and cancels the task.
local function watch_polls(emu, request, count)
    local client, requests = service.client(emu, { poll = { per_second = 1000 } }), {}
    local task = assert(client:submit(request, { on_request = function(_, e) requests[#requests + 1] = e end }))
    service.pump_until(function() return #requests >= count end, 60)
    task:cancel()
    return requests
end

local function first_pause(emu, request) return watch_polls(emu, request, 1)[1].pause end

describe("a duration histogram", function()
    it("records the end of a task, not the time of the poll", function()
        for _, interval in ipairs { 0.5, 2, 6 } do
            local histogram = pure.histogram()
            watch(histogram, function(random) return 13.8 + 0.4 * random() end, interval, 300)
            local _, typical = pure.known(histogram)
            -- Polls 6 s apart see the end 3 s late on average.
            assert.near(14, typical, 0.5, "polls " .. interval .. " s apart")
        end
    end)

    it("polls rarely before the likely end, often around it, and less and less often after it", function()
        local histogram = pure.histogram()
        watch(histogram, function(random) return 13 + 2 * random() end, 0.5, 100)
        local first = mean_gap(histogram, 0)
        assert.is_true(first > 9 and first < 14, "first poll after " .. first)
        assert.is_true(mean_gap(histogram, 13.5) < 0.8)
        assert.is_true(mean_gap(histogram, 18) > 1.5)
        assert.is_true(mean_gap(histogram, 40) > mean_gap(histogram, 20))
        assert.is_true(mean_gap(histogram, 500) <= 10)
    end)

    it("skips the gap between two modes", function()
        local histogram = pure.histogram()
        watch(histogram, function(random) return random() < 0.5 and 8 + random() or 40 + 4 * random() end, 0.5, 200)
        assert.is_true(mean_gap(histogram, 14) > 4 * mean_gap(histogram, 8.2))
    end)

    it("adapts within a few tasks when the service becomes faster or slower", function()
        for _, now in ipairs { 5, 30 } do
            local histogram = pure.histogram()
            watch(histogram, function(random) return 13.5 + random() end, 0.5, 200)
            local gaps, random = 0, simulation.generator(9)
            for i = 1, 40 do
                local duration, at, low = now * (0.95 + 0.1 * random()), 0, 0
                while at < duration do low, at = at, at + pure.gap(profile, at, i * 7919, histogram) end
                pure.learn(histogram, low, at)
                if i > 20 then gaps = gaps + (at - duration) / 20 end
            end
            assert.is_true(gaps < now * 0.12, ("%.2f s late at %g s"):format(gaps, now))
        end
    end)

    it("starts with the published durations, and discards them after one much faster task", function()
        local histogram = pure.histogram()
        assert.is_true(mean_gap(histogram, 1) > 3)
        pure.learn(histogram, 0, 0.95)
        assert.is_true(mean_gap(histogram, 0) < 0.2, mean_gap(histogram, 0) .. " s")
        histogram = pure.histogram()
        pure.learn(histogram, 13, 14)
        assert.is_true(mean_gap(histogram, 0) > 3, "a published duration changes little")
    end)

    it("stays valid for any durations", function()
        local histogram = pure.histogram()
        for _, lesson in ipairs { { 0, 0 }, { -1, -5 }, { 1e9, 1e10 }, { 5, math.huge }, { 3, 2 }, { 0, 1e-9 } } do
            pure.learn(histogram, lesson[1], lesson[2])
            for _, elapsed in ipairs { 0, 1e-9, 1, 14, 1e6, 1e12 } do
                local gap, likely = pure.gap(profile, elapsed, 1, histogram)
                assert.is_true(gap >= 0.1 and gap < 1e5, "gap " .. gap)
                assert.is_true(likely == likely)
            end
        end
    end)
end)

describe("progress", function()
    it("determines the next poll if it is plausible", function()
        local gap, likely = pure.gap(profile, 8, 1, nil, { 2, 0.1, 4, 0.2, 8, 0.4 })
        assert.near(20, likely, 0.01)
        assert.is_true(gap > 9.5) -- of 12 s, but a gap is at most 10 s
        gap = pure.gap(profile, 18, 1, nil, { 2, 0.1, 10, 0.5, 18, 0.9 })
        assert.is_true(gap > 1.5 and gap < 2.6, "gap " .. gap)
    end)
    for name, reported in pairs {
        ["stands still"] = { 2, 0.4, 4, 0.4, 8, 0.4 }, ["goes back"] = { 2, 0.4, 4, 0.5, 8, 0.1 },
        ["has only ends"] = { 2, 0, 4, 0, 8, 1 }, ["creeps towards an end"] = { 2, 0.8, 4, 0.9, 8, 0.91 },
        ["is nonsense"] = { 2, -5, 4, 1e9, 8, 0 / 0 }, ["is told once"] = { 8, 0.4 },
    } do
        it(name .. ": it is not believed", function()
            assert.equal(pure.gap(profile, 8, 1), (pure.gap(profile, 8, 1, nil, reported)))
        end)
    end
    it("that proved wrong is ignored", function()
        local reported = { 2, 0.1, 4, 0.2, 8, 0.4, 18, 0.9 }
        assert.equal(pure.gap(profile, 30, 1), (pure.gap(profile, 30, 1, nil, reported)))
    end)
end)

describe("the polling simulation", function()
    for _, distribution in ipairs(simulation.distributions) do
        it("is never worse than the best fixed interval: " .. distribution.name, function()
            local durations = simulation.draw_all(distribution, 800, 11)
            local got = simulation.simulate(simulation.schedules.learned(), durations, 12)
            local fixed = simulation.fixed_delay(durations, got.polls)
            assert.is_true(got.mean <= 1.1 * fixed, ("%.3f s against %.3f s"):format(got.mean, fixed))
        end)
        it("is not worse than a fixed interval for the first task of a process: " .. distribution.name, function()
            local durations = simulation.draw_all(distribution, 3000, 11)
            local got = simulation.simulate(simulation.schedules.first(), durations, 12)
            local fixed = simulation.fixed_delay(durations, got.polls)
            -- The published durations have one mode; a second one is unexpected.
            local most = distribution.name == "bimodal" and 1.1 or 1
            assert.is_true(got.mean <= most * fixed, ("%.3f s against %.3f s"):format(got.mean, fixed))
        end)
    end
end)

describe("polling in the engine", function()
    after_each(service.stop_all)

    -- bench/polling_engine.lua compares polls and delays with the simulation, on a quiet machine.
    it("follows the schedule of the recorded durations", function()
        local emu = service.start { duration = 60, progress = "none" }
        local early, late = pure.histogram(), pure.histogram()
        for recorded = 0, 2 do
            if recorded > 0 then
                emu:set { duration = 0.2 + 0.1 * recorded }
                local e = run_task(emu, "a task", 0.1)
                emu:set { duration = 60 }
                -- The last poll with "running" began after the previous response and before its own. There is none if
                -- a busy machine sent the first poll late.
                local high, has_run = e[#e].elapsed - e[1].elapsed, #e > 2
                pure.learn(early, has_run and e[#e - 2].elapsed + e[#e - 2].pause - e[1].elapsed or 0, high)
                pure.learn(late, has_run and e[#e - 1].elapsed - e[1].elapsed or 0, high)
            end
            local requests = watch_polls(emu, "a task", recorded > 0 and 4 or 2)
            for i, request in ipairs(requests) do
                local least, most = math.huge, 0
                for seed = 1, 300 do
                    local elapsed = request.elapsed - requests[1].elapsed
                    local a, b = pure.gap(profile, elapsed, seed * 7919, early),
                        pure.gap(profile, elapsed, seed * 7919, late)
                    least, most = math.min(least, a, b), math.max(most, a, b)
                end
                assert.is_true(request.pause > 0.97 * least and request.pause < 1.03 * most,
                    ("%.4f s after %d tasks and %d polls, not %.4f to %.4f s"):format(request.pause, recorded, i - 1,
                        least, most))
            end
        end
    end)
end)

describe("the polls of a client", function()
    local emu
    before_each(function() emu = service.start { duration = 60, progress = "none" } end)
    after_each(function() service.stop_all() end)

    local function submit(client, count, request)
        local tasks = {}
        for i = 1, count do tasks[i] = assert(client:submit(request)) end
        return tasks
    end

    it("share one rate limit", function()
        local client = service.client(emu, { poll = { interval = 0.01, per_second = 20 } })
        local began = core.now()
        local tasks = submit(client, 30, "a task")
        service.pump_until(function() return emu:stats().polls >= 45 end, 60)
        local polls, took = emu:stats().polls, core.now() - began
        -- One second's worth may be saved up.
        assert.is_true(polls <= 20 * (took + 1) + 1, polls .. " polls in " .. took .. " s")
        for _, task in ipairs(tasks) do task:cancel() end
    end)

    it("go first to the tasks that have most likely ended", function()
        local client = service.client(emu, { poll = { interval = 0.01, per_second = 20 } })
        emu:set { duration = 0 }
        for _ = 1, 3 do run_task(emu, { prompt = "soon over", type = "pro" }) end
        emu:set { duration = 60 }
        local tasks, before = submit(client, 6, { prompt = "takes long", type = "flex" }), emu:stats().polls
        for _, task in ipairs(submit(client, 6, "will soon have ended")) do tasks[#tasks + 1] = task end
        local function count(polls)
            service.pump_until(function() return emu:stats().polls >= before + polls end, 60)
            local pro, flex = 0, 0
            for _, entry in ipairs(emu:ledger()) do
                if entry.type == "flex" then flex = flex + entry.polls else pro = pro + entry.polls end
            end
            return pro, flex
        end
        -- One second's worth of polls is saved up, and is used for all tasks; again whenever a busy machine saves it up.
        local last_pro, last_flex = count(25)
        local pro, flex
        for more = 50, 150, 25 do
            local now_pro, now_flex = count(more)
            pro, flex = now_pro - last_pro, now_flex - last_flex
            if pro > 2 * flex then break end
            last_pro, last_flex = now_pro, now_flex
        end
        assert.is_true(pro > 2 * flex, pro .. " and " .. flex)
        for _, task in ipairs(tasks) do task:cancel() end
    end)

    it("continue after queued polls are cancelled in any order", function()
        local client = service.client(emu, { poll = { interval = 0.01, per_second = 5 } })
        local tasks = submit(client, 40, "a task")
        service.pump_until(function() return emu:stats().polls >= 6 end, 60)
        for step = 0, 39 do tasks[step * 17 % 40 + 1]:cancel() end
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    it("follow the service's Retry-After", function()
        emu:fault { headers = { ["Retry-After"] = "1" }, every = 1 }
        -- Later than the schedule; at the second poll earlier.
        assert.is_true(mean_gap(pure.histogram(), 0) < 0.97 and mean_gap(pure.histogram(), 1) > 2)
        for _, request in ipairs(watch_polls(emu, "a task", 2)) do assert.near(1, request.pause, 0.001) end
    end)
end)

describe("recorded durations", function()
    after_each(service.stop_all)

    it("are separate for each type, resolution, use of inputs, and service", function()
        local services = { service.start { duration = 0 }, service.start { duration = 0 } }
        local function each(visit)
            for _, emu in ipairs(services) do
                for _, type in ipairs { "pro", "flex" } do
                    for _, resolution in ipairs { "1K", "2K" } do
                        for _, inputs in ipairs { false, { "https://example.com/x.png" } } do
                            visit(emu, {
                                prompt = "a task", type = type, resolution = resolution, input_urls = inputs or nil,
                            })
                        end
                    end
                end
            end
        end
        each(function(emu, request)
            assert.is_true(first_pause(emu, request) > 0.8)
            local pause
            -- Until one ends at once: what a busy machine delays is learned as a longer duration.
            for _ = 1, 20 do
                run_task(emu, request)
                pause = first_pause(emu, request)
                if pause < 0.2 then break end
            end
            assert.is_true(pause < 0.2, pause)
        end)
        assert.is_true(first_pause(services[1], "a task of the defaults") < 0.2)
    end)
end)

describe("the poll option", function()
    it("accepts only interval, patience and per_second", function()
        local function new(poll)
            return pcall(flux2.new, { api_key = "k", base_url = "http://127.0.0.1:1", poll = poll })
        end
        assert.is_true((new { interval = 1, patience = 1, per_second = 5 }))
        local ok, err = new { per_second = 0 }
        assert.is_false(ok)
        assert.matches("per_second must be a number per second", err, 1, true)
        ok, err = new { intervall = 1 }
        assert.is_false(ok)
        assert.matches("did you mean interval", err, 1, true)
        assert.is_false((new { memory = "x" }))
    end)
end)
