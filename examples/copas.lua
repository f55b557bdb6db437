-- A picture server under copas: whoever connects and sends a line gets "ok" and the path of its picture; "ping"
-- is answered at once, however many are being painted.
--
--     luajit examples/copas.lua [folder] [port]        then, elsewhere:  echo "a red fox" | nc 127.0.0.1 PORT
--
-- Without a port it picks one, is its own client for a moment, and ends. With FLUX2_API_KEY set this asks the real
-- service, which costs credits. Without, the emulator in this very process.

-- In a checkout the modules are beside this file; where flux2 is installed, these four lines can go.
local root = (arg[0]:match "^(.*)[/\\]" or ".") .. "/.."
local abi = _VERSION:match "%d%.%d"
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/" .. abi .. "/?.so;" .. package.cpath

local copas = require "copas"
require "flux2.host.copas" -- before servers and threads are added; all that a copas program has to do
local flux2 = require "flux2"
local socket = require "socket"

local folder, port = arg[1] or ".", tonumber(arg[2])
local options, emulator = {}, nil
if (os.getenv "FLUX2_API_KEY" or "") == "" then
    emulator = assert(require("flux2.emulator").start {})
    options = { base_url = emulator.url, api_key = emulator.api_key }
    print("FLUX2_API_KEY is not set: the emulator answers, at " .. emulator.url)
end
local client = assert(flux2.new(options))

local painted = 0

local function answer(line)
    if line == "ping" then return "pong" end
    painted = painted + 1
    local path = ("%s/copas-%d.png"):format(folder, painted)
    local image, err = client:generate(line, { save = path }) -- waits here; the server goes on
    if not image then return "sorry: " .. tostring(err) end
    return "ok " .. image.path
end

local server = assert(socket.bind("127.0.0.1", port or 0))
local _, bound = server:getsockname()
copas.addserver(server, function(connection)
    local wrapped = copas.wrap(connection)
    local line = wrapped:receive "*l"
    while line do
        wrapped:send(answer(line) .. "\n")
        line = wrapped:receive "*l"
    end
end)
print("listening on 127.0.0.1:" .. bound)
if port then copas.loop() end

-- Its own client: pictures on three connections, and pings on a fourth until they are there.
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
        local line = wrapped:receive "*l" or "the server has gone"
        if not line:find "^ok " then failed = failed + 1 end
        print(("%s  (%d pings answered so far)"):format(line, pings))
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
