--- Parses the LuaCATS comments of a Lua file in the form that this project uses. Does not load the file.
--
--     --- What it does. Further sentences.
--     ---@param name? type what it means
--     ---  and more of that
--     ---@return type name what it means
--     -- Example: `code`, and its result

local read_file = require("files").read
local types = require "docs.types"

local comments = {}

--- The supported tags; any other tag is an error.
local TAGS = {}

local function append(text, more)
    return text == "" and more or text .. " " .. more
end

local function wrong(reader, line, message)
    reader.problems[#reader.problems + 1] = { file = reader.file, line = line, message = message }
end

--- Parses a type and the text after it. A syntax error is reported once; the type is `any` then.
local function typed(reader, tag, text)
    local node, rest = types.read(text)
    if node then return node, rest end
    wrong(reader, tag.line, "@" .. tag.name .. ": " .. rest)
    return { kind = "name", name = "any" }, ""
end

function TAGS.param(reader, block, tag)
    local name, optional, rest = tag.text:match "^([%a_][%w_]*)(%??)%s+(.+)$"
    if not name then name, optional, rest = tag.text:match "^(%.%.%.)(%??)%s+(.+)$" end
    if not name then return wrong(reader, tag.line, "@param wants a name and a type: '" .. tag.text .. "'") end
    local node, text = typed(reader, tag, rest)
    block.params[#block.params + 1] = {
        name = name, optional = optional == "?" or node.optional or false, type = node, text = text, line = tag.line,
        written = rest:sub(1, #rest - #text):gsub("%s+$", ""),
    }
end

TAGS["return"] = function(reader, block, tag)
    local node, rest = typed(reader, tag, tag.text)
    local name, text = rest:match "^([%a_%.][%w_%.]*)%s*(.*)$"
    block.returns[#block.returns + 1] = {
        type = node, name = name, text = text or rest, line = tag.line,
        written = tag.text:sub(1, #tag.text - #rest):gsub("%s+$", ""),
    }
end

function TAGS.class(reader, block, tag)
    local name, rest = tag.text:match "^([%a_][%w_%.]*)%s*(.*)$"
    if not name then return wrong(reader, tag.line, "@class wants a name") end
    local parent
    if rest:sub(1, 1) == ":" then parent, rest = rest:match "^:%s*([%a_][%w_%.]*)%s*(.*)$" end
    block.class = { name = name, parent = parent, text = rest, fields = {}, line = tag.line, file = reader.file }
    reader.classes[#reader.classes + 1] = block.class
end

function TAGS.field(reader, block, tag)
    if not block.class then return wrong(reader, tag.line, "@field without a @class before it") end
    local scope, text = tag.text:match "^(%l+)%s+(.+)$"
    if scope ~= "private" and scope ~= "protected" and scope ~= "public" then scope, text = nil, tag.text end
    local name, optional, rest = text:match "^([%a_][%w_]*)(%??)%s+(.+)$"
    if not name then return wrong(reader, tag.line, "@field wants a name and a type: '" .. tag.text .. "'") end
    local node, about = typed(reader, tag, rest)
    local fields = block.class.fields
    fields[#fields + 1] = {
        name = name, optional = optional == "?" or node.optional or false, type = node, text = about, line = tag.line,
        private = scope == "private" or scope == "protected",
        written = rest:sub(1, #rest - #about):gsub("%s+$", ""),
    }
end

function TAGS.type(reader, block, tag)
    block.type = typed(reader, tag, tag.text)
end

function TAGS.overload(reader, _, tag)
    local node, rest = typed(reader, tag, tag.text)
    if node.kind ~= "function" or rest ~= "" then wrong(reader, tag.line, "@overload wants a function's type alone") end
end

function TAGS.private(_, block) block.private = true end

-- A comment, line by line -------------------------------------------------------------------------------------------

local function new_block(line)
    return { line = line, text = {}, tags = {}, examples = {}, params = {}, returns = {} }
end

--- Whether a line ends within a table type, but not after a comma.
local function is_broken(text)
    local open = select(2, text:gsub("{", "")) - select(2, text:gsub("}", ""))
    return open > 0 and not text:find "[,;{]$"
end

--- Splits the lines into text, tags with their continuation lines, and examples.
local function sort_lines(reader, block, lines)
    local tag, example
    for i, line in ipairs(lines) do
        local name, rest = line:match "^%-%-%-@(%a+)%s*(.-)%s*$"
        local shown = line:match "^%-%-%s?Example:%s*(.-)%s*$"
        local said = line:match "^%-%-%-%s?(.-)%s*$"
        if name then
            tag = { name = name, text = rest, line = block.line + i - 1 }
            block.tags[#block.tags + 1] = tag
        elseif shown then
            example = #block.examples + 1
            block.examples[example] = shown
        elseif example then
            block.examples[example] = block.examples[example] .. "\n" .. line:gsub("^%-%-+%s?", "")
        elseif said and tag then
            if is_broken(tag.text) then
                wrong(reader, block.line + i - 1, "a line may end behind a comma only, inside of { }")
            end
            tag.text = append(tag.text, (said:gsub("^%s+", "")))
        else
            block.text[#block.text + 1] = said or line:match "^%-%-%s?(.-)%s*$"
        end
    end
    block.text = table.concat(block.text, "\n")
end

local function finish(reader, block, lines)
    sort_lines(reader, block, lines)
    for _, tag in ipairs(block.tags) do
        local read = TAGS[tag.name]
        if read then
            read(reader, block, tag)
        else
            wrong(reader, tag.line, "unknown annotation @" .. tag.name)
        end
    end
    return block
end

--- Returns the parameter names of a function definition, without `self`.
local function params_of(code)
    local list = code:match "^%s*local%s+function%s+[%w_]+%s*%((.-)%)"
        or code:match "^%s*function%s+[%w_%.:]+%s*%((.-)%)" or code:match "=%s*function%s*%((.-)%)"
    if not list then return nil end
    local names = {}
    for name in list:gmatch "[^%s,]+" do names[#names + 1] = name end
    return names
end

local function lines_of(text)
    local list = {}
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do list[#list + 1] = line end
    return list
end

--- Parses the comment that begins at line `from`. Returns the first line after it.
local function take(reader, all, from)
    local lines, to = {}, from
    while all[to] and all[to]:find "^%s*%-%-" do
        lines[#lines + 1] = all[to]:gsub("^%s+", "")
        to = to + 1
    end
    local block = finish(reader, new_block(from), lines)
    block.file, block.code_line, block.code = reader.file, to, all[to] or ""
    block.real_params = params_of(block.code)
    if from == 1 then reader.about = block end
    reader.blocks[#reader.blocks + 1] = block
    reader.by_line[to] = block
    return to
end

--- Parses a file. Only comments that begin with three hyphens are read.
---@param file string the path
---@param text? string content of the file, if already read
---@return { blocks: table[], by_line: table, classes: table[], problems: table[], about: table? } read
---  by_line: comments by the line of the following code; about: the first comment of the file
-- Example: `comments.read("lua/flux2/init.lua").by_line[40]`
function comments.read(file, text)
    text = text or assert(read_file(file))
    local reader = { file = file, blocks = {}, by_line = {}, classes = {}, problems = {} }
    local all, i, long = lines_of(text), 1, nil
    while i <= #all do
        local line = all[i]
        if long then -- within a long string
            if line:find("]" .. long .. "]", 1, true) then long = nil end
        elseif line:find "^%s*%-%-%-" then
            i = take(reader, all, i) - 1
        else
            long = line:match "%[(=*)%[[^%]]*$"
        end
        i = i + 1
    end
    return reader
end

return comments
