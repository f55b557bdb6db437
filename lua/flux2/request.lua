--- Checks a request against the fields of the provider, makes the body, and calculates the price.
-- The caller's tables are neither changed nor kept. `provider` is always a result of providers.resolve.

local core = require "flux2.core"
local errors = require "flux2.errors"
local json = require "flux2.json"
local suggest = require "flux2.suggest"
local tables = require "flux2.tables"
local text = require "flux2.text"
local url = require "flux2.url"
local validate = require "flux2.validate"

local request = {}

---@class flux2.Request A request to the default provider. A string stands for a request with only a prompt.
---@field prompt string the description of the image: 3 to 5000 characters
---@field model? "flux-2" the default
---@field aspect_ratio? string width to height as "W:H", whole numbers from 1 to 9999, or with input images "auto";
---  default "1:1"
---@field type? "pro"|"flex" "pro", the default: higher quality; "flex": faster and cheaper
---@field resolution? "1K"|"2K" default "1K"
---@field input_urls? string[] 1 to 8 http(s) URLs of images to start from
---@field input_images? (string|flux2.Image|{ bytes: string|flux2.Buffer })[] further images to start from: paths of
---  files, images of results, and bytes
---@field extra? table<string, any> further fields, which are sent unchanged

-- Options of the call, for a hint to those who put them into the request.
local OPTIONS = tables.set {
    "concurrency", "on_done", "on_progress", "on_request", "on_status", "ordered", "price", "save", "timeout",
}

local function invalid(field, message, index)
    return nil, errors.new("invalid_request", message, { field = field, index = index })
end

local function must_be(name, what, value)
    return name .. " must be " .. what .. ", got " .. text.show(value)
end

-- Types of fields -----------------------------------------------------------------------------------------------------

-- By type, of the field, its value, and the request: returns a message about an invalid value, and its place in a list;
-- nil if the value is valid.
local CHECKS = {}

local function word_message(field, value)
    local message = must_be(field.name, text.choice(field.allowed), value)
    if type(value) ~= "string" then return message end
    for _, word in ipairs(field.allowed) do
        if value:lower() == word:lower() then return message .. ": did you mean '" .. word .. "'?" end
    end
    local near = suggest.nearest(value, field.allowed)
    return near and message .. ": did you mean '" .. near .. "'?" or message
end

function CHECKS.word(field, value)
    for _, word in ipairs(field.allowed) do
        if value == word then return nil end
    end
    return word_message(field, value)
end

local function range(field)
    return text.number(field.min) .. " to " .. text.number(field.max)
end

function CHECKS.text(field, value)
    if type(value) ~= "string" then
        return must_be(field.name, "a string of " .. range(field) .. " characters", value)
    end
    local count, position = text.length(value)
    if not count then return field.name .. " is not valid UTF-8: byte " .. position .. " does not belong there" end
    if count >= field.min and count <= field.max then return nil end
    return field.name .. " must have " .. range(field) .. " characters, has " .. count
end

function CHECKS.ratio(field, value, given)
    local rule = "'W:H', two whole numbers from 1 to 9999 such as '16:9'"
    if type(value) ~= "string" then return must_be(field.name, rule, value) end
    if value:find("^[1-9]%d?%d?%d?:[1-9]%d?%d?%d?$") then return nil end
    if value == "auto" and field.auto then
        if given[field.auto] ~= nil then return nil end
        return field.name .. " 'auto' is the ratio of the input images: it needs " .. field.auto
    end
    local message = must_be(field.name, rule, value)
    local width, height = value:match("^%s*([1-9]%d?%d?%d?)%s*[xX*/:]%s*([1-9]%d?%d?%d?)%s*$")
    if width then message = message .. ": did you mean '" .. width .. ":" .. height .. "'?" end
    return message
end

function CHECKS.integer(field, value)
    local multiple = field.multiple or 1
    local is_whole = type(value) == "number" and value % multiple == 0
    if is_whole and value >= field.min and value <= field.max then return nil end
    local what = field.multiple and "a multiple of " .. text.number(multiple) or "a whole number"
    return must_be(field.name, what .. " from " .. range(field), value)
end

function CHECKS.boolean(field, value)
    if type(value) ~= "boolean" then return must_be(field.name, "true or false", value) end
end

local function check_url(name, i, value)
    local ok, reason = url.check(value)
    return not ok and name .. "[" .. i .. "] must be an http(s) URL, got " .. text.show(value) .. ": " .. reason or nil
end

