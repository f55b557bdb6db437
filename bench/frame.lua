--- Measures what flux2 takes of the frames of a 60 Hz loop, from its first call on, while tasks with images of 8 MB run
-- over TLS.
--   lua frame.lua URL CA_FILE DIRECTORY files|strings|buffers|heap [DATA_FILE]
-- "heap" is "buffers" with 40 MB of other Lua data. Started by bench/frames.lua. Each call is measured by wall time and
-- by CPU time of the thread. The loop also times a fixed computation: its deviation from the median is the jitter of the
-- computer. Prints lines "name wall cpu" in milliseconds, or "name number".

local meter = require "bench_meter"

local url, ca_file, directory, where, data_file = arg[1], arg[2], arg[3], arg[4], arg[5]
local FRAME, LATER, AT_ONCE = 1 / 60, 49, 50
-- Frames: the client, the first task, then a task in each frame, then many in one; the frames after the last task.
local CLIENT, FIRST, BURST, CALM = 30, 60, 150, 60

local calls = {} -- name -> { count, walls, cpus }, with room for all calls: to measure allocates nothing
for _, name in ipairs { "require", "new", "first", "later", "burst", "work", "idle", "update" } do
    local walls, cpus = {}, {}
    for i = 1, 4000 do walls[i], cpus[i] = 0, 0 end
    calls[name] = { 0, walls, cpus }
end

--- Calls `fn` and stores its time. The wall clock is the inner one, because reading the other one enters the kernel.
local function measure(name, fn, ...)
    local cpu, wall = meter.thread_cpu(), meter.now()
    local result = fn(...)
    wall = meter.now() - wall
    cpu = meter.thread_cpu() - cpu
    local list = calls[name]
    local n = list[1] + 1
    list[1], list[2][n], list[3][n] = n, wall * 1000, cpu * 1000
    return result
end

-- lua.c selects generational mode; a game that embeds Lua has the default.
if _VERSION == "Lua 5.4" then collectgarbage "incremental" end
local flux2 = measure("require", require, "flux2")

local function work()
    local x = 0
    for i = 1, 1000 do x = x + i % 7 end
    return x
end

local own = {}
for i = 1, where == "heap" and 1000 or 0 do
    own[i] = {}
    for k = 1, 300 do own[i][k] = { i, "item " .. i .. "/" .. k } end
end
collectgarbage()

local client
local begun, done, bytes = 0, 0, 0

local function make_client()
    client = assert(flux2.new {
        api_key = "aio_bench_key", base_url = url, ca_file = ca_file, poll = { interval = 0.1 },
        max_submissions_per_second = 1e6,
    })
end

local function generate()
    begun = begun + 1
    local options = where == "files" and { save = directory .. "/" .. begun .. ".png" } or nil
    flux2.spawn(function()
        local image = assert(client:generate("a red fox", options))
        if where == "strings" then bytes = bytes + #image:bytes() end
        if where == "buffers" or where == "heap" then bytes = bytes + #image:buffer() end
        done = done + 1
    end)
end

local function burst()
    for _ = 1, AT_ONCE do generate() end
end

local next_frame = meter.now() + FRAME
for frame = 1, 36000 do
    if frame == CLIENT then measure("new", make_client) end
    if frame == FIRST then measure("first", generate) end
    if frame > FIRST and frame <= FIRST + LATER then measure("later", generate) end
    if frame == BURST then measure("burst", burst) end
    if frame > BURST and flux2.pending() == 0 then CALM = CALM - 1 end
    if CALM == 0 then break end
    measure("work", work)
    measure(frame > FIRST and flux2.pending() > 0 and "update" or "idle", flux2.update)
    meter.sleep(next_frame - meter.now())
    next_frame = next_frame + FRAME
end
assert(#own == (where == "heap" and 1000 or 0)) -- keeps the data alive

--- Returns the quantile of wall (2) or CPU (3) time.
local function quantile(name, q, column)
    local n, sorted = calls[name][1], {}
    for i = 1, n do sorted[i] = calls[name][column][i] end
    table.sort(sorted)
    return sorted[math.max(1, math.ceil(q * n))]
end

local function report(label, name, q)
    print(("%s %.5f %.5f"):format(label, quantile(name, q, 2), quantile(name, q, 3)))
end

for _, name in ipairs { "require", "new", "first", "burst" } do report(name, name, 1) end
for name, q in pairs { median = 0.5, p99 = 0.99, ["p99.9"] = 0.999, max = 1 } do
    report("later-" .. name, "later", q)
    report("update-" .. name, "update", q)
end
print("done", done)
print("bytes", bytes)
-- The computation uses as much CPU time in each frame, but for the caches.
print(("jitter %.5f %.5f"):format(quantile("work", 0.999, 2) - quantile("work", 0.5, 2),
    quantile("work", 0.999, 3) - quantile("work", 0.5, 3)))
if data_file then
    local out = assert(io.open(data_file, "w"))
    for i = 1, calls.update[1] do
        out:write(("%d %.6f %.6f\n"):format(i, calls.update[2][i], calls.update[3][i]))
    end
    out:close()
end
