--- What the submissions of a client have cost, and the limit that they may not pass.
-- Owns the counting: a price is reserved before a submission is sent, kept while its outcome is unknown, given back
-- once it was certainly not accepted. Prices come from outside; nothing here is asked of the service.

if jit then jit.off(true, true) end -- see flux2.scheduler

local errors = require "flux2.errors"
local text = require "flux2.text"

local budget = {}

local total, unpriced = 0, 0 -- of all clients, those that are gone included

---@class flux2.Budget
---@field limit? number credits
---@field spent number credits of what the service accepted
---@field reserved number credits of what it has not answered yet, or of which nobody knows whether it was accepted
local Budget = {}
Budget.__index = Budget

---@class flux2.Reservation one submission in the books of its client
local Reservation = {}
Reservation.__index = Reservation

---@param limit? number credits
---@return flux2.Budget
function budget.new(limit)
    return setmetatable({ limit = limit, spent = 0, reserved = 0 }, Budget)
end

--- Credits that all clients of this Lua state have spent, and how many tasks of unknown price come on top.
---@return number credits
---@return integer unpriced
function budget.total()
    return total, unpriced
end

local function credits(n)
    return text.number(n) .. (n == 1 and " credit" or " credits")
end

local function refused(self, price)
    local held = self.reserved > 0 and " and " .. credits(self.reserved) .. " reserved" or ""
    return errors.new("budget", "this submission costs " .. credits(price) .. ", which would pass the budget of " ..
        credits(self.limit) .. ": " .. credits(self.spent) .. " spent" .. held,
        { price = price, spent = self.spent, reserved = self.reserved, limit = self.limit })
end

--- Reserves what a submission costs.
---@param price? number credits; nil if nobody knows
---@param reason? string then: why there is no price
---@return flux2.Reservation?
---@return flux2.Error? err kind "budget"
function Budget:reserve(price, reason)
    if self.limit and not price then
        return nil, errors.new("budget", (reason or "there is no price") .. ", so a budget cannot be kept: say what " ..
            "it costs with the option price = credits", { limit = self.limit, spent = self.spent })
    end
    if self.limit and self.spent + self.reserved + price > self.limit then return nil, refused(self, price) end
    self.reserved = self.reserved + (price or 0)
    return setmetatable({ _budget = self, _price = price, _open = true }, Reservation)
end

--- Whether so many submissions would stay within the limit; nothing is reserved.
---@param n integer
---@param price? number credits of each; nil if nobody knows
---@param reason? string then: why there is no price
---@return boolean? ok
---@return flux2.Error? err kind "budget"
function Budget:affords(n, price, reason)
    local reservation, err = self:reserve(price and n * price, reason)
    if not reservation then return nil, err end
    reservation:release()
    return true
end

local function close(self)
    if not self._open then return false end
    self._open = false
    self._budget.reserved = self._budget.reserved - (self._price or 0)
    return true
end

--- The service accepted it.
function Reservation:spend()
    if not close(self) then return end
    if not self._price then
        unpriced = unpriced + 1
        return
    end
    self._budget.spent = self._budget.spent + self._price
    total = total + self._price
end

--- The service certainly did not accept it.
function Reservation:release()
    close(self)
end

return budget
