--- Hints for mistyped names.

local tables = require "flux2.tables"
local text = require "flux2.text"

local suggest = {}

local LONGEST = 40 -- longer names get no hint
local SHORTEST = 3 -- letters of a word that stands for a longer name

--- Removes differences of case, dashes, underscores and spaces.
---@param name string
---@return string
-- Example: `suggest.normal "In-Progress"` is "inprogress"
function suggest.normal(name)
    return (name:lower():gsub("[_%-%s]", ""))
end

--- The number of edits from `a` to `b`; a swap of two letters counts as one.
local function distance(a, b)
    local before, previous = nil, {}
    for j = 0, #b do previous[j] = j end
    for i = 1, #a do
        local row = { [0] = i }
        for j = 1, #b do
            local cost = a:byte(i) == b:byte(j) and 0 or 1
            row[j] = math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + cost)
            local swapped = before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
            if swapped then row[j] = math.min(row[j], before[j - 2] + 1) end
        end
        before, previous = previous, row
    end
    return previous[#b]
end

--- Returns the only candidate of which `wanted` is a whole word: "key" of "api_key".
local function with_word(wanted, candidates)
    local found
    for _, candidate in ipairs(candidates) do
        if ("_" .. candidate:lower():gsub("-", "_") .. "_"):find("_" .. wanted .. "_", 1, true) then
            if found then return nil end
            found = candidate
        end
    end
    return found
end

--- Returns the candidate that `name` most likely stands for.
---@param name string
---@param candidates string[] in order of preference among equals
---@return string? nearest nil when none is near
-- Example: `suggest.nearest("aspect_ration", { "prompt", "aspect_ratio" })` is "aspect_ratio".
function suggest.nearest(name, candidates)
    if #name > LONGEST then return nil end
    local wanted, best, best_distance = suggest.normal(name), nil, nil
    for _, candidate in ipairs(candidates) do
        local known = suggest.normal(candidate)
        local edits = distance(wanted, known)
        -- At most one error in three letters.
        local allowed = math.floor(math.max(#wanted, #known) / 3)
        if edits <= allowed and (not best or edits < best_distance) then
            best, best_distance = candidate, edits
        end
    end
    return best or #wanted >= SHORTEST and with_word(wanted, candidates) or nil
end

--- Returns the end of a message about an unknown name.
---@param name any
---@param known table<string, any> the known names, as keys
---@return string message the name, and the nearest known name or all of them
-- Example: `suggest.unknown("timeot", { timeout = 1 })` is "'timeot': did you mean timeout?"
function suggest.unknown(name, known)
    local names = tables.names(known)
    local near = type(name) == "string" and suggest.nearest(name, names)
    local hint = near and "did you mean " .. near .. "?" or "known are " .. table.concat(names, ", ")
    return text.show(name) .. ": " .. hint
end

return suggest
