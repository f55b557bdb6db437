--- A task: one generation at the service. Owns the job that submits and polls it; the engine interprets the responses.

local core = require "flux2.core"
local error_mapping = require "flux2.error_mapping"
local errors = require "flux2.errors"
local Image = require "flux2.image"
local json = require "flux2.json"
local metadata = require "flux2.metadata"
local request_log = require "flux2.request_log"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local spawn = require "flux2.spawn"
local task_errors = require "flux2.task_errors"
local text = require "flux2.text"
local transport = require "flux2.transport"
local validate = require "flux2.validate"
local waits = require "flux2.waits"

---@class flux2.Result The result of a succeeded task.
---@field images flux2.Image[] usually one
---@field raw? table the response, decoded at the first access; nil if a strict parser refuses it
---@field elapsed number seconds from the submission to the end, measured here
---@field credits? number according to the service, else the published price

---@class flux2.Task One generation at the service, from client:submit, client:task or client:recover.
---@field id? string the task id of the service, once it was accepted
---@field poll_url? string the URL at which it is polled, if it came in the response to the submission
---@field state "submitting"|"running"|"succeeded"|"failed"|"cancelled" the state in this program
---@field status? string the status word of the service
---@field progress? number 0 to 1, if known
---@field error? flux2.Error why it failed
---@field result? flux2.Result once it has succeeded
---@field request? table as it was sent; nil for client:task
---@field submitted? string the time, as "2026-01-31T12:00:00Z"; only with a spool
---@field price? number credits, as expected at the submission; only from client:recover
local Task = {}
Task.__index = Task
Task.__name = "flux2.Task"

local Result = {}
Result.__name = "flux2.Result"

function Result:__index(name)
    if name ~= "raw" then return nil end
    self.raw = json.decode(self._body)
    return rawget(self, "raw")
end

local EVENTS = { done = true, progress = true, status = true }
local ALIVE = { submitting = true, running = true }

function Task:__tostring()
    local id = self.id and text.clean(self.id, 100) or "without an id yet"
    local status = self.status and ", " .. text.clean(self.status, 60) or ""
    return "flux2.Task " .. id .. " (" .. self.state .. status .. ")"
end

local start_polling

--- Returns what the metadata of the images is made of; nil if they get none.
local function describe(config, request, submitted)
    if not config.metadata then return nil end
    return { request = request, time = submitted or text.time() }
end

--- Fields that the start of the job sets exist from the beginning, because setting them must not allocate.
local function new(config, fields)
    fields._config, fields._job, fields._is_counted = config, false, false
    fields._latch, fields._began = waits.latch(), core.now()
    fields._made = describe(config, fields.request, fields.submitted)
    return setmetatable(fields, Task)
end

--- Whether something is a task.
---@private
---@param x any
---@return boolean
function Task.is(x)
    return type(x) == "table" and getmetatable(x) == Task
end

-- Counting ------------------------------------------------------------------------------------------------------------

--- Counts what an accepted task costs: according to the service if it says so, else its estimate.
local function spend(self, credits)
    local expected = self._price
    if credits then self._credits = credits end
    if self._reservation then self._reservation:spend(credits) end
    if credits and expected and credits ~= expected and self._is_estimated then
        request_log.write_price(self._config, self.request, expected, credits)
    end
end

--- Its job has ended: it does not count as unfinished any more.
local function uncount(self)
    if self._is_counted then self._config.tasks = self._config.tasks - 1 end
    self._is_counted = false
end

-- Events --------------------------------------------------------------------------------------------------------------

--- Calls the listeners of an event. Returns whether none of them raised an error.
local function notify(self, event, ...)
    local listeners, ok = self._listeners and self._listeners[event], true
    if not listeners then return true end
    for i = 1, #listeners do ok = uncaught.guard(listeners[i], self, ...) and ok end
    return ok
end

