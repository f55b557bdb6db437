--- Stands in for love.exe: what flux2.host.love and a small game use of LÖVE, with the same names and types.
--
--    luajit.exe love_stub.lua GAME_FOLDER SAVE_DIRECTORY
--
-- There is no screen, and a thread is a coroutine: it runs while the main thread asks a channel for its results.

local core = require "flux2.core"

local game, save_directory = arg[1], arg[2]
local love = { handlers = {} }
_G.love = love

local function no_release() end

-- love.thread ------------------------------------------------------------------------------------------------------

local threads = {}
local Channel = {}
Channel.__index = Channel

local function run_threads()
    for thread in pairs(threads) do
        local ok, reason = coroutine.resume(thread.work)
        if not ok then thread.reason = reason end
        if coroutine.status(thread.work) == "dead" then threads[thread] = nil end
    end
end

function Channel:push(value) table.insert(self, value) end

function Channel:pop()
    if coroutine.running() == nil then run_threads() end
    return table.remove(self, 1)
end

function Channel:demand(seconds)
    local until_ = core.now() + seconds
    while not self[1] and core.now() < until_ do
        if coroutine.running() then coroutine.yield() else run_threads() end
    end
    return table.remove(self, 1)
end

local Thread = {}
Thread.__index = Thread
function Thread:start(...)
    local arguments = { ... }
    self.work = coroutine.create(function() self.code(unpack(arguments)) end)
    threads[self] = true
end
function Thread:isRunning() return threads[self] ~= nil end
function Thread:getError() return self.reason end

love.thread = {
    newChannel = function() return setmetatable({}, Channel) end,
    newThread = function(code) return setmetatable({ code = assert(loadstring(code)) }, Thread) end,
}

-- love.filesystem, love.image, love.graphics -------------------------------------------------------------------------

love.filesystem = {
    getSaveDirectory = function() return save_directory end,
    createDirectory = function(name) return core.directory(save_directory .. "/" .. name) ~= nil end,
    getDirectoryItems = function(name) return core.list(save_directory .. "/" .. name) end,
    getInfo = function() return {} end,
    newFileData = function(bytes) return { bytes = bytes, release = no_release } end,
    remove = function(name) return core.remove(save_directory .. "/" .. name) ~= nil end,
}

love.image = {
    newImageData = function(data)
        local width, height = data.bytes:match "^\137PNG\r\n\26\n....IHDR..(..)..(..)"
        if not width then error "Could not decode file" end
        local function number(two) return two:byte(1) * 256 + two:byte(2) end
        return { getDimensions = function() return number(width), number(height) end, release = no_release }
    end,
}

love.graphics = {
    getSystemLimits = function() return { texturesize = 16384 } end,
    newImage = function(pixels) return { getDimensions = pixels.getDimensions } end,
}

for _, name in ipairs { "data", "filesystem", "image", "thread" } do
    package.preload["love." .. name] = function() return love[name] end
end

-- love.event, and love.run ---------------------------------------------------------------------------------------------

local events, status = {}, nil

love.event = {
    push = function(name, ...) table.insert(events, { name, ... }) end,
    quit = function(code) status = code or 0 end,
}

assert(loadfile(game .. "/main.lua"))()
if love.load then love.load() end
while not status do
    while events[1] do
        local event = table.remove(events, 1)
        love.handlers[event[1]](unpack(event, 2))
    end
    if love.update then love.update(1 / 60) end
    core.pause(1 / 60)
end
os.exit(status, true)
