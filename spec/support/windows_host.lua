--- The Linux side of spec/support/windows.lua: the emulator, and the shell. Runs natively until its folder is gone.
--
--    lua windows_host.lua FOLDER
--
-- A request is a file `1.request` in the folder, then `2.request` and so on: a Lua chunk that returns an operation and its
-- arguments. The response is a file `1.response`: a chunk that returns whether it succeeded, and its results or the error.

local core = require "flux2.core"
local emulator = require "flux2.emulator.core"
local serialize = require "support.serialize"

local folder = arg[1]
local emulators = {}
local load_text = rawget(_G, "loadstring") or load
local unpack = rawget(_G, "unpack") or table.unpack

local operations = {}

function operations.start(settings)
    local emu, url, port = emulator.start(settings)
    if not emu then return nil, url, port end -- the reason, and whose mistake it is
    emulators[#emulators + 1] = emu
    return #emulators, url, port
end

for _, name in ipairs { "call", "stop", "wait" } do
    operations[name] = function(number, ...) return emulator[name](emulators[number], ...) end
end
function operations.names() return emulator.fault_fields, emulator.settings end

--- What a command prints, without the carriage returns of Windows, and its exit code.
function operations.shell(command)
    local pipe = assert(io.popen("{ " .. command .. "\n}; echo \"exit:$?\""))
    local printed, code = pipe:read("*a"):match "^(.*)exit:(%d+)\n$"
    pipe:close()
    return ((printed or ""):gsub("\r\n", "\n")), tonumber(code) or 1
end

operations.tmpname = os.tmpname

local function serve(chunk)
    local request = assert(load_text(chunk))()
    return pcall(operations[request[1]], unpack(request, 2, request.n))
end

local function pack(...) return { n = select("#", ...), ... } end

local number = 1
while core.list(folder) do
    local path = ("%s/%d.request"):format(folder, number)
    local file = io.open(path, "rb")
    if file then
        local chunk = file:read "*a"
        file:close()
        local response = serialize(pack(serve(chunk)))
        core.write_file(("%s/%d.response"):format(folder, number), response) -- the folder may be gone
        number = number + 1
    else
        core.pause(0.001)
    end
end
