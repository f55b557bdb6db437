-- The same image from two services:  lua examples/providers.lua [apiin|bfl] [prompt] [file]
--
-- Only the name of the provider differs. With the key of the service in its environment variable (FLUX2_API_KEY,
-- BFL_API_KEY) it uses the service, which costs credits; otherwise an emulator of it in this process.

-- Finds the modules of a checkout. Not needed if flux2 is installed.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local flux2 = require "flux2"

local provider = arg[1] or "apiin" -- or "bfl"
local prompt = arg[2] or "A serene Japanese garden at dawn, photorealistic"
local path = arg[3] or "garden-" .. provider .. ".png"

local options, emulator = { provider = provider }, nil
local keys = { apiin = "FLUX2_API_KEY", bfl = "BFL_API_KEY" }
if (os.getenv(keys[provider]) or "") == "" then
    local service = require "flux2.emulator"
    emulator = assert(service.start { dialect = service.dialects[provider] })
    options.base_url, options.api_key = emulator.url, emulator.api_key
    print(keys[provider] .. " is not set: using the emulator at " .. emulator.url)
end

local client = assert(flux2.new(options))
assert(client:generate({ prompt = prompt, aspect_ratio = "16:9", type = "pro", resolution = "1K" }, { save = path }))
print(path, client:spent() .. " credits")

if emulator then
    emulator:stop()
end
