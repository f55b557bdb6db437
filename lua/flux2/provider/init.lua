--- Providers: tables that describe services. This module finds, checks and prepares them.
-- No module outside of flux2.provider contains a route, header, field, price, status word or key prefix of a service.

local common = require "flux2.provider.common"
local suggest = require "flux2.suggest"
local tables = require "flux2.tables"
local text = require "flux2.text"
local url = require "flux2.url"
local validate = require "flux2.validate"

local providers = {}

---@class flux2.Provider The option `provider` of flux2.new: describes a service, as data and a few functions. Paths in
---  `response` are dotted; a number in them is a place in an array, from 0.
---@field name string a word, for messages
---@field base_url string the base URL, unless the client or the environment sets another one
---@field root? string the path before every route, such as "/api/v1"; a base URL may end in it
---@field environment? { api_key: string?, base_url: string? } the environment variables of the key and the base URL
---@field headers string[] of every request, at least one with the key: "Authorization: Bearer {key}"
---@field key_prefix? string the beginning of every key, at least 3 characters: such words are removed from every error
---@field routes { submit: string|(fun(request: table): string), task: string? } paths after `root`. `submit` may
---  contain word fields, as in "/draw-{type}", or be a function; `task` contains {id}. Without `task`, a task is polled
---  at the URL in the response to its submission (response.poll_url)
---@field origins? string[] allowed origins of such a URL, besides that of the base URL: "https://api.example", or
---  "https://*.example" for all subdomains. They receive the key
---@field fields flux2.ProviderField[] the fields of a request; one is "prompt"
---@field check? fun(request: table): string?, string? checks fields together: returns what is wrong and the name of the
---  field, or nil
---@field body? fun(request: table): table?, string? returns the JSON to send for a checked request without `extra`,
---  or nil and the reason; default: the request itself
---@field prices? table[] rows of fields and their values, and `credits`: a number, or a function of the request that
---  may return nil and a reason. The first matching row counts
---@field qualities? table<string, table> for flux2.openai: the fields that each word of `quality` stands for
---@field prices_source? string where and when the prices were published, for messages
---@field response? table<string, table> lists of the response schema, instead of those in flux2.provider.common
---@field idempotency_header? string the name of a request header with a random key for each submission. Only for a
---  service that returns the same task for the same key: a submission of unknown outcome is then sent again
---@field upload? { path: string, seconds: number } where the service takes an image of `input_images`: a path after the
---  base URL for a POST with its bytes. The response contains its URL, which is used again for so many seconds
---@field trace_headers? string[] the response headers with a request id, for err.request_id

---@class flux2.ProviderField One field of a request.
---@field name string as in the request
---@field type "text"|"word"|"ratio"|"urls"|"integer"|"boolean" the type of its values
---@field meaning string one line, for messages and forms
---@field required? boolean whether it is required
---@field always? boolean whether the default is sent if the request does not contain the field
---@field default? any the default of the service
---@field allowed? string[] of a word: all values
---@field min? number of a text: characters; of an integer: the smallest
---@field max? number of a text: characters; of URLs: the number; of an integer: the largest
---@field base64? boolean of URLs: the service also takes images in Base64 there, for `input_images`
---@field multiple? number of an integer: a whole number of which it is a multiple
---@field auto? string of a ratio: the name of the field with input images, with which "auto" is allowed
---@field also? string[] names of this field at other services

--- The names of all providers.
providers.names = { "apiin", "bfl", "gateway" }

--- The name of the default provider: FLUX2_PROVIDER in the environment, or API in One. An unknown name there is
--- `providers.unknown`, which flux2.new reports.
providers.default = "apiin"

do
    local chosen = os.getenv "FLUX2_PROVIDER"
    if chosen == "" then chosen = nil end
    providers.unknown = chosen
    for _, name in ipairs(providers.names) do
        if name == chosen then providers.default, providers.unknown = name, nil end
    end
end

-- Checking ------------------------------------------------------------------------------------------------------------

local function is_text(v) return type(v) == "string" and v ~= "" end
local function is_path(v) return type(v) == "string" and v:find "^/[%w%-._~!$&'()*+,;=:@/?{}]*$" ~= nil end
local function is_number(v) return type(v) == "number" and v == v and math.abs(v) < math.huge end

local function is_texts(v)
    local length = type(v) == "table" and tables.length(v)
    for i = 1, length or 0 do
        if not is_text(v[i]) then return false end
    end
    return type(length) == "number"
end

local function is_header(v) return v:find "^[%w!#$&'*+.^_`|~-]+: ?[^%c\127]+$" ~= nil end

