--- flux2 in controllers of cqueues: waits do not block the controller.
--
--     require "flux2.host.cqueues"
--     local cq = cqueues.new()
--     cq:wrap(function() assert(client:generate "a red fox"):save "fox.png" end)
--     assert(cq:loop())                    -- returns when all coroutines and tasks have ended
--
-- A task is a waitable object: `cqueues.poll(task, socket, 1.0)`. `waitable` makes one for a handle of flux2.spawn.
--
-- Owns one coroutine for each controller, the pump, which polls the engine's descriptor. It exists only while that
-- controller has waits or flux2 has work. Each waiting coroutine polls a separate condition.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local jit_off = require "flux2.jit_off"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local Task = require "flux2.task"
local text = require "flux2.text"
local validate = require "flux2.validate"
local can_yield = require "flux2.can_yield"
local waits = require "flux2.waits"

local host = {}

---@class flux2.cqueues.Pump
---@field waiters integer the number of suspended coroutines of its controller
---@field idle userdata a condition: there may be no work left

local pumps = setmetatable({}, { __mode = "k" }) -- controller -> its pump
local conditions = setmetatable({}, { __mode = "k" }) -- latch -> the condition that is signalled when it opens

local function has_work(pump)
    return pump.waiters > 0 or scheduler.pending() > 0
end

local function run(cq, pump, fd)
    can_yield.block_here() -- a callback that suspended the pump could never be woken
    local readable = { pollfd = fd, events = "r" }
    while has_work(pump) do
        cqueues.poll(readable, pump.idle)
        scheduler.update()
    end
    pumps[cq] = nil
end

local function ensure_pump(cq)
    local pump = pumps[cq]
    if pump then return pump end
    local fd, reason = scheduler.fileno()
    if not fd then error("flux2: " .. reason, 0) end
    pump = { waiters = 0, idle = condition.new() }
    pumps[cq] = pump
    cq:wrap(run, cq, pump, fd)
    return pump
end

-- Waiting, for the scheduler --------------------------------------------------------------------------------------

local function running()
    local cq, own = cqueues.running()
    if not cq then return nil end
    local pump = ensure_pump(cq)
    -- A coroutine that the program created inside one of the controller's is resumed by the pump.
    if not own then return nil end
    return { pump = pump, condition = condition.new() }
end

local function suspend(token)
    if not token.counted then
        token.counted = true
        token.pump.waiters = token.pump.waiters + 1
    end
    cqueues.poll(token.condition)
end

local function wake(token)
    token.condition:signal()
    if not token.counted then return end
    local pump = token.pump
    pump.waiters = pump.waiters - 1
    if not has_work(pump) then pump.idle:signal() end
end

local function on_work(busy)
    if busy then
        local cq = cqueues.running()
        if cq then ensure_pump(cq) end
    else
        for _, pump in pairs(pumps) do pump.idle:signal() end
    end
end

--- For errors of coroutines that are not joined. Outside of a controller there is no next turn.
local function at_next_turn(fn)
    local cq = cqueues.running()
    if cq then cq:wrap(fn) else scheduler.after(1, fn, true) end
end

waits.add_host { running = running, suspend = suspend, wake = wake }
scheduler.on_work(on_work)
uncaught.print_by(at_next_turn)

-- Waitable objects ------------------------------------------------------------------------------------------------

local function condition_of(latch)
    local found = conditions[latch]
    if found then return found end
    if next(pumps) == nil and not latch.open then
        error("flux2: no pump is running: call require(\"flux2.host.cqueues\").serve() in the controller", 0)
    end
    found = condition.new()
    conditions[latch] = found
    waits.when(latch, function() found:signal() end)
    return found
end

local Waitable = {}
Waitable.__index = Waitable
Waitable.__name = "flux2.Waitable"

function Waitable:_end_latch() return self._latch end

--- The following methods are methods of tasks too.
local function check_receiver(self, method)
    if not Task.is(self) then validate.receiver(self, Waitable, "waitable:" .. method, 2) end
end

--- For cqueues.poll: returns a condition that is signalled at the end.
---@return userdata condition
function Waitable:pollfd()
    check_receiver(self, "pollfd")
    return condition_of(self:_end_latch())
end

--- For cqueues.poll.
---@return string
function Waitable:events()
    check_receiver(self, "events")
    return "r"
end

--- For cqueues.poll: returns 0 after the end.
---@return number?
function Waitable:timeout()
    check_receiver(self, "timeout")
    return self:_end_latch().open and 0 or nil
end

for _, name in ipairs { "pollfd", "events", "timeout" } do Task[name] = Waitable[name] end

--- Makes an object for cqueues.poll, which is ready at the end of a task or handle.
---@param what flux2.Task|flux2.Handle a task (which is such an object itself) or a handle of flux2.spawn
---@return table waitable with pollfd, events and timeout
-- Example: `cqueues.poll(host.waitable(handle), 1.0)`
function host.waitable(what)
    if type(what) ~= "table" or type(what._end_latch) ~= "function" then
        error("waitable: a task or a handle of flux2.spawn is needed, not " .. text.show(what), 2)
    end
    return setmetatable({ _latch = what:_end_latch() }, Waitable)
end

--- Makes a controller pump while flux2 has work. Waits and submissions inside a controller do this automatically; it is
--- needed for a controller that only polls tasks, or only has callbacks of tasks, which were started elsewhere.
---@param cq? userdata the controller, by default the running one
-- Example: `host.serve(cq)`
function host.serve(cq)
    cq = cq or cqueues.running()
    if not cq then error("serve: a controller is needed outside of one", 2) end
    ensure_pump(cq)
end

jit_off { host, waits }

return host
