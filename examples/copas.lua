-- An image server with copas: a client sends a prompt as a line and receives "ok" and the path of the image. "ping"
-- gets an immediate response while images are generated.
--
--     luajit examples/copas.lua [folder] [port]        then, elsewhere:  echo "a red fox" | nc 127.0.0.1 PORT
--
-- Without a port the program uses any free port, acts as its own client, and exits. With FLUX2_API_KEY it uses the
-- service, which costs credits; otherwise an emulator in this process.

-- Finds the modules of a checkout. Not needed if flux2 is installed.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local copas = require "copas"
require "flux2.host.copas" -- the only integration step; before servers and threads are added
local flux2 = require "flux2"
local socket = require "socket"

local folder, port = arg[1] or ".", tonumber(arg[2])
local options, emulator = {}, nil
if (os.getenv "FLUX2_API_KEY" or "") == "" then
    emulator = assert(require("flux2.emulator").start {})
    options = { base_url = emulator.url, api_key = emulator.api_key }
    print("FLUX2_API_KEY is not set: using the emulator at " .. emulator.url)
end
local client = assert(flux2.new(options))

local generated = 0

local function respond(line)
    if line == "ping" then return "pong" end
    generated = generated + 1
    local path = ("%s/copas-%d.png"):format(folder, generated)
    local image, err = client:generate(line, { save = path }) -- this coroutine waits; the server continues
    if not image then return "error: " .. tostring(err) end
    return "ok " .. image.path
end

local server = assert(socket.bind("127.0.0.1", port or 0))
local _, bound = server:getsockname()
copas.addserver(server, function(connection)
    local wrapped = copas.wrap(connection)
    local line = wrapped:receive "*l"
    while line do
        wrapped:send(respond(line) .. "\n")
        line = wrapped:receive "*l"
    end
end)
print("listening on 127.0.0.1:" .. bound)
if port then copas.loop() end

-- The client: images on three connections, and pings on a fourth until the images are finished.
local prompts = { "a lighthouse in a storm", "a paper boat in a gutter", "a fox asleep in the snow" }
local left, failed, pings = #prompts, 0, 0

local function connect()
    local connection = socket.tcp()
    assert(copas.connect(connection, "127.0.0.1", tonumber(bound)))
    return copas.wrap(connection), connection
end

for i = 1, #prompts do
    copas.addthread(function()
        local wrapped, connection = connect()
        wrapped:send(prompts[i] .. "\n")
        local line = wrapped:receive "*l" or "the connection was closed"
        if not line:find "^ok " then failed = failed + 1 end
        print(("%s  (%d pings so far)"):format(line, pings))
        connection:close()
        left = left - 1
    end)
end

copas.addthread(function()
    local wrapped, connection = connect()
    while left > 0 do
        wrapped:send "ping\n"
        assert(wrapped:receive "*l" == "pong")
        pings = pings + 1
    end
    connection:close()
end)

while left > 0 do copas.step() end

if emulator then emulator:stop() end
os.exit(failed == 0 and 0 or 1, true)
