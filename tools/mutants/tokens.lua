--- Splits C and Lua source into tokens. Skips white space, comments and preprocessor lines.
-- A token is { kind, text, from, to, line }: its kind is "name", "number", "string", "char" (C only) or "op"; from
-- and to are positions of bytes.

local tokens = {}

local function set(words)
    local result = {}
    for word in words:gmatch "%S+" do result[word] = true end
    return result
end

local C_OPERATORS = set "<<= >>= ... -> ++ -- << >> <= >= == != && || += -= *= /= %= &= |= ^= ##"
local LUA_OPERATORS = set "... .. == ~= <= >= // :: << >>"

--- Returns the end of the quoted text that begins at `from`.
local function quoted(source, from)
    local quote, at = source:sub(from, from), from + 1
    while true do
        at = source:find("[\\" .. quote .. "]", at)
        if not at then return #source end
        if source:sub(at, at) == quote then return at end
        at = at + 2
    end
end

local function number_end(source, from)
    local at = from
    local exponent = source:find("^0[xX]", from) and "^[pP][+-]" or "^[eE][+-]"
    while source:find("^[%w_.]", at) do at = at + (source:find(exponent, at) and 2 or 1) end
    return at - 1
end

local function operator_end(source, from, operators)
    for length = 3, 2, -1 do
        if operators[source:sub(from, from + length - 1)] then return from + length - 1 end
    end
    return from
end

--- Returns the end of a preprocessor line with its continuation lines.
local function directive_end(source, from)
    local at = from
    while true do
        local stop = source:find("[\n/\\]", at)
        if not stop then return #source end
        if source:find("^\n", stop) then return stop - 1 end
        local _, comment = source:find("^/%*.-%*/", stop)
        local _, continued = source:find("^\\\n", stop)
        at = (comment or continued or stop) + 1
    end
end

--- Returns the end of skipped text at `from`, or nil.
local function c_skipped(source, from, line_begins)
    local _, to = source:find("^%s+", from)
    if not to then _, to = source:find("^/%*.-%*/", from) end
    if not to then _, to = source:find("^//[^\n]*", from) end
    if not to and line_begins and source:find("^#", from) then to = directive_end(source, from) end
    return to
end

local function long_bracket(source, from)
    local _, opened, level = source:find("^%[(=*)%[", from)
    if not opened then return nil end
    local _, to = source:find("]" .. level .. "]", opened + 1, true)
    return to or #source
end

local function lua_skipped(source, from)
    local _, to = source:find("^%s+", from)
    if not to and source:find("^%-%-", from) then
        to = long_bracket(source, from + 2)
        if not to then _, to = source:find("^%-%-[^\n]*", from) end
    end
    if not to and from == 1 then _, to = source:find("^#[^\n]*", from) end
    return to
end

local function c_token(source, from)
    if source:find('^"', from) then return "string", quoted(source, from) end
    if source:find("^'", from) then return "char", quoted(source, from) end
    return nil, operator_end(source, from, C_OPERATORS)
end

local function lua_token(source, from)
    if source:find("^[\"']", from) then return "string", quoted(source, from) end
    local to = long_bracket(source, from)
    if to then return "string", to end
    return nil, operator_end(source, from, LUA_OPERATORS)
end

local function token_at(source, from, special)
    local _, to = source:find("^[%a_][%w_]*", from)
    if to then return "name", to end
    if source:find("^%.?%d", from) then return "number", number_end(source, from) end
    local kind
    kind, to = special(source, from)
    return kind or "op", to
end

local function count_lines(source, from, to)
    local _, count = source:sub(from, to):gsub("\n", "")
    return count
end

--- Splits `source` in `language`: "c" or "lua".
function tokens.split(source, language)
    local skipped = language == "c" and c_skipped or lua_skipped
    local special = language == "c" and c_token or lua_token
    local list, at, line, line_begins = {}, 1, 1, true
    while at <= #source do
        local to = skipped(source, at, line_begins)
        if to then
            line_begins = line_begins or source:sub(at, to):find "\n" ~= nil
        else
            local kind
            kind, to = token_at(source, at, special)
            list[#list + 1] = { kind = kind, text = source:sub(at, to), from = at, to = to, line = line }
            line_begins = false
        end
        line = line + count_lines(source, at, to)
        at = to + 1
    end
    return list
end

--- Returns a set of the words in a string.
tokens.set = set

return tokens
