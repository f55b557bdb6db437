-- flux2 in a cqueues program: generates three images concurrently while another coroutine runs.
--
--     lua examples/cqueues.lua [folder]
--
-- With FLUX2_API_KEY it uses the service, which costs credits; otherwise an emulator in this process.

-- Finds the modules of a checkout. Not needed if flux2 is installed.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local cqueues = require "cqueues"
local flux2 = require "flux2"
require "flux2.host.cqueues" -- the only integration step

local folder = arg[1] or "."
local options, emulator = {}, nil
if (os.getenv "FLUX2_API_KEY" or "") == "" then
    emulator = assert(require("flux2.emulator").start {})
    options = { base_url = emulator.url, api_key = emulator.api_key }
    print("FLUX2_API_KEY is not set: using the emulator at " .. emulator.url)
end
local client = assert(flux2.new(options))

local prompts = { "a lighthouse in a storm", "a paper boat in a gutter", "a fox asleep in the snow" }
local left, failed, ticks = #prompts, 0, 0
local cq = cqueues.new()

cq:wrap(function()
    while left > 0 do
        cqueues.sleep(0.05)
        ticks = ticks + 1
    end
end)

local function generate(prompt, path)
    local image, err = client:generate(prompt, { save = path }) -- this coroutine waits; the controller continues
    if image then
        print(("%s  %s  (%d ticks so far)"):format(path, prompt, ticks))
    else
        failed = failed + 1
        io.stderr:write(prompt, ": ", tostring(err), "\n")
    end
    left = left - 1
end

for i, prompt in ipairs(prompts) do
    cq:wrap(generate, prompt, ("%s/cqueues-%d.png"):format(folder, i))
end

cq:wrap(function()
    -- A task is a pollable object: here it is polled with a timeout.
    local task = assert(client:submit "a kite over the dunes")
    while cqueues.poll(task, 1) ~= task do print("still " .. (task.status or task.state)) end
    print("the kite: " .. task.state)
end)

print "generating three images and a kite"
assert(cq:loop())

if emulator then emulator:stop() end
os.exit(failed == 0 and 0 or 1, true)
