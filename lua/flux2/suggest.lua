--- The nearest known name to a mistyped one. A leaf: names in, name out.

local suggest = {}

local LONGEST = 40 -- a longer name is no slip of the finger

--- Case, dashes and underscores are how people differ, not what they mean.
local function normal(name)
    return (name:lower():gsub("[_%-%s]", ""))
end

--- Edits from `a` to `b`; two letters that changed places count as one.
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

--- The candidate that `name` was most likely meant to be.
---@param name string
---@param candidates string[] in order of preference among equals
---@return string? nearest nil when none is near
-- Example: `suggest.nearest("aspect_ration", { "prompt", "aspect_ratio" })` is "aspect_ratio".
function suggest.nearest(name, candidates)
    if #name > LONGEST then return nil end
    local wanted, best, best_distance = normal(name), nil, nil
    for _, candidate in ipairs(candidates) do
        local known = normal(candidate)
        local edits = distance(wanted, known)
        -- One slip in three letters is a typing error; more is another word.
        local allowed = math.floor(math.max(#wanted, #known) / 3)
        if edits <= allowed and (not best or edits < best_distance) then
            best, best_distance = candidate, edits
        end
    end
    return best
end

return suggest
