--- What went wrong: makes errors out of HTTP statuses, error bodies and the engine's failures.
-- Decides the kind and writes the sentence; reads no pictures and no task states.

local errors = require "flux2.errors"
local json = require "flux2.json"
local shapes = require "flux2.shapes"
local text = require "flux2.text"

local failure = {}

---@class flux2.AnswerInfo what is known about an exchange beside its status and body
---@field request_id? string
---@field retry_after? number seconds
---@field attempts? integer
---@field content_type? string
---@field location? string where a redirect points
---@field task_id? string
---@field once? boolean a submission: never sent twice
---@field download? boolean the picture itself, from wherever it lies
---@field max_redirects? integer of a download: how many are followed

local OPEN = "the service may have accepted and charged it; it is not sent again"

local REASONS = {
    [301] = "Moved Permanently", [302] = "Found", [303] = "See Other", [307] = "Temporary Redirect",
    [308] = "Permanent Redirect", [400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required",
    [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed", [408] = "Request Timeout",
    [409] = "Conflict", [410] = "Gone", [413] = "Content Too Large", [415] = "Unsupported Media Type",
    [422] = "Unprocessable Content", [429] = "Too Many Requests", [500] = "Internal Server Error",
    [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

local KINDS = {
    [400] = "invalid_request", [401] = "auth", [402] = "credits", [403] = "auth", [404] = "not_found",
    [405] = "protocol", [406] = "protocol", [408] = "timeout", [410] = "not_found", [413] = "invalid_request",
    [414] = "invalid_request", [415] = "invalid_request", [425] = "server", [429] = "rate_limited",
}

-- A fault that the next attempt will meet again.
local LASTING = { [501] = true, [505] = true }

-- Statuses under which the text may say more than the number; 402, 401 and 404 say enough.
local TALKATIVE = { [400] = true, [403] = true, [409] = true, [422] = true, [451] = true }

local CODE_OK = {}
for _, code in ipairs(shapes.code_ok) do CODE_OK[code] = true end

local function number_of(value)
    if type(value) == "string" and value:find("^%-?%d+$") and #value < 10 then value = tonumber(value) end
    if type(value) ~= "number" or value ~= value or value < -2 ^ 53 or value > 2 ^ 53 then return nil end
    return text.integer(value)
end

local function is_empty(value)
    if value == false or value == 0 or value == "" then return true end
    return type(value) == "table" and next(value) == nil
end

local function sentence(value)
    if type(value) ~= "string" then return nil end
    value = text.clean(value, 400)
    if shapes.empty_words[value:lower()] then return nil end
    return value
end

--- FastAPI's list of what is wrong: {"detail":[{"loc":["body","prompt"],"msg":"field required"}]}.
local function detail_list(decoded)
    local list, parts = json.dig(decoded, "detail"), {}
    if type(list) ~= "table" then return nil end
    for i = 1, math.min(#list, 3) do
        local where, said = {}, sentence(json.dig(list[i], "msg")) or sentence(list[i])
        local loc = json.dig(list[i], "loc")
        for j = 1, type(loc) == "table" and math.min(#loc, 5) or 0 do
            local step = loc[j]
            where[#where + 1] = type(step) == "number" and text.number(step) or sentence(step)
        end
        if said then parts[#parts + 1] = (#where > 0 and table.concat(where, ".") .. ": " or "") .. said end
    end
    return #parts > 0 and table.concat(parts, "; ") or nil
end

local function read_code(value)
    local number = number_of(value)
    if number then return not CODE_OK[number] and number or nil end
    return sentence(value)
end

--- What an answer says of itself: message, code, number (where the code is one), type, request_id.
---@param decoded any
---@return table
local function read_complaint(decoded)
    local said = {
        message = json.first(decoded, shapes.complaint, sentence) or detail_list(decoded),
        code = json.first(decoded, shapes.complaint_code, read_code),
        type = json.first(decoded, shapes.complaint_type, sentence),
        request_id = json.first(decoded, shapes.request_id, sentence),
    }
    said.number = type(said.code) == "number" and said.code or nil
    return said
end

--- Whether an answer that came with a good status says in its body that the call was refused.
---@param decoded table
---@return boolean
function failure.says_no(decoded)
    local refused = json.first(decoded, shapes.refused, function(value)
        return not is_empty(value) or nil
    end)
    local code = json.first(decoded, shapes.code, number_of)
    return refused or (code ~= nil and not CODE_OK[code])
end

--- The kind that a text gives away, by a list of hints.
---@param hints table one of flux2.shapes
---@param ... any strings to look in; others are passed over
---@return string? kind
function failure.hinted(hints, ...)
    local parts = {}
    for i = 1, select("#", ...) do
        local part = select(i, ...)
        if type(part) == "string" then parts[#parts + 1] = part:lower() end
    end
    local all = table.concat(parts, "\n")
    for _, hint in ipairs(hints) do
        for _, word in ipairs(hint.words) do
            if all:find(word, 1, true) then return hint.kind end
        end
    end
    return nil
end

local function is_good(status)
    return status >= 200 and status <= 299
end

--- The number that decides: a good or a vague status gives way to the code in the body.
local function deciding_number(status, said)
    local code = said.number
    if is_good(status) then return code end
    if status == 400 and code and code > 400 and code < 500 then return code end
    return status
end

local function leaves_open(status, number, info)
    if not info.once then return false end
    if status == 503 then return not info.retry_after end
    if status < 200 or status >= 500 or number == 408 or number == 499 then return true end
    -- Only a code of the 400s says for certain that nothing was accepted; 1 or 1001 may mean anything.
    return is_good(status) and number ~= nil and (number < 400 or number > 499)
end

local function kind_of_number(number)
    if KINDS[number] then return KINDS[number] end
    if number >= 500 and number <= 599 then return "server" end
    if number >= 400 and number <= 499 then return "rejected" end
    return "protocol"
end

--- Which kind of error an answer is, and whether to try again.
local function classify(status, said, info)
    local number = deciding_number(status, said)
    if leaves_open(status, number, info) then return "unknown_outcome", false end
    if info.download and (status == 401 or status == 403 or status == 404 or status == 410) then
        return "not_found", false
    end
    local hint = failure.hinted(shapes.hints, said.code, said.type, said.message)
    if hint and (number == nil or TALKATIVE[number] or number < 400 or number > 599) then return hint, false end
    -- A spent quota comes as 429 from services of OpenAI's shape; waiting does not mend it.
    if number == 429 and hint == "credits" then return hint, false end
    if number == nil then
        hint = failure.hinted(shapes.type_hints, said.code, said.type)
        return hint or (info.once and "rejected" or "task_failed"), hint == "rate_limited" or hint == "server"
    end
    local kind = kind_of_number(number)
    local retryable = kind == "server" or kind == "rate_limited" or kind == "timeout"
    return kind, retryable and not LASTING[number]
end

--- The words of a page of HTML: its title, or what is left without the tags.
local function page_text(body)
    -- Only the beginning: patterns with ".-" take quadratic time on a page made to that end.
    local page = body:sub(1, 4096)
    local first, last = page:lower():find("<title[^>]*>.-</title>")
    local words = first and page:sub(first, last) or nil
    if not words then
        words = page
        for _, tag in ipairs { "script", "style", "head" } do
            local from, to = words:lower():find("<" .. tag .. ".-</" .. tag .. ">")
            if from then words = words:sub(1, from - 1) .. words:sub(to + 1) end
        end
    end
    words = words:gsub("<[^>]*>", " "):gsub("&nbsp;", " "):gsub("&lt;", "<"):gsub("&gt;", ">")
        :gsub("&quot;", "\""):gsub("&#39;", "'"):gsub("&amp;", "&")
    return text.clean(words, 120)
end

--- What kind of body came instead of a reason: reads on after "the service answered 502 Bad Gateway".
local function describe_body(body, decoded, info)
    if body:find("^%s*$") then return " with an empty body" end
    if type(decoded) == "table" then return " with JSON that gives no reason" end
    local media_type = type(info.content_type) == "string" and info.content_type:lower() or ""
    local is_page = media_type:find("html", 1, true) or body:find("^%s*<")
    local words = is_page and page_text(body) or text.clean(body, 120)
    local lead = is_page and (media_type:find("xml", 1, true) and " with XML" or " with an HTML page") or " with text"
    if words == "" then return lead end
    return lead .. ": '" .. words .. "'"
end

--- Whether a redirect was the one too many, rather than one to where nobody goes.
local function is_too_far(info)
    return type(info.max_redirects) == "number" and type(info.location) == "string"
        and (info.location:find("^[hH][tT][tT][pP][sS]?://") or not info.location:find("^%a[%w+.-]*:"))
end

local function redirects_text(info)
    return "; max_redirects (" .. text.number(info.max_redirects) .. ") raises how many are"
end

local function describe(status, said, body, decoded, info)
    if said.message and not info.download then return said.message end
    local lead = (info.download and "the image host" or "the service") .. " answered " .. text.number(status)
    if REASONS[status] then lead = lead .. " " .. REASONS[status] end
    if status >= 300 and status <= 399 then
        local where = type(info.location) == "string" and " to " .. text.clean(info.location, 200) or ""
        return lead .. ", a redirect" .. where .. ", which is not followed" ..
            (is_too_far(info) and redirects_text(info) or "")
    end
    if said.message then return lead .. ": " .. said.message end
    return lead .. describe_body(body, decoded, info)
end

local function seconds(n)
    return text.number(math.floor(n * 10 + 0.5) / 10) .. " s"
end

--- The fields that every error about an answer carries.
function failure.fields(info, more)
    local fields = {
        request_id = info.request_id, attempts = info.attempts, retry_after = info.retry_after,
        task_id = info.task_id, status = info.status,
    }
    for name, value in next, more or {} do fields[name] = value end
    return fields
end

--- The error for an answer that is not what was asked for.
---@param status integer HTTP status
---@param body? string
---@param info? flux2.AnswerInfo
---@return flux2.Error
-- Example: `failure.http(429, "", { retry_after = 3 })` reads "rate_limited: the service asks to wait 3 s (HTTP 429)".
function failure.http(status, body, info)
    info = type(info) == "table" and info or {}
    body = type(body) == "string" and body or ""
    status = number_of(status) or 0
    local decoded = json.decode(body)
    local said = read_complaint(decoded)
    local kind, retryable = classify(status, said, info)
    local message = describe(status, said, body, decoded, info)
    local wait = type(info.retry_after) == "number" and info.retry_after < math.huge and info.retry_after
    if kind == "unknown_outcome" then
        message = message .. "; " .. OPEN
    elseif kind == "rate_limited" and wait then
        local asks = "the service asks to wait " .. seconds(wait)
        message = said.message and said.message .. "; " .. asks or asks
    elseif info.download and kind == "not_found" then
        message = message .. "; links to results expire"
    end
    return errors.new(kind, message, failure.fields(info, {
        status = status, code = said.code, type = said.type, retryable = retryable,
        request_id = info.request_id or said.request_id, raw = body ~= "" and body or nil,
    }))
end

--- The error for a submission whose fate is not known.
---@param what string what happened: reads on before "; the service may have ..."
---@param fields table
---@return flux2.Error
function failure.unknown_outcome(what, fields)
    return errors.new("unknown_outcome", what .. "; " .. OPEN, fields)
end

local TRANSPORT = {
    resolve = { kind = "network", says = "the name of %s could not be resolved" },
    connect = { kind = "network", says = "no connection to %s" },
    network = { kind = "network", says = "the connection to %s broke" },
    closed = { kind = "network", says = "%s closed the connection" },
    tls = { kind = "tls", says = "no secure connection to %s" },
    timeout = { kind = "timeout", says = "%s took too long" },
    too_large = { kind = "too_large", says = "the answer of %s is larger than the limit" },
    headers_too_large = { kind = "too_large", says = "the headers of %s are larger than the limit" },
    io = { kind = "io", says = "the file could not be written" },
    memory = { kind = "io", says = "this machine has no memory left for the exchange with %s" },
    cancelled = { kind = "cancelled", says = "cancelled" },
    signature = {
        kind = "not_an_image",
        says = "what %s sent is not an image (PNG, JPEG, WEBP, GIF or AVIF by its first bytes)",
    },
    protocol = { kind = "protocol", says = "%s sent what cannot be read" },
    redirect = { kind = "protocol", says = "%s redirects in a way that is not followed" },
}

local function bytes_text(n)
    if n >= 2 ^ 20 and n % 2 ^ 20 == 0 then return text.number(n / 2 ^ 20) .. " MiB" end
    return text.number(n) .. " bytes"
end

local function limit_text(info)
    local parts = ""
    if type(info.limit) == "number" then parts = " of " .. bytes_text(info.limit) end
    if type(info.limit_name) == "string" then parts = parts .. "; " .. info.limit_name .. " raises it" end
    return parts
end

local function cancelled_text(info)
    if info.once and info.sent then
        return "cancelled before the answer came; the service may still make the picture and charge for it"
    end
    if info.once then return "cancelled before it was sent: nothing was charged" end
    return "cancelled"
end

--- The error for an exchange that ended without a usable HTTP answer.
---@param name string the engine's word: resolve, connect, tls, timeout, network, closed, too_large,
---  headers_too_large, io, memory, cancelled, signature, protocol, redirect
---@param info? table message (libcurl's own), attempts, url_host, limit (bytes), limit_name, once (a submission),
---  sent (it may have reached the service), and the fields of flux2.AnswerInfo
---@return flux2.Error
-- Example: `failure.transport("resolve", { url_host = "apiin.one" })` has kind "network" and is retryable.
function failure.transport(name, info)
    info = type(info) == "table" and info or {}
    local known = TRANSPORT[name] or { kind = "protocol", says = "the exchange with %s failed" }
    local host = type(info.url_host) == "string" and text.clean(info.url_host, 100) or "the server"
    local message = known.says:gsub("%%s", function() return host end)
    if known.kind == "cancelled" then message = cancelled_text(info) end
    if known.kind == "too_large" then message = message .. limit_text(info) end
    if name == "redirect" and is_too_far(info) then message = message .. redirects_text(info) end
    local detail = sentence(info.message)
    if detail and known.kind ~= "cancelled" then message = message .. ": " .. detail end
    local fields = failure.fields(info, { cause = type(name) == "string" and name or nil })
    if info.once and info.sent and known.kind ~= "cancelled" then
        return failure.unknown_outcome(message, fields)
    end
    return errors.new(known.kind, message, fields)
end

return failure
