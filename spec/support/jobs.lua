--- Engine jobs without a client: a spec controls every request, and receives every event. A spec file that uses
--- this must not pump flux2.scheduler while its jobs run, because that drops unknown events.
local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"

local jobs = {}

local engine = assert(core.engine())
local events = {} -- id -> list of { kind, event }
local order -- ids in the order in which they ended, once requested

jobs.engine = engine

local function take(id, kind, event)
    if not id then return false end
    local list = events[id] or {}
    events[id] = list
    list[#list + 1] = { kind, event }
    if kind == "ended" and order then order[#order + 1] = id end
    return true
end

--- Takes all pending events. Returns their number.
function jobs.drain()
    local n = 0
    while take(engine:next()) do n = n + 1 end
    return n
end

--- Takes events until `condition()`; fails after `seconds`: far above a slow machine's delays, far below the 60 s of a
-- lost wake-up.
function jobs.wait_until(condition, seconds)
    seconds = bound(seconds or 30)
    local until_ = core.now() + seconds
    jobs.drain()
    while not condition() do
        if core.now() > until_ then error("still waiting after " .. seconds .. " s", 2) end
        engine:wait(0.005)
        jobs.drain()
    end
end

--- Waits for the last event of a job, and returns it.
function jobs.join(id, seconds)
    jobs.wait_until(function()
        local list = events[id]
        return list ~= nil and list[#list][1] == "ended"
    end, seconds)
    return events[id][#events[id]][2]
end

--- The events of a job of one kind, in order.
function jobs.events(id, kind)
    local found = {}
    for _, entry in ipairs(events[id] or {}) do
        if entry[1] == kind then found[#found + 1] = entry[2] end
    end
    return found
end

--- Discards the events of a job, if the id is not nil.
function jobs.forget(id)
    if id then events[id] = nil end
end

--- The ids of the jobs that ended since the last call, in order; the first call starts recording.
function jobs.order()
    local list = order or {}
    order = {}
    return list
end

local function start(verb, ...)
    local id = engine:next_id()
    assert(engine[verb](engine, id, ...))
    return id
end

function jobs.transfer(profile, spec)
    return start("transfer", profile, type(spec) == "string" and { url = spec } or spec)
end
function jobs.poll(profile, spec) return start("poll", profile, type(spec) == "string" and { url = spec } or spec) end
function jobs.timer(seconds) return start("timer", seconds) end
function jobs.cancel(id) engine:cancel(id) end

--- Starts a transfer and waits for its end.
function jobs.fetch(profile, spec, seconds) return jobs.join(jobs.transfer(profile, spec), seconds) end

--- Returns once the engine has taken all commands so far, and has started every job that may start.
function jobs.settle()
    for _ = 1, 2 do
        local id = jobs.timer(0.001)
        jobs.join(id)
        jobs.forget(id)
    end
end

--- Cancels jobs and waits for their ends.
function jobs.cancel_all(ids)
    for _, id in ipairs(ids) do engine:cancel(id) end
    for _, id in ipairs(ids) do jobs.join(id) end
end

--- The processor time of the engine's thread in seconds: the only thread here under SCHED_BATCH.
function jobs.processor_time()
    local threads = "/proc/" .. service.read "/proc/self/stat":match "^%d+" .. "/task/"
    for _, thread in ipairs(service.list(threads)) do
        local stat, fields = service.read_if_there(threads .. thread .. "/stat") or ") ", {}
        for field in stat:match "^.*%)%s+(.*)$":gmatch "%S+" do fields[#fields + 1] = field end
        if fields[39] == "3" then
            local scheduled = service.read_if_there(threads .. thread .. "/schedstat")
            if scheduled then return tonumber(scheduled:match "^%d+") / 1e9 end
            return (tonumber(fields[12]) + tonumber(fields[13])) / 100
        end
    end
    error("the engine has no thread", 2)
end

return jobs
