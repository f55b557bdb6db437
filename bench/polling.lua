--- When to look at a task that nobody can hurry: the polling schedule of the engine against fixed intervals, back-off,
-- and the best that any schedule can do. A simulation, with the very functions that the engine uses.
--
--     lua bench/polling.lua [TASKS [RUNS]] [> bench/polling.txt]
--     lua bench/polling.lua --data FILE          the points of the plot as well, see bench/polling.gp
--
-- A schedule is a trade: more polls, less delay between the end of a task and the poll that sees it. So every row is
-- compared with the best fixed interval that makes no more polls on the same tasks ("of fixed"), and at the same
-- number of polls with the oracle: the schedule that knows the distribution the durations are drawn from, found by
-- dynamic programming ("of bound"). No schedule that goes by the elapsed time alone can be better than that.

local core = require "flux2.core"
local pure = core._pure

local WARM_UP = 100 -- tasks that are learned from and not counted
local SEED = 20240229

-- Random numbers that are the same on every Lua ----------------------------------------------------------------------

local function generator(seed)
    local state = seed % 2147483646 + 1
    return function()
        state = state * 16807 % 2147483647
        return (state - 0.5) / 2147483647
    end
end

local function normal(random)
    return math.sqrt(-2 * math.log(random())) * math.cos(2 * math.pi * random())
end

-- Durations ----------------------------------------------------------------------------------------------------------

local LOG_SPREAD = math.log(40 / 14) / 1.6449 -- a 95th percentile of 40 s at a median of 14 s
local PERIOD = 400                            -- tasks, for the one that drifts

--- The factor by which the service is slower than usual for task number `i`.
local function load_at(i)
    return 2.2 ^ math.sin(2 * math.pi * i / PERIOD)
end

local distributions = {
    {
        name = "narrow", what = "14 s, standard deviation 0.5 s",
        draw = function(random) return math.max(0.5, 14 + 0.5 * normal(random)) end,
    },
    {
        name = "log-normal", what = "median 14 s, 95th percentile 40 s",
        draw = function(random) return 14 * math.exp(LOG_SPREAD * normal(random)) end,
    },
    {
        name = "bimodal", what = "65 % about 9 s, 35 % queue first and take about 40 s",
        draw = function(random)
            local queues = random() > 0.65
            return queues and 40 * math.exp(0.2 * normal(random)) or 9 * math.exp(0.12 * normal(random))
        end,
    },
    {
        name = "drifting", what = "the median goes from 6.4 s to 31 s and back within 400 tasks",
        draw = function(random, i) return 14 * load_at(i) * math.exp(0.15 * normal(random)) end,
        shape = function(random) return 14 * math.exp(0.15 * normal(random)) end, -- of the oracle, who knows the load
    },
}

local function draw_all(distribution, count, seed)
    local random, out = generator(seed), {}
    for i = 1, count do out[i] = distribution.draw(random, i) end
    return out
end

-- Schedules ----------------------------------------------------------------------------------------------------------
-- A schedule is a function of a seed that makes a function of a task, which gives the gap after each look.

local schedules = {}

function schedules.fixed(interval)
    return function() return { gap = function() return interval end } end
end

function schedules.backoff(first, factor, most)
    return function()
        return { gap = function(_, _, looks) return math.min(first * factor ^ looks, most) end }
    end
end

--- The engine's own, with nothing learned.
function schedules.growing()
    local profile = core.profile {}
    return function(seed)
        local random = generator(seed)
        return { gap = function(_, elapsed) return (pure.gap(profile, elapsed, random() * 2 ^ 31)) end }
    end
end

