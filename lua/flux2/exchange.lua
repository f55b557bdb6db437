--- One exchange with a server: asking and waiting for what comes, and from the engine's words for it to an error.
-- Owns nothing.

if jit then jit.off(true, true) end -- see flux2.scheduler

local core = require "flux2.core"
local errors = require "flux2.errors"
local response = require "flux2.response"
local scheduler = require "flux2.scheduler"

local exchange = {}

local LIMITS = { too_large = true, headers_too_large = true }

local function host_of(address)
    local parts = address and core.url(address)
    return parts and parts.host or nil
end

--- Waits for a request that is under way: yields in a coroutine, blocks outside one. When the wait ends before it, the
--- request is given up.
---@param id integer its job
---@param latch flux2.Latch opened at its end
---@param timeout? number seconds
---@param task_id? string for the error
---@return boolean? ended false when the time was over
---@return flux2.Error? err the wait was cut short
function exchange.await(id, latch, timeout, task_id)
    local open, reason = scheduler.await(latch, timeout)
    if open then return true end
    scheduler.cancel(id)
    if reason == "timeout" then return false end
    return nil, errors.new("cancelled", "the coroutine that waits was cancelled, and its request with it",
        { task_id = task_id })
end

--- Asks, and waits for the end of it: yields in a coroutine, blocks outside one.
---@param profile userdata
---@param spec table as for scheduler.transfer
---@param task_id? string for the error
---@return table? event the "ended"; of a failure as well
---@return flux2.Error? err nobody was asked, or the wait was cut short, and the exchange with it
function exchange.ask(profile, spec, task_id)
    local latch, event = scheduler.latch(), nil
    local id, reason = scheduler.transfer(profile, spec, function(_, ended)
        event = ended
        scheduler.open(latch)
    end)
    if not id then return nil, errors.new("io", "the engine could not start: " .. reason, { task_id = task_id }) end
    local _, err = exchange.await(id, latch, nil, task_id)
    if err then return nil, err end
    return event
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
