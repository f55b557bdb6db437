--- All possible mutants of the project, and a selection by a seed.
-- A point is { path, language, line, text, operator, occurrence, edits, from_line, to_line, body }. `text` is its
-- trimmed line, and `occurrence` counts points with the same path, text and operator: these four identify the point
-- although line numbers change. A spec that runs a line from `from_line` to `to_line` runs the point; `body` is the
-- { first, last } line of the enclosing function.

local c_source = require "mutants.c_source"
local lua_source = require "mutants.lua_source"
local operators = require "mutants.operators"

local points = {}

local READERS = { c = c_source.read, lua = lua_source.read }

--- Sorted indexes of tokens at which a statement or a condition begins.
local function anchors(unit)
    local list = {}
    for _, ranges in ipairs { unit.statements, unit.conditions } do
        for _, range in ipairs(ranges) do list[#list + 1] = range.first end
    end
    table.sort(list)
    return list
end

--- Returns the first line of the statement that contains a token.
local function first_line(unit, list, token)
    local found = token
    for _, anchor in ipairs(list) do
        if anchor > token then break end
        found = anchor
    end
    return unit.tokens[found].line
end

--- Returns the lines of the innermost function that contains a token.
local function body_around(unit, token)
    local found
    for _, range in ipairs(unit.functions) do
        local inside = range.first <= token and token <= range.last
        if inside and (not found or range.first > found.first) then found = range end
    end
    return found and { first = unit.tokens[found.first].line, last = unit.tokens[found.last].line }
end

local function split_lines(source)
    local list = {}
    for line in (source .. "\n"):gmatch "(.-)\n" do list[#list + 1] = line:match "^%s*(.-)%s*$" end
    return list
end

--- Returns the places of a file; each is a list of alternative points.
function points.of(path, source, language)
    local unit = READERS[language](source)
    local starts, texts, counts, places = anchors(unit), split_lines(source), {}, {}
    for i, place in ipairs(operators.places(unit)) do
        local choices = {}
        local from_line, body = first_line(unit, starts, place.token), body_around(unit, place.token)
        for j, alternative in ipairs(place.alternatives) do
            local text = texts[place.line]
            local key = alternative.operator .. "\t" .. text
            counts[key] = (counts[key] or 0) + 1
            choices[j] = {
                path = path, language = language, line = place.line, text = text, operator = alternative.operator,
                occurrence = counts[key], edits = alternative.edits, from_line = from_line, to_line = place.line,
                body = body,
            }
        end
        places[i] = choices
    end
    return places
end

--- Returns the identification of a point as one line.
function points.name(point)
    return table.concat({ point.path, point.operator, point.occurrence, point.text }, "\t")
end

--- Returns a generator of numbers from 1 to n that is the same in every Lua (Park-Miller).
local function generator(seed)
    local state = seed % 2147483646 + 1
    return function(n)
        state = state * 16807 % 2147483647
        return state % n + 1
    end
end

--- Returns one point per place in an order that depends on the seed.
---@param places table[][] the places of all files
function points.shuffle(places, seed)
    local random, list = generator(seed), {}
    for i, place in ipairs(places) do list[i] = place end
    for i = #list, 2, -1 do
        local j = random(i)
        list[i], list[j] = list[j], list[i]
    end
    for i, place in ipairs(list) do list[i] = place[random(#place)] end
    return list
end

return points
