--- What to ask: checks a request against the service's documented rules and makes the body to send.
-- Sends nothing. The caller's tables are neither changed nor kept.

if jit then jit.off(true, true) end -- see flux2.scheduler

local errors = require "flux2.errors"
local json = require "flux2.json"
local suggest = require "flux2.suggest"
local text = require "flux2.text"
local url = require "flux2.url"

local request = {}

local MODEL = "flux-2"
local PROMPT_MIN, PROMPT_MAX = 3, 5000 -- code points
local MAX_INPUT_URLS = 8

---@class flux2.Request What a picture is to be. A prompt alone may be given as a string.
---@field prompt string what the picture shows: 3 to 5000 characters
---@field model? "flux-2" filled in for you
---@field aspect_ratio? string width to height as "W:H", whole numbers from 1 to 9999; default "1:1"
---@field type? "pro"|"flex" "pro", the default: higher quality; "flex": faster and cheaper
---@field resolution? "1K"|"2K" default "1K"
---@field input_urls? string[] 1 to 8 http(s) URLs of images to start from
---@field extra? table<string, any> sent as it is, beside the documented fields

--- Every documented field: for checks, documentation and the command line. `also` holds the names under which people
--- coming from other services look for it.
request.fields = {
    {
        name = "model", type = "string", required = false, default = MODEL, allowed = { MODEL },
        meaning = "the model; filled in for you",
    },
    {
        name = "prompt", type = "string", required = true, min = PROMPT_MIN, max = PROMPT_MAX,
        meaning = "what the picture shows: 3 to 5000 characters", also = { "text", "description" },
    },
    {
        name = "aspect_ratio", type = "string", required = false, default = "1:1",
        meaning = "width to height, such as 1:1, 16:9 or 9:16", also = { "ratio", "aspect", "size" },
    },
    {
        name = "type", type = "string", required = false, default = "pro", allowed = { "pro", "flex" },
        meaning = "pro: higher quality; flex: faster and cheaper", also = { "mode", "quality" },
    },
    {
        name = "resolution", type = "string", required = false, default = "1K", allowed = { "1K", "2K" },
        meaning = "1K or 2K",
    },
    {
        name = "input_urls", type = "array", required = false, max = MAX_INPUT_URLS,
        meaning = "URLs of images to start from, at most 8",
        also = { "image_url", "image_urls", "images", "image", "input_images", "urls", "url" },
    },
}

-- What people put into the request although it is an option of the call.
local OPTIONS = { save = true, timeout = true, on_status = true, on_progress = true, concurrency = true, poll = true }

