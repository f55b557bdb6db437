--- Measures events per second from the engine's queue to Lua callbacks in flux2.update().
--   lua bench/events.lua                          the table
--   lua bench/events.lua KIND COUNT [URL]         child process: prints wall and CPU seconds, and bytes per event
-- The queue is filled first; the measurement is one flux2.update() that empties it. "timers" measures the queue and a
-- function call, "accepted" also flux2.task and a listener of task:on.

local support = require "support"

local RUNS, COUNT = 5, { timers = 100000, accepted = 10000 }
local GOAL = 500000

local fill = {}

function fill.timers(count, _, hear)
    local scheduler = require "flux2.scheduler"
    for _ = 1, count do assert(scheduler.after(1e-9, hear)) end
end

function fill.accepted(count, url, hear)
    local client = assert(require("flux2").new {
        api_key = "aio_bench_key", base_url = url, poll = { interval = 50000 }, timeout = 100000, max_connections = 32,
        max_submissions_per_second = 1e6, max_tasks = 1e6,
    })
    for _ = 1, count do assert(client:submit "a red fox"):on("status", hear) end
end

local function child(kind, count, url)
    local core, meter, flux2 = require "flux2.core", require "bench_meter", require "flux2"
    local heard = 0
    fill[kind](count, url, function() heard = heard + 1 end)
    local engine, until_ = core.engine(), meter.now() + 60
    while engine:ready() < count and meter.now() < until_ do meter.sleep(0.01) end
    -- The worker is idle: the CPU time of the process is the CPU time of this thread.
    meter.sleep(0.1)
    collectgarbage()
    local garbage = collectgarbage "count"
    collectgarbage "stop"
    flux2.update()
    garbage = (collectgarbage "count" - garbage) * 1024 / count
    collectgarbage "restart"
    assert(heard == count, heard .. " of " .. count .. " were heard")
    -- Again with the garbage collector running, as in a real program.
    heard = 0
    fill[kind](count, url, function() heard = heard + 1 end)
    while engine:ready() < count and meter.now() < until_ do meter.sleep(0.01) end
    meter.sleep(0.1)
    collectgarbage()
    local wall, cpu = meter.now(), meter.cpu()
    flux2.update()
    wall, cpu = meter.now() - wall, meter.cpu() - cpu
    assert(heard == count, heard .. " of " .. count .. " were heard")
    print(("%.6f %.6f %.0f"):format(wall, cpu, garbage))
end

local function measure(lua, kind, service)
    local rates, garbage = {}, {}
    for _ = 1, RUNS do
        service:reset "polls=0&min_ms=1e9&max_ms=1e9&bytes=1000"
        local command = support.clean .. support.lua(lua, "events.lua"):format "timeout 100 "
        local printed = support.run(("%s %s %d %s"):format(command, kind, COUNT[kind], service.url))
        local wall, cpu, bytes = printed:match "^(%S+) (%S+) (%S+)\n$"
        if not wall then error(printed:sub(1, 2000)) end
        rates[#rates + 1] = COUNT[kind] / tonumber(cpu)
        garbage[#garbage + 1] = tonumber(bytes)
    end
    return {
        (lua == "5.4" and "Lua 5.4" or "LuaJIT") .. ", " .. kind, ("%.0f"):format(support.median(rates)),
        ("± %.0f %%"):format(support.spread(rates)), ("%.0f"):format(support.median(garbage)),
    }
end

if arg[1] then
    child(arg[1], tonumber(arg[2]), arg[3])
    return
end

local service = support.service()
support.finally(function()
    local rows = { { "from the queue to a callback", "events/s", "spread", "Lua bytes/event" } }
    for _, lua in ipairs { "5.4", "luajit" } do
        for _, kind in ipairs { "timers", "accepted" } do rows[#rows + 1] = measure(lua, kind, service) end
    end
    print(("Events in one flux2.update(), medians of %d runs; target: %d events/s"):format(RUNS, GOAL))
    support.print_table(rows)
end, function() service:stop() end)