function CHECKS.urls(field, list)
    local name, rule = field.name, "1 to " .. text.number(field.max) .. " URLs"
    if type(list) == "string" then
        return name .. " must be an array of URLs, got one string: write " .. name .. " = { " .. text.show(list) .. " }"
    end
    if type(list) ~= "table" then return must_be(name, "an array of " .. rule, list) end
    local count, message, index = validate.array(name, "URLs", list)
    if not count then return message, index end
    if count == 0 then return name .. " is empty: give " .. rule .. ", or leave it out" end
    if count > field.max then
        return name .. " holds " .. count .. " URLs, at most " .. text.number(field.max) .. " are allowed"
    end
    for i = 1, count do
        local wrong = check_url(name, i, rawget(list, i))
        if wrong then return wrong, i end
    end
end

--- Returns a message about an invalid value of a field, and its place in a list; nil if the value is valid.
---@param field table of the provider
---@param value any
---@param given? table the request
---@return string? message begins with the name of the field
---@return integer? index
function request.check(field, value, given)
    return CHECKS[field.type](field, value, given or {})
end

-- Names ---------------------------------------------------------------------------------------------------------------

local function unknown_message(provider, name)
    if name == 1 then return "unknown field 1: did you mean prompt? Write { prompt = \"...\" }" end
    local message = "unknown field " .. text.show(name)
    if type(name) == "string" then
        if OPTIONS[name] then return message .. ": it is an option and belongs in the call's second argument" end
        local near = provider.also[name:lower()] or suggest.nearest(name, provider.field_names)
            or suggest.nearest(name, { "extra" })
        if near then return message .. ": did you mean " .. near .. "?" end
    end
    return message .. ": allowed are " .. table.concat(provider.field_names, ", ")
        .. "; what must be sent anyway goes in extra = { ... }"
end

-- Names of a request that are no fields of a provider. flux2.input_images replaces the second one.
local FURTHER = { extra = true, input_images = true }

--- Returns the first unknown name, in a fixed order.
local function find_unknown(provider, given)
    local found
    for name in next, given do
        if not provider.by_name[name] and not FURTHER[name] and (found == nil or tostring(name) < tostring(found)) then
            found = name
        end
    end
    return found
end

--- Merges `extra` into the payload. Returns a message if it is invalid.
local function merge_extra(provider, payload, extra)
    if type(extra) ~= "table" then return must_be("extra", "a table of fields to send", extra) end
    for name in next, extra do
        if type(name) ~= "string" then return "extra must have names as keys, has the key " .. text.show(name) end
        if provider.by_name[name] then
            return "extra may not hold " .. name .. ": it is a documented field, set it in the request itself"
        end
    end
    local copy, reason = json.copy(extra, "extra")
    if not copy then return reason end
    for name, value in next, copy do payload[name] = value end
end

-- Requests ------------------------------------------------------------------------------------------------------------

local function copy_list(value)
    return type(value) == "table" and tables.merge({}, value) or value
end

--- Returns a copy of a request, with the fields that its metatable adds.
---@param provider table
---@param given table
---@return table copy
function request.copy(provider, given)
    local copy = tables.merge({}, given)
    for _, name in ipairs(provider.field_names) do copy[name] = given[name] end
    copy.extra = given.extra
    return copy
end

--- Returns the request as a table. Raises an error unless it is a string or a table.
local function to_table(given, level)
    if type(given) == "string" then return { prompt = given } end
    if type(given) == "table" then return given end
    error("flux2: a prompt (string) or a request (table) is needed, got " .. type(given), level + 1)
end

local function missing_message(field)
    return field.name .. " is missing: " .. field.meaning
end