local FIELD, NAMES, ALSO = {}, {}, {}
for _, field in ipairs(request.fields) do
    FIELD[field.name] = field
    NAMES[#NAMES + 1] = field.name
    for _, name in ipairs(field.also or {}) do ALSO[name] = field.name end
end

local function invalid(field, message, index)
    return nil, errors.new("invalid_request", message, { field = field, index = index })
end

local function must_be(name, what, value)
    return name .. " must be " .. what .. ", got " .. text.show(value)
end

--- Whether `value` is one of the field's allowed words; a message with a hint where it is not.
local function check_word(field, value)
    local list = "'" .. table.concat(field.allowed, "' or '") .. "'"
    local message = must_be(field.name, list, value)
    if type(value) ~= "string" then return message end
    for _, word in ipairs(field.allowed) do
        if value == word then return nil end
        if value:lower() == word:lower() then return message .. ": did you mean '" .. word .. "'?" end
    end
    local near = suggest.nearest(value, field.allowed)
    return near and message .. ": did you mean '" .. near .. "'?" or message
end

local function check_prompt(value)
    if type(value) ~= "string" then return must_be("prompt", "a string of 3 to 5000 characters", value) end
    local count, position = text.length(value)
    if not count then return "prompt is not valid UTF-8: byte " .. position .. " does not belong there" end
    if count < PROMPT_MIN or count > PROMPT_MAX then
        return "prompt must have 3 to 5000 characters, has " .. count
    end
end

local function check_aspect_ratio(value)
    local rule = "'W:H', two whole numbers from 1 to 9999 such as '16:9'"
    if type(value) ~= "string" then return must_be("aspect_ratio", rule, value) end
    if value:find("^[1-9]%d?%d?%d?:[1-9]%d?%d?%d?$") then return nil end
    local message = must_be("aspect_ratio", rule, value)
    local width, height = value:match("^%s*([1-9]%d?%d?%d?)%s*[xX*/:]%s*([1-9]%d?%d?%d?)%s*$")
    if width then message = message .. ": did you mean '" .. width .. ":" .. height .. "'?" end
    return message
end

--- Whether the keys of a table are exactly 1 to n; n, or a message and the index it is about.
local function array_length(list)
    local count = 0
    for key in next, list do
        if type(key) ~= "number" then
            return nil, "input_urls must be an array of URLs, has the key " .. text.show(key)
        end
        count = count + 1
    end
    for i = 1, count do
        if rawget(list, i) == nil then
            return nil, "input_urls[" .. i .. "] is missing: an array has no holes", i
        end
    end
    return count
end

local function check_input_urls(list)
    if type(list) == "string" then
        return "input_urls must be an array of URLs, got one string: write input_urls = { " .. text.show(list) .. " }"
    end
    if type(list) ~= "table" then return must_be("input_urls", "an array of 1 to 8 URLs", list) end
    local count, message, index = array_length(list)
    if not count then return message, index end
    if count == 0 then return "input_urls is empty: give 1 to 8 URLs, or leave it out" end
    if count > MAX_INPUT_URLS then return "input_urls holds " .. count .. " URLs, at most 8 are allowed" end
    for i = 1, count do
        local value = rawget(list, i)
        local ok, reason = url.check(value)
        if not ok then
            return "input_urls[" .. i .. "] must be an http(s) URL, got " .. text.show(value) .. ": " .. reason, i
        end
    end
end

local function copy_list(list)
    local copy = {}
    for i, value in next, list do copy[i] = value end
    return copy
end

local CHECKS = { prompt = check_prompt, aspect_ratio = check_aspect_ratio, input_urls = check_input_urls }

local function unknown_message(name)
    if name == 1 then return "unknown field 1: did you mean prompt? Write { prompt = \"...\" }" end
    local message = "unknown field " .. text.show(name)
    if type(name) == "string" then
        if OPTIONS[name] then return message .. ": it is an option and belongs in the call's second argument" end
        local near = ALSO[name:lower()] or suggest.nearest(name, NAMES) or suggest.nearest(name, { "extra" })
        if near then return message .. ": did you mean " .. near .. "?" end
    end
    return message .. ": allowed are " .. table.concat(NAMES, ", ")
        .. "; what must be sent anyway goes in extra = { ... }"
end

--- The first unknown name, in an order that does not change from run to run.
local function find_unknown(given)
    local found
    for name in next, given do
        if not FIELD[name] and name ~= "extra" and (found == nil or tostring(name) < tostring(found)) then
            found = name
        end
    end
    return found
end

--- Merges `extra` into the payload; a message where it cannot be.
local function merge_extra(payload, extra)
    if type(extra) ~= "table" then return must_be("extra", "a table of fields to send", extra) end
    for name in next, extra do
        if type(name) ~= "string" then return "extra must have names as keys, has the key " .. text.show(name) end
        if FIELD[name] then
            return "extra may not hold " .. name .. ": it is a documented field, set it in the request itself"
        end
    end
    local copy, reason = json.copy(extra, "extra")
    if not copy then return reason end
    for name, value in next, copy do payload[name] = value end
end

--- Checks a request and makes the payload to send: `model`, `prompt`, and only those fields that the caller set.
---@param given string|flux2.Request a prompt, or a request
---@param level? integer whose line to blame for an argument that is neither, as in `error`; 1 is the caller
---@return table? payload ready for request.encode
---@return flux2.Error? err kind "invalid_request", with `field` (and `index` within input_urls)
-- Example: `request.build { prompt = "a red fox", type = "flex" }`
function request.build(given, level)
    if type(given) == "string" then given = { prompt = given } end
    if type(given) ~= "table" then
        error("flux2: a prompt (string) or a request (table) is needed, got " .. type(given), (level or 1) + 1)
    end
    local unknown = find_unknown(given)
    if unknown ~= nil then return invalid(unknown, unknown_message(unknown)) end
    local payload = { model = MODEL }
    for i = 1, #request.fields do
        local field = request.fields[i]
        local value = given[field.name]
        if value ~= nil or field.required then
            local message, index
            if value == nil then
                message = field.name .. " is missing: " .. field.meaning
            elseif field.allowed then
                message = check_word(field, value)
            else
                message, index = CHECKS[field.name](value)
            end
            if message then return invalid(field.name, message, index) end
            payload[field.name] = type(value) == "table" and copy_list(value) or value
        end
    end
    if given.extra ~= nil then
        local message = merge_extra(payload, given.extra)
        if message then return invalid("extra", message) end
    end
    return payload
end

--- Encodes a payload as JSON.
---@param payload table
---@param is_built? boolean it is as request.build returned it, and has been checked
---@return string? body
---@return flux2.Error? err kind "invalid_request" for what JSON cannot hold
function request.encode(payload, is_built)
    if type(payload) ~= "table" then return invalid(nil, must_be("the request", "a table", payload)) end
    local body, reason
    if is_built then
        body, reason = json.write(payload)
    else
        body, reason = json.encode(payload, "request")
    end
    if not body then return invalid(nil, reason) end
    return body
end

return request
