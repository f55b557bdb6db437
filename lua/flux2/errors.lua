--- The error object: every `nil, err` of flux2 returns one. `err.kind` is for code, `tostring(err)` for people.
-- The kinds of errors, and the removal of API keys from texts.

local providers = require "flux2.provider"
local tables = require "flux2.tables"
local text = require "flux2.text"

local errors = {}

---@class flux2.Error The error of every `nil, err`; `tostring(err)` is one line for people, without the key.
---@field kind string one of `errors.kinds`
---@field message string one line, bounded, without the key
---@field status? integer HTTP status
---@field code? integer|string the error code of the service, often the HTTP status
---@field type? string the error type of the service
---@field task_id? string the task; client:task polls it again
---@field paid? boolean true if the service accepted the task and did not report a failure: its image is paid for, and
---  client:task(err.task_id) or client:recover can fetch it
---@field request_id? string the request id of the service, for its support
---@field attempts? integer the number of attempts
---@field retryable boolean whether the same call may succeed later
---@field retry_after? number seconds that the service asks to wait
---@field field? string the invalid field of the request
---@field index? integer the place in a list: of input_urls, or of the list of flux2.all
---@field price? number of kind "budget": credits that the submission would cost
---@field spent? number of kind "budget": credits spent
---@field reserved? number of kind "budget": credits of submissions without a response yet, or of unknown outcome
---@field limit? number of kind "budget": credits that the client may spend
---@field data? table[] of flux2.openai: the images that succeeded, as in a response
---@field images? flux2.Image[] of flux2.openai: the same images, to save
---@field task_ids? string[] of flux2.openai: all accepted tasks
---@field errors? flux2.Error[] of flux2.openai: all errors
---@field raw? string the body of the response, at most 64 KiB
---@field cause? any the underlying failure

local MESSAGE_LIMIT, WORD_LIMIT = 500, 200

--- The largest text of the service in an error, in bytes.
errors.RAW_LIMIT = 64 * 1024

--- Every kind, with its meaning in one line.
---@type table<string, string>
errors.kinds = {
    invalid_request = "the request breaks a rule of the service",
    auth = "the API key is missing, wrong or not allowed to do this",
    credits = "the account does not have enough credits",
    budget = "the submission would exceed the client's budget",
    rate_limited = "the service, or a limit of this client, asks to slow down",
    not_found = "the task is unknown to the service, or the image has expired",
    rejected = "the service read the request and refused it",
    task_failed = "the service accepted the task and could not finish it",
    server = "server error",
    network = "the service could not be reached, or the connection broke",
    tls = "the server's certificate or the encryption was refused",
    timeout = "it took longer than allowed",
    cancelled = "it was cancelled on this side",
    moderated = "the service's moderation refused the prompt or the image",
    too_large = "a response exceeded a limit of this client",
    not_an_image = "what was downloaded is not an image",
    protocol = "the response cannot be interpreted",
    unknown_outcome = "a submission may or may not have been accepted and charged",
    io = "a file could not be read or written",
}

--- What to do about each kind, in one sentence.
---@type table<string, string>
errors.advice = {
    invalid_request = "Fix the field that err.field or the message names, then submit again.",
    auth = "Check the key, api_key or its environment variable: is it complete, and one of this service?",
    credits = "Buy credits, or ask for less: client:estimate tells what a request costs.",
    budget = "Raise the client's budget, or stop here.",
    rate_limited = "Wait err.retry_after seconds, or for running tasks, before the next request; ask for less at once.",
    not_found = "Check the task id; results expire, so download them as soon as they are there.",
    rejected = "Read the service's reason in the message and change the request.",
    task_failed = "Read the service's reason in the message; submitting again is a new task with a new price.",
    server = "Try again later.",
    network = "Check the connection, the proxy and base_url, then try again.",
    tls = "Check the clock, ca_file and any proxy between you and the service; verification is never turned off.",
    timeout = "Wait for the same task again: client:task(err.task_id):wait().",
    cancelled = "Nothing; an accepted task may still be charged.",
    moderated = "Change the prompt or the input images.",
    too_large = "Raise the limit that the message names, if you trust the server.",
    not_an_image = "Look at what the URL serves; it may have expired.",
    protocol = "Report it with err.raw; the service may have changed.",
    unknown_outcome = "Look at the account's task list before submitting again, or you may pay twice.",
    io = "Check that the directory exists, is writable and has room.",
}

local RETRYABLE = { rate_limited = true, server = true, network = true, timeout = true }

local REDACTED = "[key]" -- the replacement of a key

-- Words after the scheme of an Authorization header that are text and not a secret: "<scheme> token missing".
local NO_SECRETS = {
    auth = true, authentication = true, authorization = true, format = true, header = true, is = true, key = true,
    prefix = true, scheme = true, token = true, tokens = true,
}

local function hide_secret(word, blank, secret)
    if NO_SECRETS[secret:lower():match("^%a*")] and not secret:find("[%d_]") then return nil end
    return word .. blank .. REDACTED