--- Takes the step that `set_status` was given. A listener that waits for the task takes it: the wait must not be for
--- the listener's own return.
local function take_step(self)
    local step = self._step
    self._step = nil
    if step then step() end
end

--- Updates `status` and `progress`, calls the listeners of what changed, then `step`, unless one cancels the task.
local function set_status(self, status, progress, step)
    local status_changed = status ~= nil and status ~= self.status
    local progress_changed = progress ~= nil and progress ~= self.progress
    self._step = step
    if status_changed then self.status = status end
    if progress_changed then self.progress = progress end
    if status_changed then notify(self, "status") end
    if progress_changed and ALIVE[self.state] then notify(self, "progress") end
    take_step(self)
end

--- Whether the image may still arrive: the task was accepted and has not failed. A task from client:task that the
--- service does not know is not paid.
local function is_paid(self, err)
    return self.state == "running" and not self._settled and (self.request ~= nil or err.kind ~= "not_found") or nil
end

local function finish(self, state, result, err)
    self._job = false
    if err then err.paid = is_paid(self, err) end
    self.state, self.result = state, result
    self.error = err
    -- Kept in the latch too: if the task is polled again, earlier waits still return this end.
    self._latch.result, self._latch.error = self.result, self.error
    waits.unlock(self._latch) -- a listener may wait for the task, and must not wait for its own return
    local ok = notify(self, "done", result, self.error)
    waits.open(self._latch)
    return ok
end

--- Finishes a task whose image is where the caller wants it.
local function finish_saved(self, result)
    self._settled = true
    finish(self, "succeeded", result)
end

--- Saves the first image. Waits unless it is in memory, or its prefetch has ended.
local function save_and_finish(self, result)
    local image = result.images[1]
    local path, err = image:save(self._target, self._until - core.now())
    image.path = path and self._save or nil
    if not ALIVE[self.state] then return end
    if path then return finish_saved(self, result) end
    finish(self, "failed", nil, err)
end

--- Finishes a task with `save` once its first image is saved, which the engine has usually begun.
local function save_first(self, result)
    if result.images[1]:_is_in_memory() then return save_and_finish(self, result) end
    if self._prefetch:has_begun() then
        return self._prefetch:when_ended(function() save_and_finish(self, result) end)
    end
    self._saver = spawn.spawn(save_and_finish, self, result) -- in a coroutine, because the pump must not wait
end

