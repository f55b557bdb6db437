-- Polling that learns: the sketch of durations, the schedule drawn from it, what it keeps, and who polls first.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local learning = require "flux2.learning"
local service = require "support.service"
local simulation = dofile "bench/polling.lua"

local pure = core._pure
local profile = core.profile {}

local function new_kind() return core.memory():kind "a kind" end

local function mean_gap(kind, elapsed, progress)
    local sum = 0
    for seed = 1, 100 do sum = sum + (pure.gap(profile, elapsed, seed * 7919, kind, progress)) end
    return sum / 100
end

--- Lets `kind` see the durations through looks that are `interval` apart, begun anywhere.
local function watch(kind, draw, interval, count)
    local random = simulation.generator(5)
    for i = 1, count do
        local duration, now = draw(random, i), interval * random()
        local low = 0
        while now < duration do low, now = now, now + interval end
        pure.learn(kind, low, now)
    end
end

describe("a sketch of durations", function()
    it("learns when things ended, not when they were looked at", function()
        for _, interval in ipairs { 0.5, 2, 6 } do
            local kind = new_kind()
            watch(kind, function(random) return 13.8 + 0.4 * random() end, interval, 300)
            local _, typical = pure.known(kind)
            -- Looks 6 s apart see the end 3 s late, in the mean.
            assert.near(14, typical, 0.5, "looks " .. interval .. " s apart")
        end
    end)

    it("looks rarely before the likely end, closely around it, and less and less often after it", function()
        local kind = new_kind()
        watch(kind, function(random) return 13 + 2 * random() end, 0.5, 100)
        local first = mean_gap(kind, 0)
        assert.is_true(first > 9 and first < 14, "first look after " .. first)
        assert.is_true(mean_gap(kind, 13.5) < 0.8)
        assert.is_true(mean_gap(kind, 18) > 1.5)
        assert.is_true(mean_gap(kind, 40) > mean_gap(kind, 20))
        assert.is_true(mean_gap(kind, 500) <= 10)
    end)

    it("steps over the time between two humps", function()
        local kind = new_kind()
        watch(kind, function(random) return random() < 0.5 and 8 + random() or 40 + 4 * random() end, 0.5, 200)
        assert.is_true(mean_gap(kind, 14) > 4 * mean_gap(kind, 8.2))
    end)

    it("notices within a few tasks that the service has become faster, or slower", function()
        for _, now in ipairs { 5, 30 } do
            local kind = new_kind()
            watch(kind, function(random) return 13.5 + random() end, 0.5, 200)
            local gaps, random = 0, simulation.generator(9)
            for i = 1, 40 do
                local duration, at, low = now * (0.95 + 0.1 * random()), 0, 0
                while at < duration do low, at = at, at + pure.gap(profile, at, i * 7919, kind) end
                pure.learn(kind, low, at)
                if i > 20 then gaps = gaps + (at - duration) / 20 end
            end
            assert.is_true(gaps < now * 0.12, ("%.2f s late at %g s"):format(gaps, now))
        end
    end)

    it("survives any lesson", function()
        local kind = new_kind()
        for _, lesson in ipairs { { 0, 0 }, { -1, -5 }, { 1e9, 1e10 }, { 5, math.huge }, { 3, 2 }, { 0, 1e-9 } } do
            pure.learn(kind, lesson[1], lesson[2])
            for _, elapsed in ipairs { 0, 1e-9, 1, 14, 1e6, 1e12 } do
                local gap, likely = pure.gap(profile, elapsed, 1, kind)
                assert.is_true(gap >= 0.1 and gap < 1e5, "gap " .. gap)
                assert.is_true(likely == likely)
            end
        end
    end)
end)

