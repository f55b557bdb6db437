--- Makes an error of an event of the engine: writes its message. The kind, `retryable` and the content of the body come
--- from the engine (csrc/engine/classify.c, response_reader.c).

local core = require "flux2.core"
local errors = require "flux2.errors"
local image_signature = require "flux2.image_signature"
local suggest = require "flux2.suggest"
local tables = require "flux2.tables"
local text = require "flux2.text"

local error_mapping = {}

---@class flux2.Response a response, as core.read_response returns it and the last event of a job contains it
---@field verdict? string "running", "succeeded", "failed", "moderated", "rejected", "refused", "unreadable"; nil: it
---  was not read
---@field acceptance? string of a submission: "accepted", "refused" (certainly not accepted), "unknown"
---@field error? string the kind of error, nil on success
---@field retryable? boolean whether the same call may succeed later
---@field id? string of the task
---@field status? string the status word of the service
---@field progress? number 0 to 1, of a task that has not succeeded
---@field images? { url: string?, buffer: flux2.Buffer?, content_type: string? }[]
---@field credits? number
---@field reason? string why the task failed or the request was refused
---@field code? number|string the error code of the service
---@field type? string the error type of the service
---@field request_id? string
---@field retry_after? number seconds
---@field form? string the format of an error's body: "empty", "json", "html", "xml", "text"
---@field excerpt? string its beginning, unless it is JSON
---@field fault? string why it is not a JSON object
---@field bad_link? string an invalid value in place of an image URL

---@class flux2.ErrorContext further facts about the request
---@field task_id? string
---@field url? string the requested URL
---@field limit? number bytes
---@field limit_name? string
---@field download? boolean whether it is an image download
---@field max_redirects? integer of a download
---@field key? string the API key: a service may echo it in any text
---@field response? table the response schema of the provider, for unknown status words

--- The state of a task by verdict; nil for the other verdicts, which say nothing about the task.
error_mapping.states = {
    running = "running", succeeded = "succeeded", failed = "failed", moderated = "failed", rejected = "failed",
}

-- Fields of an event that come from a server.
local TEXTS = {
    "body", "code", "excerpt", "fault", "id", "location", "message", "reason", "request_id", "status", "type",
}

--- Adds the warning about a submission of unknown outcome.
local function with_outcome(event, message)
    if event.error ~= "unknown_outcome" then return message end
    return message .. "; the service may have accepted and charged it; it is not sent again"
end

