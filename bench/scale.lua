--- Measures the CPU time per task for 100 to 100,000 tasks.
--   lua bench/scale.lua                            the table, and build/bench/scale.dat for the plot
--   BENCH_RUNS=1 BENCH_SCALE="100 1000 10000 100000" BENCH_CLIENTS=10 lua bench/scale.lua
--   lua bench/scale.lua COUNT AT_ONCE URL          child process: prints CPU ms per task
-- A task is a submission, two polls and an image of 1 KB in memory. "100 at once" works through a list; "all at once"
-- starts all tasks first, so that every data structure has its maximum size. A hundred uncounted tasks run before, to
-- exclude one-time costs.

local support = require "support"

local SIZES = os.getenv "BENCH_SCALE" or "100 1000 10000"
local RUNS = tonumber(os.getenv "BENCH_RUNS" or "") or 3
local CLIENTS = tonumber(os.getenv "BENCH_CLIENTS" or "") or 1 -- with different keys, used in turn
local WIDTH, TOLERANCE = 100, 0.15

local function child(count, at_once, url)
    local meter, flux2 = require "bench_meter", require "flux2"
    local clients = {}
    for i = 1, CLIENTS do
        clients[i] = assert(flux2.new {
            api_key = "aio_bench_key_" .. i, base_url = url, poll = { interval = 0.01 }, timeout = 100000,
            max_connections = WIDTH, max_submissions_per_second = 1e6, max_tasks = 1e6,
        })
    end
    local function generate(tasks, width)
        local begun, done = 0, 0
        local function work()
            while begun < tasks do
                begun = begun + 1
                local image = assert(clients[begun % CLIENTS + 1]:generate "a red fox")
                assert(#image:bytes() == 1000)
                done = done + 1
            end
        end
        for _ = 1, width do flux2.spawn(work) end
        flux2.run()
        assert(done == tasks)
    end
    generate(WIDTH, WIDTH)
    local began = meter.cpu()
    -- Small sizes are repeated until at least 2000 tasks have run, because of the resolution of the clock.
    local rounds = math.max(1, math.floor(2000 / count))
    for _ = 1, rounds do generate(count, math.min(count, at_once)) end
    print(("%.6f"):format((meter.cpu() - began) / (rounds * count) * 1000))
end

local function measure(service, lua, count, at_once)
    service:reset "polls=2&bytes=1000"
    local command = support.clean .. support.lua(lua, "scale.lua"):format "timeout 300 "
    local printed = support.run(("%s %d %d %s"):format(command, count, at_once, service.url))
    return tonumber(printed) or error(printed:sub(1, 2000))
end

if arg[1] then
    child(tonumber(arg[1]), tonumber(arg[2]), arg[3])
    return
end

--- Returns the rows of one mode. Runs are interleaved, so that other load affects all sizes.
local function series(service, lua, name, width, data)
    local sizes, all, rows = {}, {}, {}
    for size in SIZES:gmatch "%d+" do sizes[#sizes + 1] = tonumber(size) end
    for _ = 1, RUNS do
        for i, size in ipairs(sizes) do
            all[i] = all[i] or {}
            table.insert(all[i], measure(service, lua, size, width or size))
        end
    end
    local middle = {}
    for i in ipairs(sizes) do middle[i] = support.median(all[i]) end
    local mean = (support.quantile(middle, 0) + support.quantile(middle, 1)) / 2
    for i, size in ipairs(sizes) do
        local spread = RUNS > 1 and ("± %.0f %%"):format(support.spread(all[i])) or ""
        rows[i] = {
            name, ("%d"):format(size), ("%.3f"):format(middle[i]), spread,
            ("%+.0f %%"):format((middle[i] / mean - 1) * 100),
        }
        data:write(("%d %.4f\n"):format(size, middle[i]))
    end
    data:write "\n\n"
    return rows
end

local service = support.service()
support.finally(function()
    local rows = { { "", "tasks", "CPU ms/task", "spread", "from the middle" } }
    local data = assert(io.open(support.build .. "/scale.dat", "w"))
    for _, lua in ipairs { "5.4", "luajit" } do
        local name = lua == "5.4" and "Lua 5.4" or "LuaJIT"
        for _, way in ipairs { { ", 100 at once", WIDTH }, { ", all at once" } } do
            for _, row in ipairs(series(service, lua, name .. way[1], way[2], data)) do rows[#rows + 1] = row end
        end
    end
    data:close()
    local head = "Cost against work, medians of %d run(s); target: within %.0f %% of the middle"
    print(head:format(RUNS, TOLERANCE * 100))
    support.print_table(rows)
end, function() service:stop() end)
