--- The credits that a client has spent, and its limit.
-- A price is reserved before a submission is sent, stays reserved while the outcome is unknown, and is released if the
-- submission was certainly not accepted.

local errors = require "flux2.errors"
local text = require "flux2.text"

local budget = {}

local ROUNDING = 1e-9 -- of a sum, relative to the limit
local total, unpriced = 0, 0 -- of all clients, collected ones included

---@class flux2.Budget
---@field limit? number credits
---@field spent number credits of accepted submissions, according to the service if it says so
---@field reserved number credits of submissions without a response yet, or of unknown outcome
local Budget = {}
Budget.__index = Budget

---@class flux2.Reservation the price of one submission
local Reservation = {}
Reservation.__index = Reservation

---@param limit? number credits
---@return flux2.Budget
function budget.new(limit)
    return setmetatable({ limit = limit, spent = 0, reserved = 0 }, Budget)
end

--- Whether a sum of prices is above a limit. Sums of fractions are not exact: ten times 1.4 is above 14.
---@param sum number credits
---@param limit number credits
---@return boolean
-- Example: `budget.exceeds(12.6 + 1.4, 14)` is false
function budget.exceeds(sum, limit)
    return sum - limit > ROUNDING * math.max(1, limit)
end

--- Credits that all clients of this Lua state have spent, and the number of accepted tasks of unknown price.
---@return number credits
---@return integer unpriced
function budget.total()
    return total, unpriced
end

local function refused(self, price)
    local held = self.reserved > 0 and " and " .. text.credits(self.reserved) .. " reserved" or ""
    local message = ("this submission costs %s, which would pass the budget of %s: %s spent%s"):format(
        text.credits(price), text.credits(self.limit), text.credits(self.spent), held)
    return errors.new("budget", message, {
        price = price, spent = self.spent, reserved = self.reserved, limit = self.limit,
    })
end

--- Reserves the price of a submission.
---@param price? number credits; nil if unknown
---@param reason? string why the price is unknown
---@return flux2.Reservation?
---@return flux2.Error? err kind "budget"
function Budget:reserve(price, reason)
    if self.limit and not price then
        return nil, errors.new("budget", (reason or "there is no price") .. ", so a budget cannot be kept: say what " ..
            "it costs with the option price = credits", { limit = self.limit, spent = self.spent })
    end
    if self.limit and budget.exceeds(self.spent + self.reserved + price, self.limit) then
        return nil, refused(self, price)
    end
    self.reserved = self.reserved + (price or 0)
    return setmetatable({ _budget = self, _price = price, _open = true }, Reservation)
end

--- Whether `n` submissions would stay within the limit. Reserves nothing.
---@param n integer
---@param price? number credits of each; nil if unknown
---@param reason? string why the price is unknown
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
    local left = self._budget.reserved - (self._price or 0)
    self._budget.reserved = left > ROUNDING and left or 0
    return true
end

--- The service accepted it. A later call with `price` corrects what was counted before.
---@param price? number credits, according to the service; default the reserved price
function Reservation:spend(price)
    if close(self) then
        self._spent = 0
        if not (price or self._price) then unpriced = unpriced + 1 end
    elseif not price or not self._spent then
        return -- not corrected, or released
    elseif not self._price then
        unpriced = unpriced - 1
    end
    self._price = price or self._price
    local spent = self._price or 0
    local more = spent - self._spent
    self._budget.spent, total, self._spent = self._budget.spent + more, total + more, spent
end

--- The service certainly did not accept it.
function Reservation:release()
    close(self)
end

return budget
