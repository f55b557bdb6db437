--- Numbers that look random and are the same in every run and on every Lua: what fails once fails again. The generator of
-- Park and Miller. Knows nothing of what is made of them.

local seeded = {}

local DEFAULT = 20240229

--- A sequence of its own.
---@param seed? number|string default 20240229
---@return table draw random(n): 1 to n; one_of(list): one of its members; seed(): what goes on from here, for messages
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
