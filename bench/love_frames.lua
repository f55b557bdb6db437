-- Measures flux2.update() in the frames of a game: a script for examples/love, started by bench/love.lua. It generates
-- twenty 2K images, one every 2.5 seconds.
--
-- Also measures a fixed computation and the CPU time of the thread: an update with a long wall time and a short CPU
-- time was preempted.

local ffi = require "ffi"
local scheduler = require "flux2.scheduler"

local IMAGES = tonumber(os.getenv "BENCH_LOVE_IMAGES" or "") or 20
local EVERY = 2.5 -- seconds

ffi.cdef [[
typedef struct { long seconds, nanoseconds; } flux2_bench_time;
int clock_gettime(int clock, flux2_bench_time *time);
]]
local WALL, THREAD = 1, 3 -- clock ids of Linux
local time = ffi.new "flux2_bench_time"

local function clock(which)
    ffi.C.clock_gettime(which, time)
    return tonumber(time.seconds) * 1000 + tonumber(time.nanoseconds) / 1e6
end

local function arithmetic()
    local x = 0
    for i = 1, 1000 do x = x + i % 7 end
    return x
end

local frames = {}
local update = scheduler.update

-- The host calls this function once per frame.
function scheduler.update(seconds)
    local a = clock(WALL)
    arithmetic()
    local b, before = clock(WALL), clock(THREAD)
    local events = update(seconds)
    local used, c = clock(THREAD) - before, clock(WALL)
    frames[#frames + 1] = { wall = c - b, cpu = used, jitter = b - a, events = events }
    return events
end

for _, fn in ipairs { clock, arithmetic, scheduler.update } do jit.off(fn) end

return function(user)
    local began = love.timer.getTime()
    for i = 1, IMAGES do
        user:key "tab"
        user:key "return"
        user:wait("card " .. i, 5, function() return user:cards() >= i end)
        user:sleep(math.max(0, began + i * EVERY - love.timer.getTime()))
    end
    user:wait_for_images(IMAGES, 60)
    user:sleep(math.max(0, began + IMAGES * EVERY + 10 - love.timer.getTime()))
    user:note("images", user:count "image")
    local out = assert(io.open(os.getenv "BENCH_LOVE_DATA", "w"))
    for i, f in ipairs(frames) do out:write(("%d %.5f %.5f %.5f %d\n"):format(i, f.wall, f.cpu, f.jitter, f.events)) end
    out:close()
end
