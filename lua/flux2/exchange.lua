--- From an event of the engine to an error: the one place where the engine's words and flux2.response's meet.
-- Owns nothing.

local core = require "flux2.core"
local errors = require "flux2.errors"
local response = require "flux2.response"

local exchange = {}

local LIMITS = { too_large = true, headers_too_large = true }

local function host_of(address)
    local parts = address and core.url(address)
    return parts and parts.host or nil
end

--- What response.lua wants to know about the end of a job. Both use the same words, and nobody else sees the event, so
--- that what the caller knows is entered there.
---@param event table an "ended" as engine:next gives it
---@param more? table what the caller knows beside it
---@return table info the same event
function exchange.info(event, more)
    for name, value in next, more or {} do event[name] = value end
    return event
end

--- The error for an event that brought no usable answer.
---@param event table
---@param context table url, limit, limit_name, task_id, once, download
---@return flux2.Error
function exchange.failure(event, context)
    local info = exchange.info(event, context)
    info.url_host = host_of(context.url)
    if not LIMITS[event.failure] then info.limit, info.limit_name = nil, nil end
    if event.failure == "headers_too_large" then info.limit, info.limit_name = nil, "max_header_bytes" end
    if event.failure == "signature" then info.message = nil end
    local err = response.failure(event.failure, info)
    err.status = err.status or event.http_status
    return err
end

--- Takes the key out of an error: a service may echo it in any text, and not every key looks like one.
---@param err flux2.Error
---@param key string
---@return flux2.Error err the same
function exchange.redact(err, key)
    for name, value in pairs(err) do
        if type(value) == "string" and name ~= "kind" then err[name] = errors.redact(value, key) end
    end
    return err
end

return exchange
