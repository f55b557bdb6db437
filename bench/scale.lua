--- What a task costs when there are many: processor time per task from 100 to 100,000 of them.
--   lua bench/scale.lua                            the table, and build/bench/scale.dat for the plot
--   BENCH_RUNS=1 BENCH_SCALE="100 1000 10000 100000" lua bench/scale.lua
--   lua bench/scale.lua COUNT AT_ONCE URL          one measurement, its child; prints CPU ms per task
-- A task is a submission, two polls and a picture of 1 KB into memory. "100 at once" is a program that works through
-- a list; "all at once" has every task alive from the beginning, so that whatever is kept in order is as long as it can
-- be. Both go on after a hundred tasks that do not count, so that what is made once is not a cost of each.

local support = require "support"

local SIZES = os.getenv "BENCH_SCALE" or "100 1000 10000"
local RUNS = tonumber(os.getenv "BENCH_RUNS" or "") or 3
local WIDTH, TOLERANCE = 100, 0.15

local function child(count, at_once, url)
    local meter, flux2 = require "bench_meter", require "flux2"
    local client = assert(flux2.new {
        api_key = "aio_bench_key", base_url = url, poll = { interval = 0.01 }, timeout = 100000,
        max_connections = WIDTH, max_submissions_per_second = 1e6, max_tasks = 1e6,
    })
    local function generate(tasks, width)
        local begun, done = 0, 0
        local function work()
            while begun < tasks do
                begun = begun + 1
                local image = assert(client:generate "a red fox")
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
    -- A hundred tasks are over within the clock's tick: so many rounds that each size costs as many tasks at least.
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

--- The rows of one way of working. Interleaved: what else the machine does meets every size.
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
    local head = "Cost against work, medians of %d run(s); to reach: within %.0f %% of the middle"
    print(head:format(RUNS, TOLERANCE * 100))
    support.print_table(rows)
end, function() service:stop() end)
