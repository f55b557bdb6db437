--- Measures memory and CPU time of running tasks.
--   BENCH_CLIENTS=10 lua memory_child.lua URL TASKS          a child of bench/memory.lua
-- Measures while the tasks run and after they are cancelled. 400 of the tasks are polled every 4 s (100 polls/s), the
-- others are not due: polling all of 100,000 tasks at that rate would take 1000 s.

local meter = require "bench_meter"
local flux2 = require "flux2"

local url, tasks = arg[1], tonumber(arg[2])
local WATCHED, POLLS = 4, 100 -- seconds, polls/s
local CLIENTS = tonumber(os.getenv "BENCH_CLIENTS" or "") or 1 -- with different keys, used in turn
local function new_clients(interval)
    local list = {}
    for i = 1, CLIENTS do
        list[i] = assert(flux2.new {
            api_key = "aio_bench_key_" .. i, base_url = url, poll = { interval = interval }, timeout = 100000,
            max_submissions_per_second = 1e6, max_tasks = 1e6,
            max_connections = 32,
        })
    end
    return list
end
local clients, polled = new_clients(50000), new_clients(WATCHED)
local function submit(list, i) return assert(list[i % CLIENTS + 1]:submit "a red fox") end

local function collect()
    collectgarbage()
    collectgarbage()
    return collectgarbage "count" * 1024, meter.heap(), meter.resident()
end

local function pump(seconds)
    local until_ = meter.now() + seconds
    while meter.now() < until_ do
        flux2.update()
        meter.sleep(1 / 60)
    end
end

-- The first tasks exclude one-time costs, such as reusable transfers.
local some = {}
for i = 1, 300 do some[i] = submit(clients, i) end
pump(1)
for i = 1, #some do some[i]:cancel() end
some = nil -- luacheck: ignore 311
while flux2.stats().jobs > 0 do pump(0.05) end
pump(0.2)
local lua0, heap0, resident0 = collect()
local list = {}
for i = 1, tasks - WATCHED * POLLS do list[i] = submit(clients, i) end
for i = #list + 1, tasks do
    list[i] = submit(polled, i)
    pump(1 / POLLS)
end
local until_, running = meter.now() + 100, 0
while running < tasks and meter.now() < until_ do
    running = 0
    pump(0.1)
    for i = 1, tasks do running = running + (list[i].state == "running" and 1 or 0) end
end
local lua1, heap1, resident1 = collect()
local cpu, polls = meter.cpu(), flux2.stats().requests
pump(WATCHED)
cpu, polls = (meter.cpu() - cpu) / WATCHED, (flux2.stats().requests - polls) / WATCHED
for i = 1, tasks do
    list[i]:cancel()
    list[i] = nil
end
list = nil -- luacheck: ignore 311
while flux2.stats().jobs > 0 do pump(0.05) end
pump(0.2)
local lua2, heap2, resident2 = collect()

-- Lua 5.4 allocates with malloc, LuaJIT with mmap.
local counted = jit and 0 or 1
print(("%d %.0f %.0f %.2f %.2f %.1f %.0f %.0f %.2f"):format(running, (lua1 - lua0) / tasks,
    (heap1 - heap0 - counted * (lua1 - lua0)) / tasks, (resident1 - resident0) / 2 ^ 20, cpu * 100, polls, lua2 - lua0,
    heap2 - heap0 - counted * (lua2 - lua0), (resident2 - resident0) / 2 ^ 20))
