--- What can be changed in a file.
-- A place is { token, line, alternatives }: the index of the token where the change begins, its line, and one or more
-- { operator, edits }. An edit is { from, to, text }: the bytes to replace, and by what.

local tokens = require "mutants.tokens"

local operators = {}

local BOUNDARIES = { ["<"] = "<=", ["<="] = "<", [">"] = ">=", [">="] = ">" }
local EQUALITIES = { ["=="] = true, ["!="] = true, ["~="] = true }
local CONNECTIVES = { ["&&"] = "||", ["||"] = "&&", ["and"] = "or", ["or"] = "and" }
local ARITHMETIC = { ["+"] = "-", ["-"] = "+", ["+="] = "-=", ["-="] = "+=", ["++"] = "--", ["--"] = "++" }
local LOGICAL = tokens.set "< <= > >= == != ~= && || and or ! not"
local BOOLEANS = { ["true"] = "false", ["false"] = "true" }
local NOT_VALUES = tokens.set "return case and or not then else elseif do in until sizeof"

-- How each language writes what the operators need.
local WRITTEN = {
    c = { negated = "!(%s)", yes = "1", no = "0", nothing = "0", empty = ";" },
    lua = { negated = "not (%s)", yes = "true", no = "false", nothing = "nil", empty = "do end" },
}

local Finder = {}
Finder.__index = Finder

function Finder:text(i)
    return self.list[i] and self.list[i].text
end

--- The source of a range of tokens.
function Finder:source_of(first, last)
    return self.unit.source:sub(self.list[first].from, self.list[last].to)
end

function Finder:replaced(first, last, text)
    return { from = self.list[first].from, to = self.list[last].to, text = text }
end

