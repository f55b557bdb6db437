--- Runs bench/frame.lua on Lua 5.4 and LuaJIT over TLS and HTTP/2, with images in files, buffers and strings, and in
-- buffers with 40 MB of other Lua data; prints two tables.
--   BENCH_FRAME_RUNS=5 BENCH_FRAME_KINDS="files buffers heap strings" lua bench/frames.lua

local support = require "support"

local RUNS = tonumber(os.getenv "BENCH_FRAME_RUNS" or "") or 1
local KINDS = os.getenv "BENCH_FRAME_KINDS" or "files buffers heap strings"
local BYTES, TASKS = 8 * 2 ^ 20, 100

local NAMES = {
    files = ", to files", buffers = ", to buffers", heap = ", buffers and 40 MB", strings = ", to strings",
}

--- Returns the values that a run prints: name -> { wall, cpu } in milliseconds, or { number }.
local function read(printed)
    local figures = {}
    for name, first, second in printed:gmatch "(%S+)%s+([%d.]+)[ \t]*([%d.]*)" do
        figures[name] = { tonumber(first), tonumber(second) }
    end
    return figures
end

local function run(service, lua, where)
    local proxy, dir = support.proxy(service, true), support.directory()
    service:reset(("polls=0&min_ms=500&max_ms=8000&bytes=%d"):format(BYTES))
    local command = support.clean .. support.lua(lua, "frame.lua"):format "timeout 100 "
    local data = ("%s/frames-%s-%s.dat"):format(support.build, lua, where)
    local printed = support.run(("%s %s %s %s %s %s"):format(command, proxy.url, proxy.ca_file, dir, where, data))
    local files = tonumber(support.run(("find %s -name '*.png' -size %dc | wc -l"):format(dir, BYTES)):match "%d+")
    proxy:stop()
    support.run("rm -rf " .. dir)
    local figures = read(printed)
    if not figures.done or figures.done[1] ~= TASKS then error("the frame bench failed:\n" .. printed:sub(1, 2000)) end
    local bytes = figures.bytes[1]
    assert(where == "files" and files == TASKS or bytes == TASKS * BYTES, "an image is missing or incomplete")
    return figures
end

--- Returns a table cell: the median of the runs, wall time and CPU time.
local function cell(runs, name)
    local walls, cpus = {}, {}
    for i, figures in ipairs(runs) do walls[i], cpus[i] = figures[name][1], figures[name][2] end
    return ("%.3f / %.3f"):format(support.median(walls), support.median(cpus))
end

--- Returns a table cell: the maximum of the runs.
local function most(runs, name)
    local wall, cpu = 0, 0
    for _, figures in ipairs(runs) do wall, cpu = math.max(wall, figures[name][1]), math.max(cpu, figures[name][2]) end
    return ("%.3f / %.3f"):format(wall, cpu)
end

local function print_kinds(title, kinds, header, names)
    print(title)
    local rows = { header }
    for _, kind in ipairs(kinds) do
        local row = { (kind.lua == "5.4" and "Lua 5.4" or "LuaJIT") .. NAMES[kind.where] }
        for _, name in ipairs(names) do row[#row + 1] = (name:find "max$" and most or cell)(kind.runs, name) end
        rows[#rows + 1] = row
    end
    support.print_table(rows)
    print()
end

local service = support.service()
support.finally(function()
    local kinds = {}
    for _, lua in ipairs { "5.4", "luajit" } do
        for where in KINDS:gmatch "%S+" do kinds[#kinds + 1] = { lua = lua, where = where, runs = {} } end
    end
    for _ = 1, RUNS do
        for _, kind in ipairs(kinds) do kind.runs[#kind.runs + 1] = run(service, kind.lua, kind.where) end
    end
    local how = ("milliseconds, wall / CPU of the thread; medians of %d runs, max of all"):format(RUNS)
    print_kinds("Calls in a 60 Hz loop, from the first one on; " .. how, kinds,
        { "8 MB images", "require", "flux2.new", "first generate", "later, median", "later, max", "fifty at once" },
        { "require", "new", "first", "later-median", "later-max", "burst" })
    print_kinds("flux2.update() while these tasks run over TLS and HTTP/2; " .. how, kinds,
        { "8 MB images", "median", "p99", "p99.9", "max", "jitter" },
        { "update-median", "update-p99", "update-p99.9", "update-max", "jitter" })
end, function() service:stop() end)