describe("progress", function()
    it("tells when to look, if it moves plausibly", function()
        local gap, likely = pure.gap(profile, 8, 1, nil, { 2, 10, 4, 20, 8, 40 })
        assert.near(20, likely, 0.01)
        assert.is_true(gap > 9.5) -- of 12 s, but none is longer than 10 s
        gap = pure.gap(profile, 18, 1, nil, { 2, 0.1, 10, 0.5, 18, 0.9 })
        assert.is_true(gap > 1.5 and gap < 2.6, "gap " .. gap)
    end)
    for name, told in pairs {
        ["stands still"] = { 2, 40, 4, 40, 8, 40 }, ["goes back"] = { 2, 40, 4, 50, 8, 10 },
        ["has only ends"] = { 2, 0, 4, 0, 8, 100 }, ["creeps towards an end"] = { 2, 80, 4, 90, 8, 91 },
        ["is nonsense"] = { 2, -5, 4, 1e9, 8, 0 / 0 }, ["is told once"] = { 8, 40 },
    } do
        it(name .. ": it is not believed", function()
            assert.equal(pure.gap(profile, 8, 1), (pure.gap(profile, 8, 1, nil, told)))
        end)
    end
    it("that was wrong is not believed any longer", function()
        local told = { 2, 10, 4, 20, 8, 40, 18, 90 }
        assert.equal(pure.gap(profile, 30, 1), (pure.gap(profile, 30, 1, nil, told)))
    end)
end)

describe("the simulation", function()
    for _, distribution in ipairs(simulation.distributions) do
        it("is never worse than the best fixed interval: " .. distribution.name, function()
            local durations = simulation.draw_all(distribution, 800, 11)
            local got = simulation.simulate(simulation.schedules.learned(), durations, 12)
            local fixed = simulation.fixed_delay(durations, got.polls)
            assert.is_true(got.mean <= 1.1 * fixed, ("%.3f s against %.3f s"):format(got.mean, fixed))
        end)
    end
end)

