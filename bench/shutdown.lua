--- Measures the exit time of a process with 40 running jobs: during downloads, and during a name resolution that hangs.
--   BENCH_SHUTDOWN=10 lua bench/shutdown.lua
-- The parent process measures from the last line of the program to the end of the process.

local core = require "flux2.core"
local emulator = require "flux2.emulator"
local support = require "support"

local TIMES = tonumber(os.getenv "BENCH_SHUTDOWN" or "") or 10

local CHILD = [[
local how, url, dir, seconds = arg[1], arg[2], arg[3], tonumber(arg[4])
local core, flux2 = require "flux2.core", require "flux2"
local client = assert(flux2.new {
    api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 }, max_retries = 0,
    max_submissions_per_second = 1e6,
})
for i = 1, 40 do
    flux2.spawn(function() client:generate("prompt " .. i, { save = dir .. "/" .. i .. ".png" }) end)
end
local until_ = core.now() + seconds
while core.now() < until_ do flux2.update() end
assert(flux2.pending() > 0)
io.write("exit at ", ("%.6f"):format(core.now()), "\n")
io.stdout:flush()
if how == "os.exit()" then os.exit(0) end
if how == "os.exit(true, true)" then os.exit(true, true) end
if how == "error" then error "on purpose" end
]]

local emu = assert(emulator.start { duration = { 0.05, 2 }, image_bytes = 200000 })
emu:fault { method = "GET", path = "/images/*", times = 1e9, trickle = { bytes = 2000, interval = 0.02 } }
local dir = support.directory()
support.finally(function()
    local out = assert(io.open(dir .. "/child.lua", "w"))
    out:write(CHILD)
    out:close()
    local hang = dir .. "/odd_resolver.so"
    support.must("${CC:-cc} -shared -fPIC -o " .. hang .. " spec/support/odd_resolver.c -ldl")
    local rows = { { "exit by", "", "median ms", "max ms", "times" } }
    for _, lua in ipairs { "5.4", "luajit" } do
        for _, where in ipairs { "downloading", "resolving" } do
            for _, how in ipairs { "the end", "os.exit()", "os.exit(true, true)", "error" } do
                local took = {}
                for i = 1, TIMES do
                    local stuck = where == "resolving"
                    local command = support.lua(lua, "x"):gsub("bench/x$", dir .. "/child.lua")
                    local prefix = stuck and "LD_PRELOAD=" .. hang .. " timeout 60 " or "timeout 60 "
                    local printed = support.run(("%s%s '%s' %s %s %s"):format(support.clean, command:format(""):gsub(
                        "^(.*;' )", "%1" .. prefix), how, stuck and "https://service.hang" or emu.url, dir,
                        stuck and "0.1" or "0.3"))
                    local now = core.now()
                    took[i] = (now - assert(tonumber(printed:match "exit at (%S+)"), printed)) * 1000
                end
                rows[#rows + 1] = {
                    how, (lua == "5.4" and "Lua 5.4, " or "LuaJIT, ") .. where, ("%.1f"):format(support.median(took)),
                    ("%.1f"):format(support.quantile(took, 1)), ("%d"):format(#took),
                }
            end
        end
    end
    support.print_table(rows)
end, function()
    emu:stop()
    support.run("rm -rf " .. dir)
end)
