--- Reproducible pseudo-random numbers, the same in every run and on every Lua: failures are repeatable. Park-Miller
-- generator.

local seeded = {}

local DEFAULT = 20240229

--- An independent sequence.
---@param seed? number|string default 20240229
---@return table draw random(n): 1 to n; one_of(list): one of its members; seed(): the current state, for messages
function seeded.new(seed)
    local state, draw = tonumber(seed) or DEFAULT, {}

    function draw.random(n)
        state = (state * 16807) % 2147483647
        return state % n + 1
    end

    function draw.one_of(list) return list[draw.random(#list)] end

    function draw.seed() return state end

    return draw
end

return seeded
