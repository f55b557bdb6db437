--- Checks tables of named options: the one place that says what an option must be and what its name was meant to be.
-- A leaf: knows no option by itself.

if jit then jit.off(true, true) end -- see flux2.scheduler

local suggest = require "flux2.suggest"
local text = require "flux2.text"

local options = {}

local function is_positive(v) return type(v) == "number" and v > 0 and v < math.huge end
local function is_credits(v) return type(v) == "number" and v >= 0 and v < math.huge end
local function is_count(v) return type(v) == "number" and v >= 0 and v % 1 == 0 and v < math.huge end

--- Beyond it a double is not sure to be the whole number that was meant.
local LARGEST_COUNT = 2 ^ 53 - 1

--- The kinds of value: a test, what to tell whoever failed it, and the largest value.
options.kinds = {
    string = { function(v) return type(v) == "string" and v ~= "" end, "a string that is not empty" },
    boolean = { function(v) return type(v) == "boolean" end, "true or false" },
    seconds = { is_positive, "a number of seconds above 0" },
    pixels = { is_positive, "a number of pixels above 0" },
    rate = { is_positive, "a number per second, above 0" },
    count = { is_count, "a whole number, 0 or more", LARGEST_COUNT },
    positive = { function(v) return is_count(v) and v > 0 end, "a whole number, 1 or more", LARGEST_COUNT },
    credits = { is_credits, "a number of credits, 0 or more" },
    bytes = { function(v) return is_count(v) and v > 0 end, "a number of bytes, 1 or more", LARGEST_COUNT },
    ["function"] = { function(v) return type(v) == "function" end, "a function" },
    table = { function(v) return type(v) == "table" end, "a table" },
}

local function names_of(known)
    local names = {}
    for name in pairs(known) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function unknown(what, name, known)
    local names = names_of(known)
    local near = type(name) == "string" and suggest.nearest(name, names)
    local hint = near and "did you mean " .. near .. "?" or "known are " .. table.concat(names, ", ")
    return what .. ": unknown option " .. text.show(name) .. ": " .. hint
end

--- What `value` has to be instead, nil if it is fine.
local function demand(value, kind, most)
    local is_fine, says = kind[1], kind[2]
    most = most or kind[3]
    if not is_fine(value) then return says end
    if most and value > most then return says .. ", at most " .. text.number(most) end
    return nil
end

--- Raises, at the line of the public function's caller, if `given` is not a table of `known` options.
---@param what string the function, for the message
---@param given any nil is an empty table
---@param known table<string, string|table> name -> one of options.kinds, or a table of it and `most`, the largest value
---  that this option takes
---@param level? integer whose line to blame, as in `error`; 1 is the caller of check
---@return table given the same table, or an empty one
-- Example: `options.check("flux2.new", { timeout = 60 }, { timeout = { "seconds", most = 1e6 } })`
function options.check(what, given, known, level)
    level = (level or 1) + 1
    if given == nil then return {} end
    if type(given) ~= "table" then error(what .. ": options are a table, not " .. text.show(given), level) end
    for name, value in pairs(given) do
        local is = known[name]
        if not is then error(unknown(what, name, known), level) end
        local bounded = type(is) == "table"
        local wanted = demand(value, options.kinds[bounded and is[1] or is], bounded and is.most)
        if wanted then error(what .. ": " .. name .. " must be " .. wanted .. ", not " .. text.show(value), level) end
    end
    return given
end

return options
