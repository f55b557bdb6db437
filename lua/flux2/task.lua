--- One generation at the service: its state, and those who wait for it.
-- Owns the job that submits and polls it. Knows what an answer means through flux2.response only.

local core = require "flux2.core"
local errors = require "flux2.errors"
local exchange = require "flux2.exchange"
local Image = require "flux2.image"
local response = require "flux2.response"
local scheduler = require "flux2.scheduler"
local text = require "flux2.text"

---@class flux2.Result
---@field images flux2.Image[]
---@field raw table the decoded answer
---@field elapsed number seconds from the submission to the end, as seen here
---@field credits? number as the service says, else the published price

---@class flux2.Task
---@field id? string the service's name for it, once it was accepted
---@field state "submitting"|"running"|"succeeded"|"failed"|"cancelled"
---@field status? string the service's own word
---@field progress? number 0 to 1
---@field error? flux2.Error why it failed
---@field result? flux2.Result
local Task = {}
Task.__index = Task
Task.__name = "flux2.Task"

local EVENTS = { done = true, progress = true, status = true }
local ALIVE = { submitting = true, running = true }

function Task:__tostring()
    local id = self.id and text.clean(self.id, 100) or "without an id yet"
    local status = self.status and ", " .. text.clean(self.status, 60) or ""
    return "flux2.Task " .. id .. " (" .. self.state .. status .. ")"
end

local function new(settings, fields)
    fields._settings = settings
    fields._latch = scheduler.latch()
    fields._listeners = { done = {}, progress = {}, status = {} }
    fields._began = core.now()
    return setmetatable(fields, Task)
end

-- What happens to it ------------------------------------------------------------------------------------------------

local function notify(self, event, ...)
    local listeners = self._listeners[event]
    for i = 1, #listeners do scheduler.guard(listeners[i], self, ...) end
end

--- Takes over what is new in `status` and `progress`, and tells those who asked.
local function note(self, status, progress)
    local status_changed = status ~= nil and status ~= self.status
    local progress_changed = progress ~= nil and progress ~= self.progress
    if status_changed then self.status = status end
    if progress_changed then self.progress = progress end
    if status_changed then notify(self, "status") end
    if progress_changed then notify(self, "progress") end
end

local function finish(self, state, result, err)
    self._job = nil
    self.state, self.result = state, result
    self.error = err and exchange.redact(err, self._settings.key)
    -- Polling may be taken up again: who has waited for this end is told of this one.
    self._latch.result, self._latch.error = self.result, self.error
    notify(self, "done", result, self.error)
    scheduler.open(self._latch)
end

--- Asks the service for the pictures of this task anew: their links may have expired.
local function refresher(self, index)
    if not self.id then return nil end
    return function(timeout)
        local latch, event = scheduler.latch(), nil
        local id = scheduler.transfer(self._settings.service, {
            url = self._settings.task_url .. core.escape(self.id), deadline = timeout,
        }, function(_, ended)
            event = ended
            scheduler.open(latch)
        end)
        if not id then return nil end
        if not scheduler.await(latch) then scheduler.cancel(id) end
        if not event or event.failure then return nil end
        local answer = response.task(event.http_status, event.body, exchange.info(event, { task_id = self.id }))
        return answer and answer.images[index]
    end
end

local function succeed(self, answer)
    local images = {}
    for i, picture in ipairs(answer.images) do
        images[i] = Image.new(self._settings, picture, refresher(self, i), self.id)
    end
    self._settled = true
    note(self, answer.status, 1)
    finish(self, "succeeded", {
        images = images, raw = answer.raw, elapsed = core.now() - self._began,
        credits = answer.credits or self._price,
    })
end

--- The service has had its last word, or something else ended the polling; then the task may still be well.
local function settle(self, answer, err)
    if answer and answer.state == "succeeded" then return succeed(self, answer) end
    if answer and answer.state == "failed" then
        self._settled = true
        note(self, answer.status)
        return finish(self, "failed", nil, answer.error)
    end
    err = err or errors.new("protocol", "the service's answer names neither a status nor a picture",
        { task_id = self.id })
    return finish(self, "failed", nil, err)
end

local function context_of(self)
    return {
        task_id = self.id, url = self._settings.base_url,
        limit = self._settings.max_response_bytes, limit_name = "max_response_bytes",
    }
end

local start_polling

--- The submission itself ended the job: it failed, or the answer left nothing to wait for.
local function submission_ended(self, event)
    local context = context_of(self)
    context.once = true
    if event.failure then return settle(self, nil, exchange.failure(event, context)) end
    local out, err = response.submission(event.http_status, event.body, exchange.info(event, context))
    if not out then
        self.id = self.id or err.task_id
        return settle(self, nil, err)
    end
    self.id = out.task_id
    if out.finished then return settle(self, out.finished) end
    -- The engine and the table of shapes disagree about what an end looks like: then polling decides.
    note(self, out.status)
    self.state = "running"
    start_polling(self)
end

