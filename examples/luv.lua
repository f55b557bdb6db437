-- flux2 in a libuv program: generates three images concurrently while a timer runs.
--
--     luajit examples/luv.lua [folder]
--
-- With FLUX2_API_KEY it uses the service, which costs credits; otherwise an emulator in this process.

-- Finds the modules of a checkout. Not needed if flux2 is installed.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local uv = require "luv"
local flux2 = require "flux2"
require "flux2.host.luv" -- the only integration step

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

-- Other work of the program: shows that the loop is not blocked.
local timer = uv.new_timer()
timer:start(0, 50, function() ticks = ticks + 1 end)

local function generate(prompt, path)
    local image, err = client:generate(prompt, { save = path }) -- this coroutine waits; the loop continues
    if image then
        print(("%s  %s  (%d ticks so far)"):format(path, prompt, ticks))
    else
        failed = failed + 1
        io.stderr:write(prompt, ": ", tostring(err), "\n")
    end
    left = left - 1
    if left == 0 then timer:close() end -- ends uv.run()
end

for i, prompt in ipairs(prompts) do
    flux2.spawn(generate, prompt, ("%s/luv-%d.png"):format(folder, i))
end
print "generating three images"
uv.run()

if emulator then emulator:stop() end
os.exit(failed == 0 and 0 or 1, true)
