--- How many tasks of a client may be alive at once: a slot for each, from its submission until its end was handed over.
-- Owns the count. What waits for the host cannot pile up without bound, because there is at most one end for each slot.

if jit then jit.off(true, true) end -- see flux2.scheduler

local errors = require "flux2.errors"
local text = require "flux2.text"

local slots = {}

---@class flux2.Slots
---@field limit integer
---@field taken integer
local Slots = {}
Slots.__index = Slots

---@param limit integer
---@return flux2.Slots
function slots.new(limit)
    return setmetatable({ limit = limit, taken = 0 }, Slots)
end

--- Whether there is one.
---@return true? ok
---@return flux2.Error? err kind "rate_limited"
function Slots:check()
    if self.taken >= self.limit then
        return nil, errors.new("rate_limited", "nothing was sent: " .. text.number(self.taken) .. " tasks of this " ..
            "client are alive, as many as max_tasks allows; wait for some of them, or raise it",
            { limit = self.limit })
    end
    return true
end

--- Takes one, which `give` gives back. Neither needs memory, nor can fail.
function Slots:take()
    self.taken = self.taken + 1
end

function Slots:give()
    self.taken = self.taken - 1
end

return slots
