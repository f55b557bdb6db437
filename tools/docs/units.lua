--- Finds units in the descriptions of numbers.

local units = {}

-- Lua patterns, each a whole word.
local WORDS = {
    "seconds?", "s", "ms", "milliseconds?", "bytes?", "KiB", "MiB", "pixels?", "credits?", "percent", "characters?",
    "share", "0 to 1", "how many", "how often", "number of", "count", "counts", "counted", "place", "index", "port",
    "HTTP status", "status", "price", "at most", "attempts", "descriptor", "events", "the number", "times",
}

--- Whether a text names the unit of a number.
---@param text string
---@return boolean
function units.named(text)
    for _, word in ipairs(WORDS) do
        if text:find("%f[%w]" .. word .. "%f[%W]") then return true end
    end
    return false
end

--- Whether a text names the unit of a table member, in the clause that begins with its name.
---@param text string
---@param member string
---@return boolean
function units.named_for(text, member)
    for clause in (text .. "; "):gmatch "(.-)[;%.]%s" do
        local at = clause:find("%f[%w_]" .. member .. "%f[^%w_]")
        if at and units.named(clause:sub(at)) then return true end
    end
    return false
end

return units