function Finder:add(i, alternatives)
    if #alternatives > 0 then
        self.places[#self.places + 1] = { token = i, line = self.list[i].line, alternatives = alternatives }
    end
end

--- A place with one alternative or more, each of which replaces one range: { operator, text }...
function Finder:replace(first, last, choices)
    local alternatives = {}
    for _, choice in ipairs(choices) do
        alternatives[#alternatives + 1] = { operator = choice[1], edits = { self:replaced(first, last, choice[2]) } }
    end
    self:add(first, alternatives)
end

-- Statements ---------------------------------------------------------------------------------------------------------

function Finder:conditions()
    for _, condition in ipairs(self.unit.conditions) do
        local first, last, kind = condition.first, condition.last, condition.kind
        if first < last or self.list[first].kind == "name" and not BOOLEANS[self:text(first)] then
            local choices = { { "negate condition", self.written.negated:format(self:source_of(first, last)) } }
            if kind ~= "loop" then choices[#choices + 1] = { "condition always true", self.written.yes } end
            if kind ~= "until" then choices[#choices + 1] = { "condition never true", self.written.no } end
            self:replace(first, last, choices)
        end
    end
end

function Finder:calls()
    for _, statement in ipairs(self.unit.statements) do
        if statement.kind == "call" then
            self:replace(statement.first, statement.last, { { "drop call", self.written.empty } })
        end
    end
end

--- Whether a range of tokens holds a comparison or a connective.
function Finder:is_logical(first, last)
    for i = first, last do
        if LOGICAL[self:text(i)] then return true end
    end
    return false
end

--- What else an expression may be, as the value of a function.
function Finder:other_values(first, last)
    local text, written = self:source_of(first, last), self.written
    if text == "NULL" then return {} end
    if BOOLEANS[text] then return { BOOLEANS[text] } end
    if text == written.nothing then return { written.yes } end
    local values = { written.nothing }
    if self:is_logical(first, last) then values[2] = written.negated:format(text) end
    return values
end

function Finder:returns()
    for _, statement in ipairs(self.unit.statements) do
        local value = statement.value
        if self.unit.language == "c" and statement.last > statement.first + 1 then
            value = { first = statement.first + 1, last = statement.last - 1 }
        end
        if statement.kind == "return" and value then
            local choices = {}
            for i, text in ipairs(self:other_values(value.first, value.last)) do
                choices[i] = { "return " .. (#text > 5 and "the opposite" or text), text }
            end
            self:replace(value.first, value.last, choices)
            self.taken[value.first] = value.first == value.last
        end
    end
end

--- The last name of what a plain assignment assigns to, nil for any other statement and if a call is in it.
function Finder:assigned(statement)
    local name
    for i = statement.first, statement.last do
        if self:text(i) == "(" then return nil end
        if self:text(i) == "=" and not name then name = self:text(i - 1) end
    end
    return name
end

function Finder:mentions(statement, name)
    for i = statement.first, statement.last do
        if self:text(i) == name then return true end
    end
    return false
end

--- Whether the order of two statements can matter, as far as is cheap to see.
function Finder:order_matters(one, two)
    if self:source_of(one.first, one.last) == self:source_of(two.first, two.last) then return false end
    local a, b = self:assigned(one), self:assigned(two)
    if not a or not b then return self:text(one.first) ~= "free" or self:text(two.first) ~= "free" end
    return self:mentions(two, a) or self:mentions(one, b)
end

local MOVABLE = { call = true, other = true, control = true }

function Finder:swaps()
    for _, block in ipairs(self.unit.blocks) do
        for i = 1, #block - 1 do
            local one, two = block[i], block[i + 1]
            local between = self.unit.source:sub(self.list[one.last].to + 1, self.list[two.first].from - 1)
            if MOVABLE[one.kind] and MOVABLE[two.kind] and not between:find "\n#" and self:order_matters(one, two) then
                self:add(one.first, { { operator = "swap statements", edits = {
                    self:replaced(one.first, one.last, self:source_of(two.first, two.last)),
                    self:replaced(two.first, two.last, self:source_of(one.first, one.last)),
                } } })
            end
        end
    end
end

-- Single tokens ------------------------------------------------------------------------------------------------------

--- Whether the operator at `i` has a value on its left.
function Finder:is_binary(i)
    local before = self.list[i - 1]
    if not before then return false end
    if before.kind == "op" then return before.text == ")" or before.text == "]" end
    return not NOT_VALUES[before.text]
end

function Finder:operator_change(i)
    local text = self:text(i)
    if BOUNDARIES[text] then return { "move boundary", BOUNDARIES[text] } end
    if EQUALITIES[text] then
        return { "negate comparison", text == "==" and (self.unit.language == "c" and "!=" or "~=") or "==" }
    end
    if CONNECTIVES[text] then return { "exchange and/or", CONNECTIVES[text] } end
    if ARITHMETIC[text] and not self.stepping[i] and (#text == 2 or self:is_binary(i)) then
        return { "exchange + and -", ARITHMETIC[text] }
    end
end

local function number_changes(text)
    return { { "constant + 1", "(" .. text .. " + 1)" }, { "constant - 1", "(" .. text .. " - 1)" } }
end

--- Whether the string at `i` may be emptied: not what is required, nor what is empty.
function Finder:is_plain_string(i)
    local before = self:text(i - 1)
    return #self:text(i) > 2 and before ~= "require" and not (before == "(" and self:text(i - 2) == "require")
end

function Finder:constant_changes(i)
    local token = self.list[i]
    if token.kind == "number" or token.kind == "char" then return number_changes(token.text) end
    if token.kind == "string" then
        return self:is_plain_string(i) and { { "empty string", '""' } } or {}
    end
    return BOOLEANS[token.text] and { { "exchange true and false", BOOLEANS[token.text] } } or {}
end

function Finder:constants(first, last)
    for i = first, last do
        if not self.taken[i] then self:replace(i, i, self:constant_changes(i)) end
    end
end

function Finder:single_tokens(first, last)
    for i = first, last do
        local change = self:operator_change(i)
        if change then self:replace(i, i, { change }) end
    end
    self:constants(first, last)
end

-- A file -------------------------------------------------------------------------------------------------------------

local function indexes(ranges)
    local set = {}
    for _, range in ipairs(ranges) do
        for i = range.first, range.last do set[i] = true end
    end
    return set
end

--- Returns the places of a file in order.
---@param unit table result of c_source or lua_source
function operators.places(unit)
    local self = setmetatable({
        unit = unit, list = unit.tokens, written = WRITTEN[unit.language], places = {}, taken = {},
        stepping = indexes(unit.stepping),
    }, Finder)
    self:conditions()
    self:calls()
    self:returns()
    self:swaps()
    if unit.language == "lua" then
        self:single_tokens(1, #self.list)
    else
        for _, body in ipairs(unit.functions) do self:single_tokens(body.first, body.last) end
        for _, range in ipairs(unit.data) do self:constants(range.first, range.last) end
    end
    for i, place in ipairs(self.places) do place.order = i end
    table.sort(self.places, function(a, b)
        if a.token ~= b.token then return a.token < b.token end
        return a.order < b.order
    end)
    return self.places
end

--- `source` with the edits of one alternative made.
function operators.apply(source, edits)
    local sorted = {}
    for i, edit in ipairs(edits) do sorted[i] = edit end
    table.sort(sorted, function(a, b) return a.from > b.from end)
    for _, edit in ipairs(sorted) do source = source:sub(1, edit.from - 1) .. edit.text .. source:sub(edit.to + 1) end
    return source
end

return operators