local function is_headers(v)
    if not is_texts(v) then return false end
    local holds_key = false
    for _, line in ipairs(v) do
        if not is_header(line) then return false end
        holds_key = holds_key or line:find("{key}", 1, true) ~= nil
    end
    return holds_key
end

--- Plain http would reveal the key on the network. A star needs at least two labels after it.
local function is_origin(v)
    if v:find "^http://127%.0%.0%.1:%d+$" then return true end
    local host = v:match "^https://([%w*.-]+)$" or v:match "^https://([%w*.-]+):%d+$"
    return host ~= nil and (host:find "^%w[%w.-]*$" or host:find "^%*%.%w[%w-]*%.%w[%w.-]*$") ~= nil
end

local function is_origins(v)
    if not is_texts(v) then return false end
    for _, origin in ipairs(v) do
        if not is_origin(origin) then return false end
    end
    return true
end

local TYPES = { "text", "word", "ratio", "urls", "integer", "boolean" }
local IS_TYPE = tables.set(TYPES)

-- The rule of each member: a test, a description for messages, and whether the member is required.
local TEXT, TABLE, BOOLEAN = validate.kinds.string, validate.kinds.table, validate.kinds.boolean
local TEXTS, NUMBER = { is_texts, "a list of strings" }, { is_number, "a number" }

local function required(rule) return { rule[1], rule[2], true } end

local MEMBERS = {
    name = { function(v) return type(v) == "string" and v:find "^[%w][%w_.-]*$" ~= nil end,
        "a word of letters, digits, '-', '_' and '.'", true },
    base_url = { function(v) return (url.check(v)) ~= nil end, "an http(s) URL", true },
    root = { is_path, "a path such as '/v1'" },
    environment = TABLE, routes = required(TABLE), fields = required(TABLE), prices = TABLE, response = TABLE,
    upload = TABLE,
    headers = { is_headers, "a list of headers such as 'x-key: {key}', one of them with {key}", true },
    key_prefix = { function(v) return type(v) == "string" and #v >= 3 and not v:find "[^%w_-]" end,
        "at least 3 letters, digits, '-' or '_'" },
    origins = { is_origins, "a list of origins such as 'https://api.example' or 'https://*.example'" },
    idempotency_header = { function(v) return type(v) == "string" and v:find "^[%w-]+$" ~= nil end,
        "the name of a header such as 'Idempotency-Key'" },
    trace_headers = TEXTS, prices_source = TEXT, qualities = TABLE,
    body = validate.kinds["function"], check = validate.kinds["function"],
}

local ENVIRONMENT = { api_key = TEXT, base_url = TEXT }

local ROUTES = {
    submit = { function(v) return is_path(v) or type(v) == "function" end, "a path such as '/images', or a function",
        true },
    task = { function(v) return is_path(v) and v:find("{id}", 1, true) ~= nil end,
        "a path with {id}, such as '/tasks/{id}'" },
}

local UPLOAD = {
    path = required { is_path, "a path such as '/uploads'" },
    seconds = required { function(v) return is_number(v) and v > 0 end, "a number of seconds" },
}

