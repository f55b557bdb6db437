--- Measures the frames of examples/love under Xvfb, with images from an emulator in another process over TLS.
--   BENCH_LOVE_IMAGES=20 lua bench/love.lua

local support = require "support"

local LIMIT = 0.2 -- milliseconds that an update may take
local IMAGES = tonumber(os.getenv "BENCH_LOVE_IMAGES" or "") or 20
local DATA = support.build .. "/frames-love.dat"

local function play(emulator, proxy)
    local dir = support.directory()
    local printed, code = support.run((support.clean .. [[
        FLUX2_API_KEY='%s' FLUX2_BASE_URL=%s XDG_DATA_HOME=%s SDL_AUDIODRIVER=dummy LC_ALL=C.UTF-8 BENCH_LOVE_DATA=%s \
        BENCH_LOVE_IMAGES=%d xvfb-run -a -s '-screen 0 1280x800x24' timeout -k 5 %d love examples/love \
        --ca-file %s --resolution 2K --script bench/love_frames.lua --report %s/report]]):format(
        emulator.key, proxy.url, dir, DATA, IMAGES, IMAGES * 3 + 90, proxy.ca_file, dir))
    local report = support.run("cat " .. dir .. "/report")
    support.run("rm -rf " .. dir)
    local images = tonumber(report:match "images=(%d+)")
    if code ~= 0 or images ~= IMAGES then error("LÖVE failed:\n" .. report .. printed:sub(1, 2000)) end
    return images
end

local function read()
    local wall, jitter, counts = {}, {}, { busy = 0, over = 0, idle_over = 0, cpu_over = 0, jitter_over = 0 }
    for line in io.lines(DATA) do
        local ms, cpu, beside, events = line:match "^%d+ (%S+) (%S+) (%S+) (%d+)"
        ms, cpu, beside, events = tonumber(ms), tonumber(cpu), tonumber(beside), tonumber(events)
        wall[#wall + 1], jitter[#jitter + 1] = ms, beside
        if events > 0 then counts.busy = counts.busy + 1 end
        if ms > LIMIT then
            counts.over = counts.over + 1
            if events == 0 then counts.idle_over = counts.idle_over + 1 end
            if cpu > LIMIT and events > 0 then counts.cpu_over = counts.cpu_over + 1 end
        end
    end
    local usual = support.median(jitter)
    for _, ms in ipairs(jitter) do
        if ms - usual > LIMIT then counts.jitter_over = counts.jitter_over + 1 end
    end
    return wall, counts
end

local emulator = io.popen(support.lua("5.4", "love_service.lua"):format "")
emulator = { pipe = emulator, port = tonumber(emulator:read "*l"), key = emulator:read "*l", pid = emulator:read "*l" }
assert(emulator.pid, "the emulator did not start")
local proxy = support.proxy(emulator, true)
support.finally(function()
    local images = play(emulator, proxy)
    local wall, counts = read()
    local function ms(q) return ("%.4f"):format(support.quantile(wall, q)) end
    local function count(name) return ("%d"):format(counts[name]) end
    print(("Time inside flux2.update() in LÖVE, %d images of 2K over TLS and HTTP/2"):format(IMAGES))
    support.print_table {
        {
            "frames", "with events", "median ms", "p99", "p99.9", "max", "over 0.2 ms", "of them without events",
            "and with 0.2 ms of work", "jitter over 0.2 ms", "verified",
        },
        {
            ("%d"):format(#wall), count "busy", ms(0.5), ms(0.99), ms(0.999), ms(1), count "over", count "idle_over",
            count "cpu_over", count "jitter_over", ("%d of %d"):format(images, IMAGES),
        },
    }
end, function()
    proxy:stop()
    support.run("kill " .. emulator.pid)
    emulator.pipe:close()
end)