local REASONS = {
    [301] = "Moved Permanently", [302] = "Found", [303] = "See Other", [307] = "Temporary Redirect",
    [308] = "Permanent Redirect", [400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required",
    [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed", [408] = "Request Timeout",
    [409] = "Conflict", [410] = "Gone", [413] = "Content Too Large", [415] = "Unsupported Media Type",
    [422] = "Unprocessable Content", [429] = "Too Many Requests", [500] = "Internal Server Error",
    [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

local function sentence(value)
    value = type(value) == "string" and text.clean(value, 400) or ""
    return value ~= "" and value or nil
end

--- Describes a body without a reason; continues "the service answered 502 Bad Gateway".
local function describe_body(event)
    local form = event.form
    if form == "empty" then return " with an empty body" end
    if form == "json" then return " with JSON that gives no reason" end
    local lead = form == "xml" and " with XML" or form == "html" and " with an HTML page" or " with text"
    local words = text.clean(event.excerpt or "", 120)
    return words == "" and lead or lead .. ": '" .. words .. "'"
end

--- Whether a redirect was refused because of max_redirects, rather than because of its target.
local function is_over_limit(event, context)
    return type(context.max_redirects) == "number" and type(event.location) == "string"
        and (event.location:find("^[hH][tT][tT][pP][sS]?://") or not event.location:find("^%a[%w+.-]*:"))
end

local function redirects_text(context)
    return "; max_redirects (" .. text.number(context.max_redirects) .. ") raises how many are"
end

local function describe_status(event, context)
    local status = event.http_status
    local lead = (context.download and "the image host" or "the service") .. " answered " .. text.number(status)
    return REASONS[status] and lead .. " " .. REASONS[status] or lead
end

local function describe_refusal(event, context)
    local status, reason = event.http_status, sentence(event.reason)
    if reason and not context.download then return reason end
    local lead = describe_status(event, context)
    if status >= 300 and status <= 399 then
        local target = type(event.location) == "string" and " to " .. text.clean(event.location, 200) or ""
        local hint = is_over_limit(event, context) and redirects_text(context) or ""
        return lead .. ", a redirect" .. target .. ", which is not followed" .. hint
    end
    return reason and lead .. ": " .. reason or lead .. describe_body(event)
end

local function seconds(n)
    return text.number(math.floor(n * 10 + 0.5) / 10) .. " s"
end

--- The fields of every error about a request, and those in `more`.
local function fields_of(event, context, more)
    return tables.merge({
        request_id = event.request_id, attempts = event.attempts, retry_after = event.retry_after,
        task_id = context.task_id or event.id, code = event.code, type = event.type,
        retryable = event.retryable or false,
    }, more)
end

local function body_fields(event)
    return { status = event.http_status, raw = event.body ~= "" and event.body or nil }
end

local function refused(event, context)
    local message, kind = describe_refusal(event, context), event.error
    local wait = event.retry_after
    if kind == "rate_limited" and wait and wait < math.huge then
        local pause = "the service asks to wait " .. seconds(wait)
        message = event.reason and message .. "; " .. pause or pause
    elseif context.download and kind == "not_found" then
        message = message .. "; links to results expire"
    end
    return errors.new(kind, with_outcome(event, message), fields_of(event, context, body_fields(event)))
end

local function task_failed(event, context)
    local lead = "the task ended as " .. text.show(event.status)
    if event.verdict == "moderated" then lead = "the service's moderation refused the image" end
    local reason = sentence(event.reason)
    local message = reason and lead .. ": " .. reason or lead .. "; the service gave no reason"
    message = with_outcome(event, message)
    return errors.new(event.error, message, fields_of(event, context, { raw = body_fields(event).raw }))
end

--- A successful HTTP response without a usable status or image.
local function unreadable(event, context)
    local message
    local link = event.bad_link and text.show(text.clean(event.bad_link, 200))
    if event.verdict == "succeeded" then
        message = "the task ended as " .. text.show(event.status) .. ", but " ..
            (link and "its link " .. link .. " cannot be used" or "no image is in the response")
    elseif event.acceptance and event.fault then
        message = "the service's response cannot be read: " .. event.fault
    elseif event.acceptance then
        local word = event.status and " (status " .. text.show(event.status) .. ")" or ""
        message = "the service's response names no task" .. word
    elseif event.fault then
        message = "the service's response is not a JSON object: " .. event.fault
    else
        message = link and "the link " .. link .. " in the service's response cannot be used"
            or "the service's response names neither a status nor an image"
    end
    return errors.new(event.error, with_outcome(event, message), fields_of(event, context, body_fields(event)))
end

local BY_VERDICT = {
    refused = refused, failed = task_failed, moderated = task_failed, rejected = task_failed, unreadable = unreadable,
    succeeded = unreadable,
}

--- The beginning of the message by failure; %s is the host.
local TRANSPORT = {
    resolve = "the name of %s could not be resolved",
    resolve_proxy = "the name of the proxy could not be resolved",
    proxy = "the proxy cannot be used",
    connect = "no connection to %s",
    network = "the connection to %s broke",
    tls = "no secure connection to %s",
    timeout = "%s took too long",
    too_large = "the response of %s is larger than the limit",
    headers_too_large = "the headers of %s are larger than the limit",
    io = "the file could not be written",
    input = "an input image could not be read while it was sent to %s",
    memory = "out of memory during the request to %s",
    signature = "the data from %s is " .. image_signature.NONE,
    truncated = "the data from %s is not a whole image",
    protocol = "the response of %s is invalid",
    redirect = "%s sent a redirect that is not followed",
}

local function bytes_text(n)
    if n >= 2 ^ 20 and n % 2 ^ 20 == 0 then return text.number(n / 2 ^ 20) .. " MiB" end
    return text.number(n) .. " bytes"
end

--- Continues "larger than the limit".
local function limit_text(event, context)
    if event.failure == "headers_too_large" then return "; max_header_bytes raises it" end
    local parts = context.limit and " of " .. bytes_text(context.limit) or ""
    return context.limit_name and parts .. "; " .. context.limit_name .. " raises it" or parts
end

local function cancelled_text(event)
    if event.acceptance == "unknown" then
        return "cancelled before the response arrived; the service may still generate the image and charge for it"
    end
    return event.acceptance and "cancelled before it was sent: nothing was charged" or "cancelled"
end

local function host_of(context)
    local parts = context.url and core.url(context.url)
    return parts and text.clean(parts.host, 100) or "the server"
end

local function transport_text(failure, context)
    local host = host_of(context)
    return ((TRANSPORT[failure] or "the request to %s failed"):gsub("%%s", function() return host end))
end

local function ago(n)
    return n and ", " .. text.number(math.floor(n + 0.5)) .. " s ago" or ""
end

--- Describes the last attempt of a request that did not end in time.
local function describe_last(last, context)
    if last.failure then
        local failure = transport_text(last.failure, context)
        return ("service unreachable for %s: %s"):format(seconds(last.unreachable or 0), failure)
    end
    local status = "last response: HTTP " .. text.number(last.http_status)
    if last.code then status = status .. ", code " .. text.number(last.code) end
    if last.verdict == "unreadable" then status = status .. " that cannot be read" end
    if last.verdict == "succeeded" then status = status .. " that says it succeeded, without an image" end
    return status .. ago(last.ago)
end

local function pause_text(event)
    return event.asked_pause and "; the service asked to wait " .. seconds(event.asked_pause) or ""
end

--- The request ended without a usable HTTP response.
local function failed(event, context)
    local name = event.failure
    local fields = fields_of(event, context, { cause = name, status = event.http_status })
    if name == "cancelled" then return errors.new(event.error, cancelled_text(event), fields) end
    local message = transport_text(name, context)
    if name == "too_large" or name == "headers_too_large" then message = message .. limit_text(event, context) end
    if name == "redirect" and is_over_limit(event, context) then message = message .. redirects_text(context) end
    local detail = name ~= "signature" and sentence(event.message)
    if name == "timeout" and event.last then
        -- The time was over between two attempts.
        detail = describe_last(event.last, context) .. pause_text(event)
        fields.status = event.last.http_status
    end
    if detail then message = message .. ": " .. detail end
    if name == "input" and event.acceptance == "refused" then
        message = message .. "; the service got a part of the request, which it cannot accept"
    end
    return errors.new(event.error, with_outcome(event, message), fields)
end

--- Returns a copy of the event without the key in any text. Cutting a text before that could leave a part of the key.
local function without_key(event, key)
    local copy = tables.merge({}, event)
    for _, name in ipairs(TEXTS) do
        if type(copy[name]) == "string" then copy[name] = errors.redact(copy[name], key, errors.RAW_LIMIT) end
    end
    return copy
end

-- The last poll ------------------------------------------------------------------------------------------------------

--- Returns a note about a status word that is not in the response schema, nil if it is.
---@param response table of the provider: lists of words
---@param word? string
---@return string? note
-- Example: `error_mapping.unknown(provider.response, "weird")` is "status 'weird' is unknown, and counts as running"
function error_mapping.unknown(response, word)
    if not word or word == "" then return nil end
    for verdict in pairs(error_mapping.states) do
        for _, known in ipairs(response[verdict]) do
            if suggest.normal(known) == suggest.normal(word) then return nil end
        end
    end
    return "status " .. text.show(word) .. " is unknown, and counts as running"
end

--- Makes the error for a task that did not end in time, with the last known status.
---@param event table the "ended" event of its job, with `polls` and `last`, the last poll
---@param context flux2.ErrorContext
---@param word? string the last status word
---@return flux2.Error err kind "timeout"
function error_mapping.overdue(event, context, word)
    local parts, last = { "the task was not finished in time; it goes on at the service" }, event.last
    event, word = without_key(event, context.key), word and errors.redact(word, context.key)
    if event.polls == 0 then
        parts[2] = "the time was over before the first status check"
        if not event.asked_pause then
            parts[2] = parts[2] .. ": poll.per_second and max_event_bytes limit how often this client asks"
        end
    elseif last and last.verdict ~= "running" then
        parts[2] = describe_last(last, context)
    end
    if word and word ~= "" and (not last or last.verdict == "running") then
        parts[#parts + 1] = error_mapping.unknown(context.response, word)
            or "last status: " .. text.show(word) .. ago(last and last.ago)
    end
    local status = last and last.verdict ~= "running" and last.http_status or nil
    local fields = fields_of(event, context, { retryable = true, status = status })
    return errors.new("timeout", table.concat(parts, "; ") .. pause_text(event), fields)
end

--- Makes the error for a job that did not succeed.
---@param event table the "ended" event; or what core.read_response returns, with `http_status`
---@param context flux2.ErrorContext
---@return flux2.Error
-- Example: `error_mapping.of({ failure = "resolve", error = "network" }, { url = "https://a.example" })`
function error_mapping.of(event, context)
    event = without_key(event, context.key)
    if event.failure then return failed(event, context) end
    return BY_VERDICT[event.verdict](event, context)
end

return error_mapping
