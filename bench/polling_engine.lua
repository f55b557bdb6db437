--- Validates the simulation of bench/polling.lua: the engine polls the same tasks over real sockets.
--   BENCH_POLLED=100 lua bench/polling_engine.lua
-- 40 concurrent tasks share the histogram; the simulation runs the same durations sequentially. Fails if the results
-- differ by more than the tolerance.

local core = require "flux2.core"
local emulator = require "flux2.emulator"
local scheduler = require "flux2.scheduler"
local simulation = require "polling"
local support = require "support"

local COUNTED = tonumber(os.getenv "BENCH_POLLED" or "") or 100
local AT_ONCE, SEEDS = 40, 20
local TOLERANCE = 0.2
-- Seconds of delay that are not caused by the schedule: network and CPU scheduling.
local ON_THE_WAY = 0.02

local function new_profile(emu)
    return core.profile {
        max_in_flight = AT_ONCE, response = core.response_schema(require("flux2.provider").resolve().response),
        headers = { "Authorization: Bearer " .. emu.api_key },
        body_headers = { "Authorization: Bearer " .. emu.api_key, "Content-Type: application/json", "Expect:" },
    }
end

--- Runs one task for each duration; what the emulator and the engine saw of those that count.
local function run(durations)
    local emu = assert(emulator.start { progress = "none", image_bytes = 600 })
    local profile = new_profile(emu)
    local begun, running, seen, submitting, failed = 0, 0, {}, false, nil
    local function begin()
        begun, running, submitting = begun + 1, running + 1, true
        local number, began, id = begun, core.now(), nil
        emu:set { duration = { durations[number], durations[number] } }
        assert(scheduler.poll(profile, {
            url = emu.url .. "/api/v1/tasks/{id}", submission = emu.url .. "/api/v1/images/generations",
            body = '{"model":"flux-2","prompt":"a red fox"}', durations = emu.url,
        }, function(what, event)
            if what == "accepted" then
                submitting, id = false, event.id
            elseif what == "ended" then
                if event.http_status ~= 200 then failed = event.message or event.http_status end
                running, seen[number] = running - 1, { elapsed = core.now() - began, id = id }
            end
        end))
    end
    while begun < #durations or running > 0 do
        -- One submission at a time, so that each meets its duration.
        if not submitting and running < AT_ONCE and begun < #durations then begin() end
        scheduler.block(1)
        scheduler.update()
        if failed then error("a task failed: " .. failed) end
    end
    local polls, delays, sum = 0, {}, 0
    for i = simulation.warm_up + 1, #durations do
        local delay = seen[i].elapsed - durations[i]
        polls, sum, delays[#delays + 1] = polls + emu:task(seen[i].id).polls, sum + delay, delay
    end
    emu:stop()
    return { polls = polls / #delays, mean = sum / #delays, p95 = support.quantile(delays, 0.95) }
end

--- The simulation of the same tasks, the mean over different random numbers of the schedule.
local function simulate(durations, profile)
    local mean = { polls = 0, mean = 0, p95 = 0 }
    for seed = 1, SEEDS do
        local got = simulation.simulate(simulation.schedules.learned(nil, false, profile), durations, seed)
        for name in pairs(mean) do mean[name] = mean[name] + got[name] / SEEDS end
    end
    return mean
end

local function is_close(engine, simulated, slack)
    return math.abs(engine - simulated) <= TOLERANCE * simulated + slack
end

local rows, differ = {}, {}
rows[1] = { "durations", "polls: simulation", "engine", "mean delay: simulation", "engine", "p95", "p95" }
for _, distribution in ipairs(simulation.distributions) do
    local durations = simulation.draw_all(distribution, COUNTED + simulation.warm_up, 5)
    local simulated = simulate(durations, new_profile { api_key = "" })
    local engine = run(durations)
    local function seconds(s) return ("%.2f s"):format(s) end
    rows[#rows + 1] = {
        distribution.name, ("%.2f"):format(simulated.polls), ("%.2f"):format(engine.polls), seconds(simulated.mean),
        seconds(engine.mean), seconds(simulated.p95), seconds(engine.p95),
    }
    if not is_close(engine.polls, simulated.polls, 0) or not is_close(engine.mean, simulated.mean, ON_THE_WAY) then
        differ[#differ + 1] = distribution.name
    end
end
print(("Engine and simulation: %d tasks per distribution")
    :format(COUNTED))
support.print_table(rows)
if #differ > 0 then error("engine and simulation differ by more than 20 %: " .. table.concat(differ, ", "), 0) end