local function succeed(self, event)
    local images = {}
    if self._record then self._record:expect(#event.images) end
    for i, given in ipairs(event.images) do
        local prefetch = i == 1 and self._prefetch and self._prefetch:has_begun() and self._prefetch or nil
        images[i] = Image.new(self._config, given, {
            task_id = self.id, poll_url = self.poll_url, index = i, record = self._record, prefetch = prefetch,
            made = self._made,
        })
    end
    local result = setmetatable({
        images = images, elapsed = core.now() - self._began, _body = event.body,
        credits = event.credits or self._credits or self._price,
    }, Result)
    set_status(self, event.status, 1, function() (self._save and save_first or finish_saved)(self, result) end)
end

--- The task has ended at the service.
local function settle(self, event)
    spend(self, event.credits) -- also for a submission of unknown outcome
    if event.images then return succeed(self, event) end
    self._settled = true
    set_status(self, event.status, nil, function()
        -- The record is kept if a listener raises an error: it may not have stored the failure of a paid task.
        if finish(self, "failed", nil, task_errors.of(self, event)) then self:discard() end
    end)
end

--- Removes a record that was discarded before it was written, and reports that the engine could not update it.
local function report_record(self, event)
    if self._record then self._record:written() end
    if not event.message or not self._record then return end
    local name = text.show(self.id or "without an id")
    uncaught.report("flux2: the spool cannot keep task " .. name .. ": " .. event.message)
end

--- Counts the outcome of a submission. An unknown outcome stays reserved.
local function count_submission(self, event)
    if event.acceptance == "accepted" then spend(self, event.credits) end
    if event.acceptance == "refused" then
        if self._reservation then self._reservation:release() end
        self:discard()
    end
end

--- The job ended with the submission: it failed, or its response contained the images or no poll URL.
local function submission_ended(self, event)
    count_submission(self, event)
    if event.acceptance ~= "accepted" then
        if self._record then self._record:written() end
        local err = task_errors.submission(self, event)
        self.id, self.poll_url = self.id or event.id, self.poll_url or event.poll_url
        return finish(self, "failed", nil, err)
    end
    self.id, self.poll_url = event.id, event.poll_url
    report_record(self, event)
    if event.images then return settle(self, event) end
    -- The response contained no poll URL.
    self.state = "running"
    set_status(self, event.status, nil, function() start_polling(self) end)
end

local function polling_ended(self, event)
    if event.fetch then self._prefetch:begin(event.fetch) end
    if event.images or error_mapping.states[event.verdict] == "failed" then return settle(self, event) end
    local describe_error = event.failure == "timeout" and task_errors.overdue or task_errors.of
    finish(self, "failed", nil, describe_error(self, event))
end

local function accepted(self, event)
    self.id, self.poll_url = event.id, event.poll_url
    spend(self, event.credits)
    report_record(self, event)
    if self.state ~= "submitting" then return end
    self.state = "running"
    set_status(self, event.status)
end

--- Calls on_request, unless the task was cancelled, and the log.
local function observed(self, event)
    local config, sent = self._config
    if event.submission then
        sent = { kind = "submission", method = "POST", url = self._submit_url, size = self._submit_size }
    else
        local url = transport.task_url(config, self.id, self.poll_url)
        sent = { kind = "poll", method = "GET", url = url, size = 0 }
    end
    local info = request_log.info(event, sent, config.get_key())
    if self._on_request and self.state ~= "cancelled" then uncaught.guard(self._on_request, self, info) end
    if config.log then request_log.write(config.log, info) end
end

--- Returns the handler of the job of a cancelled task: it only counts, and logs.
local function cancelled_handler(self)
    return function(kind, event)
        if kind == "accepted" then return accepted(self, event) end
        if kind == "request" then return observed(self, event) end
        if kind ~= "ended" then return end
        uncount(self)
        if event.fetch then scheduler.decline(event.fetch) end
        if event.submission then count_submission(self, event) end
        if self._record then self._record:written() end
    end
end

local function handler_of(self)
    return function(kind, event)
        if kind == "request" then return observed(self, event) end
        if kind == "accepted" then return accepted(self, event) end
        if kind == "changed" then return set_status(self, event.status, event.progress) end
        uncount(self)
        if event.submission then return submission_ended(self, event) end
        return polling_ended(self, event)
    end
end

--- Lets the engine download the first image as soon as the task has ended.
local function prepare_prefetch(self, spec)
    local config = self._config
    self._until = core.now() + spec.deadline
    self._prefetch = transport.prefetch(self._target, self._until, config)
    spec.fetch, spec.file, spec.check = config.images, self._target, true
    if self._save and self._made then
        -- While the id is unknown, the engine inserts it.
        spec.metadata = metadata.of(config, { request = self._made.request, time = self._made.time, task_id = self.id })
    end
end

local function start(self, spec)
    local config = self._config
    if config.tasks >= config.max_tasks then return nil, task_errors.too_many(config) end
    spec.deadline = self._timeout or config.timeout
    if self._prefetches then prepare_prefetch(self, spec) end
    spec.observe = self._on_request ~= nil
    local id, reason = scheduler.poll(config.service, spec, handler_of(self))
    if not id then return nil, errors.new("io", "the engine could not start: " .. reason) end
    config.tasks = config.tasks + 1
    self._job, self._is_counted = id, true
    return self
end

--- Finishes a task whose record contains a response with the images.
local function read_record(self)
    local response, reason = self._record:finished()
    if response then return settle(self, response) end
    finish(self, "failed", nil, task_errors.unreadable_record(self, reason))
end

local function idempotency_header(config, key)
    return key and config.provider.idempotency_header .. ": " .. key
end

--- Sends the submission of an earlier run again. The service returns the same task for the same key.
local function resume_submission(self)
    local config, record = self._config, self._record
    local resend = record.resend
    self._submit_url, self._submit_size = config.submit_url(self.request), #resend.body
    local ok, err = start(self, {
        url = config.task_url, submission = self._submit_url, body = resend.body, resumed = true,
        idempotency = idempotency_header(config, resend.key), record_path = record.path, record_text = record.text,
    })
    if not ok then finish(self, "failed", nil, err) end
end

function start_polling(self)
    if self.state == "submitting" then return resume_submission(self) end
    if self._record and self._record.is_finished then return read_record(self) end
    local url, reason = transport.task_url(self._config, self.id, self.poll_url)
    if not url then return finish(self, "failed", nil, task_errors.not_pollable(self, reason)) end
    local ok, err = start(self, { url = url })
    if not ok then finish(self, "failed", nil, err) end
end

-- Made by the client ------------------------------------------------------------------------------------------------

--- Submits a request. Used by Client.
---@private
---@param config table
---@param submission { url: string, body: string, images: table[]?, size: integer, kind: string, request: table,
---  price: number?, is_estimated: boolean, timeout: number?, reservation: flux2.Reservation, record: flux2.Record?,
---  idempotency: string?, on_request: function?, prefetch: boolean?, save: string? } body is JSON, of `size` bytes with
---  the images; price in credits, timeout in seconds; tasks of one kind take about the same time; idempotency is a key
---  by which the service recognizes a submission that is sent again; with `prefetch` or `save`, the path of a file, the
---  first image is downloaded as soon as its URL is known
---@param prepare fun(task: flux2.Task) called before anything is sent; afterwards nothing may fail
---@return flux2.Task?
---@return flux2.Error?
function Task.submit(config, submission, prepare)
    local record = submission.record or {}
    local self = new(config, {
        state = "submitting", request = submission.request, submitted = record.submitted,
        _price = submission.price, _is_estimated = submission.is_estimated, _timeout = submission.timeout,
        _reservation = submission.reservation, _record = submission.record, _on_request = submission.on_request,
        _submit_url = submission.url, _submit_size = submission.size,
        _save = submission.save, _target = transport.absolute(submission.save),
        _prefetches = submission.prefetch or submission.save ~= nil,
    })
    prepare(self)
    return start(self, {
        url = config.task_url, submission = submission.url, body = submission.body, images = submission.images,
        idempotency = idempotency_header(config, submission.idempotency),
        record_path = record.path, record_text = record.text,
        -- The engine measures the durations of tasks of one kind, and polls accordingly.
        durations = config.base_url .. " " .. submission.kind,
    })
end

--- Makes a task of a record of the spool; it is polled from its first wait. Used by Client.
---@private
---@param config table
---@param record flux2.Record with an id, a response, or a submission that may be sent again
---@param timeout number? seconds
---@return flux2.Task
function Task.recovered(config, record, timeout)
    return setmetatable({
        state = record.resend and "submitting" or "running", id = record.id, poll_url = record.poll_url,
        request = record.request, submitted = record.submitted, price = record.price, _price = record.price,
        _timeout = timeout, _record = record, _config = config, _job = false, _is_counted = false, _latch = false,
        _made = describe(config, record.request, record.submitted),
    }, Task)
end

--- Polls a task that exists. Used by Client.
---@private
---@param config table
---@param id string
---@param urls { url: string, poll_url: string? } the URL that is polled; the one from the service, if any
---@param timeout number? seconds
---@param on_request function?
---@return flux2.Task?
---@return flux2.Error?
function Task.adopt(config, id, urls, timeout, on_request)
    local self = new(config, {
        state = "running", id = id, poll_url = urls.poll_url, _timeout = timeout, _on_request = on_request,
    })
    return start(self, { url = urls.url })
end

-- Public --------------------------------------------------------------------------------------------------------------

local NOT_OPEN = { timeout = task_errors.wait_too_short, cancelled = task_errors.wait_cancelled }

--- Returns the latch that opens at its end. The first call starts to poll a recovered task: there may be thousands.
function Task:_end_latch()
    if not self._latch then
        self._latch, self._began = waits.latch(), core.now()
        start_polling(self)
    end
    take_step(self)
    return self._latch
end

--- Waits for the end. Yields in a coroutine, blocks outside one. After a timeout the task goes on: wait again. If
--- polling ended with an error (no network, the client's timeout), the next wait polls again.
---@param timeout? number seconds; by default until polling ends
---@return flux2.Result? result
---@return flux2.Error? err of any kind: why the task failed, "timeout" if this wait was too short, "cancelled" if the
---  waiting coroutine was cancelled
-- Example: `local result, err = task:wait(60)`
function Task:wait(timeout)
    validate.receiver(self, Task, "task:wait")
    validate.timeout("task:wait", timeout)
    if self.state == "failed" and self._reported and self.id and not self._settled then
        self.state, self.error, self._latch, self._reported = "running", nil, waits.latch(), false
        start_polling(self)
    end
    local latch = self:_end_latch()
    local open, reason = waits.await(latch, timeout)
    if not open then return nil, NOT_OPEN[reason](self, timeout) end
    return self:_outcome(latch)
end

--- Returns how it ended, for wait, flux2.all and flux2.any.
function Task:_outcome(latch)
    latch = latch or self._latch
    if latch.result then return latch.result end
    if latch == self._latch then self._reported = true end
    return nil, latch.error
end

--- Stops polling the task. The service cannot cancel a task: it may finish the image and charge for it. Waits end with
--- kind "cancelled". Does nothing to a task that has ended. The record stays in the spool: see discard.
---@return flux2.Task self
-- Example: `task:cancel()`
function Task:cancel()
    validate.receiver(self, Task, "task:cancel")
    if not ALIVE[self.state] then return self end
    self._latch, self._step = self._latch or waits.latch(), nil
    scheduler.cancel(self._job, cancelled_handler(self))
    finish(self, "cancelled", nil, task_errors.cancelled(self))
    if self._prefetch then self._prefetch:cancel() end
    if self._saver then self._saver:cancel() end
    return self
end

--- With `spool`: removes the record of the task, so that client:recover does not return it. The task itself goes on.
---@return flux2.Task self
-- Example: `task:cancel():discard()`
function Task:discard()
    validate.receiver(self, Task, "task:discard")
    if self._record then self._record:discard() end
    return self
end

--- Calls `fn(task, ...)` at each event: "status" (the status word changed), "progress" (it changed), "done"
--- (`fn(task, result, err)`; at once if it has ended). The pump calls it; an error in `fn` is isolated and reported.
---@param event "status"|"progress"|"done" the event
---@param fn function receives the task, and with "done" the result or nil and an error
---@return flux2.Task self
-- Example: `task:on("status", function(t) print(t.status, t.progress) end)`
function Task:on(event, fn)
    validate.receiver(self, Task, "task:on")
    if not EVENTS[event] then
        error("task:on: the events are 'status', 'progress' and 'done', not " .. text.show(event), 2)
    end
    if type(fn) ~= "function" then error("task:on: a function is needed, not " .. text.show(fn), 2) end
    self._listeners = self._listeners or {}
    local listeners = self._listeners[event] or {}
    local had_ended = not ALIVE[self.state]
    self._listeners[event] = listeners
    listeners[#listeners + 1] = fn
    if not self._latch then self:_end_latch() end -- a recovered task may end here
    if event == "done" and had_ended then uncaught.guard(fn, self, self.result, self.error) end
    return self
end

return Task