local function polling_ended(self, event)
    local context = context_of(self)
    if not event.failure then
        return settle(self, response.task(event.http_status, event.body, exchange.info(event, context)))
    end
    local err = exchange.failure(event, context)
    if err.kind == "timeout" then
        err.message = "the task was not finished in time; it goes on at the service, and can be waited for again"
        err.retryable = true
    end
    settle(self, nil, err)
end

local function opened(self, event)
    local out = response.submission(event.http_status, event.body, exchange.info(event, { once = true }))
    self.id = out and out.task_id or self.id
    self.state = "running"
    note(self, out and out.status)
end

local function handler_of(self)
    return function(kind, event)
        if kind == "opened" then return opened(self, event) end
        if kind == "changed" then return note(self, event.status, response.progress(event.progress)) end
        if event.opening then return submission_ended(self, event) end
        return polling_ended(self, event)
    end
end

local function start(self, spec)
    spec.deadline = self._timeout or self._settings.timeout
    local id, reason = scheduler.poll(self._settings.service, spec, handler_of(self))
    if not id then return nil, errors.new("io", "the engine could not start: " .. reason) end
    self._job = id
    return self
end

function start_polling(self)
    local ok, err = start(self, { url = self._settings.task_url .. core.escape(self.id) })
    if not ok then finish(self, "failed", nil, err) end
end

-- Made by the client ------------------------------------------------------------------------------------------------

--- Submits a request. Used by Client.
---@param settings table
---@param body string JSON
---@param price number? credits
---@param timeout number? seconds
---@return flux2.Task?
---@return flux2.Error?
function Task.submit(settings, body, price, timeout)
    local self = new(settings, { state = "submitting", _price = price, _timeout = timeout })
    return start(self, { url = settings.task_url .. "{id}", opening = settings.submit_url, body = body })
end

--- Takes up a task that exists. Used by Client.
---@param settings table
---@param id string
---@param timeout number? seconds
---@return flux2.Task?
---@return flux2.Error?
function Task.adopt(settings, id, timeout)
    local self = new(settings, { state = "running", id = id, _timeout = timeout })
    return start(self, { url = settings.task_url .. core.escape(id) })
end

-- Public --------------------------------------------------------------------------------------------------------------

local function timed_out(self, timeout)
    local state = self.id and "the task is still running" or "the submission has not been answered yet"
    local message = "waited for " .. text.number(timeout) .. " s; " .. state .. ", and can be waited for again"
    return errors.new("timeout", message, { task_id = self.id, retryable = true })
end

local function wait_cancelled(self)
    local message = "the coroutine that waits was cancelled; the task itself goes on"
    return errors.new("cancelled", message, { task_id = self.id })
end

local NOT_OPEN = { timeout = timed_out, cancelled = wait_cancelled }

--- Waits for the end. Yields in a coroutine, blocks outside one. A wait that times out leaves the task alone: wait
--- again. If polling was given up (no network for long, the client's time-out), the next wait takes it up again.
---@param timeout? number seconds; by default as long as the task is polled at all
---@return flux2.Result? result
---@return flux2.Error? err
-- Example: `local result, err = task:wait(60)`
function Task:wait(timeout)
    if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
        error("task:wait: timeout must be a number of seconds, not " .. text.show(timeout), 2)
    end
    if self.state == "failed" and self._reported and self.id and not self._settled then
        self.state, self.error, self._latch, self._reported = "running", nil, scheduler.latch(), false
        start_polling(self)
    end
    local latch = self._latch
    local open, reason = scheduler.await(latch, timeout)
    if not open then return nil, NOT_OPEN[reason](self, timeout) end
    return self:_outcome(latch)
end

--- How it ended, for wait and for flux2.all and flux2.any: from here on its error is known to somebody.
function Task:_outcome(latch)
    latch = latch or self._latch
    if latch.result then return latch.result end
    if latch == self._latch then self._reported = true end
    return nil, latch.error
end

--- Stops waiting for the task, here. The service knows no way to cancel: it may finish the picture and charge for it.
--- Whoever waits is woken with kind "cancelled". Does nothing to a task that has ended.
---@return flux2.Task self
-- Example: `task:cancel()`
function Task:cancel()
    if not ALIVE[self.state] then return self end
    scheduler.cancel(self._job)
    local message = "cancelled here; the service may still make the picture and charge for it"
    finish(self, "cancelled", nil, errors.new("cancelled", message, { task_id = self.id }))
    return self
end

--- Calls `fn(task, ...)` when something happens: "status" (the service's word changed), "progress" (it changed), "done"
--- (`fn(task, result, err)`; at once if it has ended). Called by the pump; an error in `fn` hurts nobody else.
---@param event "status"|"progress"|"done"
---@param fn function
---@return flux2.Task self
-- Example: `task:on("status", function(t) print(t.status, t.progress) end)`
function Task:on(event, fn)
    if not EVENTS[event] then
        error("task:on: the events are 'status', 'progress' and 'done', not " .. text.show(event), 2)
    end
    if type(fn) ~= "function" then error("task:on: a function is needed, not " .. text.show(fn), 2) end
    local listeners = self._listeners[event]
    listeners[#listeners + 1] = fn
    if event == "done" and not ALIVE[self.state] then scheduler.guard(fn, self, self.result, self.error) end
    return self
end

return Task