describe("the engine", function()
    after_each(service.stop_all)

    -- How near its polls and delays come to the simulation's is for bench/polling_engine.lua: that takes a quiet machine.
    it("looks when the schedule says, by what was learned so far", function()
        local emu = service.start { duration = 60, progress = "none" }
        local client = service.client(emu, { poll = { per_second = 1000 } })
        local settings, exchanges = client._settings, nil
        local kind = settings.learning:kind(settings.base_url, {})
        local function observe(_, exchange) exchanges[#exchanges + 1] = exchange end
        for lessons = 0, 24, 6 do
            exchanges = {}
            local task = assert(client:submit("a task", { on_exchange = observe }))
            service.pump_until(function() return #exchanges >= 4 end, 20)
            task:cancel()
            for i, exchange in ipairs(exchanges) do
                local least, most = math.huge, 0
                for seed = 1, 300 do
                    local elapsed = exchange.elapsed - exchanges[1].elapsed
                    local gap = pure.gap(settings.service, elapsed, seed * 7919, kind)
                    least, most = math.min(least, gap), math.max(most, gap)
                end
                assert.is_true(exchange.pause > 0.97 * least and exchange.pause < 1.03 * most,
                    ("%.4f s after %d lessons and %d looks, not %.4f to %.4f s"):format(exchange.pause, lessons, i - 1,
                        least, most))
            end
            for i = 1, 6 do pure.learn(kind, 0.02 * i, 0.02 * i + 0.01 * lessons) end
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

    it("share one rate", function()
        local client = service.client(emu, { poll = { interval = 0.01, per_second = 20 } })
        local began = core.now()
        local tasks = submit(client, 30, "a task")
        service.pump_until(function() return emu:stats().polls >= 45 end, 20)
        local took = core.now() - began
        -- A second's worth may be saved up.
        assert.is_true(emu:stats().polls <= 20 * (took + 1) + 1, emu:stats().polls .. " polls in " .. took .. " s")
        for _, task in ipairs(tasks) do task:cancel() end
    end)

    it("go to the tasks that have most likely ended", function()
        local client = service.client(emu, { poll = { interval = 0.01, per_second = 10 } })
        local known = learning.open()
        for _ = 1, 30 do
            pure.learn(known:kind(emu.url, { type = "pro" }), 5, 5.5)
            pure.learn(known:kind(emu.url, { type = "flex" }), 59, 61)
        end
        local tasks = submit(client, 6, { prompt = "will take long", type = "flex" })
        for _, task in ipairs(submit(client, 6, "will soon have ended")) do tasks[#tasks + 1] = task end
        service.pump_until(function() return emu:stats().polls >= 36 end, 20)
        local polls = { pro = 0, flex = 0 }
        for _, entry in ipairs(emu:ledger()) do
            polls[entry.type == "flex" and "flex" or "pro"] = polls[entry.type == "flex" and "flex" or "pro"] + entry.polls
        end
        assert.is_true(polls.pro > 2 * polls.flex, polls.pro .. " and " .. polls.flex)
        for _, task in ipairs(tasks) do task:cancel() end
    end)

    it("survive that a queue of them is cancelled in any order", function()
        local client = service.client(emu, { poll = { interval = 0.01, per_second = 5 } })
        local tasks = submit(client, 40, "a task")
        service.pump_until(function() return emu:stats().polls >= 6 end, 20)
        for step = 0, 39 do tasks[step * 17 % 40 + 1]:cancel() end
        service.pump_until(function() return flux2.stats().jobs == 0 end, 20)
    end)

    it("are told when by the service, if it says so", function()
        emu:set { duration = 0.3 }
        emu:fault { headers = { ["Retry-After"] = "1" }, every = 1 }
        local client = service.client(emu, { poll = {} })
        local known = learning.open():kind(emu.url, {})
        -- Without the hint it would not look before minutes have passed.
        for _ = 1, 30 do pure.learn(known, 600, 601) end
        local task = assert(client:submit "a task")
        assert(task:wait(bound(20)))
    end)
end)

describe("what was learned", function()
    local dir
    setup(function() dir = service.directory() end)
    teardown(function()
        flux2.on_error = nil
        service.stop_all()
        service.remove(dir)
    end)

    --- Opens `path` as a client would, and gives what was reported.
    local function open(path)
        local reports = {}
        flux2.on_error = function(e) reports[#reports + 1] = tostring(e) end
        local known = learning.open(path)
        flux2.on_error = nil
        return known, reports
    end

    local NAME = "http://127.0.0.1:1 pro 1K prompt"

    it("is apart for each type, resolution, use of inputs, and service", function()
        local known, kinds = learning.open(), {}
        for _, base in ipairs { "https://a", "https://b" } do
            for _, type in ipairs { "pro", "flex" } do
                for _, resolution in ipairs { "1K", "2K" } do
                    for _, inputs in ipairs { false, { "https://example.com/x.png" } } do
                        local request = { type = type, resolution = resolution, input_urls = inputs or nil }
                        kinds[known:kind(base, request)] = true
                        assert.equal(known:kind(base, request), known:kind(base, request))
                    end
                end
            end
        end
        local n = 0
        for _ in pairs(kinds) do n = n + 1 end
        assert.equal(16, n)
        assert.equal(known:kind("https://a", {}), known:kind("https://a", { type = "pro", resolution = "1K" }))
    end)

    it("is shared by clients and outlives the run in a file", function()
        local path = dir .. "/kept"
        local emu = service.start { duration = 0.05 }
        local client = service.client(emu, { poll = { memory = path, interval = 0.02 } })
        assert(assert(client:submit "a task"):wait())
        service.pump_until(function() return service.exists(path) end)
        local other = learning.open(path):kind(emu.url, {})
        assert.near(1, (pure.known(other)), 0.01)
        -- What the next run reads.
        local again = core.memory()
        assert.is_true(again:load(service.read(path)))
        assert.near(1, (pure.known(again:kind(emu.url .. " pro 1K prompt"))), 0.01)
        for _, name in ipairs(service.list(dir)) do assert.equal("kept", name) end
    end)

    it("is written at the first lesson, then every two seconds, and at last", function()
        local path = dir .. "/pace"
        local memory = core.memory(path)
        local kind = memory:kind(NAME)
        pure.learn(kind, 13, 14, 100)
        local first = service.read(path)
        assert.is_string(first)
        pure.learn(kind, 13, 14, 101)
        assert.equal(first, service.read(path))
        pure.learn(kind, 13, 14, 102)
        assert.are_not.equal(first, service.read(path))
        pure.learn(kind, 13, 14, 102.5)
        local third = service.read(path)
        memory, kind = nil, nil -- luacheck: ignore
        collectgarbage() collectgarbage()
        assert.are_not.equal(third, service.read(path))
    end)

    local WHOLE = "flux2-durations 1\n" .. NAME .. "\t 200:1000000 201:2000000\nend\n"

    it("is read from a whole file", function()
        local path = dir .. "/whole"
        service.write(path, WHOLE)
        local known, reports = open(path)
        assert.same({}, reports)
        assert.near(3, (pure.known(known:kind("http://127.0.0.1:1", {}))), 0.001)
    end)

    local damaged = {
        WHOLE:gsub("end\n", ""), WHOLE:gsub("\nend", "\nen"), WHOLE .. "more\n", WHOLE:gsub("200:", "200"),
        WHOLE:gsub("200:", "500:"), WHOLE:gsub("1000000 ", "99999999999999999999 "), WHOLE:gsub("200", "-20"),
        WHOLE:gsub("\t", " "), WHOLE:gsub("1000000", "0x100"), "flux2-durations 1\n", "flux2-durations 1\n\t\nend\n",
        "flux2-durations 1\nend", (WHOLE:gsub(" 200.*\n", "\nend\n")),
    }
    for i, content in ipairs(damaged) do
        it("is not taken from a damaged file, which is reported and replaced: " .. i, function()
            local path = dir .. "/damaged" .. i
            service.write(path, content)
            local known, reports = open(path)
            assert.equal(1, #reports)
            assert.matches("damaged", reports[1], 1, true)
            local kind = known:kind("http://127.0.0.1:1", {})
            assert.equal(0, (pure.known(kind)))
            pure.learn(kind, 13, 14, 1)
            assert.is_true(core.memory():load(service.read(path)))
        end)
    end

    for i, content in ipairs { "my diary\n", "flux2-durations 2\nend\n", ("x"):rep(2 ^ 20 + 5), "\0" } do
        it("does not write over a file that is somebody else's: " .. i, function()
            local path = dir .. "/foreign" .. i
            service.write(path, content)
            local known, reports = open(path)
            assert.equal(1, #reports)
            pure.learn(known:kind("http://127.0.0.1:1", {}), 13, 14, 1)
            assert.equal(content, service.read(path))
        end)
    end

    it("is kept in the process alone where the file cannot be written", function()
        local known, reports = open(dir .. "/no/such/place")
        assert.equal(1, #reports)
        assert.matches("will not be kept", reports[1], 1, true)
        pure.learn(known:kind("http://127.0.0.1:1", {}), 13, 14, 1)
        assert.near(1, (pure.known(known:kind("http://127.0.0.1:1", {}))), 0.001)
    end)
end)

describe("poll", function()
    it("takes interval, per_second and memory, and nothing else", function()
        local function new(poll) return pcall(flux2.new, { api_key = "k", base_url = "http://127.0.0.1:1", poll = poll }) end
        assert.is_true((new { interval = 1, per_second = 5 }))
        local ok, err = new { per_second = 0 }
        assert.is_false(ok)
        assert.matches("per_second must be a number per second", err, 1, true)
        ok, err = new { memroy = "x" }
        assert.is_false(ok)
        assert.matches("did you mean memory", err, 1, true)
    end)
end)
