--- A picture that is on its way before anybody has asked for it: the engine begins its download where a task ends,
-- however busy the host is.
-- Owns one download, from the end of its task until somebody takes what it brought. Knows no image and no task.

if jit then jit.off(true, true) end -- see flux2.scheduler

local core = require "flux2.core"
local exchange = require "flux2.exchange"
local scheduler = require "flux2.scheduler"

---@class flux2.Arrival
---@field path? string the file that it goes to; nil for memory
local Arrival = {}
Arrival.__index = Arrival

--- Nothing is on its way yet: that begins with the end of a task.
---@param path? string
---@param until_ number until when the engine tries, as core.now tells it
---@return flux2.Arrival
function Arrival.new(path, until_)
    -- What `begin` fills in is there already: it must not need memory.
    return setmetatable({
        path = path, _until = until_, _latch = scheduler.latch(), _job = false, _event = false,
    }, Arrival)
end

--- The engine has begun job `id`.
---@param id integer
function Arrival:begin(id)
    scheduler.adopt(id, function(_, ended)
        self._event = ended
        scheduler.open(self._latch)
    end)
    self._job = id
end

--- Whether there is something to wait for.
---@return boolean
function Arrival:has_begun()
    return self._job ~= false
end

--- Waits for it: yields in a coroutine, blocks outside one. To be called once.
---@param seconds number of patience
---@param task_id? string for the error
---@return table? event the "ended"; of a failure as well
---@return flux2.Error? err the wait was cut short, and the download with it
function Arrival:take(seconds, task_id)
    -- The engine looks at the clock itself.
    local timeout = core.now() + seconds < self._until and seconds or nil
    local ended, err = exchange.await(self._job, self._latch, timeout, task_id)
    if err then return nil, err end
    return ended and self._event or { failure = "timeout" }
end

return Arrival
