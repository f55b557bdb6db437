-- soak.lua - runs many tasks with frequent faults and compares the outcomes with the ledger of the emulator.
--
--   lua tools/soak.lua [tasks] [seed] [concurrency]
--
-- The emulator runs in its own process, so that the measured memory is that of the client. The last line is "soak: ok"
-- or the number of errors; the exit code is 0 or 1.
local here = arg[0]:match "^(.*)[/\\]" or "."
local root = here .. "/.."
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
local build = os.getenv "FLUX2_BUILD" or root .. "/build"
package.cpath = build .. "/" .. _VERSION:match "%d%.%d" .. "/?.so;" .. package.cpath

local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"

local ACCEPTED = '{"code":200,"data":{"task_id":"{task_id}","status":"IN_PROGRESS"}'
local RUNNING = '{"code":200,"data":{"status":"IN_PROGRESS"}}'
local HALF_PNG = "\137PNG\r\n\26\n\0\0\0\13IHDR\0\0\0\8\0\0\0\8"
local DAMAGED_GZIP = "\31\139\8\0\0\0\0\0\0\3 no deflate"

local function encoding(name)
    return { ["Content-Encoding"] = name }
end

-- The faults and their probabilities.
local FAULTS = {
    { method = "POST", path = SUBMIT, chance = 0.01, reset = "after" },
    { method = "POST", path = SUBMIT, chance = 0.01, reset = "before" },
    { method = "POST", path = SUBMIT, chance = 0.01, close = "after" },
    { method = "POST", path = SUBMIT, chance = 0.01, cut = 30, accept = true },
    { method = "POST", path = SUBMIT, chance = 0.01, status = 502, body = "<html>bad gateway</html>", accept = true },
    { method = "POST", path = SUBMIT, chance = 0.01, status = 503, retry_after = 0, body = "busy" },
    { method = "POST", path = SUBMIT, chance = 0.002, status = 429, retry_after = 0, body = "slow down" },
    { method = "POST", path = SUBMIT, chance = 0.005, garbage = true, accept = true },
    { method = "POST", path = SUBMIT, chance = 0.005, body = "{\"code\":200,\"data\":{}}", accept = true },
    { method = "POST", path = SUBMIT, chance = 0.005, accept = true, body = ACCEPTED .. ',"error":{"code":null}}' },
    { method = "POST", path = SUBMIT, chance = 0.005, accept = true, body = ACCEPTED .. "}",
        headers = encoding "UTF-8" },
    { method = "POST", path = SUBMIT, chance = 0.005, accept = true, body = DAMAGED_GZIP, headers = encoding "gzip" },
    -- Complete JSON, of which the announced length is missing.
    { method = "POST", path = SUBMIT, chance = 0.005, accept = true, body = ACCEPTED .. "}" .. (" "):rep(1000),
        cut = 500 },
    { method = "GET", path = TASKS, chance = 0.02, status = 500, body = "oops" },
    { method = "GET", path = TASKS, chance = 0.02, status = 504, body = "" },
    { method = "GET", path = TASKS, chance = 0.002, status = 429, retry_after = 0, body = "slow down" },
    { method = "GET", path = TASKS, chance = 0.01, status = 404, body = "{}" },
    { method = "GET", path = TASKS, chance = 0.02, reset = "after" },
    { method = "GET", path = TASKS, chance = 0.02, close = "after" },
    { method = "GET", path = TASKS, chance = 0.02, cut = 20 },
    { method = "GET", path = TASKS, chance = 0.02, garbage = true },
    { method = "GET", path = TASKS, chance = 0.02, body = "<html>please wait</html>" },
    { method = "GET", path = TASKS, chance = 0.02, body = "{\"data\":{\"status\":\"PONDERING\"}}" },
    { method = "GET", path = TASKS, chance = 0.02, body = "{\"data\":{\"status\":7}}" },
    { method = "GET", path = TASKS, chance = 0.01, status = 403, body = "<html>who are you?</html>" },
    { method = "GET", path = TASKS, chance = 0.01, body = '{"code":500,"message":"database is locked"}' },
    { method = "GET", path = TASKS, chance = 0.01, body = '{"error":{"message":"upstream","code":null}}' },
    { method = "GET", path = TASKS, chance = 0.02, body = '{"data":{"status":"SUCCESS"}}' }, -- without the image
    { method = "GET", path = TASKS, chance = 0.01, body = RUNNING, headers = encoding "UTF-8" },
    { method = "GET", path = TASKS, chance = 0.01, body = DAMAGED_GZIP },
    { method = "GET", path = IMAGES, chance = 0.02, cut = 200 },
    { method = "GET", path = IMAGES, chance = 0.02, reset = "after" },
    { method = "GET", path = IMAGES, chance = 0.02, status = 503, body = "busy" },
    { method = "GET", path = IMAGES, chance = 0.01, status = 404, body = "gone" },
    { method = "GET", path = IMAGES, chance = 0.01, status = 403, body = "<Error>AccessDenied</Error>" },
    { method = "GET", path = IMAGES, chance = 0.01, status = 202, body = "soon" },
    { method = "GET", path = IMAGES, chance = 0.01, body = "" },
    { method = "GET", path = IMAGES, chance = 0.01, body = "<html>soon</html>" },
    { method = "GET", path = IMAGES, chance = 0.01, body = HALF_PNG },
    { method = "GET", path = IMAGES, chance = 0.01, body = DAMAGED_GZIP },
}

