--- From words on a command line, or in an environment variable, to values: each function takes the word and gives the
-- value, or nil and what it must be. A leaf: knows no option by name.

local json = require "flux2.json"
local text = require "flux2.text"

local values = {}

local function is_number(n) return n ~= nil and n == n and n > -math.huge and n < math.huge end

local function must_be(what, word)
    return nil, "must be " .. what .. ", not " .. text.show(word)
end

--- Decimal only: tonumber takes "0x10" and " 7 " too.
local function number(word)
    return word:find "^[+-]?%d*%.?%d*[eE]?[+-]?%d*$" and tonumber(word) or nil
end

---@param word string
---@return number? seconds
---@return string? reason
function values.seconds(word)
    local n = number(word)
    if not is_number(n) or n <= 0 then return must_be("a number of seconds above 0", word) end
    return n
end

---@param word string
---@return number? credits
---@return string? reason
function values.credits(word)
    local n = number(word)
    if not is_number(n) or n < 0 then return must_be("a number of credits, 0 or more", word) end
    return n
end

---@param word string
---@return integer? count
---@return string? reason
function values.count(word)
    local n = number(word)
    if not is_number(n) or n < 1 or n % 1 ~= 0 or n > 1e6 then return must_be("a whole number, 1 or more", word) end
    return text.integer(n)
end

---@param word string
---@return integer? port
---@return string? reason
function values.port(word)
    local n = number(word)
    if not is_number(n) or n < 0 or n % 1 ~= 0 or n > 65535 then return must_be("a port, 0 to 65535", word) end
    return text.integer(n)
end

---@param word string
---@return number? share
---@return string? reason
function values.share(word)
    local n = number(word)
    if not is_number(n) or n < 0 or n > 1 then return must_be("a number from 0 to 1", word) end
    return n
end

--- "2", or "2-5" for a range.
---@param word string
---@return number|number[]|nil seconds
---@return string? reason
-- Example: `values.range "1.5-3"` is { 1.5, 3 }
function values.range(word)
    local least, most = word:match "^([%d.]+)%-([%d.]+)$"
    local low, high = number(least or word), number(most or word)
    if not is_number(low) or not is_number(high) or low < 0 or high < low then
        return must_be("a number of seconds, or a range such as 2-5", word)
    end
    return least and { low, high } or low
end

--- A JSON object.
---@param word string
---@return table? object
---@return string? reason
-- Example: `values.object '{"seed": 7}'`
function values.object(word)
    local value, reason = json.decode(word)
    if type(value) ~= "table" or not word:find "^%s*{" then
        return nil, "must be a JSON object such as '{\"seed\": 7}'" .. (reason and ": " .. reason or "")
    end
    return value
end

return values
