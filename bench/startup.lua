--- What it costs to begin: `require "flux2"`, then the first flux2.new, each in a fresh process, files in the cache.
--   BENCH_STARTUP=51 lua bench/startup.lua          rounds
-- Run as `startup.lua one` it is that process.

local function one()
    local clock = os.clock
    local begun = clock()
    local flux2 = require "flux2"
    local required = clock()
    assert(flux2.new { api_key = "aio_bench_key", base_url = "http://127.0.0.1:1" })
    print(("%.3f %.3f"):format((required - begun) * 1e3, (clock() - required) * 1e3))
end

local function measure(support, lua, rounds)
    local command = support.clean .. support.lua(lua, "startup.lua"):format "" .. " one"
    local columns = { {}, {} }
    for _ = 1, rounds do
        local required, made = support.must(command):match "([%d.]+) ([%d.]+)"
        table.insert(columns[1], tonumber(required))
        table.insert(columns[2], tonumber(made))
    end
    local cells = { lua == "luajit" and "LuaJIT" or "Lua " .. lua }
    for _, values in ipairs(columns) do
        table.sort(values)
        cells[#cells + 1] = ("%.2f"):format(values[math.ceil(#values / 2)])
        cells[#cells + 1] = ("%.2f"):format(values[#values])
    end
    return cells
end

if arg[1] == "one" then return one() end
local support = require "support"
local rows = { { "milliseconds of CPU", "require, median", "worst", "first flux2.new, median", "worst" } }
for _, lua in ipairs { "5.4", "luajit" } do
    rows[#rows + 1] = measure(support, lua, tonumber(os.getenv "BENCH_STARTUP" or 51))
end
print 'Time of `require "flux2"`, which loads libcurl and its libraries, and of the first flux2.new'
support.print_table(rows)
