--- The errors of a task in words, for flux2.task. Only reads the task.

local error_mapping = require "flux2.error_mapping"
local errors = require "flux2.errors"
local text = require "flux2.text"
local transport = require "flux2.transport"

local task_errors = {}

local function is_paid(task)
    return task.state == "running" or nil
end

--- Returns the error of an event of the engine.
---@param task flux2.Task
---@param event table the "ended" event of its job
---@return flux2.Error
function task_errors.of(task, event)
    return error_mapping.of(event, transport.context(task._config, task.id))
end

--- Returns the error of a task that did not end in time.
---@param task flux2.Task
---@param event table the "ended" event of its job
---@return flux2.Error err kind "timeout"
function task_errors.overdue(task, event)
    return error_mapping.overdue(event, transport.context(task._config, task.id), task.status)
end

-- Submissions -----------------------------------------------------------------------------------------------------

--- What delays a submission: the service, or a limit of the client.
local function delay_of(task, event)
    if event.retry_after then
        local seconds = text.number(math.ceil(event.retry_after))
        return "the service asked clients with this key to wait, " .. seconds .. " s more"
    end
    local limits = task._config.limits
    return ("max_submissions_per_second (%s), max_connections (%s) and max_event_bytes (%s, waiting for " ..
        "flux2.update) limit submissions"):format(text.number(limits.max_submissions_per_second),
        text.number(limits.max_connections), text.number(limits.max_event_bytes))
end

--- Why a submission was not sent, by the step before it that failed.
local NOT_SENT = {
    engine = function() return "the engine could not start" end,
    input = function() return "an input image could not be read" end,
    record = function(task) return "its record could not be written to the spool " .. text.show(task._record.path) end,
}

--- The message of a submission that was not sent, or not sent again.
local function not_sent_text(task, event)
    if event.failed_step == "target" then return "cannot write " .. text.show(task._save) .. ": " .. event.message end
    local reason = NOT_SENT[event.failed_step](task) .. ": " .. event.message
    if event.acceptance == "refused" then return "nothing was sent, because " .. reason end
    return "it was not sent again, because " .. reason .. "; the service may have accepted and charged it"
end

--- Returns the error of a submission without a task.
---@param task flux2.Task
---@param event table the "ended" event of its job
---@return flux2.Error
function task_errors.submission(task, event)
    if event.failure == "timeout" and event.attempts == 0 then
        local message = "the submission was not sent before the timeout: " .. delay_of(task, event)
        return errors.new("timeout", message, { attempts = 0, retry_after = event.retry_after })
    end
    local err = task_errors.of(task, event)
    if event.failed_step then err.message = not_sent_text(task, event) end
    return err
end

--- Returns the error of a task beyond the limit, which also bounds the events that wait for the program: each task has
--- one end.
---@param config table the client's
---@return flux2.Error err kind "rate_limited"
function task_errors.too_many(config)
    return errors.new("rate_limited", "nothing was sent: " .. text.number(config.tasks) .. " tasks of this client " ..
        "are alive, as many as max_tasks allows; wait for some of them, or raise it", { limit = config.max_tasks })
end

-- Polling ---------------------------------------------------------------------------------------------------------

--- Returns the error of a record of the spool that contained a response with the images.
---@param task flux2.Task
---@param reason string
---@return flux2.Error err kind "io"
function task_errors.unreadable_record(task, reason)
    local message = "the record " .. text.show(task._record.path) .. " cannot be read any more: " .. reason
    return errors.new("io", message, { task_id = task.id })
end

--- Returns the error of a task without a URL.
---@param task flux2.Task
---@param reason string
---@return flux2.Error err kind "protocol"
function task_errors.not_pollable(task, reason)
    local message = "the service accepted the task, but it cannot be polled: " .. reason
    return errors.new("protocol", message, { task_id = task.id })
end

--- Returns the error of a task that the program cancelled.
---@param task flux2.Task
---@return flux2.Error err kind "cancelled"
function task_errors.cancelled(task)
    local message = "cancelled here; the service may still generate the image and charge for it"
    return errors.new("cancelled", message, { task_id = task.id })
end

-- Waits; the task itself goes on ------------------------------------------------------------------------------------

--- Returns the error of a wait with a timeout.
---@param task flux2.Task
---@param timeout number seconds
---@return flux2.Error err kind "timeout"
function task_errors.wait_too_short(task, timeout)
    local state = task.id and "the task is still running" or "the submission has no response yet"
    local message = "waited for " .. text.number(timeout) .. " s; " .. state .. ", and can be waited for again"
    local word = error_mapping.unknown(task._config.provider.response, task.status)
    if word then message = message .. "; " .. word end
    return errors.new("timeout", message, { task_id = task.id, retryable = true, paid = is_paid(task) })
end

--- Returns the error of a wait whose coroutine was cancelled.
---@param task flux2.Task
---@return flux2.Error err kind "cancelled"
function task_errors.wait_cancelled(task)
    local message = "the waiting coroutine was cancelled; the task itself goes on"
    return errors.new("cancelled", message, { task_id = task.id, paid = is_paid(task) })
end

return task_errors
