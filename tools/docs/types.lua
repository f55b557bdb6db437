--- Parses LuaCATS types: `string|flux2.Request`, `number[]?`, `{ timeout: number? }`, `fun(x: any): string`.
-- Supports the syntax that this project uses. Does not check whether a type exists.

local types = {}

local function fail(s, message)
    error({ syntax = message .. " in '" .. s.text .. "', at character " .. s.at }, 0)
end

local function blank(s)
    s.at = s.text:find("%S", s.at) or #s.text + 1
end

--- Returns the match at the current position and skips it.
local function take(s, pattern)
    local from, to, found = s.text:find("^(" .. pattern .. ")", s.at)
    if not from then return nil end
    s.at = to + 1
    return found
end

--- Like `match` after spaces; does not move if there is no match.
local function accept(s, pattern)
    local before = s.at
    blank(s)
    local found = take(s, pattern)
    if not found then s.at = before end
    return found
end

local function need(s, pattern, what)
    return accept(s, pattern) or fail(s, what .. " is missing")
end

local parse

--- Parses `name?: type` up to `closing`: table members or function parameters.
local function named(s, closing)
    local list = {}
    while not accept(s, closing) do
        local name = accept(s, "%.%.%.") or need(s, "[%a_][%w_]*", "a name")
        local optional = accept(s, "%?") ~= nil
        local of = accept(s, ":") and parse(s)
        list[#list + 1] = { name = name, optional = optional or (of and of.optional), type = of }
        if not accept(s, "[,;]") then
            need(s, closing, "the end of a list")
            break
        end
    end
    return list
end

local function function_type(s)
    local node = { kind = "function", params = named(s, "%)"), returns = {} }
    if accept(s, ":") then
        repeat node.returns[#node.returns + 1] = parse(s) until not accept(s, ",")
    end
    return node
end

local function arguments(s)
    local list = {}
    repeat list[#list + 1] = parse(s) until not accept(s, ",")
    need(s, ">", "a '>'")
    return list
end

local function unit(s)
    if accept(s, "{") then return { kind = "table", fields = named(s, "}") } end
    if accept(s, "%(") then
        local inner = parse(s)
        need(s, "%)", "a ')'")
        return inner
    end
    local literal = accept(s, '"[^"]*"') or accept(s, "'[^']*'") or accept(s, "%-?%d[%d%.]*")
    if literal then return { kind = "literal", value = literal } end
    if accept(s, "fun%(") then return function_type(s) end
    -- `file*` is lua-language-server's name of file handles.
    local name = accept(s, "file%*") or accept(s, "[%a_][%w_%.]*") or fail(s, "a type")
    -- Excludes the full stop of a sentence.
    while name:sub(-1) == "." do name, s.at = name:sub(1, -2), s.at - 1 end
    return { kind = "name", name = name, arguments = take(s, "<") and arguments(s) or nil }
end

local function with_suffixes(s)
    local node = unit(s)
    while true do
        if take(s, "%[%]") then
            node = { kind = "array", of = node }
        elseif take(s, "%?") then
            node = { kind = "optional", of = node, optional = true }
        else
            return node
        end
    end
end

function parse(s)
    local first = with_suffixes(s)
    if not accept(s, "|") then return first end
    local node = { kind = "union", first, optional = first.optional }
    repeat
        local next_one = with_suffixes(s)
        node[#node + 1] = next_one
        node.optional = node.optional or next_one.optional or (next_one.kind == "name" and next_one.name == "nil")
    until not accept(s, "|")
    return node
end

--- Parses the type at the beginning of a text.
---@param text string
---@return table? node syntax tree; nil on error
---@return string rest text after the type without leading spaces; or the error
-- Example: `types.read "number? seconds"` is an optional number, and "seconds"
function types.read(text)
    local s = { text = text, at = 1 }
    local ok, node = pcall(parse, s)
    if not ok then
        if type(node) == "table" then return nil, node.syntax end
        error(node, 0)
    end
    if s.at <= #text and not text:find("^[%s#]", s.at) then
        return nil, "a blank is missing in '" .. text .. "', at character " .. s.at
    end
    return node, (text:sub(s.at):gsub("^%s*#?%s*", ""))
end

--- Calls `fn(node)` for a type and all nested types.
---@param node table
---@param fn fun(node: table)
function types.walk(node, fn)
    if not node then return end
    fn(node)
    for _, list in ipairs { node, node.arguments or {} } do
        for _, inner in ipairs(list) do types.walk(inner, fn) end
    end
    types.walk(node.of, fn)
    for _, inner in ipairs(node.returns or {}) do types.walk(inner, fn) end
    for _, list in ipairs { node.fields or {}, node.params or {} } do
        for _, member in ipairs(list) do types.walk(member.type, fn) end
    end
end

--- Returns the names of the types in a type.
---@param node table
---@return string[]
function types.names(node)
    local list = {}
    types.walk(node, function(inner)
        if inner.kind == "name" then list[#list + 1] = inner.name end
    end)
    return list
end

--- Returns the first table type with named members: `{ timeout: number? }`.
---@param node table
---@return table? node
function types.record(node)
    local found
    types.walk(node, function(inner)
        if not found and inner.kind == "table" then found = inner end
    end)
    return found
end

--- Whether a type contains a name outside of table members and function parameters: `number` in `number[]?`.
---@param node table
---@param name string
---@return boolean
function types.is(node, name)
    if node.kind == "name" then return node.name == name end
    if node.of then return types.is(node.of, name) end
    if node.kind ~= "union" then return false end
    for _, inner in ipairs(node) do
        if types.is(inner, name) then return true end
    end
    return false
end

local LUA = {
    boolean = "boolean", ["false"] = "boolean", ["function"] = "function", number = "number", integer = "number",
    string = "string", table = "table", thread = "thread", ["true"] = "boolean", userdata = "userdata",
}

--- Whether a value may have a type. A class is any table or userdata.
---@param node table
---@param value any
---@return boolean
function types.fits(node, value)
    local kind = type(value)
    if node.kind == "optional" then return value == nil or types.fits(node.of, value) end
    if node.kind == "array" or node.kind == "table" then return kind == "table" end
    if node.kind == "function" then return kind == "function" end
    if node.kind == "literal" then return tostring(value) == node.value:gsub("^[\"'](.*)[\"']$", "%1") end
    if node.kind == "union" then
        for _, inner in ipairs(node) do
            if types.fits(inner, value) then return true end
        end
        return false
    end
    if node.name == "any" then return true end
    if node.name == "nil" then return value == nil end
    if node.name == "integer" and kind == "number" then return value % 1 == 0 end
    if LUA[node.name] then return kind == LUA[node.name] end
    return kind == "table" or kind == "userdata"
end

return types
