--- flux2 in the controllers of cqueues: what waits there lets the controller go on.
--
--     require "flux2.host.cqueues"
--     local cq = cqueues.new()
--     cq:wrap(function() assert(client:generate "a red fox"):save "fox.png" end)
--     assert(cq:loop())                    -- ends when everything has
--
-- A task is a waitable object: `cqueues.poll(task, socket, 1.0)`. A handle of flux2.spawn is one through `waitable`.
--
-- Owns one coroutine for each controller, the pump: it polls the engine's descriptor, and exists only while somebody in
-- that controller waits or flux2 has work. Whoever waits polls a condition of his own, so that an event wakes the one
-- it concerns. The descriptor is never closed here, and stays the same as long as the Lua state lives.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"
local Task = require "flux2.task"
local text = require "flux2.text"
local yielding = require "flux2.yielding"

local host = {}

---@class flux2.cqueues.Pump
---@field waiters integer coroutines of its controller that are suspended
---@field news userdata a condition: there may be nothing left to do

local pumps = setmetatable({}, { __mode = "k" }) -- controller -> its pump
local conditions = setmetatable({}, { __mode = "k" }) -- latch -> the condition that says that it has opened

local function has_work(pump)
    return pump.waiters > 0 or scheduler.pending() > 0
end

local function run(cq, pump, fd)
    -- A callback may wait. If it did so in cqueues' way, nobody would be left to wake it.
    yielding.block_here()
    local readable = { pollfd = fd, events = "r" }
    while has_work(pump) do
        cqueues.poll(readable, pump.news)
        scheduler.update()
    end
    pumps[cq] = nil
end

local function ensure_pump(cq)
    local pump = pumps[cq]
    if pump then return pump end
    local fd, reason = scheduler.fileno()
    if not fd then error("flux2: " .. reason, 0) end
    pump = { waiters = 0, news = condition.new() }
    pumps[cq] = pump
    cq:wrap(run, cq, pump, fd)
    return pump
end

-- Waiting, for the scheduler --------------------------------------------------------------------------------------

local function running()
    local cq, own = cqueues.running()
    if not cq then return nil end
    local pump = ensure_pump(cq)
    -- A coroutine that the program made inside of one of the controller's is resumed by the pump itself.
    if not own then return nil end
    return { pump = pump, cq = cq, condition = condition.new() }
end

local function suspend(token)
    if not token.counted then
        token.counted = true
        -- The one it was made for may have had its last turn since.
        token.pump = ensure_pump(token.cq)
        token.pump.waiters = token.pump.waiters + 1
    end
    cqueues.poll(token.condition)
end

local function wake(token)
    token.condition:signal()
    if not token.counted then return end
    local pump = token.pump
    pump.waiters = pump.waiters - 1
    if not has_work(pump) then pump.news:signal() end
end

local function on_work(busy)
    if busy then
        local cq = cqueues.running()
        if cq then ensure_pump(cq) end
    else
        for _, pump in pairs(pumps) do pump.news:signal() end
    end
end

--- For errors of coroutines that nobody joins. Outside of a controller they wait for flux2.run.
local function at_next_turn(fn)
    local cq = cqueues.running()
    if cq then cq:wrap(fn) end
end

scheduler.add_host { running = running, suspend = suspend, wake = wake }
scheduler.on_work(on_work)
reports.tell_by(at_next_turn)

-- Waitable objects ------------------------------------------------------------------------------------------------

local function condition_of(latch)
    local found = conditions[latch]
    if found then return found end
    if next(pumps) == nil and not latch.open then
        error("flux2: nobody pumps: call require(\"flux2.host.cqueues\").serve() in the controller", 0)
    end
    found = condition.new()
    conditions[latch] = found
    scheduler.when(latch, function() found:signal() end)
    return found
end

local Waitable = {}
Waitable.__index = Waitable
Waitable.__name = "flux2.Waitable"

--- For cqueues.poll: what to wait for.
---@return userdata condition
function Waitable:pollfd() return condition_of(self._latch) end

--- For cqueues.poll.
---@return string
function Waitable:events() return "r" end -- luacheck: no unused args

--- For cqueues.poll: no time at all once it has ended.
---@return number?
function Waitable:timeout() return self._latch.open and 0 or nil end

for _, name in ipairs { "pollfd", "events", "timeout" } do Task[name] = Waitable[name] end

--- Makes something that cqueues.poll can wait for, and returns when it has ended.
---@param what flux2.Task|flux2.Handle a task (which is waitable by itself, too) or what flux2.spawn returned
---@return table waitable with pollfd, events and timeout
-- Example: `cqueues.poll(host.waitable(handle), 1.0)`
function host.waitable(what)
    if type(what) ~= "table" or type(what._latch) ~= "table" then
        error("waitable: a task or a handle of flux2.spawn is needed, not " .. text.show(what), 2)
    end
    return setmetatable({ _latch = what._latch }, Waitable)
end

--- Makes a controller pump as long as flux2 has work. Waits and submissions inside a controller do so by themselves:
--- this is for a controller that only polls tasks, or has only their callbacks, and whose tasks were begun elsewhere.
---@param cq? userdata the controller, by default the running one
-- Example: `host.serve(cq)`
function host.serve(cq)
    cq = cq or cqueues.running()
    if not cq then error("serve: a controller is needed outside of one", 2) end
    ensure_pump(cq)
end

return host