--- Returns an error for each invalid value, for a form. `build` returns the first one.
---@param provider table
---@param given table
---@return flux2.Error[] list kind "invalid_request", with `field` (and `index` within a list)
function request.problems(provider, given)
    local list = {}
    local function add(field, message, index)
        if message then list[#list + 1] = select(2, invalid(field.name, message, index)) end
    end
    for _, field in ipairs(provider.fields) do
        local value = given[field.name]
        local message, index
        if value ~= nil then message, index = request.check(field, value, given) end
        if index then
            for i = index, #value do add(field, check_url(field.name, i, value[i]), i) end
        else
            add(field, message or value == nil and field.required and missing_message(field))
        end
    end
    return list
end

--- Checks a request and makes the payload: the fields that the caller set, those that are always sent, and `extra`.
---@param provider table
---@param given string|flux2.Request a prompt, or a request
---@param level? integer the level of `error` for an argument of another type; 1 is the caller
---@return table? payload ready for request.encode
---@return flux2.Error? err kind "invalid_request", with `field` (and `index` within a list)
-- Example: `request.build(provider, { prompt = "a red fox", type = "flex" })`
function request.build(provider, given, level)
    given = to_table(given, (level or 1) + 1)
    local unknown = find_unknown(provider, given)
    if unknown ~= nil then return invalid(unknown, unknown_message(provider, unknown)) end
    local payload = {}
    for _, field in ipairs(provider.fields) do
        local value = given[field.name]
        if value ~= nil then
            local message, index = request.check(field, value, given)
            if message then return invalid(field.name, message, index) end
            payload[field.name] = copy_list(value)
        elseif field.required then
            return invalid(field.name, missing_message(field))
        elseif field.always then
            payload[field.name] = copy_list(field.default)
        end
    end
    if provider.check then
        local message, field = provider.check(payload)
        if message then return invalid(field, message) end
    end
    payload.input_images = copy_list(given.input_images)
    if given.extra ~= nil then
        local message = merge_extra(provider, payload, given.extra)
        if message then return invalid("extra", message) end
    end
    return payload
end

--- Returns the result of provider.body, with the `extra` fields.
local function custom_body(provider, payload)
    local known = {}
    for _, name in ipairs(provider.field_names) do known[name] = copy_list(payload[name]) end
    local body, reason = provider.body(known)
    if type(body) ~= "table" then return nil, tostring(reason or "provider.body gave no table") end
    for name, value in next, payload do
        if not provider.by_name[name] and body[name] == nil then body[name] = value end
    end
    return body
end

--- Encodes the body to send.
---@param provider table
---@param payload table from request.build
---@return string? body JSON
---@return flux2.Error? err kind "invalid_request" for a value that JSON cannot represent
function request.encode(provider, payload)
    local body, reason
    if provider.body then
        body, reason = custom_body(provider, payload)
        if body then body, reason = json.encode(body, "request") end
    else
        body, reason = json.write(payload) -- request.build has checked it
    end
    if not body then return invalid(nil, reason) end
    return body
end

--- Returns the path of a submission, without the root.
---@param provider table
---@param payload table from request.build
---@return string
function request.path(provider, payload)
    local submit = provider.routes.submit
    if type(submit) ~= "function" then
        if not submit:find("{", 1, true) then return submit end
        return (submit:gsub("{(.-)}", function(name)
            return core.escape(payload[name] or provider.by_name[name].default)
        end))
    end
    local path = submit(payload)
    if type(path) == "string" and path:find "^/[%w%-._~!$&'()*+,;=:@/?%%]*$" then return path end
    error("provider.routes.submit must give a path such as '/images', not " .. text.show(path), 0)
end

--- Returns the kind of a task. Tasks of one kind take about the same time.
---@param provider table
---@param payload table
---@return string
function request.kind(provider, payload)
    local parts = {}
    for _, field in ipairs(provider.fields) do
        local value = payload[field.name]
        if field.type == "word" then parts[#parts + 1] = value or field.default or "" end
        if field.type == "urls" and value then parts[#parts + 1] = field.name end
    end
    return table.concat(parts, " ")
end

-- Prices --------------------------------------------------------------------------------------------------------------

--- Calls a price function, which may rely on a valid request.
local function calculate(provider, row, given)
    for _, field in ipairs(provider.fields) do
        local value = given[field.name]
        local message = value ~= nil and request.check(field, value, given)
        if message then return nil, message end
    end
    local credits, reason = row.credits(given)
    if not credits or validate.kinds.credits[1](credits) then return credits or nil, reason end
    return nil, "its price must be " .. validate.kinds.credits[2] .. ", not " .. text.show(credits)
end

local function fits(row, values)
    for name, value in next, row do
        if name ~= "credits" and values[name] ~= value then return false end
    end
    return true
end

--- Returns the request with a value in the field of input images, if it has local ones.
local function with_inputs(provider, given)
    if given.input_images == nil then return given end
    local copy = request.copy(provider, given)
    for _, field in ipairs(provider.fields) do
        if field.type == "urls" then copy[field.name] = copy[field.name] or { "https://flux2-input.invalid" } end
    end
    return copy
end

--- Estimates the price of a request, from the provider's prices only.
---@param provider table
---@param given string|table a prompt, or a request; only the fields in the prices matter
---@param level? integer the level of `error` for an argument of another type; 1 is the caller
---@return number? credits
---@return string? reason why there is no price
---@return string? source of the price
-- Example: `request.price(provider, { type = "flex" })`
function request.price(provider, given, level)
    given = to_table(given, (level or 1) + 1)
    given = with_inputs(provider, given)
    local values, shown = {}, {}
    for i, name in ipairs(provider.price_fields) do
        local field, value = provider.by_name[name], given[name]
        if value == nil then value = field.default end
        if field.allowed and CHECKS.word(field, value) then
            return nil, name .. " must be " .. text.choice(field.allowed)
        end
        values[name], shown[i] = value, tostring(value)
    end
    for _, row in ipairs(provider.prices) do
        if fits(row, values) then
            local credits, reason = row.credits, nil
            if type(credits) == "function" then credits, reason = calculate(provider, row, given) end
            return credits, reason, credits and provider.prices_source
        end
    end
    if #shown == 0 then return nil, "the service publishes no prices" end
    return nil, "the service publishes no price for " .. table.concat(shown, " at ")
end

return request
