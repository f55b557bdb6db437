--- The requests of OpenAI's Images API, as requests of flux2: for flux2.openai and for the gateway.

local errors = require "flux2.errors"
local json = require "flux2.json"
local suggest = require "flux2.suggest"
local tables = require "flux2.tables"
local text = require "flux2.text"

local openai_request = {}

local MAX_IMAGES = 10 -- in one call, as at OpenAI

--- The fields for each `size`: the ratio, and the resolution with the nearest number of pixels.
openai_request.sizes = {
    auto = {},
    ["1024x1024"] = { aspect_ratio = "1:1", resolution = "1K" },
    ["1536x1024"] = { aspect_ratio = "3:2", resolution = "1K" },
    ["1024x1536"] = { aspect_ratio = "2:3", resolution = "1K" },
    ["1792x1024"] = { aspect_ratio = "16:9", resolution = "1K" },
    ["1024x1792"] = { aspect_ratio = "9:16", resolution = "1K" },
    ["2048x2048"] = { aspect_ratio = "1:1", resolution = "2K" },
}

--- The fields for each `quality`. All words but the best mean the cheaper type.
openai_request.qualities = {
    auto = {},
    hd = { type = "pro" }, high = { type = "pro" },
    standard = { type = "flex" }, medium = { type = "flex" }, low = { type = "flex" },
}

local FORMATS = { url = true, b64_json = true }
local OPENAI_FIELDS = { "n", "quality", "response_format", "size", "user" }

--- The fields of OpenAI without a counterpart: the reason, and the value that is accepted because it has no effect.
local REFUSED = {
    background = { "the service has no such setting: describe it in the prompt", "auto" },
    image = { "pass the URLs of input images as input_urls" },
    input_fidelity = { "the service has no such setting" },
    mask = { "the service has no masks" },
    moderation = { "the service has its own moderation", "auto" },
    output_compression = { "the service chooses the compression" },
    output_format = { "the service chooses the format; see image.content_type" },
    partial_images = { "the service sends whole images only", 0 },
    stream = { "responses are not streamed: wait in a coroutine, or use client:submit and task:on", false },
    style = { "the service has no styles: describe it in the prompt" },
}

local IS_OPENAI = tables.set(OPENAI_FIELDS)

-- Requests ------------------------------------------------------------------------------------------------------------

local function invalid(field, message)
    return nil, errors.new("invalid_request", message, { field = field })
end

local function names_of(provider)
    local names = { "extra" }
    for _, list in ipairs { provider.field_names, OPENAI_FIELDS } do
        for _, name in ipairs(list) do names[#names + 1] = name end
    end
    return names
end

local function check_name(provider, name, value)
    if provider.by_name[name] or name == "extra" or IS_OPENAI[name] then return true end
    local refused = REFUSED[name]
    if refused and value == refused[2] then return true end
    if refused then return invalid(name, name .. " is not available: " .. refused[1]) end
    local near = type(name) == "string" and suggest.nearest(name, names_of(provider))
    local hint = near and ": did you mean " .. near .. "?" or "; what must be sent anyway goes in extra = { ... }"
    return invalid(name, "unknown field " .. text.show(name) .. hint)
end

--- Returns the request without JSON nulls, or an error for the first unknown name.
local function check_names(provider, given)
    local request = {}
    for _, name in ipairs(names_of(provider)) do request[name] = given[name] end -- also those of a metatable
    for name, value in next, tables.merge(request, given) do
        if value == json.null then request[name] = nil end
    end
    for _, name in ipairs(tables.names(request)) do
        local ok, err = check_name(provider, name, request[name])
        if not ok then return nil, err end
    end
    return request
end

--- Returns the fields for a size of any number of pixels, if the provider has fields for that.
local function exact_size(provider, word)
    if not (provider.by_name.width and provider.by_name.height) then return nil end
    local width, height = word:match "^([1-9]%d?%d?%d?%d?)x([1-9]%d?%d?%d?%d?)$"
    return width and { width = tonumber(width), height = tonumber(height) }
end

--- Adds the fields for a word of OpenAI to `payload`. A field of the provider with that name has precedence.
local function map_word(provider, payload, request, field, map)
    local word = request[field]
    if word == nil or provider.by_name[field] then return true end
    local meaning = type(word) == "string" and (field == "size" and exact_size(provider, word) or map[word])
    if not meaning then
        local why = field == "size" and "; other shapes: aspect_ratio and resolution" or ""
        local words = text.choice(tables.names(map))
        return invalid(field, field .. " must be " .. words .. ", got " .. text.show(word) .. why)
    end
    for name, value in pairs(meaning) do
        if payload[name] ~= nil then
            return invalid(field, field .. " and " .. name .. " say the same: give one of them")
        end
        payload[name] = value
    end
    return true
end

local function check_count(n)
    if n == nil then return 1 end
    if type(n) ~= "number" or n % 1 ~= 0 or n < 1 or n > MAX_IMAGES then
        return invalid("n", "n must be a whole number from 1 to " .. MAX_IMAGES .. ", got " .. text.show(n))
    end
    return n
end

--- Returns the request for the client, the number of images, and their format.
---@param given table
---@param provider table as from providers.resolve
---@return { payload: table, count: integer, as_base64: boolean }? wanted
---@return flux2.Error? err kind "invalid_request"
function openai_request.translate(given, provider)
    local request, err = check_names(provider, given)
    if not request then return nil, err end
    local payload = { extra = request.extra }
    for _, name in ipairs(provider.field_names) do payload[name] = request[name] end
    local ok, count
    ok, err = map_word(provider, payload, request, "size", openai_request.sizes)
    if ok then
        local qualities = provider.qualities or openai_request.qualities
        ok, err = map_word(provider, payload, request, "quality", qualities)
    end
    if ok then count, err = check_count(request.n) end
    if not count then return nil, err end
    local format = request.response_format
    if format == nil then format = "url" end
    if not FORMATS[format] then
        return invalid("response_format", "response_format must be 'url' or 'b64_json', got " .. text.show(format))
    end
    if request.user ~= nil and type(request.user) ~= "string" then
        return invalid("user", "user must be a string, got " .. text.show(request.user))
    end
    return { payload = payload, count = count, as_base64 = format == "b64_json" }
end

return openai_request
