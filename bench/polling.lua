--- Simulates polling schedules: the engine's schedule, fixed intervals, exponential back-off, and the optimal schedule.
-- The simulation calls the engine's functions.
--
--     lua bench/polling.lua [TASKS [RUNS]] [> bench/polling.txt]
--     lua bench/polling.lua --data FILE          also writes the data of the plot, see bench/polling.gp
--
-- More polls reduce the delay between the end of a task and its detection. Each row is compared at the same number of
-- polls with the best fixed interval on the same tasks ("of fixed"), and with an oracle that knows the distribution of
-- the durations, computed by dynamic programming ("of bound"): the optimum for schedules based on elapsed time.

local core = require "flux2.core"
local pure = core._pure

local WARM_UP = 100 -- tasks that train the histogram and are not counted
local SEED = 20240229

-- Reproducible random numbers ----------------------------------------------------------------------------------------

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
local PERIOD = 400                            -- tasks, for the drifting distribution

--- The load factor of the service for task number `i`.
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
        shape = function(random) return 14 * math.exp(0.15 * normal(random)) end, -- for the oracle
    },
}

local function draw_all(distribution, count, seed)
    local random, out = generator(seed), {}
    for i = 1, count do out[i] = distribution.draw(random, i) end
    return out
end

-- Schedules ----------------------------------------------------------------------------------------------------------
-- A schedule is a function of a seed that returns `gap`, a function that computes the interval after each poll.

local schedules = {}

function schedules.fixed(interval)
    return function() return { gap = function() return interval end } end
end

function schedules.backoff(first, factor, most)
    return function()
        return { gap = function(_, _, count) return math.min(first * factor ^ count, most) end }
    end
end

--- The engine's schedule for the first task of a process.
function schedules.first()
    local profile, histogram = core.profile {}, pure.histogram()
    return function(seed)
        local random = generator(seed)
        return { gap = function(_, elapsed) return (pure.gap(profile, elapsed, random() * 2 ^ 31, histogram)) end }
    end
end