-- The service -----------------------------------------------------------------------------------------------------

if arg[1] == "--service" then
    local emu = assert(require("flux2.emulator").start {
        seed = tonumber(arg[2]), duration = { 0.01, 0.3 }, image_bytes = 600, failure_rate = 0.01,
        max_requests_per_connection = 500, credits = 1e9,
    })
    for _, fault in ipairs(FAULTS) do emu:fault(fault) end
    local out = assert(io.open(arg[3], "w"))
    out:write(emu.url, "\n")
    out:close()
    io.read "*a" -- until the client has finished
    out = assert(io.open(arg[3], "w"))
    for _, entry in ipairs(emu:ledger()) do out:write(entry.task_id, "\t", entry.prompt, "\n") end
    local stats = emu:stats()
    for name, field in pairs { faults = "faults_fired", requests = "requests", connections = "connections" } do
        out:write(name, "\t", stats[field], "\n")
    end
    out:close()
    emu:stop()
    os.exit(0, true)
end

local core = require "flux2.core"
local flux2 = require "flux2"

local count, seed, concurrency = tonumber(arg[1]) or 20000, tonumber(arg[2]) or 1, tonumber(arg[3]) or 200

local function start_service(file)
    local command = ("'%s' '%s' --service %d '%s'"):format(arg[-1], arg[0], seed, file)
    local pipe = assert(io.popen(command, "w"))
    local until_ = core.now() + 10
    while core.now() < until_ do
        local read = io.open(file)
        local url = read and read:read "*l"
        if read then read:close() end
        if url and url ~= "" then return pipe, url end
        flux2.sleep(0.05)
    end
    error "the emulator did not start"
end

-- The client ------------------------------------------------------------------------------------------------------

local outcome = {} -- prompt -> { kind, task_id }
local tally = {}

local function remember(prompt, kind, id)
    if outcome[prompt] then error("two outcomes for " .. prompt) end
    outcome[prompt] = { kind, id }
    tally[kind] = (tally[kind] or 0) + 1
end

--- Runs one task as a careful program does: repeats the wait and the download until each paid image is saved.
local function pursue(client, prompt, path)
    local task = assert(client:submit(prompt))
    local result, err
    for _ = 1, 20 do
        result, err = task:wait()
        if result or not task.id or task.error.kind == "task_failed" then break end
    end
    if not result then return remember(prompt, err.kind, task.id) end
    local saved
    for _ = 1, 20 do
        saved, err = result.images[1]:save(path)
        if saved then break end
    end
    os.remove(path)
    remember(prompt, saved and "image" or "lost: " .. tostring(err), task.id)
end

local function resident()
    for line in io.lines "/proc/self/status" do
        local kb = line:match "^VmRSS:%s*(%d+)"
        if kb then return tonumber(kb) / 1024 end
    end
