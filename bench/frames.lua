--- Runs bench/frame.lua on Lua 5.4 and LuaJIT over TLS and HTTP/2, with images in files, buffers and strings, and in
-- buffers with 40 MB of other Lua data; prints the table.
--   BENCH_FRAME_RUNS=1 lua bench/frames.lua

local support = require "support"

local RUNS = tonumber(os.getenv "BENCH_FRAME_RUNS" or "") or 1
local BYTES, TASKS = 8 * 2 ^ 20, 50

local NAMES = {
    files = ", to files", buffers = ", to buffers", heap = ", buffers and 40 MB", strings = ", to strings",
}

local function run(service, lua, where)
    local proxy, dir = support.proxy(service, true), support.directory()
    service:reset(("polls=0&min_ms=500&max_ms=8000&bytes=%d"):format(BYTES))
    local command = support.clean .. support.lua(lua, "frame.lua"):format "timeout 100 "
    local data = ("%s/frames-%s-%s.dat"):format(support.build, lua, where)
    local printed = support.run(("%s %s %s %s %s %s"):format(command, proxy.url, proxy.ca_file, dir, where, data))
    local files = tonumber(support.run(("find %s -name '*.png' -size %dc | wc -l"):format(dir, BYTES)):match "%d+")
    proxy:stop()
    support.run("rm -rf " .. dir)
    local figures = {}
    for word in printed:gmatch "%S+" do figures[#figures + 1] = tonumber(word) end
    if #figures ~= 10 or figures[1] ~= TASKS then error("the frame bench failed:\n" .. printed:sub(1, 2000)) end
    assert(where == "files" and files == TASKS or figures[10] == TASKS * BYTES, "an image is missing or incomplete")
    return figures
end

local service = support.service()
support.finally(function()
    local kinds = {}
    for _, lua in ipairs { "5.4", "luajit" } do
        for _, where in ipairs { "files", "buffers", "heap", "strings" } do
            kinds[#kinds + 1] = { lua = lua, where = where, runs = {} }
        end
    end
    for _ = 1, RUNS do
        for _, kind in ipairs(kinds) do kind.runs[#kind.runs + 1] = run(service, kind.lua, kind.where) end
    end
    local rows = {
        {
            "8 MB images", "frames", "median ms", "p99", "p99.9", "max", "over 1 ms", "jitter p99.9", "jitter max",
            "verified",
        },
    }
    for _, kind in ipairs(kinds) do
        -- Medians of the runs, but the maximum of all runs for "max".
        local function column(i)
            local list = {}
            for k, figures in ipairs(kind.runs) do list[k] = figures[i] end
            return list
        end
        local function ms(i) return ("%.4f"):format(support.median(column(i))) end
        local slow = 0
        for _, n in ipairs(column(7)) do slow = slow + n end
        rows[#rows + 1] = {
            (kind.lua == "5.4" and "Lua 5.4" or "LuaJIT") .. NAMES[kind.where],
            ("%d"):format(support.median(column(2))), ms(3), ms(4), ms(5),
            ("%.4f"):format(support.quantile(column(6), 1)), ("%d"):format(slow), ms(8),
            ("%.4f"):format(support.quantile(column(9), 1)), ("%d of %d"):format(support.quantile(column(1), 0), TASKS),
        }
    end
    print(("Time inside flux2.update() while %d tasks run over TLS and HTTP/2; medians of %d runs, max of all")
        :format(TASKS, RUNS))
    support.print_table(rows)
end, function() service:stop() end)
