--- Checks of arguments: options, timeouts, receivers of methods.

local suggest = require "flux2.suggest"
local tables = require "flux2.tables"
local text = require "flux2.text"

local validate = {}

local function is_positive(v) return type(v) == "number" and v > 0 and v < math.huge end
local function is_credits(v) return type(v) == "number" and v >= 0 and v < math.huge end
local function is_count(v) return type(v) == "number" and v >= 0 and v % 1 == 0 and v < math.huge end

local LARGEST_COUNT = 2 ^ 53 - 1 -- larger whole numbers are not exact

--- The kinds of values: a test, a description for messages, and the largest value.
validate.kinds = {
    string = { function(v) return type(v) == "string" and v ~= "" end, "a string that is not empty" },
    boolean = { function(v) return type(v) == "boolean" end, "true or false" },
    seconds = { is_positive, "a number of seconds above 0" },
    pixels = { is_positive, "a number of pixels above 0" },
    rate = { is_positive, "a number per second, above 0" },
    count = { is_count, "a whole number, 0 or more", LARGEST_COUNT },
    positive = { function(v) return is_count(v) and v > 0 end, "a whole number, 1 or more", LARGEST_COUNT },
    credits = { is_credits, "a number of credits, 0 or more" },
    bytes = { function(v) return is_count(v) and v > 0 end, "a number of bytes, 1 or more", LARGEST_COUNT },
    any = { function() return true end, "any value" },
    ["function"] = { function(v) return type(v) == "function" end, "a function" },
    log = { function(v) return type(v) == "boolean" or type(v) == "function" end, "a function, true or false" },
    table = { function(v) return type(v) == "table" end, "a table" },
    provider = {
        function(v) return type(v) == "table" or type(v) == "string" end, "the name of a provider, or a table",
    },
}

--- Returns the description of valid values if `value` is not one of them.
local function expected(value, kind, most)
    local is_valid, description = kind[1], kind[2]
    most = most or kind[3]
    if not is_valid(value) then return description end
    if most and value > most then return description .. ", at most " .. text.number(most) end
    return nil
end

--- Raises an error at the caller of the public function unless `timeout` is nil or a number.
---@param what string the function, for the message
---@param timeout any seconds
-- Example: `validate.timeout("task:wait", 60)`
function validate.timeout(what, timeout)
    if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
        error(what .. ": timeout must be a number of seconds, not " .. text.show(timeout), 3)
    end
end

--- Raises an error at the caller of the public function unless `given` is a table of `known` options.
---@param what string the function, for the message
---@param given any nil is an empty table
---@param known table<string, string|table> name -> one of validate.kinds, or a table of it and `most`, the largest
---  value of this option
---@param level? integer the level of `error`; 1 is the caller of this function
---@return table options a copy, with the options that the metatable of `given` adds
-- Example: `validate.options("flux2.new", { timeout = 60 }, { timeout = { "seconds", most = 1e6 } })`
function validate.options(what, given, known, level)
    level = (level or 1) + 1
    if given == nil then return {} end
    if type(given) ~= "table" then error(what .. ": options are a table, not " .. text.show(given), level) end
    for name in next, given do
        if not known[name] then error(what .. ": unknown option " .. suggest.unknown(name, known), level) end
    end
    local options = {}
    for name, kind in next, known do
        local value, most = given[name], type(kind) == "table" and kind.most or nil
        local rule = value ~= nil and expected(value, validate.kinds[most and kind[1] or kind], most)
        if rule then error(what .. ": " .. name .. " must be " .. rule .. ", not " .. text.show(value), level) end
        options[name] = value
    end
    return options
end

--- Returns the length of an array of a request; for another table nil, a message, and the index of a missing member.
---@param name string of the field
---@param members string what it holds, for the message
---@param array table
---@return integer? length
---@return string? message
---@return integer? index
-- Example: `validate.array("input_urls", "URLs", { url = "x" })` is nil, "input_urls must be an array of URLs, has the
--   key 'url'"
function validate.array(name, members, array)
    local length, key = tables.length(array)
    if length then return length end
    if type(key) == "number" then return nil, name .. "[" .. key .. "] is missing: an array has no holes", key end
    return nil, name .. " must be an array of " .. members .. ", has the key " .. text.show(key)
end

--- Raises an error at the caller of a method that was called with a dot.
---@param self any the receiver
---@param class table its metatable
---@param name string the call, as in "client:generate"
---@param level? integer 1, the default, if the method calls this function; 2 if a function in between does
function validate.receiver(self, class, name, level)
    if getmetatable(self) == class then return end
    error("call " .. name .. "(...) with a colon", 2 + (level or 1))
end

return validate
