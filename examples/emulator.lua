-- The service on this machine, as a program:  lua examples/emulator.lua --port 8080
--
-- Point a client at the printed URL and key, or try the service's own curl commands with the base URL changed.
-- Ctrl-C ends it.

-- In a checkout the modules are beside this file; where flux2 is installed, these four lines can go.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local argparse = require "argparse"
local emulator = require "flux2.emulator"

local function names_of(map)
    local names = {}
    for name in pairs(map) do names[#names + 1] = name end
    table.sort(names)
    return names
end

--- "2" or "2-5" seconds.
local function seconds(text)
    local least, most = text:match "^([%d.]+)%-([%d.]+)$"
    if least then return { tonumber(least), tonumber(most) } end
    return tonumber(text), ("'%s' is not a number of seconds"):format(text)
end

local parser = argparse("emulator.lua", "The Flux 2 service on this machine: no account, no credits, real pictures.")
parser:option("--port", "port to listen on (127.0.0.1 only); 0 picks a free one", "8080"):convert(tonumber)
parser:option("--key", "the API key that is accepted", "aio_emulator_key")
parser:option("--duration", "seconds that a task runs, or a range like 2-5", "1.5-3"):convert(seconds)
parser:option("--credits", "credits to spend", "1000000"):convert(tonumber)
parser:option("--seed", "make ids, durations and failures repeat"):convert(tonumber)
parser:option("--failure-rate", "share of tasks that fail, 0 to 1", "0"):convert(tonumber)
parser:option("--shape", "shape of a finished task", "output_image_url"):choices(names_of(emulator.shapes))
parser:option("--dialect", "flux2, or openai for that one's SDK, at <url>/v1", "flux2"):choices { "flux2", "openai" }
parser:flag("-q --quiet", "do not list the requests")
local args = parser:parse()

local emu, err = emulator.start {
    port = args.port,
    api_key = args.key,
    duration = args.duration,
    credits = args.credits,
    seed = args.seed,
    failure_rate = args.failure_rate,
    shape = args.shape,
    dialect = args.dialect,
}
if not emu then
    io.stderr:write(err, "\n")
    os.exit(1, true)
end

io.stdout:setvbuf "line"
print("url  " .. emu.url)
print("key  " .. emu.api_key)
print(([[

try  curl -X POST %s/api/v1/images/generations \
       -H "Authorization: Bearer %s" -H "Content-Type: application/json" \
       -d '{"model": "flux-2", "prompt": "A serene Japanese garden, photorealistic", "aspect_ratio": "16:9"}'
     curl %s/api/v1/tasks/TASK_ID -H "Authorization: Bearer %s"

Ctrl-C ends it.
]]):format(emu.url, emu.api_key, emu.url, emu.api_key))

-- The emulator works on its own threads: this one only lists, and waits in `wait`, which Ctrl-C interrupts.
local listed = 0
local function list()
    local requests, total = emu:requests(), emu:stats().requests
    for i = math.max(1, #requests - (total - listed) + 1), #requests do
        local r = requests[i]
        print(("%8.2f  %d  %-4s %s"):format(r.at, r.status, r.method, r.path))
    end
    listed = total
end

local _, why = pcall(function()
    while true do
        emu:wait(0.5)
        if not args.quiet then list() end
    end
end)
emu:stop()
local interrupted = tostring(why):find "interrupted"
if not interrupted then io.stderr:write(tostring(why), "\n") end
os.exit(interrupted and 0 or 1, true)
