--- One question to the service: how does a task stand? Waits for no end, and takes nothing up.
-- Owns nothing.

if jit then jit.off(true, true) end -- see flux2.scheduler

local core = require "flux2.core"
local exchange = require "flux2.exchange"
local response = require "flux2.response"

---@class flux2.Look How a task stood when it was asked for
---@field id string the task
---@field state "running"|"succeeded"|"failed" as the service says
---@field status? string the service's own word
---@field progress? number 0 to 1
---@field urls string[] of its pictures; such links expire
---@field error? flux2.Error why it failed
---@field credits? number credits, as the service says

--- Asks. Yields in a coroutine, blocks outside one.
---@param settings table the client's
---@param id string
---@param timeout? number seconds, by default the client's
---@return flux2.Look? look
---@return flux2.Error? err the question failed: the task itself may be well
local function look(settings, id, timeout)
    local event, unasked = exchange.ask(settings.service, {
        url = settings.task_url .. core.escape(id), deadline = timeout or settings.timeout,
    }, id)
    if not event then return nil, unasked end
    event.task_id = id
    local answer, err
    if event.failure then
        err = exchange.failure(event, {
            task_id = id, url = settings.base_url, limit = settings.max_response_bytes,
            limit_name = "max_response_bytes",
        })
    else
        answer, err = response.task(event.http_status, event.body, event)
    end
    if not answer then return nil, exchange.redact(err, settings.key) end
    local urls = {}
    for _, picture in ipairs(answer.images or {}) do urls[#urls + 1] = picture.url end
    return {
        id = id, state = answer.state, status = answer.status, progress = answer.progress, urls = urls,
        error = answer.error and exchange.redact(answer.error, settings.key), credits = answer.credits,
    }
end

return look