--- The engine's schedule after training. `poll_cost`: nil for the default. With `progress` tasks report whole percents.
--- `profile` may set another time scale.
function schedules.learned(poll_cost, progress, profile)
    profile = profile or core.profile {}
    return function(seed)
        local random, histogram, told = generator(seed), pure.histogram(), {}
        return {
            gap = function(duration, elapsed, count)
                if count == 0 then told = {} end
                if progress and count > 0 then
                    told[#told + 1] = elapsed
                    told[#told + 1] = math.floor(100 * elapsed / duration) / 100
                end
                return (pure.gap(profile, elapsed, random() * 2 ^ 31, histogram, progress and told or nil, poll_cost))
            end,
            learn = function(low, high) pure.learn(histogram, low, high) end,
        }
    end
end

--- Returns the mean number of polls, and mean and 95th percentile of the delay, for `durations`.
local function simulate(make, durations, seed, warm_up)
    local schedule, delays, polls = make(seed), {}, 0
    for i, duration in ipairs(durations) do
        local now, low, count = 0, 0, 0
        while now < duration do
            low = now
            now = now + schedule.gap(duration, now, count)
            count = count + 1
        end
        if schedule.learn then schedule.learn(low, now) end
        if i > (warm_up or WARM_UP) then
            delays[#delays + 1] = now - duration
            polls = polls + count
        end
    end
    local sum = 0
    for _, delay in ipairs(delays) do sum = sum + delay end
    table.sort(delays)
    return { polls = polls / #delays, mean = sum / #delays, p95 = delays[math.ceil(#delays * 0.95)] }
end

--- Returns the delay of the best fixed interval with at most `polls` polls per task.
local function fixed_delay(durations, polls)
    local low, high = 0.001, 1000
    local function evaluate(interval)
        local count, wait = 0, 0
        for i = WARM_UP + 1, #durations do
            local n = math.ceil(durations[i] / interval)
            count, wait = count + n, wait + n * interval - durations[i]
        end
        return count / (#durations - WARM_UP), wait / (#durations - WARM_UP)
    end
    for _ = 1, 40 do
        local middle = math.sqrt(low * high)
        if evaluate(middle) > polls then low = middle else high = middle end
    end
    local _, best = evaluate(high)
    -- For similar durations a longer interval may be better by chance.
    for i = 1, 100 do
        local count, delay = evaluate(high * 1.02 ^ i)
        if count <= polls then best = math.min(best, delay) end
    end
    return best
end

-- The oracle ---------------------------------------------------------------------------------------------------------

local STEP = 0.1 -- seconds: resolution of the oracle, with a negligible loss

--- Returns the survival function of a sample at multiples of STEP, and the integral of its complement.
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

--- Computes polls and mean delay per task of the optimal schedule if a poll costs `price` seconds. `cost[k]` is the
-- remaining cost after a poll at k, weighted by the share of tasks that are still running.
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

--- Returns points of the oracle's curve. For the drifting service they are averages over the load: a task with load f
-- at price p corresponds to a task without load at price p / f.
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

--- Interpolates the delay of the curve at `polls`; nil outside of the curve.
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

local POLL_COSTS = { 0.0015, 0.0025, 0.004, 0.007, 0.012, 0.02, 0.04 }
local INTERVALS = { 0.5, 1, 2, 5 }

--- Returns the mean of several runs with different tasks.
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

--- Measures the engine's schedule with the poll_cost that results in `polls` polls.
local function learned_at(polls, distribution, tasks, runs, progress)
    local low, high, got = 0.00001, 0.1, nil
    for _ = 1, 14 do
        local middle = math.sqrt(low * high)
        got = measure(schedules.learned(middle, progress), distribution, tasks, runs)
        if got.polls > polls then low = middle else high = middle end
    end
    return got
end

--- Writes the data blocks of one panel in the order of bench/polling.gp.
local function write_points(data, distribution, tasks, runs, curve, rows)
    local function block(points)
        for _, p in ipairs(points) do data:write(("%.4f %.4f %.4f\n"):format(p.polls, p.mean, p.p95 or 0)) end
        data:write "\n\n"
    end
    local function sweep(progress)
        local points = {}
        for i, poll_cost in ipairs(POLL_COSTS) do
            points[i] = measure(schedules.learned(poll_cost, progress), distribution, tasks, runs)
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
    local first = row("flux2, first task", schedules.first())
    local ours = row("flux2, learned", schedules.learned())
    row("flux2, with progress", schedules.learned(nil, true))
    if data then write_points(data, distribution, tasks, runs, curve, rows) end
    return ours, curve, rows, first
end

local function main(arguments)
    local file
    if arguments[1] == "--data" then
        file = assert(io.open(arguments[2], "w"))
        arguments = { arguments[3], arguments[4] }
    end
    local tasks, runs = tonumber(arguments[1]) or 2000, tonumber(arguments[2]) or 5
    print(("%d runs of %d tasks each, after %d training tasks that are not counted."):format(runs, tasks, WARM_UP))
    local verdicts = {}
    for _, distribution in ipairs(distributions) do
        local ours, curve, rows, first = report(distribution, tasks, runs, file)
        verdicts[#verdicts + 1] =
            ("%-10s at its own %.2f polls: %.3f of the best fixed interval's delay (to reach: 1.10)")
            :format(distribution.name, ours.polls, ours.mean / ours.fixed)
        verdicts[#verdicts + 1] = ("%-10s first task of a process, %.2f polls: %.3f of it (to reach: 1.00)")
            :format("", first.polls, first.mean / first.fixed)
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

-- The spec loads this file as a module.
if type(arg) == "table" and arg[0] and arg[0]:find "polling%.lua$" then main(arg) end

return {
    distributions = distributions, draw_all = draw_all, fixed_delay = fixed_delay, generator = generator,
    schedules = schedules, simulate = simulate, warm_up = WARM_UP,
}
