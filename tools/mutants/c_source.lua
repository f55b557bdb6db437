--- Finds functions, statements and conditions in the tokens of a C file. Supports the necessary part of C's grammar and
--- skips the rest.
-- A unit is { source, language, tokens, functions, statements, blocks, conditions, data, stepping }. A statement is {
-- kind, first, last } with indexes of tokens; its kind is "call", "return", "declaration", "jump", "control" or
-- "other". A block is a list of statements in a row. A condition is { kind, first, last }: "if" or "loop". `data`
-- holds ranges of tokens outside functions where constants stand, and `stepping` the third parts of "for".

local tokens = require "mutants.tokens"

local c_source = {}

local CLOSING = { ["("] = ")", ["["] = "]", ["{"] = "}" }
local TYPES = tokens.set [[
    struct union enum const static extern register typedef volatile signed unsigned void char short int long float
    double bool _Bool _Static_assert]]
local JUMPS = tokens.set "break continue goto"

--- Index of an opening bracket -> index of the one that closes it.
local function match_brackets(list)
    local closes, open = {}, {}
    for i, token in ipairs(list) do
        if token.kind == "op" then
            if CLOSING[token.text] then
                open[#open + 1] = i
            elseif #open > 0 and CLOSING[list[open[#open]].text] == token.text then
                closes[table.remove(open)] = i
            end
        end
    end
    return closes
end

local Reader = {}
Reader.__index = Reader

function Reader:text(i)
    return self.list[i] and self.list[i].text
end

--- The index of the next `word` outside of brackets, from `i` on and before `stop`; else `stop`.
function Reader:find(word, i, stop)
    while i < stop and self:text(i) ~= word do i = (self.closes[i] or i) + 1 end
    return math.min(i, stop)
end

function Reader:is_declaration(first, last)
    local text = self:text(first)
    if self.list[first].kind ~= "name" then return false end
    if TYPES[text] or text:find "_t$" then return true end
    local i = first + 1
    while self:text(i) == "*" do i = i + 1 end
    if i > last or self.list[i].kind ~= "name" then return false end
    return i == first + 1 or self:text(i + 1) == "=" or self:text(i + 1) == ";"
end

--- Whether the tokens are one call, its result unused: `f(x);`, `(void)f(x);`, `a->b.f(x);`.
function Reader:is_call(first, last)
    local i = first
    if self:text(i) == "(" and self:text(i + 1) == "void" and self:text(i + 2) == ")" then i = i + 3 end
    if not self.list[i] or self.list[i].kind ~= "name" then return false end
    i = i + 1
    while self:text(i) == "." or self:text(i) == "->" do i = i + 2 end
    return self:text(i) == "(" and self.closes[i] == last - 1
end

function Reader:kind_of(first, last)
    local text = self:text(first)
    if text == "return" then return "return" end
    if JUMPS[text] then return "jump" end
    if self:is_declaration(first, last) then return "declaration" end
    return self:is_call(first, last) and "call" or "other"
end

function Reader:add(block, kind, first, last)
    local statement = { kind = kind, first = first, last = last }
    self.unit.statements[#self.unit.statements + 1] = statement
    if block then block[#block + 1] = statement end
end

function Reader:condition(kind, first, last)
    if first <= last then
        self.unit.conditions[#self.unit.conditions + 1] = { kind = kind, first = first, last = last }
    end
end

--- The head of "for", between its brackets.
function Reader:for_head(open, close)
    local first = self:find(";", open + 1, close)
    local second = self:find(";", first + 1, close)
    self:condition("loop", first + 1, second - 1)
    self.unit.stepping[#self.unit.stepping + 1] = { first = second, last = close }
end

local HEADS = {
    ["if"] = function(self, open, close) self:condition("if", open + 1, close - 1) end,
    ["while"] = function(self, open, close) self:condition("loop", open + 1, close - 1) end,
    ["for"] = Reader.for_head,
    ["switch"] = function() end,
}

--- if, while, for, switch, and macros of this form. Returns the index of the last token.
function Reader:headed(i, stop)
    local close = self.closes[i + 1]
    local head = HEADS[self:text(i)]
    if head then head(self, i + 1, close) end
    local last = self:statement(nil, close + 1, stop)
    if self:text(i) == "if" and self:text(last + 1) == "else" then last = self:statement(nil, last + 2, stop) end
    return last
end

function Reader:do_while(i, stop)
    local last = self:statement(nil, i + 1, stop)
    local open = last + 2
    if self:text(last + 1) == "while" and self.closes[open] then
        self:condition("loop", open + 1, self.closes[open] - 1)
    end
    return self:find(";", last + 1, stop)
end

--- Returns the end of a label (`case X:`, `default:`, `name:`) at `i`, or nil.
function Reader:label_end(i, stop)
    local text = self:text(i)
    if text == "case" then return self:find(":", i, stop) end
    if self.list[i].kind == "name" and self:text(i + 1) == ":" then return i + 1 end
end

--- Parses a statement that contains statements. Returns "control" and the index of its last token, or nil.
function Reader:compound(i, stop)
    local text = self:text(i)
    local bracket = self.list[i].kind == "name" and self.closes[i + 1]
    if text == "{" and self.closes[i] then
        self:block(i + 1, self.closes[i] - 1)
        return "control", self.closes[i]
    elseif text == "do" then
        return "control", self:do_while(i, stop)
    elseif bracket and (HEADS[text] or self:text(i + 1) == "(" and self:text(bracket + 1) == "{") then
        return "control", self:headed(i, stop)
    end
end

--- Parses the statement at `i` into BLOCK. Returns the index of its last token.
function Reader:statement(block, i, stop)
    if i > stop then return stop end
    local kind, last = self:compound(i, stop)
    if not last then kind, last = "jump", self:label_end(i, stop) end
    if not last then
        last = self:find(";", i, stop)
        kind = self:kind_of(i, last)
    end
    self:add(block, kind, i, last)
    return last
end

function Reader:block(first, last)
    local block = {}
    self.unit.blocks[#self.unit.blocks + 1] = block
    local i = first
    while i <= last do i = self:statement(block, i, last) + 1 end
end

--- Whether the brace at `i` outside of functions begins an initializer or an enumeration.
function Reader:holds_data(i)
    return self:text(i - 1) == "=" or self:text(i - 1) == "enum" or self:text(i - 2) == "enum"
end

function Reader:file()
    local i = 1
    while i <= #self.list do
        local close = self.closes[i]
        if close and self:text(i) == "{" then
            if self:text(i - 1) == ")" then
                self.unit.functions[#self.unit.functions + 1] = { first = i, last = close }
                self:block(i + 1, close - 1)
            elseif self:holds_data(i) then
                self.unit.data[#self.unit.data + 1] = { first = i, last = close }
            end
        end
        i = (close or i) + 1
    end
end

--- Parses a C file.
function c_source.read(source)
    local unit = {
        source = source, language = "c", tokens = tokens.split(source, "c"), functions = {}, statements = {},
        blocks = {}, conditions = {}, data = {}, stepping = {},
    }
    local reader = setmetatable({ unit = unit, list = unit.tokens, closes = match_brackets(unit.tokens) }, Reader)
    reader:file()
    return unit
end

return c_source
