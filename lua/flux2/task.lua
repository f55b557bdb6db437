--- One generation at the service: its state, and those who wait for it.
-- Owns the job that submits and polls it. Knows what an answer means through flux2.response only.

if jit then jit.off(true, true) end -- see flux2.scheduler

local core = require "flux2.core"
local errors = require "flux2.errors"
local exchange = require "flux2.exchange"
local Image = require "flux2.image"
local json = require "flux2.json"
local response = require "flux2.response"
local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"
local text = require "flux2.text"

---@class flux2.Result What a task that succeeded has brought.
---@field images flux2.Image[] one, as a rule
---@field raw table the decoded answer, decoded when it is first looked at
---@field elapsed number seconds from the submission to the end, as seen here
---@field credits? number as the service says, else the published price

---@class flux2.Exchange One request to the service for a task, and how it was answered; for `on_exchange`
---@field kind "submission"|"poll" what was asked
---@field number integer how many: the attempts of this submission, or the polls so far
---@field http_status? integer the HTTP status, nil when no answer came
---@field failure? string then: resolve, connect, tls, timeout, network, closed, too_large, protocol, ...
---@field message? string and in words
---@field status? string the service's own word for the task, as far as it is known
---@field progress? number 0 to 1, where the service says
---@field elapsed number seconds since the task was submitted, or taken up
---@field pause? number seconds until the next request; nil: there is none
---@field retry_after? number seconds that the service asked to wait
---@field request_id? string the service's name for the exchange
---@field size? integer bytes of the answer
---@field body? string the answer, its first 16 KiB; never the key

---@class flux2.Task One generation at the service, from client:submit, client:task or client:recover.
---@field id? string the service's name for it, once it was accepted
---@field state "submitting"|"running"|"succeeded"|"failed"|"cancelled" how it stands, as seen here
---@field status? string the service's own word
---@field progress? number 0 to 1, where the service says
---@field error? flux2.Error why it failed
---@field result? flux2.Result once it has succeeded
---@field request? table as it was sent; nil for client:task
---@field submitted? string when, as "2026-01-31T12:00:00Z"; for what client:recover found
---@field price? number credits, as they were reckoned then; for what client:recover found
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

--- What is known only once its job has begun is there before: filling it in must not need memory.
local function new(settings, fields)
    fields._settings, fields._job, fields._slot = settings, false, false
    fields._latch, fields._began = scheduler.latch(), core.now()
    return setmetatable(fields, Task)
end

--- A recovered task is not polled before somebody asks for its latch, in order to wait: there may be thousands.
local Dormant = { __name = Task.__name, __tostring = Task.__tostring }

local function awaken(self)
    self._latch, self._began = scheduler.latch(), core.now()
    return setmetatable(self, Task)
end

function Dormant:__index(name)
    if name ~= "_latch" then return Task[name] end
    start_polling(awaken(self))
    return self._latch
end

local function is_dormant(self)
    return getmetatable(self) == Dormant
end

--- Whether something is a task.
---@private
---@param x any
---@return boolean
function Task.is(x)
    return type(x) == "table" and (getmetatable(x) == Task or is_dormant(x))
end

-- The books -----------------------------------------------------------------------------------------------------------

local function accepted(self)
    if self._reservation then self._reservation:spend() end
end

--- The submission was certainly not accepted.
local function refused(self)
    if self._reservation then self._reservation:release() end
    self:discard()
end

--- Its job has ended, or never began. What it has left behind takes no more memory.
local function leave(self)
    if self._slot then self._settings.slots:give() end
    self._slot = false
end

-- What happens to it ------------------------------------------------------------------------------------------------

local function notify(self, event, ...)
    local listeners = self._listeners and self._listeners[event]
    for i = 1, listeners and #listeners or 0 do reports.guard(listeners[i], self, ...) end
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
    self._job = false
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
        local event = exchange.ask(self._settings.service, {
            url = self._settings.task_url .. core.escape(self.id), deadline = timeout,
        })
        if not event or event.failure then return nil end
        local answer = response.task(event.http_status, event.body, exchange.info(event, { task_id = self.id }))
        return answer and answer.images[index]
    end
end

