--- Finds functions, statements and conditions in the tokens of a Lua file: a Lua parser that stores positions only.
-- The unit is that of c_source. A "return" has `value`, the { first, last } of its first expression. Raises an error
-- for invalid Lua.

local tokens = require "mutants.tokens"

local lua_source = {}

local BINARY = tokens.set "+ - * / % ^ // .. < > <= >= == ~= and or & | ~ << >>"
local UNARY = tokens.set "- not # ~"
local BLOCK_ENDS = tokens.set "end else elseif until"

local Reader = {}
Reader.__index = Reader

function Reader:text(i)
    local token = self.list[i or self.at]
    -- Strings may equal a keyword.
    return token and (token.kind == "string" and '"' or token.text)
end

function Reader:take(text)
    if self:text() ~= text then return false end
    self.at = self.at + 1
    return true
end

function Reader:expect(text)
    if not self:take(text) then
        local token = self.list[self.at]
        error(("line %d: '%s' expected"):format(token and token.line or 0, text), 0)
    end
end

function Reader:condition(kind)
    local first = self.at
    self:expression()
    self.unit.conditions[#self.unit.conditions + 1] = { kind = kind, first = first, last = self.at - 1 }
end

-- Expressions --------------------------------------------------------------------------------------------------------

function Reader:expressions()
    local first = self.at
    self:expression()
    local value = { first = first, last = self.at - 1 }
    while self:take "," do self:expression() end
    return value
end

--- Parses a function from its parameters on.
function Reader:body()
    local first = self.at
    while not self:take ")" do self.at = self.at + 1 end
    self.depth = self.depth + 1
    self:block()
    self.depth = self.depth - 1
    self:expect "end"
    self.unit.functions[#self.unit.functions + 1] = { first = first, last = self.at - 1 }
end

function Reader:constructor()
    self:expect "{"
    while not self:take "}" do
        if self:take "[" then
            self:expression()
            self:expect "]"
            self:expect "="
        elseif self:text(self.at + 1) == "=" then
            self.at = self.at + 2
        end
        self:expression()
        if not self:take "," then self:take ";" end
    end
end

--- Parses suffixes (index, call). Returns true if the last one is a call.
function Reader:suffixes()
    local is_call = false
    while true do
        local text = self:text()
        if text == "." then
            self.at, is_call = self.at + 2, false
        elseif text == "[" then
            self.at = self.at + 1
            self:expression()
            self:expect "]"
            is_call = false
        elseif text == ":" then
            self.at = self.at + 2
        elseif text == "(" then
            self.at, is_call = self.at + 1, true
            if self:text() ~= ")" then self:expressions() end
            self:expect ")"
        elseif text == "{" then
            self:constructor()
            is_call = true
        elseif text == '"' then
            self.at, is_call = self.at + 1, true
        else
            return is_call
        end
    end
end

--- Parses a name or parenthesis with suffixes. Returns true for a call.
function Reader:suffixed()
    if self:take "(" then
        self:expression()
        self:expect ")"
    else
        if not self.list[self.at] or self.list[self.at].kind ~= "name" then self:expect "a name" end
        self.at = self.at + 1
    end
    return self:suffixes()
end

function Reader:simple()
    local token, text = self.list[self.at], self:text()
    if text == "function" then
        self.at = self.at + 1
        self:body()
    elseif text == "{" then
        self:constructor()
    elseif token and (token.kind == "number" or token.kind == "string") or text == "..." then
        self.at = self.at + 1
    else
        self:suffixed()
    end
end

function Reader:expression()
    repeat
        while UNARY[self:text()] do self.at = self.at + 1 end
        self:simple()
        local more = BINARY[self:text()]
        if more then self.at = self.at + 1 end
    until not more
end

-- Statements ---------------------------------------------------------------------------------------------------------

local STATEMENTS = {}

STATEMENTS["if"] = function(self)
    self:condition "if"
    self:expect "then"
    self:block()
    while self:take "elseif" do
        self:condition "if"
        self:expect "then"
        self:block()
    end
    if self:take "else" then self:block() end
    self:expect "end"
    return "control"
end

STATEMENTS["while"] = function(self)
    self:condition "loop"
    self:expect "do"
    self:block()
    self:expect "end"
    return "control"
end

STATEMENTS["for"] = function(self)
    while self:text() ~= "=" and self:text() ~= "in" do self.at = self.at + 1 end
    self.at = self.at + 1
    self:expressions()
    self:expect "do"
    self:block()
    self:expect "end"
    return "control"
end

STATEMENTS["do"] = function(self)
    self:block()
    self:expect "end"
    return "control"
end

STATEMENTS["repeat"] = function(self)
    self:block()
    self:expect "until"
    self:condition "until"
    return "control"
end

STATEMENTS["function"] = function(self)
    while self:text() ~= "(" do self.at = self.at + 1 end
    self.at = self.at + 1
    self:body()
    return "declaration"
end

STATEMENTS["local"] = function(self)
    if self:take "function" then return STATEMENTS["function"](self) end
    repeat
        self.at = self.at + 1
        if self:take "<" then self.at = self.at + 2 end
    until not self:take ","
    if self:take "=" then self:expressions() end
    return "declaration"
end

STATEMENTS["return"] = function(self)
    local value
    local text = self:text()
    if text and not BLOCK_ENDS[text] and text ~= ";" then value = self:expressions() end
    -- The return value of a file is not mutated.
    return self.depth > 0 and "return" or "jump", value
end

STATEMENTS["break"] = function() return "jump" end

--- Parses a call or an assignment.
local function plain(self)
    if self:suffixed() then return "call" end
    while self:take "," do self:suffixed() end
    self:expect "="
    self:expressions()
    return "other"
end

function Reader:statement(block)
    local first, read = self.at, STATEMENTS[self:text()]
    if read then self.at = first + 1 end
    local kind, value = (read or plain)(self)
    local statement = { kind = kind, first = first, last = self.at - 1, value = value }
    self.unit.statements[#self.unit.statements + 1] = statement
    block[#block + 1] = statement
end

function Reader:block()
    local block = {}
    self.unit.blocks[#self.unit.blocks + 1] = block
    while self:text() and not BLOCK_ENDS[self:text()] do
        if not self:take ";" then self:statement(block) end
    end
end

--- Parses a Lua file.
function lua_source.read(source)
    local unit = {
        source = source, language = "lua", tokens = tokens.split(source, "lua"), functions = {}, statements = {},
        blocks = {}, conditions = {}, data = {}, stepping = {},
    }
    local reader = setmetatable({ unit = unit, list = unit.tokens, at = 1, depth = 0 }, Reader)
    reader:block()
    if reader:text() then reader:expect "the end" end
    return unit
end

return lua_source
