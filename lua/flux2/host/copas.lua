--- flux2 under copas: a handler or thread that waits lets the other ones go on.
--
--     local copas = require "copas"
--     require "flux2.host.copas"           -- right after copas: it has to see the servers and threads that are added
--     copas.addthread(function() assert(client:generate "a red fox"):save "fox.png" end)
--     copas.loop()                         -- before copas 2.0 it has no end of its own: see `active`
--
-- Owns one thread of copas, the pump: it waits for the engine's descriptor, and exists only while somebody waits or
-- flux2 has work. Whoever waits does so in copas.receive, on an object of his own with a LuaSocket's methods: without
-- a descriptor until he is woken, "dirty" (LuaSocket's word for data that is already here) from then on. So an event
-- wakes the one it concerns, and copas needs to offer no more than it does since 1.1.7.
--
-- A coroutine that the program makes inside a thread of copas is none of copas', and is resumed by the pump itself.

local copas = require "copas"
local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"
local yielding = require "flux2.yielding"

local host = {}

local addserver, addthread, addnamedthread = copas.addserver, copas.addthread, copas.addnamedthread
local managed = setmetatable({}, { __mode = "k" }) -- coroutines of copas -> the socket they serve, or true
local waiters = 0 -- threads of copas that are suspended
local woken = setmetatable({}, { __mode = "k" }) -- signals of those that copas has not resumed yet
local pump -- the object that the pump waits for, while there is one
local fd -- the engine's descriptor
local deferred = {} -- functions to be called at the pump's next turn

-- On Lua 5.1 coxpcall, which copas uses, runs what it protects in a coroutine that stands for the thread.
local running_thread = coroutine.running
if _VERSION == "Lua 5.1" and not rawget(_G, "jit") and package.loaded.coxpcall then
    running_thread = package.loaded.coxpcall.running or running_thread
end

---@class flux2.copas.Signal looks like a LuaSocket
---@field set boolean
---@field socket? userdata what copas closes at the end of the handler
local Signal = {}
Signal.__index = Signal
Signal.__name = "flux2.copas.Signal"

--- For socket.select: a negative descriptor is not looked at.
function Signal:getfd() return (self.set or self.readable) and fd or -1 end

--- For socket.select: whether there is something to receive without looking at the descriptor.
function Signal:dirty() return self.set end

function Signal:receive()
    if self.set then return "" end
    return nil, "timeout"
end

function Signal.settimeout() return 1 end

--- copas 1.1.7 closes what a thread waited for last, meaning its client.
function Signal:close()
    if self.socket then return self.socket:close() end
    return 1
end

-- The pump --------------------------------------------------------------------------------------------------------

local function has_work()
    return waiters > 0 or scheduler.pending() > 0 or #deferred > 0
end

--- What the pump receives: nothing at its first look, so that copas waits; then whatever made copas come back.
local function receive_once(self)
    if self.looked then return "" end
    self.looked = true
    return nil, "timeout"
end

local function run()
    -- A callback may wait. If it did so in copas' way, nobody would be left to wake it.
    yielding.block_here()
    while has_work() do
        pump.looked = false
        copas.receive(pump, 1)
        local due = deferred
        deferred = {}
        scheduler.update()
        for i = 1, #due do due[i]() end
        pump.set = #deferred > 0
    end
    pump = nil
end

local function ensure_pump()
    if pump then return end
    local reason
    fd, reason = scheduler.fileno()
    if not fd then error("flux2: " .. reason, 0) end
    pump = setmetatable({ readable = true, set = false, receive = receive_once }, Signal)
    addthread(run) -- not marked: the pump's own waits are no waits of flux2
end

-- Waiting, for the scheduler --------------------------------------------------------------------------------------

local function running()
    local socket = managed[running_thread()]
    if not socket then return nil end
    return setmetatable({ set = false, socket = socket ~= true and socket or nil }, Signal)
end

local function suspend(signal)
    if not signal.counted then
        signal.counted = true
        waiters = waiters + 1
        ensure_pump()
    end
    copas.receive(signal, 1)
    woken[signal] = nil
end

local function wake(signal)
    signal.set = true
    if signal.counted then
        waiters = waiters - 1
        woken[signal] = true
    end
    if pump and not has_work() then pump.set = true end
end

local function on_work(busy)
    if busy then
        ensure_pump()
    elseif pump then
        pump.set = true
    end
end

-- Which coroutines are copas': it does not tell, so whatever is given to it is marked --------------------------------

local function serving(handler)
    return function(socket, ...)
        managed[running_thread()] = socket or true
        return handler(socket, ...)
    end
end

local function threading(handler)
    if type(handler) == "thread" then
        managed[handler] = true
        return handler
    end
    if type(handler) ~= "function" then return handler end -- copas knows what to say to that
    return function(...)
        managed[running_thread()] = true
        return handler(...)
    end
end

function copas.addserver(server, handler, ...)
    return addserver(server, serving(handler), ...)
end

function copas.addthread(handler, ...)
    return addthread(threading(handler), ...)
end

if addnamedthread then
    function copas.addnamedthread(name, handler, ...)
        if type(name) == "function" then return addnamedthread(threading(name), handler, ...) end -- as in copas 3
        return addnamedthread(name, threading(handler), ...)
    end
end

--- For errors of coroutines that nobody joins.
local function at_next_turn(fn)
    deferred[#deferred + 1] = fn
    ensure_pump()
    pump.set = true
end

scheduler.add_host { running = running, suspend = suspend, wake = wake }
scheduler.on_work(on_work)
reports.tell_by(at_next_turn)

--- Whether flux2 still needs copas to run: somebody waits, or something is being generated. For copas before 2.0, whose
--- loop does not end.
---@return boolean
-- Example: `while host.active() do copas.step() end`
function host.active()
    return pump ~= nil or next(woken) ~= nil
end

return host
