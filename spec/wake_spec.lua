-- A sleeping engine executes a command at once. An idle engine sleeps up to a minute, so each wait has a bound far below
-- that: a lost wakeup is a failure, not a slow success.
local bound = require "support.bound"
local core = require "flux2.core"
local jobs = require "support.jobs"
local service = require "support.service"

local PROMPT = 15 -- seconds, on a busy machine

describe("a sleeping engine", function()
    local emu, profile
    before_each(function()
        emu = service.start()
        emu:fault { path = "/hang", times = 1000, hang = true }
        emu:fault { path = "/good", times = 1000, body = "good" }
        emu:fault { path = "/running", times = 1000, body = '{"status":"running"}' }
        profile = core.profile {
            max_attempts = 1, poll_interval = 100, response = core.response_schema { status = { "status" } },
            max_in_flight = 1,
        }
        jobs.settle()
        jobs.join(jobs.timer(0.02)) -- the engine is idle and asleep now
    end)
    after_each(service.stop_all)

    local function sleeps()
        jobs.settle()
        jobs.join(jobs.timer(0.01))
    end

    it("starts a transfer", function() assert.equal("good", jobs.fetch(profile, emu.url .. "/good", PROMPT).body) end)
    it("starts a poll", function()
        local id = jobs.poll(profile, emu.url .. "/running")
        jobs.wait_until(function() return #jobs.events(id, "changed") == 1 end, PROMPT)
        jobs.cancel_all { id }
    end)
    it("starts several, given one by one or together", function()
        for _ = 1, 5 do assert.equal("good", jobs.fetch(profile, emu.url .. "/good", PROMPT).body) end
        local ids = {}
        for i = 1, 5 do ids[i] = jobs.transfer(profile, emu.url .. "/good") end
        for i = 1, 5 do assert.equal("good", jobs.join(ids[i], PROMPT).body) end
    end)
    it("fires a timer, also one shorter than the running ones", function()
        local long = { jobs.timer(1000), jobs.timer(50) }
        sleeps()
        jobs.join(jobs.timer(0.01), PROMPT)
        jobs.join(jobs.timer(0), PROMPT)
        jobs.join(jobs.timer(-1), PROMPT)
        jobs.cancel_all(long)
    end)
    it("fires no timer early", function()
        for _, seconds in ipairs { 0.001, 0.03, 0.11 } do
            local began = core.now()
            jobs.join(jobs.timer(seconds), seconds + PROMPT)
            assert.is_true(core.now() - began >= seconds)
        end
    end)
    it("cancels every type of job", function()
        local timer, hanging = jobs.timer(1000), jobs.transfer(profile, emu.url .. "/hang")
        jobs.wait_until(function() return jobs.engine:stats().in_flight == 1 end)
        local queued = jobs.transfer(profile, emu.url .. "/good")
        sleeps()
        for _, id in ipairs { timer, queued, hanging } do
            jobs.cancel(id)
            local ended = jobs.join(id, PROMPT)
            assert.equal("cancelled", ended.failure)
            assert.equal("cancelled", ended.message)
            assert.equal(id == hanging and true or nil, ended.sent)
        end
        local waiting = jobs.poll(profile, emu.url .. "/running")
        jobs.wait_until(function() return #jobs.events(waiting, "changed") == 1 end, PROMPT)
        sleeps()
        jobs.cancel(waiting)
        assert.equal("cancelled", jobs.join(waiting, PROMPT).failure)
        -- Unknown ids and finished jobs are ignored.
        jobs.cancel(waiting)
        jobs.cancel(2 ^ 50)
        sleeps()
        assert.equal(1, #jobs.events(waiting, "ended"))
    end)
    it("ends jobs at their deadline: in flight, queued, between polls", function()
        local function ends(id)
            local ended = jobs.join(id, 2 * PROMPT)
            assert.equal("timeout", ended.failure)
            assert.equal("the deadline of the whole job passed", ended.message)
            return ended.sent
        end
        local changed, sent
        -- With longer deadlines if one passed before the request was sent, or before the first response.
        for _, scale in ipairs { 1, 10, 50 } do
            local began = core.now()
            local waiting = jobs.poll(profile, { url = emu.url .. "/running", deadline = 0.3 * scale })
            jobs.wait_until(function()
                changed = #jobs.events(waiting, "changed") == 1
                return changed or #jobs.events(waiting, "ended") == 1
            end, PROMPT)
            local hanging = jobs.transfer(profile, emu.url .. "/hang")
            sleeps()
            assert.is_nil(ends(jobs.transfer(profile, { url = emu.url .. "/good", deadline = 0.03 })))
            jobs.cancel_all { hanging }
            sent = ends(jobs.transfer(profile, { url = emu.url .. "/hang", deadline = 0.05 * scale }))
            local polled = ends(waiting)
            assert.is_true(core.now() - began >= 0.3 * scale)
            if changed then assert.is_nil(polled) end
            if changed and sent then break end
        end
        assert.is_true(changed and sent)
    end)
    it("continues when the host takes events from a full queue", function()
        local narrow = core.profile { max_attempts = 1, max_queued = 1 }
        local first = jobs.transfer(narrow, emu.url .. "/good")
        while jobs.engine:ready() == 0 do assert(jobs.engine:wait(bound(PROMPT))) end
        local second = jobs.transfer(narrow, emu.url .. "/good")
        emu:wait(0.05)
        assert.equal(1, emu:stats().requests)
        assert.equal(1, jobs.engine:ready())
        jobs.drain()
        assert.is_true(emu:wait(bound(PROMPT), 2))
        assert.equal("good", jobs.join(second, PROMPT).body)
        assert.equal("good", jobs.join(first).body)
    end)
    it("uses a freed slot, and continues after a pause", function()
        emu:fault { path = "/busy", status = 429, retry_after = 0.05, body = "busy" }
        local hanging = jobs.transfer(profile, emu.url .. "/hang")
        sleeps()
        local queued = jobs.transfer(profile, emu.url .. "/good")
        sleeps()
        jobs.cancel(hanging)
        assert.equal("good", jobs.join(queued, PROMPT).body)
        assert.equal(429, jobs.fetch(profile, emu.url .. "/busy", PROMPT).http_status)
        assert.equal("good", jobs.fetch(profile, emu.url .. "/good", PROMPT).body)
    end)
end)

describe("engine:wait", function()
    it("returns at once for a pending event, and otherwise after its timeout", function()
        local engine = jobs.engine
        jobs.settle()
        local began = core.now()
        assert.is_false(engine:wait(0.08))
        assert.is_true(core.now() - began >= 0.08)
        assert.is_false(engine:wait(0))
        assert.is_false(engine:wait(-5))
        local id = jobs.timer(0.001)
        assert.is_true(engine:wait(bound(PROMPT)))
        began = core.now()
        assert.is_true(engine:wait(50))
        assert.is_true(core.now() - began < bound(PROMPT))
        assert.equal(1, engine:ready())
        assert.is_true(core.has_events())
        assert.is_true(core._pure.readable(engine:fileno()))
        jobs.join(id)
        assert.equal(0, engine:ready())
        assert.is_nil((core.has_events()))
        assert.is_false(core._pure.readable(engine:fileno()))
        assert.is_nil((engine:next()))
    end)
end)

describe("many jobs", function()
    local seed = 4711
    local function random(n)
        seed = (seed * 16807) % 2147483647
        return seed % n + 1
    end

    it("are found by their ids, and no due job is hidden behind another", function()
        local engine, taken = jobs.engine, {}
        local short, long = {}, {}
        -- Random ids: consecutive ones would hardly collide in the table.
        for _ = 1, 1500 do
            local id
            repeat id = 2 ^ 33 + random(2 ^ 30) until not taken[id]
            taken[id] = true
            local is_long = random(2) == 1
            assert(engine:timer(id, is_long and 1000 + random(1000) or random(60) / 1000))
            local list = is_long and long or short
            list[#list + 1] = id
        end
        assert.is_true(#short > 600 and #long > 600)
        -- Some of each half are removed, in random order.
        for _ = 1, 300 do
            jobs.cancel(table.remove(long, random(#long)))
            jobs.cancel(table.remove(short, random(#short)))
        end
        for _, id in ipairs(short) do assert.is_nil(jobs.join(id).failure) end
        local stats = engine:stats()
        jobs.wait_until(function() return engine:stats().jobs == #long end)
        assert.is_true(engine:stats().ended >= stats.ended)
        -- The remaining ones are found, down to the last.
        while #long > 0 do
            local some = {}
            for _ = 1, math.min(#long, random(120)) do some[#some + 1] = table.remove(long, random(#long)) end
            for _, id in ipairs(some) do jobs.cancel(id) end
            for _, id in ipairs(some) do assert.equal("cancelled", jobs.join(id).failure) end
            -- New ones fill the gaps.
            local id = jobs.timer(0.001)
            assert.is_nil(jobs.join(id).failure)
        end
        assert.equal(0, engine:stats().jobs)
    end)

    it("end in the order of their times", function()
        local count, place, ids = 400, {}, nil
        for i = 1, count do place[i] = i end
        for i = count, 2, -1 do
            local j = random(i)
            place[i], place[j] = place[j], place[i]
        end
        -- The distance between two groups is more than the time in which the engine takes all commands.
        for _, distance in ipairs { bound(0.02), bound(0.1), bound(0.5), false } do
            assert.is_truthy(distance, "the machine is too busy")
            ids = {}
            jobs.order()
            local began = core.now()
            for i = 1, count do ids[place[i]] = jobs.timer(0.05 + math.floor(place[i] / 40) * distance) end
            jobs.settle()
            local took = core.now() - began
            for i = 1, count do jobs.join(ids[i]) end
            if took < distance then break end
        end
        local rank, last = {}, 0
        for i, id in ipairs(ids) do rank[id] = math.floor(i / 40) end
        for _, id in ipairs(jobs.order()) do
            if rank[id] then
                assert.is_true(rank[id] >= last, rank[id] .. " after " .. last)
                last = rank[id]
            end
        end
    end)
end)