local function succeed(self, answer)
    local images = {}
    if self._record then self._record:expect(#answer.images) end
    for i, picture in ipairs(answer.images) do
        local arrival = i == 1 and self._arrival and self._arrival:has_begun() and self._arrival or nil
        images[i] = Image.new(self._settings, picture, refresher(self, i), self.id, self._record, arrival)
    end
    self._settled = true
    note(self, answer.status, 1)
    finish(self, "succeeded", setmetatable({
        images = images, raw = answer.raw, elapsed = core.now() - self._began,
        credits = answer.credits or self._price, _body = answer.body,
    }, Result))
end

--- The service has had its last word, or something else ended the polling; then the task may still be well.
local function settle(self, answer, err)
    -- Also of a submission whose outcome was unknown until its id was asked for.
    if answer then accepted(self) end
    if answer and answer.state == "succeeded" then return succeed(self, answer) end
    if answer and answer.state == "failed" then
        self._settled = true
        self:discard()
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

--- Its time was over before its turn had come.
local function never_sent(self)
    local turns = self._settings.turns
    local message = ("the submission was not sent: its turn did not come in time. max_submissions_per_second (%s), " ..
        "max_connections (%s) and max_event_bytes (%s, of what flux2.update has not taken) make it wait"):format(
        text.number(turns.max_submissions_per_second), text.number(turns.max_connections),
        text.number(turns.max_event_bytes))
    return errors.new("timeout", message, { attempts = 0 })
end

--- The submission brought no task: enters that in the books. Returns what went wrong.
local function submission_failed(self, event)
    local context = context_of(self)
    context.once = true
    local waited = event.failure == "timeout" and event.attempts == 0
    local err = waited and never_sent(self) or exchange.failure(event, context)
    if not event.sent then refused(self) end
    if not event.sent and event.failure == "io" and self._record then
        err.message = "nothing was sent, because its record could not be written to the spool " ..
            text.show(self._record.path) .. ": " .. (event.message or "?")
    end
    return err
end

--- Nobody else would tell that a record does not hold what it should.
local function report_record(self, event)
    if not event.message or not self._record then return end
    local name = text.show(self.id or "without an id")
    reports.report("flux2: the spool cannot keep task " .. name .. ": " .. event.message)
end

--- What the answer to a submission says; enters it in the books.
local function read_submission(self, event)
    local context = context_of(self)
    context.once = true
    local out, err = response.submission(event.http_status, event.body, exchange.info(event, context))
    if out then
        accepted(self)
        return out
    end
    if err.kind ~= "unknown_outcome" then refused(self) end
    return nil, err
end

--- The submission itself ended the job: it failed, or the answer left nothing to wait for.
local function submission_ended(self, event)
    if event.failure then return settle(self, nil, submission_failed(self, event)) end
    local out, err = read_submission(self, event)
    if not out then
        self.id = self.id or err.task_id
        return settle(self, nil, err)
    end
    self.id = out.task_id
    report_record(self, event)
    if out.finished then return settle(self, out.finished) end
    -- The engine and the table of shapes disagree about what an end looks like: then polling decides.
    if self._record then self._record:identify(out.task_id) end
    note(self, out.status)
    self.state = "running"
    start_polling(self)
end

local function polling_ended(self, event)
    if not event.failure then
        event.task_id = self.id
        if event.fetch then self._arrival:begin(event.fetch) end
        return settle(self, response.poll(event))
    end
    local err = exchange.failure(event, context_of(self))
    if err.kind == "timeout" then
        err.message = "the task was not finished in time; it goes on at the service, and can be waited for again"
        if event.polls == 0 then
            err.message = err.message .. ". Nobody has looked: poll.per_second and max_event_bytes limit how often " ..
                "this client does"
        end
        err.retryable = true
    end
    settle(self, nil, err)
end

local function opened(self, event)
    self.id = event.id
    accepted(self)
    report_record(self, event)
    if self.state ~= "submitting" then return end
    self.state = "running"
    note(self, event.status)
end

--- Hears what becomes of a task that was cancelled, for the books alone.
local function books_of(self)
    return function(kind, event)
        if kind == "opened" then return opened(self, event) end
        if kind ~= "ended" then return end
        leave(self)
        if event.fetch then scheduler.decline(event.fetch) end
        if not event.opening then return end
        if event.failure then
            submission_failed(self, event)
        else
            read_submission(self, event)
        end
    end
end

--- Tells the one who observes. Text from outside is shown to people sooner or later: it goes without the key.
local function observed(self, event)
    local function hide(s) return s and errors.redact(s, self._settings.key) end
    reports.guard(self._on_exchange, self, {
        kind = event.opening and "submission" or "poll", number = event.opening and event.attempts or event.polls,
        http_status = event.http_status, failure = event.failure, message = hide(event.message),
        status = hide(event.status), progress = response.progress(event.progress), elapsed = event.elapsed,
        pause = event.pause, retry_after = event.retry_after, request_id = hide(event.request_id),
        size = event.received, body = hide(event.body),
    })
end

local function handler_of(self)
    return function(kind, event)
        if kind == "exchanged" then return observed(self, event) end
        if kind == "opened" then return opened(self, event) end
        if kind == "changed" then return note(self, event.status, response.progress(event.progress)) end
        leave(self)
        if event.opening then return submission_ended(self, event) end
        return polling_ended(self, event)
    end
end

local function start(self, spec)
    local ok, err = self._settings.slots:check()
    if not ok then return nil, err end
    spec.deadline = self._timeout or self._settings.timeout
    spec.observe = self._on_exchange ~= nil
    local id, reason = scheduler.poll(self._settings.service, spec, handler_of(self))
    if not id then return nil, errors.new("io", "the engine could not start: " .. reason) end
    self._settings.slots:take()
    self._job, self._slot = id, true
    return self
end

--- The submission itself was answered with the pictures, and the record holds that answer.
local function read_record(self)
    local answer, reason = self._record:finished()
    if answer then return settle(self, answer) end
    local message = "the record " .. text.show(self._record.path) .. " cannot be read any more: " .. reason
    finish(self, "failed", nil, errors.new("io", message, { task_id = self.id }))
end

function start_polling(self)
    if self._record and self._record.is_finished then return read_record(self) end
    local ok, err = start(self, { url = self._settings.task_url .. core.escape(self.id) })
    if not ok then finish(self, "failed", nil, err) end
end

-- Made by the client ------------------------------------------------------------------------------------------------

--- Submits a request. Used by Client.
---@private
---@param settings table
---@param order { body: string, request: table, price: number?, timeout: number?, reservation: flux2.Reservation,
---  record: flux2.Record?, on_exchange: function?, arrival: flux2.Arrival? } body is JSON, price is in credits, timeout
---  in seconds; with an arrival the first picture is fetched for it as soon as there is a link
---@param prepare fun(task: flux2.Task) called before anything is sent; afterwards nothing may fail
---@return flux2.Task?
---@return flux2.Error?
function Task.submit(settings, order, prepare)
    local record = order.record or {}
    local self = new(settings, {
        state = "submitting", request = order.request, _price = order.price, _timeout = order.timeout,
        _reservation = order.reservation, _record = order.record, _on_exchange = order.on_exchange,
        _arrival = order.arrival,
    })
    prepare(self)
    local arrival = order.arrival
    return start(self, {
        url = settings.task_url .. "{id}", opening = settings.submit_url, body = order.body,
        fetch = arrival and settings.images, file = arrival and arrival.path, check = arrival ~= nil,
        record_path = record.path, record_text = record.text,
        durations = settings.learning:kind(settings.base_url, order.request),
    })
end

--- Takes up a task that was found in the spool; polled from its first wait. Used by Client.
---@private
---@param settings table
---@param record flux2.Record with an id, or the answer itself
---@param timeout number? seconds
---@return flux2.Task
function Task.recovered(settings, record, timeout)
    return setmetatable({
        state = "running", id = record.id, request = record.request, submitted = record.submitted,
        price = record.price, _price = record.price, _timeout = timeout, _record = record, _settings = settings,
        _job = false, _slot = false,
    }, Dormant)
end

--- Takes up a task that exists. Used by Client.
---@private
---@param settings table
---@param id string
---@param timeout number? seconds
---@param on_exchange function?
---@return flux2.Task?
---@return flux2.Error?
function Task.adopt(settings, id, timeout, on_exchange)
    local self = new(settings, { state = "running", id = id, _timeout = timeout, _on_exchange = on_exchange })
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
---@return flux2.Error? err of any kind: what became of the task, "timeout" if this wait was too short, "cancelled" if
---  the coroutine that waits was cancelled
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
--- Whoever waits is woken with kind "cancelled". Does nothing to a task that has ended. What was paid for stays in the
--- spool, if there is one: see discard.
---@return flux2.Task self
-- Example: `task:cancel()`
function Task:cancel()
    if not ALIVE[self.state] then return self end
    if is_dormant(self) then awaken(self) end
    scheduler.cancel(self._job, books_of(self))
    local message = "cancelled here; the service may still make the picture and charge for it"
    finish(self, "cancelled", nil, errors.new("cancelled", message, { task_id = self.id }))
    return self
end

--- With `spool`: takes the record of the task away, so that client:recover will not find it. For a picture that nobody
--- wants, or a task that the service does not know any more. The task itself goes on.
---@return flux2.Task self
-- Example: `task:cancel():discard()`
function Task:discard()
    if self._record then self._record:discard() end
    return self
end

--- Calls `fn(task, ...)` when something happens: "status" (the service's word changed), "progress" (it changed), "done"
--- (`fn(task, result, err)`; at once if it has ended). Called by the pump; an error in `fn` hurts nobody else.
---@param event "status"|"progress"|"done" what to hear of
---@param fn function receives the task, and with "done" the result or nil and an error
---@return flux2.Task self
-- Example: `task:on("status", function(t) print(t.status, t.progress) end)`
function Task:on(event, fn)
    if not EVENTS[event] then
        error("task:on: the events are 'status', 'progress' and 'done', not " .. text.show(event), 2)
    end
    if type(fn) ~= "function" then error("task:on: a function is needed, not " .. text.show(fn), 2) end
    self._listeners = self._listeners or {}
    local listeners = self._listeners[event] or {}
    self._listeners[event] = listeners
    listeners[#listeners + 1] = fn
    if is_dormant(self) then start_polling(awaken(self)) end
    if event == "done" and not ALIVE[self.state] then reports.guard(fn, self, self.result, self.error) end
    return self
end

return Task
