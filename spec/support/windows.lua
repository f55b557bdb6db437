--- Specs in an interpreter for Windows, under Wine: the emulator, and the commands of a shell, are run on Linux by
--- spec/support/windows_host.lua. Both sides see the same files, by the same paths.
--
--    luajit.exe windows.lua FOLDER SPEC_FILE...

local folder = table.remove(arg, 1)
local core = require "flux2.core"
local serialize = require "support.serialize"

local load_text = rawget(_G, "loadstring") or load
local unpack = rawget(_G, "unpack") or table.unpack
local open = io.open

local number = 0
local DENIED, TRIES = 13, 100 -- EACCES

--- Opens a file. That fails while it is replaced.
function io.open(path, mode) -- luacheck: ignore 122
    local file, reason, code
    for _ = 1, TRIES do
        file, reason, code = open(path, mode)
        if code ~= DENIED then break end
        core.pause(0.005)
    end
    return file, reason, code
end

--- Opens a file that will be there.
local function insist(path, mode)
    local file
    repeat
        file = open(path, mode)
        if not file then core.pause(0.001) end
    until file
    return file
end

--- Calls an operation of the host.
local function ask(...)
    number = number + 1
    local base = ("%s/%d."):format(folder, number)
    local file = insist(base .. "part", "wb")
    file:write(serialize { n = select("#", ...), ... })
    file:close()
    assert(core.rename(base .. "part", base .. "request"))
    file = insist(base .. "response", "rb")
    local chunk = file:read "*a"
    file:close()
    local response = assert(load_text(chunk))()
    if not response[1] then error(response[2], 0) end
    return unpack(response, 2, response.n)
end

-- The emulator's module.
local remote = {}
function remote.start(settings)
    local id, url, port = ask("start", settings)
    return id and { id = id } or nil, url, port
end
for _, name in ipairs { "call", "stop", "wait" } do
    remote[name] = function(emulator, ...) return ask(name, emulator.id, ...) end
end
remote.fault_fields, remote.settings = ask "names"
package.preload["flux2.emulator.core"] = function() return remote end

-- The shell.
local Pipe = {}
Pipe.__index = Pipe
function Pipe:read(what)
    if what == "*a" or what == "a" then
        local rest = self.text:sub(self.at)
        self.at = #self.text + 1
        return rest
    end
    local line, after = self.text:match("([^\n]*)\n?()", self.at)
    if self.at > #self.text then return nil end
    self.at = after
    return line
end
function Pipe:lines() return function() return self:read "*l" end end
function Pipe:close() return true, "exit", self.code end

function io.popen(command) -- luacheck: ignore 122
    local text, code = ask("shell", command)
    return setmetatable({ text = text, code = code, at = 1 }, Pipe)
end

function os.execute(command) -- luacheck: ignore 122
    local text, code = ask("shell", command)
    io.stdout:write(text)
    if _VERSION == "Lua 5.1" then return code end
    return code == 0 or nil, "exit", code
end

function os.tmpname() return ask "tmpname" end -- luacheck: ignore 122

-- What busted wants of the system.
package.preload.system = function() return { gettime = os.time, monotime = core.now, sleep = core.pause } end
package.preload.term = function() return { isatty = function() return false end } end

-- Tags of specs that cannot run here, and why.
local TAGS = {
    checkout = "runs a program that looks for the modules in build/, where those for Linux are",
    emulator = "tests the emulator or the tester, or starts it inside the program, which has none on Windows",
    fork = "forks a process",
    links = "makes symbolic links",
    locale = "makes a locale of the C library of Linux",
    modes = "the rights of a file are not those of POSIX",
    names = "file names, errors of directories, or the case of variables of the environment are not those of POSIX",
    preload = "loads a library of spec/support, some of them in the place of functions of the system",
    proc = "reads /proc",
    shell = "expects the words of a POSIX shell",
    signals = "sends signals to itself, or to a process of which only the shell under Wine knows the number",
    special = "makes pipes, devices or mount points, or closes a standard stream",
    speed = "expects more speed than Wine has",
    ulimit = "limits memory or the size of files",
}
local tags = {}
for tag in pairs(TAGS) do tags[#tags + 1] = tag end
table.insert(arg, 1, "--exclude-tags=" .. table.concat(tags, ","))

require "busted.runner" { standalone = false }