--- The engine's own. `thrift` is nil for the default; with `progress` the task tells whole percents. A `profile` may be
--- given, for instance one for a shorter scale of time.
function schedules.learned(thrift, progress, profile)
    profile = profile or core.profile { poll_thrift = thrift }
    return function(seed)
        local random, kind, told = generator(seed), core.memory():kind "simulated", {}
        return {
            gap = function(duration, elapsed, looks)
                if looks == 0 then told = {} end
                if progress and looks > 0 then
                    told[#told + 1] = elapsed
                    told[#told + 1] = math.floor(100 * elapsed / duration)
                end
                return (pure.gap(profile, elapsed, random() * 2 ^ 31, kind, progress and told or nil))
            end,
            learn = function(low, high) pure.learn(kind, low, high) end,
        }
    end
end

--- Mean polls and delay, and the 95th percentile of the delay, over `durations`.
local function simulate(make, durations, seed, warm_up)
    local schedule, delays, polls = make(seed), {}, 0
    for i, duration in ipairs(durations) do
        local now, low, looks = 0, 0, 0
        while now < duration do
            low = now
            now = now + schedule.gap(duration, now, looks)
            looks = looks + 1
        end
        if schedule.learn then schedule.learn(low, now) end
        if i > (warm_up or WARM_UP) then
            delays[#delays + 1] = now - duration
            polls = polls + looks
        end
    end
    local sum = 0
    for _, delay in ipairs(delays) do sum = sum + delay end
    table.sort(delays)
    return { polls = polls / #delays, mean = sum / #delays, p95 = delays[math.ceil(#delays * 0.95)] }
end

--- The delay of the best fixed interval that makes no more polls than that on these tasks.
local function fixed_delay(durations, polls)
    local low, high = 0.001, 1000
    local function count(interval)
        local looks, wait = 0, 0
        for i = WARM_UP + 1, #durations do
            local n = math.ceil(durations[i] / interval)
            looks, wait = looks + n, wait + n * interval - durations[i]
        end
        return looks / (#durations - WARM_UP), wait / (#durations - WARM_UP)
    end
    for _ = 1, 40 do
        local middle = math.sqrt(low * high)
        if count(middle) > polls then low = middle else high = middle end
    end
    local _, best = count(high)
    -- Where durations are much alike, a longer interval may happen to be the better one.
    for i = 1, 100 do
        local looks, delay = count(high * 1.02 ^ i)
        if looks <= polls then best = math.min(best, delay) end
    end
    return best
end

-- The oracle ---------------------------------------------------------------------------------------------------------

local STEP = 0.1 -- seconds: the oracle looks at multiples of this only, which costs it next to nothing

--- What is left of a sample at multiples of STEP, and its integral.
local function survival(distribution)
    local random, draw, most, counts, n = generator(SEED + 7), distribution.shape or distribution.draw, 0, {}, 200000
    for i = 1, n do
        local slot = math.min(math.ceil(draw(random, i) / STEP), math.floor(200 / STEP))
        counts[slot] = (counts[slot] or 0) + 1
        most = math.max(most, slot)
    end
    local alive, ended = { [0] = 1 }, { [0] = 0 }
    for slot = 1, most do
        alive[slot] = alive[slot - 1] - (counts[slot] or 0) / n
        ended[slot] = ended[slot - 1] + STEP * (1 - (alive[slot] + alive[slot - 1]) / 2)
    end
    alive[most] = 0
    return alive, ended, most
end

--- The schedule that costs least if a poll costs `price` seconds: polls and mean delay per task. `cost[k]` is what is
-- still to come after a look at k that found it running, times the share of tasks that get there.
local function oracle(alive, ended, most, price)
    local cost, choice = { [most] = 0 }, {}
    for from = most - 1, 0, -1 do
        local best, at = math.huge, nil
        local gone = 1 - alive[from]
        for to = from + 1, most do
            local delay = ended[to] - ended[from] - gone * (to - from) * STEP
            if delay >= best then break end
            local total = price * alive[from] + delay + cost[to]
            if total < best then best, at = total, to end
        end
        cost[from], choice[from] = best, at
    end
    local from, polls, delay = 0, 0, 0
    while from < most do
        local to = choice[from]
        polls = polls + alive[from]
        delay = delay + ended[to] - ended[from] - (1 - alive[from]) * (to - from) * STEP
        from = to
    end
    return polls, delay
end

--- Points of the oracle's curve. Those of the drifting service are taken over its loads: a task that takes f times as
-- long at the price of p is one that takes as long at the price of p / f.
local function oracle_curve(distribution)
    local alive, ended, most = survival(distribution)
    local points, price = {}, 0.01
    while price < 1.5 do
        local polls, delay, loads = 0, 0, distribution.shape and 12 or 1
        for i = 1, loads do
            local factor = distribution.shape and load_at((i - 0.5) * PERIOD / loads) or 1
            local n, d = oracle(alive, ended, most, price / factor)
            polls, delay = polls + n / loads, delay + d * factor / loads
        end
        points[#points + 1] = { polls = polls, mean = delay }
        price = price * 1.35
    end
    return points
end

--- The delay of the curve at so many polls; nil outside of it.
local function on_curve(points, polls)
    for i = 1, #points - 1 do
        local a, b = points[i], points[i + 1]
        if polls <= a.polls and polls >= b.polls and a.polls > b.polls then
            local t = math.log(polls / a.polls) / math.log(b.polls / a.polls)
            return a.mean * (b.mean / a.mean) ^ t
        end
    end
end

-- Report -------------------------------------------------------------------------------------------------------------

local THRIFTS = { 0.0015, 0.0025, 0.004, 0.007, 0.012, 0.02, 0.04 }
local INTERVALS = { 0.5, 1, 2, 5 }

--- The mean over several runs, with new tasks each.
local function measure(make, distribution, tasks, runs)
    local sum = { polls = 0, mean = 0, p95 = 0, fixed = 0, low = math.huge, high = 0 }
    for run = 1, runs do
        local durations = draw_all(distribution, tasks + WARM_UP, SEED + run)
        local got = simulate(make, durations, SEED + 100 * run)
        for name in pairs(got) do sum[name] = sum[name] + got[name] / runs end
        sum.fixed = sum.fixed + fixed_delay(durations, got.polls) / runs
        sum.low, sum.high = math.min(sum.low, got.mean), math.max(sum.high, got.mean)
    end
    return sum
end

local function print_row(name, got, bound)
    print(("  %-26s %6.2f %8.3f %8.3f %9.3f %9s    %.3f to %.3f"):format(name, got.polls, got.mean, got.p95,
        got.mean / got.fixed, bound and ("%.3f"):format(got.mean / bound) or "-", got.low, got.high))
end

--- Our schedule when its thrift is set so that it makes so many polls.
local function learned_at(polls, distribution, tasks, runs, progress)
    local low, high, got = 0.00001, 0.1, nil
    for _ = 1, 14 do
        local middle = math.sqrt(low * high)
        got = measure(schedules.learned(middle, progress), distribution, tasks, runs)
        if got.polls > polls then low = middle else high = middle end
    end
    return got
end

--- The blocks of a panel of the plot, in the order that bench/polling.gp knows.
local function write_points(data, distribution, tasks, runs, curve, rows)
    local function block(points)
        for _, p in ipairs(points) do data:write(("%.4f %.4f %.4f\n"):format(p.polls, p.mean, p.p95 or 0)) end
        data:write "\n\n"
    end
    local function sweep(progress)
        local points = {}
        for i, thrift in ipairs(THRIFTS) do
            points[i] = measure(schedules.learned(thrift, progress), distribution, tasks, runs)
        end
        return points
    end
    block(curve)
    block(sweep(false))
    block(sweep(true))
    block { rows[1], rows[2], rows[3], rows[4] }
    for i = 5, 8 do block { rows[i] } end
end

local function report(distribution, tasks, runs, data)
    print(("\n%s: %s"):format(distribution.name, distribution.what))
    print(("  %-26s %6s %8s %8s %9s %9s    %s"):format("", "polls", "mean s", "p95 s", "of fixed", "of bound",
        "mean of the runs"))
    local curve, rows = oracle_curve(distribution), {}
    local function row(name, make)
        local got = measure(make, distribution, tasks, runs)
        print_row(name, got, on_curve(curve, got.polls))
        rows[#rows + 1] = got
        return got
    end
    for _, interval in ipairs(INTERVALS) do row(("every %g s"):format(interval), schedules.fixed(interval)) end
    row("back-off 0.5 s x 2 to 30 s", schedules.backoff(0.5, 2, 30))
    row("flux2, nothing learned", schedules.growing())
    local ours = row("flux2, learned", schedules.learned())
    row("flux2, with progress", schedules.learned(nil, true))
    if data then write_points(data, distribution, tasks, runs, curve, rows) end
    return ours, curve, rows
end

local function main(arguments)
    local file
    if arguments[1] == "--data" then
        file = assert(io.open(arguments[2], "w"))
        arguments = { arguments[3], arguments[4] }
    end
    local tasks, runs = tonumber(arguments[1]) or 2000, tonumber(arguments[2]) or 5
    print(("%d runs of %d tasks each, after %d that are learned from and not counted."):format(runs, tasks, WARM_UP))
    local verdicts = {}
    for _, distribution in ipairs(distributions) do
        local ours, curve, rows = report(distribution, tasks, runs, file)
        verdicts[#verdicts + 1] =
            ("%-10s at its own %.2f polls: %.3f of the best fixed interval's delay (to reach: 1.10)")
            :format(distribution.name, ours.polls, ours.mean / ours.fixed)
        if distribution.name == "log-normal" then
            local two = rows[3]
            local same = learned_at(two.polls, distribution, tasks, runs)
            verdicts[#verdicts + 1] =
                ("%-10s at the %.2f polls of every 2 s: %.3f of its delay (to reach: 0.50; oracle: %.3f)")
                :format("", two.polls, same.mean / two.mean, on_curve(curve, two.polls) / two.mean)
            local hinted = learned_at(two.polls, distribution, tasks, runs, true)
            verdicts[#verdicts + 1] = ("%-10s where tasks tell their progress: %.2f polls, %.3f of its delay")
                :format("", hinted.polls, hinted.mean / two.mean)
        end
    end
    print "\nGoals"
    for _, verdict in ipairs(verdicts) do print("  " .. verdict) end
    if file then file:close() end
end

-- As a module it gives its parts to the spec.
if type(arg) == "table" and arg[0] and arg[0]:find "polling%.lua$" then main(arg) end

return {
    distributions = distributions, draw_all = draw_all, fixed_delay = fixed_delay, generator = generator,
    schedules = schedules, simulate = simulate, warm_up = WARM_UP,
}
