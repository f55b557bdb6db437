--- Reports HTTP requests: as tables for `on_request`, and as lines for the option `log` and FLUX2_LOG, which also
-- reports changed prices. Neither contains the key.

local errors = require "flux2.errors"
local text = require "flux2.text"
local uncaught = require "flux2.uncaught"
local url = require "flux2.url"

local request_log = {}

---@class flux2.RequestInfo One HTTP request and its response, for `on_request`.
---@field kind "submission"|"poll"|"download"|"upload" the purpose of the request; `on_request` gets no downloads and
---  no uploads
---@field number integer the number of the attempt of this submission or download, or of the poll
---@field method "GET"|"POST" the HTTP method
---@field url string the URL, without a user name and password
---@field sent integer bytes of the body of the request
---@field http_status? integer the HTTP status, nil without a response
---@field failure? string the failure without a response: resolve, connect, tls, timeout, network, too_large,
---  input, protocol, ...
---@field message? string a description of the failure
---@field status? string the last known status word of the service
---@field progress? number 0 to 1, if known
---@field seconds number the duration of the request in seconds
---@field elapsed number seconds since the submission, or since client:task
---@field pause? number seconds until the next request; nil: it was the last one
---@field retry_after? number seconds that the service asks to wait
---@field request_id? string the request id of the service
---@field size? integer bytes of the response
---@field body? string the first 16 KiB of the response, without the key; not of a download

local LONGEST_URL, LONGEST_TEXT = 2000, 300 -- bytes in a line

local function write_to_stderr(line)
    io.stderr:write("flux2: ", line, "\n")
end

--- Returns the log function of a client: that of the option, or else that of FLUX2_LOG.
---@param given function|boolean|nil the option; true: to stderr, false: none
---@param variable? string the value of FLUX2_LOG
---@return function|false|nil log false or nil: none
---@return flux2.Error? err for an invalid variable
function request_log.find(given, variable)
    if given == true then return write_to_stderr end
    if given ~= nil or variable == nil or variable == "off" then return given end
    if variable == "debug" then return write_to_stderr end
    return nil, errors.new("invalid_request", "FLUX2_LOG must be 'debug' or 'off', not " .. text.show(variable))
end

--- Returns the report of a request.
---@param event table the engine's "request" event
---@param sent { kind: string, method: string, url: string, size: integer } the request
---@param key string the API key; texts of the service may contain it
---@return flux2.RequestInfo
function request_log.info(event, sent, key)
    local function hide(s) return s and errors.redact(s, key) end
    return {
        kind = sent.kind, number = sent.kind == "poll" and event.polls > 0 and event.polls or event.attempts,
        method = sent.method, url = hide(url.mask(sent.url)), sent = sent.size,
        http_status = event.http_status, failure = event.failure, message = hide(event.message),
        status = hide(event.status), progress = event.progress, seconds = event.seconds, elapsed = event.elapsed,
        pause = event.pause, retry_after = event.retry_after, request_id = hide(event.request_id),
        size = event.received, body = hide(event.body),
    }
end

local function milliseconds(seconds)
    return text.number(math.floor(seconds * 1000 + 0.5)) .. " ms"
end

--- Returns the line about a request.
---@param info flux2.RequestInfo
---@return string
-- Example: `request_log.line(info)` is "GET https://a.example/t/1: 200, 31 ms, 0 bytes sent, 96 bytes received"
function request_log.line(info)
    local parts = {
        info.http_status and text.number(info.http_status) or info.failure or "failed",
        milliseconds(info.seconds),
        text.number(info.sent) .. " bytes sent",
        text.number(info.size or 0) .. " bytes received",
    }
    if info.http_status and info.failure then table.insert(parts, 2, info.failure) end
    if info.request_id then parts[#parts + 1] = "request id " .. text.clean(info.request_id, LONGEST_TEXT) end
    if info.pause then parts[#parts + 1] = "next in " .. milliseconds(info.pause) end
    local line = ("%s %s: %s"):format(info.method, text.clean(info.url, LONGEST_URL), table.concat(parts, ", "))
    return info.message and line .. ": " .. text.clean(info.message, LONGEST_TEXT) or line
end

--- Calls a log function with the line about a request. Its error is isolated and reported.
---@param log fun(line: string)
---@param info flux2.RequestInfo
function request_log.write(log, info)
    uncaught.guard(log, request_log.line(info))
end

--- Writes a line about another price than that of the provider, unless there is no log or the line was written before.
---@param config table the client's
---@param request table the checked request
---@param expected number credits, according to the prices of the provider
---@param charged number credits, according to the service
function request_log.write_price(config, request, expected, charged)
    if not config.log then return end
    local provider, fields = config.provider, {}
    for i, name in ipairs(provider.price_fields) do
        local value = request[name]
        if value == nil then value = provider.by_name[name].default end
        fields[i] = name .. " " .. text.show(value)
    end
    local of = #fields > 0 and " for " .. table.concat(fields, ", ") or ""
    local line = "the price has changed: %s charged %s credits%s, %s were expected (%s); see the option prices"
    line = line:format(provider.name, text.number(charged), of, text.number(expected), provider.prices_source)
    if config.reported_prices[line] then return end
    config.reported_prices[line] = true
    uncaught.guard(config.log, line)
end

return request_log
