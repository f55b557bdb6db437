--- The error object: what every `nil, err` of flux2 carries. `err.kind` is for code, `tostring(err)` for people.
-- Owns the list of kinds and the rule that no error holds an API key. Decides nothing about what went wrong.

local text = require "flux2.text"

local errors = {}

---@class flux2.Error What every `nil, err` carries; `tostring(err)` is one line for people, without the key.
---@field kind string one of `errors.kinds`
---@field message string one line, bounded, without the key
---@field status? integer HTTP status
---@field code? integer|string the service's own code, often the HTTP status again
---@field type? string the service's own type
---@field task_id? string the task it is about: client:task takes it up again
---@field request_id? string the service's name for the exchange, for its support
---@field attempts? integer how often it was tried
---@field retryable boolean whether the same call may succeed later
---@field retry_after? number seconds the service asks to wait
---@field field? string the field of the request that is wrong
---@field index? integer its place in a list: of input_urls, or of what flux2.all was given
---@field price? number of kind "budget": credits that the submission would cost
---@field spent? number of kind "budget": credits spent
---@field reserved? number of kind "budget": credits of submissions that are not answered, or of unknown outcome
---@field limit? number of kind "budget": credits that the client may spend
---@field data? table[] of flux2.openai: the pictures that are there all the same, as in an answer
---@field images? flux2.Image[] of flux2.openai: the same, to save
---@field task_ids? string[] of flux2.openai: every task that the service accepted
---@field errors? flux2.Error[] of flux2.openai: all of them
---@field raw? string the service's answer, up to 64 KiB of it
---@field cause? any what lies beneath

local MESSAGE_LIMIT, WORD_LIMIT, RAW_LIMIT = 500, 200, 64 * 1024

--- Every kind, with its meaning in one line.
---@type table<string, string>
errors.kinds = {
    invalid_request = "the request breaks a rule of the service",
    auth = "the API key is missing, wrong or not allowed to do this",
    credits = "the account has not enough credits",
    budget = "the submission would pass the budget set on the client",
    rate_limited = "the service, or a limit of this client, asks to slow down",
    not_found = "the service does not know the task, or the picture is no longer there",
    rejected = "the service read the request and refused it",
    task_failed = "the service accepted the task and could not finish it",
    server = "the service has a fault of its own",
    network = "the service could not be reached, or the connection broke",
    tls = "the server's certificate or the encryption was refused",
    timeout = "it took longer than allowed",
    cancelled = "it was cancelled on this side",
    moderated = "the service's moderation refused the prompt or the picture",
    too_large = "an answer passed a limit of this client",
    not_an_image = "what was downloaded is not an image",
    protocol = "the service answered in a way that makes no sense to this client",
    unknown_outcome = "a submission may or may not have been accepted and charged",
    io = "a file could not be read or written",
}

--- What to do about each kind, in one sentence.
---@type table<string, string>
errors.advice = {
    invalid_request = "Mend the field that err.field or the message names, then submit again.",
    auth = "Check FLUX2_API_KEY or api_key; keys begin with aio_.",
    credits = "Buy credits, or use type = \"flex\" or resolution = \"1K\".",
    budget = "Raise the client's budget, or stop here.",
    rate_limited = "Wait err.retry_after seconds, or for running tasks, before the next request; ask for less at once.",
    not_found = "Check the task id; results expire, so download them as soon as they are there.",
    rejected = "Read the service's reason in the message and change the request.",
    task_failed = "Read the service's reason in the message; submitting again is a new task with a new price.",
    server = "Try again later.",
    network = "Check the connection, the proxy and base_url, then try again.",
    tls = "Check the clock, ca_file and whatever stands between you and the service; verification is never turned off.",
    timeout = "Wait for the same task again: client:task(err.task_id):wait().",
    cancelled = "Nothing, you asked for it; a task that was accepted may still be charged.",
    moderated = "Change the prompt or the input images.",
    too_large = "Raise the limit that the message names, if you trust the server.",
    not_an_image = "Look at what the URL serves; it may have expired.",
    protocol = "Report it with err.raw; the service may have changed.",
    unknown_outcome = "Look at the account's task list before submitting again, or you may pay twice.",
    io = "Check that the directory exists, is writable and has room.",
}

local RETRYABLE = { rate_limited = true, server = true, network = true, timeout = true }

-- "Bearer token missing" is a sentence, not a secret.
local BEARER_WORDS = {
    auth = true, authentication = true, authorization = true, format = true, header = true, is = true, key = true,
    prefix = true, scheme = true, token = true, tokens = true,
}

local function hide_bearer(word, blank, token)
    if BEARER_WORDS[token:lower():match("^%a*")] and not token:find("[%d_]") then return nil end
    return word .. blank .. "aio_***"
end

--- Replaces the API key, and whatever looks like one, with `aio_***`.
---@param s string any text
---@param key? string the key to look for, whatever it looks like
---@return string
-- Example: `errors.redact("Authorization: Bearer aio_1234")` is "Authorization: Bearer aio_***".
function errors.redact(s, key)
    if key and key ~= "" then
        s = s:gsub(key:gsub("%W", "%%%0"), "aio_***")
    end
    s = s:gsub("[aA][iI][oO]_[%w_%-]+", "aio_***")
    s = s:gsub("([Bb][Ee][Aa][Rr][Ee][Rr])(%s+)([%w%-._~+/=*]+)", hide_bearer)
    return s
end

--- Text of unknown origin, made fit for one line. Cleaning comes first: it could bring the parts of a key together.
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

function Error.__tostring(err)
    local line = tostring(err.kind) .. ": " .. presentable(tostring(err.message), MESSAGE_LIMIT)
    local parts = details(err)
    if #parts == 0 then return line end
    return line .. " (" .. table.concat(parts, ", ") .. ")"
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
    local err = {}
    for name, value in next, fields or {} do err[name] = value end
    err.kind = kind
    err.message = presentable(tostring(message), MESSAGE_LIMIT)
    for _, name in ipairs { "code", "type", "request_id" } do
        if type(err[name]) == "string" then err[name] = presentable(err[name], WORD_LIMIT) end
    end
    if type(err.raw) == "string" then err.raw = text.cut(errors.redact(text.cut(err.raw, RAW_LIMIT)), RAW_LIMIT) end
    if err.retryable == nil then err.retryable = RETRYABLE[kind] or false end
    return setmetatable(err, Error)
end

--- Tells whether a value is an error of flux2.
---@param x any what somebody has raised or returned
---@return boolean
-- Example: `local ok, e = pcall(work) if not ok and not errors.is(e) then error(e, 0) end`
function errors.is(x)
    return type(x) == "table" and getmetatable(x) == Error
end

return errors
