-- flux2 in a libuv program: three pictures at once, while a timer of the program's own ticks on.
--
--     luajit examples/luv.lua [folder]
--
-- With FLUX2_API_KEY set this asks the real service, which costs credits. Without, the emulator in this very process.

-- In a checkout the modules are beside this file; where flux2 is installed, these four lines can go.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local uv = require "luv"
local flux2 = require "flux2"
require "flux2.host.luv" -- all that a libuv program has to do

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

-- What the program does anyway: here it only shows that nothing holds it up.
local timer = uv.new_timer()
timer:start(0, 50, function() ticks = ticks + 1 end)

local function paint(prompt, path)
    local image, err = client:generate(prompt, { save = path }) -- waits here; the loop goes on
    if image then
        print(("%s  %s  (%d ticks so far)"):format(path, prompt, ticks))
    else
        failed = failed + 1
        io.stderr:write(prompt, ": ", tostring(err), "\n")
    end
    left = left - 1
    if left == 0 then timer:close() end -- then nothing is left to do, and uv.run() returns
end

for i, prompt in ipairs(prompts) do
    flux2.spawn(paint, prompt, ("%s/luv-%d.png"):format(folder, i))
end
print "three pictures are on their way"
uv.run()

if emulator then emulator:stop() end
os.exit(failed == 0 and 0 or 1, true)
