-- Generates an image from a prompt:  lua examples/quickstart.lua [prompt] [file]
--
-- With FLUX2_API_KEY it uses the service, which costs credits; otherwise an emulator in this process.

-- Finds the modules of a checkout. Not needed if flux2 is installed.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local flux2 = require "flux2"

local function check(value, err)
    if not value then
        io.stderr:write("quickstart: ", tostring(err), "\n")
        os.exit(1, true)
    end
    return value
end

local function given(text, default)
    return text and text ~= "" and text or default
end

local prompt = given(arg[1], "A serene Japanese garden at dawn, a red bridge over still water, photorealistic")
local path = given(arg[2], "garden.png")

local options, emulator = {}, nil
if not given(os.getenv "FLUX2_API_KEY") then
    emulator = check(require("flux2.emulator").start {})
    options = { base_url = emulator.url, api_key = emulator.api_key }
    print("FLUX2_API_KEY is not set: using the emulator at " .. emulator.url)
end

local client = check(flux2.new(options))
local task = check(client:submit { prompt = prompt, aspect_ratio = "16:9" })

-- Updates one line on a terminal; otherwise prints a line per change.
local status = os.execute "test -t 1"
local live = status == true or status == 0
local started, turns = os.time(), 0

local function describe(t)
    local percent = t.progress and ("  %.0f %%"):format(t.progress * 100) or ""
    return ("%s%s  %.0f s"):format(t.status or t.state, percent, os.difftime(os.time(), started))
end

if not live then
    task:on("status", function(t) print(describe(t)) end)
end

print(prompt)
while task.state == "submitting" or task.state == "running" do
    task:wait(0.1) -- returns after 0.1 s; the task continues
    if live then
        turns = turns % 4 + 1
        io.write("\r\27[K", ("|/-\\"):sub(turns, turns), " ", describe(task))
        io.flush()
    end
end
if live then
    io.write "\r\27[K"
end

local result = check(task:wait())
check(result.images[1]:save(path))

local file = check(io.open(path, "rb"))
local size = file:seek "end"
file:close()
local folder = path:match "^/" and "" or (os.getenv "PWD" or ".") .. "/"
print(("%s%s  (%d KB, %.1f s)"):format(folder, path, math.ceil(size / 1000), result.elapsed))

if emulator then
    emulator:stop()
end
