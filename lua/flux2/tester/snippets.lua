--- Converts a request to JSON, a curl command and a Lua program. All are complete; none contains a key, unless it is
--- given: that of an emulator.

local json = require "flux2.json"
local providers = require "flux2.provider"
local request = require "flux2.request"
local text = require "flux2.text"

local snippets = {}

local INDENT = "  "

local function scalar(value)
    return assert(json.readable(value, "a value"))
end

--- The field names in the order of the documentation, then extra fields sorted by name.
local function names_of(provider, payload)
    local names, extra = {}, {}
    for _, name in ipairs(provider.field_names) do
        if payload[name] ~= nil then names[#names + 1] = name end
    end
    for name in pairs(payload) do
        if not provider.by_name[name] then extra[#extra + 1] = name end
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
---@param provider table as providers.resolve returns it
---@param payload table as request.build returns it
---@return string
function snippets.json(provider, payload)
    local lines, body = {}, payload
    if provider.body then body = json.decode(assert(request.encode(provider, payload))) end
    for i, name in ipairs(names_of(provider, body)) do
        local value = body[name]
        local is_list = type(value) == "table" and #value > 0
        lines[i] = INDENT .. scalar(name) .. ": " .. (is_list and list(value, INDENT) or scalar(value))
    end
    return "{\n" .. table.concat(lines, ",\n") .. "\n}"
end

local function shell(s)
    return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- The headers of the provider; without a key with the variable that holds it.
local function add_headers(lines, provider, key)
    for _, line in ipairs(provider.headers) do
        local before, behind = line:match "^(.*){key}(.*)$"
        local quoted = shell(line:gsub("{key}", function() return key or "" end))
        if before and not key then
            quoted = '"' .. before:gsub('["\\$`]', "\\%0") .. "$" .. (provider.environment.api_key or "API_KEY") ..
                behind:gsub('["\\$`]', "\\%0") .. '"'
        end
        lines[#lines + 1] = "  -H " .. quoted
    end
end

--- For a POSIX shell.
---@param provider table
---@param payload table
---@param base_url string
---@param key? string by default what the provider's environment variable holds
---@return string
function snippets.curl(provider, payload, base_url, key)
    local lines = { "curl -X POST " .. shell(base_url .. provider.root .. request.path(provider, payload)) }
    add_headers(lines, provider, key)
    lines[#lines + 1] = "  -H 'Content-Type: application/json'"
    lines[#lines + 1] = "  -d " .. shell(snippets.json(provider, payload))
    return table.concat(lines, " \\\n")
end

--- The same for one poll.
---@param provider table with a route for tasks
---@param id string
---@param base_url string
---@param key? string
---@return string
function snippets.curl_task(provider, id, base_url, key)
    local lines = { "curl " .. shell(base_url .. provider.root .. provider.routes.task:gsub("{id}", id)) }
    add_headers(lines, provider, key)
    return table.concat(lines, " \\\n")
end

--- A Lua string literal on one line.
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

--- For any Lua with the key in its environment.
---@param provider table
---@param payload table
---@param base_url string
---@param key? string by default what the provider's environment variable holds
---@return string
function snippets.lua(provider, payload, base_url, key)
    local own = provider.name ~= providers.default and "provider = " .. quote(provider.name) .. ", " or ""
    local named = key and ", api_key = " .. quote(key) .. " })"
        or " }) -- the API key: " .. (provider.environment.api_key or "api_key")
    local lines = {
        'local flux2 = require "flux2"',
        "",
        "local client = assert(flux2.new { " .. own .. "base_url = " .. quote(base_url) .. named,
        "local image = assert(client:generate {",
    }
    for _, name in ipairs(names_of(provider, payload)) do
        local value = payload[name]
        local shown = type(value) == "table" and lua_list(value, "    ") or literal(value)
        lines[#lines + 1] = "    " .. name .. " = " .. shown .. ","
    end
    lines[#lines + 1] = "})"
    lines[#lines + 1] = 'assert(image:save "image.png")'
    return table.concat(lines, "\n")
end

return snippets
