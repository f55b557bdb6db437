--- The same request in other words: raw JSON, curl, Lua. Each can be run as it stands; none holds the key.
-- A leaf: text from a payload, nothing else.

local json = require "flux2.json"
local request = require "flux2.request"
local text = require "flux2.text"

local snippets = {}

local INDENT = "  "

--- cjson escapes every slash, which is right and hard to read.
local function scalar(value)
    local encoded = assert(json.encode(value, "a value"))
    return (encoded:gsub("\\(.)", function(c) return c == "/" and "/" or nil end))
end

--- The names in the order of the documentation, then what is extra by name.
local function names_of(payload)
    local names, known = {}, {}
    for _, field in ipairs(request.fields) do
        known[field.name] = true
        if payload[field.name] ~= nil then names[#names + 1] = field.name end
    end
    local extra = {}
    for name in pairs(payload) do
        if not known[name] then extra[#extra + 1] = name end
    end
    table.sort(extra)
    for _, name in ipairs(extra) do names[#names + 1] = name end
    return names
end

local function list(values, indent)
    local lines = {}
    for i, value in ipairs(values) do lines[i] = indent .. INDENT .. scalar(value) end
    return "[\n" .. table.concat(lines, ",\n") .. "\n" .. indent .. "]"
end

--- The body of the submission.
---@param payload table as request.build returns it
---@return string
function snippets.json(payload)
    local lines = {}
    for i, name in ipairs(names_of(payload)) do
        local value = payload[name]
        local is_list = type(value) == "table" and #value > 0
        lines[i] = INDENT .. scalar(name) .. ": " .. (is_list and list(value, INDENT) or scalar(value))
    end
    return "{\n" .. table.concat(lines, ",\n") .. "\n}"
end

local function shell(s)
    return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- For a POSIX shell with FLUX2_API_KEY in its environment.
---@param payload table
---@param base_url string
---@return string
function snippets.curl(payload, base_url)
    return table.concat({
        "curl -X POST " .. shell(base_url .. "/api/v1/images/generations"),
        '  -H "Authorization: Bearer $FLUX2_API_KEY"',
        "  -H 'Content-Type: application/json'",
        "  -d " .. shell(snippets.json(payload)),
    }, " \\\n")
end

--- A string of Lua on one line.
local function quote(s)
    s = s:gsub('[%c"\\]', function(c)
        if c == '"' or c == "\\" then return "\\" .. c end
        if c == "\n" then return "\\n" end
        return ("\\%03d"):format(c:byte())
    end)
    return '"' .. s .. '"'
end

local function literal(value)
    if type(value) == "string" then return quote(value) end
    if type(value) == "number" then return text.number(value) end
    return tostring(value)
end

local function lua_list(values, indent)
    local lines = {}
    for i, value in ipairs(values) do lines[i] = indent .. "    " .. literal(value) .. "," end
    return "{\n" .. table.concat(lines, "\n") .. "\n" .. indent .. "}"
end

--- For any Lua with FLUX2_API_KEY in its environment.
---@param payload table
---@param base_url string
---@return string
function snippets.lua(payload, base_url)
    local lines = {
        'local flux2 = require "flux2"',
        "",
        "local client = assert(flux2.new { base_url = " .. quote(base_url) .. " }) -- the key: FLUX2_API_KEY",
        "local image = assert(client:generate {",
    }
    for _, name in ipairs(names_of(payload)) do
        local value = payload[name]
        local shown = type(value) == "table" and lua_list(value, "    ") or literal(value)
        lines[#lines + 1] = "    " .. name .. " = " .. shown .. ","
    end
    lines[#lines + 1] = "})"
    lines[#lines + 1] = 'assert(image:save "picture.png")'
    return table.concat(lines, "\n")
end

return snippets
