--- The words that make a number mean something.
-- A leaf: knows no function and no file.

local units = {}

-- Lua patterns, each a whole word.
local WORDS = {
    "seconds?", "s", "ms", "milliseconds?", "bytes?", "KiB", "MiB", "pixels?", "credits?", "percent", "characters?",
    "share", "0 to 1", "how many", "how often", "number of", "count", "counts", "counted", "place", "index", "port",
    "HTTP status", "status", "price", "at most", "attempts", "descriptor", "events", "the number", "times",
}

--- Whether a text says what a number counts or measures.
---@param text string
---@return boolean
function units.named(text)
    for _, word in ipairs(WORDS) do
        if text:find("%f[%w]" .. word .. "%f[%W]") then return true end
    end
    return false
end

--- Whether it says so of one member of a table: in the sentence or clause that begins with its name.
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