end

local function descriptors()
    local n, pipe = 0, io.popen "ls /proc/$PPID/fd"
    for _ in pipe:lines() do n = n + 1 end
    pipe:close()
    return n
end

local function drive(client, folder)
    local next_task, alive, marks = 0, 0, {}
    local function worker()
        alive = alive + 1
        while next_task < count do
            next_task = next_task + 1
            local n = next_task
            if n == math.floor(count / 4) or n == count then
                collectgarbage()
                collectgarbage()
                marks[#marks + 1] = { resident(), descriptors(), collectgarbage "count" / 1024 }
            end
            pursue(client, "task number " .. n, folder .. "/" .. n .. ".png")
        end
        alive = alive - 1
    end
    for _ = 1, concurrency do flux2.spawn(worker) end
    flux2.run()
    return marks
end

-- Comparison ------------------------------------------------------------------------------------------------------

local function compare(file)
    local wrong, accepted, seen, figures = {}, 0, {}, {}
    for line in io.lines(file) do
        local first, second = line:match "^([^\t]*)\t(.*)$"
        if first == "faults" or first == "requests" or first == "connections" then
            figures[first] = tonumber(second)
        else
            accepted = accepted + 1
            if seen[second] then wrong[#wrong + 1] = "submitted twice: " .. second end
            seen[second] = first
        end
    end
    for prompt, o in pairs(outcome) do
        local kind, id, there = o[1], o[2], seen[prompt]
        if id and there ~= id then
            wrong[#wrong + 1] = ("%s: the client has %s, the ledger %s"):format(prompt, id, tostring(there))
        elseif there and not id and kind ~= "unknown_outcome" then
            wrong[#wrong + 1] = ("%s was accepted, and the client says %s"):format(prompt, kind)
        elseif kind ~= "image" and kind ~= "task_failed" and kind ~= "unknown_outcome" and there then
            wrong[#wrong + 1] = ("%s was paid for and not saved: %s"):format(prompt, kind)
        end
    end
    return wrong, accepted, figures
end

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -p '" .. folder .. "'"))
local file = folder .. "/service"
local service, url = start_service(file)
local client = assert(flux2.new {
    api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.05 }, max_retries = 3, request_timeout = 20,
    max_submissions_per_second = 1e6,
})
local began = core.now()
local marks = drive(client, folder)
local took = core.now() - began
service:close()
local wrong, accepted, figures = compare(file)
local left = 0
for name in io.popen("ls -A '" .. folder .. "'"):lines() do
    if name ~= "service" then left = left + 1 end
end
os.execute("rm -rf '" .. folder .. "'")

local kinds = {}
for kind, n in pairs(tally) do kinds[#kinds + 1] = kind .. " " .. n end
table.sort(kinds)
print(("tasks %d, seed %d, %.0f s; requests %d, faults %d, connections %d; accepted %d"):format(count, seed, took,
    figures.requests, figures.faults, figures.connections, accepted))
print("outcomes: " .. table.concat(kinds, ", "))
local early, late = marks[1], marks[#marks]
print(("memory %.1f -> %.1f MiB, of Lua %.1f -> %.1f MiB; descriptors %d -> %d"):format(early[1], late[1], early[3],
    late[3], early[2], late[2]))
if late[2] > early[2] + 20 then wrong[#wrong + 1] = "descriptors grew" end
if count >= 5000 and late[1] > early[1] + 16 then wrong[#wrong + 1] = "memory grew" end
if left > 0 then wrong[#wrong + 1] = left .. " temporary files remain" end
-- The engine forgets a cancelled timer on its own thread.
local deadline = core.now() + 5
while flux2.stats().jobs ~= 0 and core.now() < deadline do require("flux2.scheduler").block(0.01) end
if flux2.stats().jobs ~= 0 then wrong[#wrong + 1] = "jobs are still running" end
for i = 1, math.min(#wrong, 20) do print("error: " .. wrong[i]) end
print(#wrong == 0 and "soak: ok" or ("soak: %d errors"):format(#wrong))
os.exit(#wrong == 0 and 0 or 1, true)
