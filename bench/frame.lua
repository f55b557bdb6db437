--- Measures the time of flux2.update() in a 60 Hz loop while 50 tasks with images of 8 MB run over TLS.
--   lua frame.lua URL CA_FILE DIRECTORY files|strings|buffers|heap [DATA_FILE]
-- "heap" is "buffers" with 40 MB of other Lua data. Started by bench/frames.lua. The loop also times a fixed
-- computation: its deviation from the median is the jitter of the computer. Prints milliseconds.

local meter = require "bench_meter"

local url, ca_file, directory, where, data_file = arg[1], arg[2], arg[3], arg[4], arg[5]
local FRAME, TASKS, CALM = 1 / 60, 50, 120
local flux2 = require "flux2"
local client = assert(flux2.new {
    api_key = "aio_bench_key", base_url = url, ca_file = ca_file, poll = { interval = 0.1 },
    max_submissions_per_second = 1e6,
})

local function work()
    local x = 0
    for i = 1, 1000 do x = x + i % 7 end
    return x
end

-- lua.c selects generational mode; a game that embeds Lua has the default.
if _VERSION == "Lua 5.4" then collectgarbage "incremental" end

local own = {}
for i = 1, where == "heap" and 1000 or 0 do
    own[i] = {}
    for k = 1, 300 do own[i][k] = { i, "item " .. i .. "/" .. k } end
end
collectgarbage()

local done, bytes = 0, 0
local function start()
    for i = 1, TASKS do
        flux2.spawn(function()
            local options = where == "files" and { save = directory .. "/" .. i .. ".png" } or nil
            local image = assert(client:generate("a red fox", options))
            if where == "strings" then bytes = bytes + #image:bytes() end
            if where == "buffers" or where == "heap" then bytes = bytes + #image:buffer() end
            done = done + 1
        end)
    end
end

local updates, jitters, all = {}, {}, {}
local next_frame = meter.now() + FRAME
-- The tasks start after half a second; the loop ends after all tasks have ended.
for frame = 1, 36000 do
    if frame == 30 then start() end
    if frame > 30 and flux2.pending() == 0 then CALM = CALM - 1 end
    if CALM == 0 then break end
    local a = meter.now()
    work()
    local b = meter.now()
    flux2.update()
    local c = meter.now()
    if flux2.pending() > 0 then
        updates[#updates + 1], jitters[#jitters + 1] = (c - b) * 1000, (b - a) * 1000
    end
    all[#all + 1] = ("%d %.6f %.6f"):format(frame, (c - b) * 1000, (b - a) * 1000)
    meter.sleep(next_frame - meter.now())
    next_frame = next_frame + FRAME
end

assert(#own == (where == "heap" and 1000 or 0)) -- keeps the data alive
table.sort(updates)
table.sort(jitters)
local usual = jitters[math.ceil(#jitters / 2)]
local function at(list, q) return list[math.max(1, math.ceil(q * #list))] end
local slow = 0
for _, ms in ipairs(updates) do slow = slow + (ms > 1 and 1 or 0) end
print(("%d %d %.5f %.5f %.5f %.5f %d %.5f %.5f %d"):format(done, #updates, at(updates, 0.5), at(updates, 0.99),
    at(updates, 0.999), updates[#updates], slow, at(jitters, 0.999) - usual, jitters[#jitters] - usual, bytes))
if data_file then
    local out = assert(io.open(data_file, "w"))
    out:write(table.concat(all, "\n"), "\n")
    out:close()
end
