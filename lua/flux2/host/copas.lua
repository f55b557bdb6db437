--- flux2 in copas: waiting handlers and threads do not block the others.
--
--     local copas = require "copas"
--     require "flux2.host.copas"           -- right after copas: it wraps addserver and addthread
--     copas.addthread(function() assert(client:generate "a red fox"):save "fox.png" end)
--     copas.loop()                         -- before copas 2.0 it never returns: see `active`
--
-- Owns one thread of copas, the pump, which waits for the engine's descriptor. It exists only while flux2 has waits or
-- work. A waiting thread calls copas.receive on a signal, an object with the methods of a LuaSocket: it has no
-- descriptor, and becomes "dirty" (has buffered data) when the thread is woken. This works since copas 1.1.7.
--
-- A coroutine that the program creates inside a thread of copas is resumed by the pump, not by copas.

local copas = require "copas"
local jit_off = require "flux2.jit_off"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local can_yield = require "flux2.can_yield"
local waits = require "flux2.waits"

local host = {}

local addserver, addthread, addnamedthread = copas.addserver, copas.addthread, copas.addnamedthread
local managed = setmetatable({}, { __mode = "k" }) -- coroutine of copas -> its socket, or true
local waiters = 0 -- the number of suspended threads of copas
local woken = setmetatable({}, { __mode = "k" }) -- signals of woken threads that copas has not resumed yet
local pump -- the signal of the pump, while it exists
local fd -- the engine's descriptor
local deferred = {} -- functions for the next turn of the pump

-- On Lua 5.1 copas uses coxpcall, which runs protected functions in further coroutines.
local running_thread = coroutine.running
if _VERSION == "Lua 5.1" and not rawget(_G, "jit") and package.loaded.coxpcall then
    running_thread = package.loaded.coxpcall.running or running_thread
end

---@class flux2.copas.Signal an object with the methods of a LuaSocket
---@field set boolean
---@field socket? userdata the client of the handler
local Signal = {}
Signal.__index = Signal
Signal.__name = "flux2.copas.Signal"

--- For socket.select, which ignores a negative descriptor.
function Signal:getfd() return (self.set or self.readable) and fd or -1 end

--- For socket.select: whether data is buffered.
function Signal:dirty() return self.set end

function Signal:receive()
    if self.set then return "" end
    return nil, "timeout"
end

function Signal.settimeout() return 1 end

--- copas 1.1.7 closes the last object a thread waited for, and expects that to be its client.
function Signal:close()
    if self.socket then return self.socket:close() end
    return 1
end

-- The pump --------------------------------------------------------------------------------------------------------

local function has_work()
    return waiters > 0 or scheduler.pending() > 0 or #deferred > 0
end

--- The pump's receive: nothing at the first call, so that copas waits for the descriptor; then a result.
local function receive_once(self)
    if self.called then return "" end
    self.called = true
    return nil, "timeout"
end

local function run()
    can_yield.block_here() -- a callback that suspended the pump could never be woken
    while has_work() do
        pump.called = false
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
    addthread(run) -- the original function: the pump is not a managed coroutine
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

-- Coroutines of copas: it does not list them, so handlers and threads are wrapped -------------------------------------

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
    if type(handler) ~= "function" then return handler end -- copas reports the error
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

--- For errors of coroutines that are not joined.
local function at_next_turn(fn)
    deferred[#deferred + 1] = fn
    ensure_pump()
    pump.set = true
end

waits.add_host { running = running, suspend = suspend, wake = wake }
scheduler.on_work(on_work)
uncaught.print_by(at_next_turn)

--- Whether flux2 has waits or work. For copas before 2.0, whose loop never returns.
---@return boolean
-- Example: `while host.active() do copas.step() end`
function host.active()
    return pump ~= nil or next(woken) ~= nil
end

jit_off { host, waits }

return host
