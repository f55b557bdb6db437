--- Tables: copies, lists of names, sets. None of these functions calls a metamethod.

local tables = {}

--- Copies the fields of other tables into a table; a later one has precedence.
---@param into table
---@param ... table? sources; nil has no field
---@return table into
-- Example: `tables.merge({}, { a = 1, b = 1 }, { b = 2 })` is { a = 1, b = 2 }
function tables.merge(into, ...)
    for i = 1, select("#", ...) do
        for name, value in next, (select(i, ...)) or {} do into[name] = value end
    end
    return into
end

--- Returns the names of a map in a fixed order.
---@param map table
---@return any[] names
function tables.names(map)
    local names = {}
    for name in next, map do names[#names + 1] = name end
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
    return names
end

--- Returns the length of an array, a table with the keys 1 to n; of another table nil, and a key that is not a number
--- or the number that is missing.
---@param t table
---@return integer? length
---@return any key
-- Example: `tables.length { "a", b = 1 }` is nil, "b"; `tables.length { [2] = "a" }` is nil, 1
function tables.length(t)
    local count = 0
    for key in next, t do
        if type(key) ~= "number" then return nil, key end
        count = count + 1
    end
    for i = 1, count do
        if rawget(t, i) == nil then return nil, i end
    end
    return count
end

--- Returns the set of the items of a list.
---@param list any[]
---@return table<any, true>
function tables.set(list)
    local set = {}
    for i = 1, #list do set[list[i]] = true end
    return set
end

--- Removes the last occurrence of an item from a list.
---@param list any[]
---@param item any
---@return any item nil if the list does not contain it
function tables.remove(list, item)
    for i = #list, 1, -1 do
        if list[i] == item then return table.remove(list, i) end
    end
end

return tables