local FIELD = {
    name = required(TEXT), meaning = required(TEXT), also = TEXTS,
    allowed = { function(v) return is_texts(v) and #v > 0 end, "a list of one or more strings" },
    type = { function(v) return IS_TYPE[v] end, text.choice(TYPES), true },
    required = BOOLEAN, always = BOOLEAN, base64 = BOOLEAN, min = NUMBER, max = NUMBER, auto = TEXT,
    multiple = { function(v) return is_number(v) and v > 0 end, "a number above 0" },
    default = { function(v) return v ~= nil end, "a value" },
}

--- The members of a provider and of a field, by name; for the check of the documentation.
providers.known = { provider = MEMBERS, field = FIELD }

--- The further required members of a field, by type.
local NEEDS = { text = { "min", "max" }, word = { "allowed" }, urls = { "max" }, integer = { "min", "max" } }

--- The types of the values of a field, by its type.
local VALUES = {
    text = "string", word = "string", ratio = "string", urls = "table", integer = "number", boolean = "boolean",
}

local RESPONSE = {}
for name, list in pairs(common.response) do
    RESPONSE[name] = type(list[1]) == "table" and TABLE or TEXTS
end
RESPONSE.code_ok = TABLE

local function must_be(path, what, value)
    return path .. " must be " .. what .. ", not " .. text.show(value)
end

--- Returns a message about the first invalid member of a table, nil if there is none.
local function check_members(path, given, rules)
    for _, name in ipairs(tables.names(given)) do
        if not rules[name] then return path .. ": unknown field " .. suggest.unknown(name, rules) end
    end
    for _, name in ipairs(tables.names(rules)) do
        local rule, value = rules[name], given[name]
        local is_wrong = value == nil and rule[3] or value ~= nil and not rule[1](value)
        if is_wrong then return must_be(path .. "." .. name, rule[2], value) end
    end
end

--- An entry of hints or type_hints.
local HINT = { kind = required(TEXT), words = required(TEXTS) }

local function check_hints(response)
    for _, name in ipairs { "hints", "type_hints" } do
        for i, hint in ipairs(response[name] or {}) do
            local path = ("provider.response.%s[%d]"):format(name, i)
            local wrong = type(hint) ~= "table" and must_be(path, "a table", hint) or check_members(path, hint, HINT)
            if wrong then return wrong end
        end
    end
end

local function check_field(path, field)
    if type(field) ~= "table" then return must_be(path, "a table", field) end
    local wrong = check_members(path, field, FIELD)
    if wrong then return wrong end
    for _, name in ipairs(NEEDS[field.type] or {}) do
        if field[name] == nil then return must_be(path .. "." .. name, FIELD[name][2], nil) end
    end
    if field.always and field.default == nil then return must_be(path .. ".default", FIELD.default[2], nil) end
    local is_value = field.default == nil or type(field.default) == VALUES[field.type]
    if field.type == "word" and field.default ~= nil then is_value = tables.set(field.allowed)[field.default] end
    if not is_value then return must_be(path .. ".default", "a value of this field", field.default) end
end

local function check_fields(list)
    local seen = {}
    local length, reason = validate.array("provider.fields", "tables", list)
    if not length then return reason end
    for i, field in ipairs(list) do
        local path = ("provider.fields[%d]"):format(i)
        local wrong = check_field(path, field)
        if wrong then return wrong end
        if seen[field.name] or field.name == "extra" then
            return path .. ".name must be a name of its own, not " .. text.show(field.name)
        end
        seen[field.name] = true
    end
    if not seen.prompt then return "provider.fields must hold one with the name 'prompt'" end
end

local function check_names(path, values, by_name)
    for _, name in ipairs(tables.names(values)) do
        if name ~= "credits" and not by_name[name] then
            return path .. ": unknown field " .. text.show(name) .. ": it is in none of provider.fields"
        end
    end
end

local function check_prices(prices, by_name)
    local length, reason = validate.array("provider.prices", "tables", prices)
    if not length then return reason end
    for i, row in ipairs(prices) do
        local path = ("provider.prices[%d]"):format(i)
        if type(row) ~= "table" then return must_be(path, "a table", row) end
        local credits = row.credits
        if type(credits) ~= "function" and not (is_number(credits) and credits >= 0) then
            return must_be(path .. ".credits", "a number of credits, 0 or more, or a function", credits)
        end
        local wrong = check_names(path, row, by_name)
        if wrong then return wrong end
    end
end

local function check_qualities(qualities, by_name)
    for _, word in ipairs(tables.names(qualities)) do
        local path, values = "provider.qualities[" .. text.show(word) .. "]", qualities[word]
        if type(values) ~= "table" then return must_be(path, "a table of fields and their values", values) end
        local wrong = check_names(path, values, by_name)
        if wrong then return wrong end
    end
end

local function index_by_name(fields)
    local by_name = {}
    for _, field in ipairs(fields) do by_name[field.name] = field end
    return by_name
end

--- A field in the path of a submission has to be a word that every request has, so that it is a valid path.
local function check_submit(submit, by_name)
    if type(submit) ~= "string" then return nil end
    for name in submit:gmatch "{(.-)}" do
        local field = by_name[name]
        if not (field and field.type == "word" and (field.required or field.default)) then
            return "provider.routes.submit: {" .. name .. "} must name a field of type 'word' with a default"
        end
    end
end

local function check(given)
    local wrong = check_members("provider", given, MEMBERS)
        or check_members("provider.environment", given.environment or {}, ENVIRONMENT)
        or check_members("provider.routes", given.routes, ROUTES)
        or given.upload and check_members("provider.upload", given.upload, UPLOAD)
        or check_members("provider.response", given.response or {}, RESPONSE)
        or check_hints(given.response or {})
        or check_fields(given.fields)
    if wrong then return wrong end
    local by_name = index_by_name(given.fields)
    return check_submit(given.routes.submit, by_name) or check_prices(given.prices or {}, by_name)
        or check_qualities(given.qualities or {}, by_name)
end

-- Preparing -----------------------------------------------------------------------------------------------------------

--- Patterns of keys: their prefixes, and the words before them, such as an HTTP authentication scheme and a space.
--- flux2.errors removes such keys from texts, but not the names of the `variables` that hold keys.
---@type { prefixes: string[], words: string[], variables: table<string, true> }
providers.secrets = { prefixes = {}, words = {}, variables = {} }

local function add_once(list, value)
    for _, known in ipairs(list) do
        if known == value then return end
    end
    list[#list + 1] = value
end

--- "[aA][bB]_" for "ab_".
local function in_any_case(s)
    return (s:gsub("%W", "%%%0"):gsub("%a", function(c) return "[" .. c:lower() .. c:upper() .. "]" end))
end

local function add_secrets(provider)
    for _, name in pairs(provider.environment) do providers.secrets.variables[name] = true end
    if provider.key_prefix then add_once(providers.secrets.prefixes, in_any_case(provider.key_prefix)) end
    for _, line in ipairs(provider.headers) do
        local word = line:match "(%S+)%s+{key}$"
        local blank = word and word:find ":$" and "%s*" or "%s+"
        if word then add_once(providers.secrets.words, "(" .. in_any_case(word) .. ")(" .. blank .. ")") end
    end
end

local function copy(value)
    if type(value) ~= "table" then return value end
    local out = {}
    for name, member in pairs(value) do out[name] = copy(member) end
    return out
end

--- Returns the names of the fields in the prices, in the order of the fields.
local function price_fields(provider)
    local names = {}
    for _, field in ipairs(provider.fields) do
        for _, row in ipairs(provider.prices) do
            if row[field.name] ~= nil then
                names[#names + 1] = field.name
                break
            end
        end
    end
    return names
end

--- Returns a copy of a checked provider, which may be based on another one by its metatable, with the members that are
--- derived from it.
local function prepare(given)
    local provider = {}
    for name in pairs(MEMBERS) do provider[name] = copy(given[name]) end
    provider.root, provider.environment = provider.root or "", provider.environment or {}
    provider.prices, provider.origins = provider.prices or {}, provider.origins or {}
    provider.trace_headers = provider.trace_headers or common.trace_headers
    provider.response = tables.merge({}, common.response, provider.response)
    provider.by_name, provider.field_names, provider.also = index_by_name(provider.fields), {}, {}
    for i, field in ipairs(provider.fields) do
        provider.field_names[i] = field.name
        for _, name in ipairs(field.also or {}) do provider.also[name] = field.name end
    end
    provider.price_fields = price_fields(provider)
    provider.prices_source = provider.prices_source or "the prices of provider " .. provider.name
    add_secrets(provider)
    return provider
end

--- Returns a prepared provider with other prices.
---@param provider table from providers.resolve
---@param prices table[] as in flux2.Provider
---@return table? provider
---@return string? reason why the prices are invalid
-- Example: `local cheap = assert(providers.with_prices(provider, { { type = "flex", credits = 1 } }))`
function providers.with_prices(provider, prices)
    local wrong = check_prices(prices, provider.by_name)
    if wrong then return nil, (wrong:gsub("^provider%.", "")) end
    local changed = tables.merge({}, provider)
    changed.prices, changed.prices_source = copy(prices), "the option prices"
    changed.price_fields = price_fields(changed)
    return changed
end

local prepared = {} -- by name

--- Returns the prepared provider for a name or a table.
---@param given? string|flux2.Provider without it, the default
---@return table? provider with `by_name`, `field_names`, `also`, `price_fields`, and a complete `response`
---@return string? reason why it is invalid
-- Example: `local provider = assert(providers.resolve "apiin")`
function providers.resolve(given)
    if given == nil then given = providers.default end
    if type(given) == "table" then
        local wrong = check(given)
        if wrong then return nil, wrong end
        return prepare(given)
    end
    for _, name in ipairs(providers.names) do
        if name == given then
            prepared[name] = prepared[name] or prepare(require("flux2.provider." .. name))
            return prepared[name]
        end
    end
    local near = type(given) == "string" and suggest.nearest(given, providers.names)
    local hint = near and "did you mean " .. text.show(near) .. "?"
        or "known are " .. table.concat(providers.names, ", ") .. ", and a table describes another one"
    return nil, "unknown provider " .. text.show(given) .. ": " .. hint
end

-- flux2.errors removes the keys of all providers from the beginning.
for _, name in ipairs(providers.names) do providers.resolve(name) end

return providers