end

local function hide_key(word)
    return not providers.secrets.variables[word] and REDACTED or nil
end

-- Words in the names of headers and fields whose values must not be shown.
local SECRET_WORDS = { "auth", "cookie", "key", "pass", "secret", "token" }

--- Whether the value of a header or a field with this name must not be shown.
---@param name string in any case
---@return boolean
-- Example: `errors.is_secret_name "X-Api-Key"` is true
function errors.is_secret_name(name)
    for _, word in ipairs(SECRET_WORDS) do
        if name:lower():find(word, 1, true) then return true end
    end
    return false
end

--- Removes the beginning of the key from the end of a text that was cut.
local function without_partial(s, key)
    for n = math.min(#key - 1, #s), 1, -1 do
        if s:sub(-n) == key:sub(1, n) then return s:sub(1, -n - 1) end
    end
    return s
end

--- Replaces the key in a text.
---@param s string any text
---@param key string not empty
---@return string
-- Example: `errors.remove_key("my sesame here", "sesame")` is "my [key] here".
function errors.remove_key(s, key)
    return (s:gsub(key:gsub("%W", "%%%0"), REDACTED))
end

--- Replaces the API key, and every text in the format of a provider's keys, with `[key]`. Cuts the text after that,
--- because cutting first could leave a part of the key.
---@param s string any text
---@param key? string the key, in any format
---@param limit? integer the largest result in bytes
---@return string
-- Example: `errors.redact("the key sesame", "sesame")` is "the key [key]".
function errors.redact(s, key, limit)
    if limit and #s >= limit then
        s = without_partial(text.cut(s, 2 * limit), key or "")
        return text.cut(errors.redact(s, key), limit)
    end
    if key and key ~= "" then s = errors.remove_key(s, key) end
    for _, prefix in ipairs(providers.secrets.prefixes) do s = s:gsub(prefix .. "[%w_%-]+", hide_key) end
    for _, word in ipairs(providers.secrets.words) do
        s = s:gsub(word .. "([%w%-._~+/=*]+)", hide_secret)
    end
    return s
end

--- Text of unknown origin as one line without keys. Cleaning comes first, because it could join the parts of a key.
local function presentable(s, limit)
    return text.cut(errors.redact(text.clean(s, limit)), limit)
end

local Error = { __name = "flux2.Error" }

local function details(err)
    local parts = {}
    local function add(label, value)
        if type(value) == "number" then value = text.number(value) end
        if type(value) == "string" and value ~= "" then parts[#parts + 1] = label .. presentable(value, 80) end
    end
    add("HTTP ", err.status)
    add("code ", err.code)
    add("task ", err.task_id)
    add("request ", err.request_id)
    if type(err.attempts) == "number" and err.attempts > 1 then
        parts[#parts + 1] = "after " .. text.number(err.attempts) .. " attempts"
    end
    return parts
end

--- Returns an error as one line, without the hint how to fetch a paid image.
---@param err flux2.Error of any kind
---@return string line
-- Example: `errors.line(err)` is "network: no connection to a.example (task n41xxxx_flux2)"
function errors.line(err)
    local line = tostring(err.kind) .. ": " .. presentable(tostring(err.message), MESSAGE_LIMIT)
    local parts = details(err)
    if #parts == 0 then return line end
    return line .. " (" .. table.concat(parts, ", ") .. ")"
end

function Error.__tostring(err)
    if not err.paid then return errors.line(err) end
    local call = err.task_id and "client:task(err.task_id)" or "client:recover()"
    return errors.line(err) .. "; the image is paid for: " .. call .. " fetches it"
end

function Error.__concat(a, b)
    return tostring(a) .. tostring(b)
end

--- Makes an error.
---@param kind string one of `errors.kinds`; anything else is raised
---@param message string may come from anywhere: it is cleaned, bounded to 500 bytes and stripped of keys
---@param fields? table further fields, see flux2.Error
---@return flux2.Error err of any kind
-- Example: `return nil, errors.new("io", "cannot write " .. path, { cause = reason })`
function errors.new(kind, message, fields)
    if not errors.kinds[kind] then error("flux2: no such kind of error: " .. tostring(kind), 2) end
    local err = tables.merge({}, fields)
    err.kind = kind
    err.message = presentable(tostring(message), MESSAGE_LIMIT)
    for _, name in ipairs { "code", "type", "request_id" } do
        if type(err[name]) == "string" then err[name] = presentable(err[name], WORD_LIMIT) end
    end
    if type(err.raw) == "string" then err.raw = errors.redact(err.raw, nil, errors.RAW_LIMIT) end
    if err.retryable == nil then err.retryable = RETRYABLE[kind] or false end
    return setmetatable(err, Error)
end

--- Tells whether a value is an error of flux2.
---@param x any the value
---@return boolean
-- Example: `local ok, e = pcall(work) if not ok and not errors.is(e) then error(e, 0) end`
function errors.is(x)
    return type(x) == "table" and getmetatable(x) == Error
end

return errors
