-- flux2 in a cqueues program: three pictures at once, while a coroutine of the program's own ticks on.
--
--     lua examples/cqueues.lua [folder]
--
-- With FLUX2_API_KEY set this asks the real service, which costs credits. Without, the emulator in this very process.

-- In a checkout the modules are beside this file; where flux2 is installed, these four lines can go.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local cqueues = require "cqueues"
local flux2 = require "flux2"
require "flux2.host.cqueues" -- all that a cqueues program has to do

local folder = arg[1] or "."
local options, emulator = {}, nil
if (os.getenv "FLUX2_API_KEY" or "") == "" then
    emulator = assert(require("flux2.emulator").start {})
    options = { base_url = emulator.url, api_key = emulator.api_key }
    print("FLUX2_API_KEY is not set: the emulator answers, at " .. emulator.url)
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

local function paint(prompt, path)
    local image, err = client:generate(prompt, { save = path }) -- waits here; the controller goes on
    if image then
        print(("%s  %s  (%d ticks so far)"):format(path, prompt, ticks))
    else
        failed = failed + 1
        io.stderr:write(prompt, ": ", tostring(err), "\n")
    end
    left = left - 1
end

for i, prompt in ipairs(prompts) do
    cq:wrap(paint, prompt, ("%s/cqueues-%d.png"):format(folder, i))
end

cq:wrap(function()
    -- A task is a waitable object like any other: here it is polled together with a time-out.
    local task = assert(client:submit "a kite over the dunes")
    while cqueues.poll(task, 1) ~= task do print("still " .. (task.status or task.state)) end
    print("the kite: " .. task.state)
end)

print "three pictures and a kite are on their way"
assert(cq:loop())

if emulator then emulator:stop() end
os.exit(failed == 0 and 0 or 1, true)
