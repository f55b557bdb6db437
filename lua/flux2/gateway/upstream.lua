--- The gateway's work at the service, by a client of flux2: submits claimed tasks, waits for them, and stores their
--- images. Every change of a task goes to the ledger.

local core = require "flux2.core"
local flux2 = require "flux2"
local json = require "flux2.json"
local ledger = require "flux2.gateway.ledger"

local upstream = {}

---@class flux2.gateway.Upstream
---@field client flux2.Client with a spool: the engine records an id before this program knows it
---@field progress table<string, number> by task, 0 to 1
---@field submitting integer submissions without a response
local Upstream = {}
Upstream.__index = Upstream

-- Seconds.
local FIRST_PAUSE, LONGEST_PAUSE = 1, 60
local GIVE_UP, GIVE_UP_UNKNOWN = 24 * 3600, 3600 -- a paid task; one that the service does not know
local QUEUE_TIME = 3600 -- how long a task may be refused for now

-- The service, or the way to it, may be better later; nothing was accepted.
local IS_TEMPORARY = { rate_limited = true, network = true, tls = true, server = true, timeout = true }
-- The task has ended at the service.
local IS_FINAL = { task_failed = true, moderated = true, rejected = true }
-- What the operator has to correct, and clients need not know.
local IS_PRIVATE = { auth = true, credits = true, io = true, tls = true }

---@param options { client: flux2.Client, writer: flux2.gateway.Writer, store: flux2.gateway.Store, gateway: string,
---  retention: number, changed: (fun(id: string)), warn: (fun(message: string)) } retention in seconds; `changed` is
---  called when a task has ended
---@return flux2.gateway.Upstream
function upstream.new(options)
    return setmetatable({
        client = options.client, writer = options.writer, store = options.store, gateway = options.gateway,
        retention = options.retention, changed = options.changed, warn = options.warn,
        progress = {}, active = {}, submitting = 0, later = {}, is_stopping = false,
    }, Upstream)
end

local function pause_of(attempts)
    return math.min(FIRST_PAUSE * 2 ^ math.min(attempts, 10), LONGEST_PAUSE)
end

--- The task leaves this process's hands.
local function forget(self, job)
    self.active[job.id], self.progress[job.id] = nil, nil
    self.changed(job.id)
end

-- Ends ----------------------------------------------------------------------------------------------------------------

local function problem_of(err)
    local message = IS_PRIVATE[err.kind] and "the gateway cannot use the service now" or err.message
    return { kind = IS_PRIVATE[err.kind] and "server" or err.kind, message = message }
end

local function fail(self, job, err, is_free)
    if IS_PRIVATE[err.kind] then self.warn("task " .. job.id .. ": " .. tostring(err)) end
    local problem = problem_of(err)
    self.writer:insist(function(db) ledger.fail(db, job.id, problem, is_free) end, function() forget(self, job) end)
end

local function unknown(self, job, err)
    self.warn("task " .. job.id .. ": " .. tostring(err) .. "; see flux2 serve --unknown")
    self.writer:insist(function(db) ledger.unknown(db, job.id, err.message) end, function() forget(self, job) end)
end

local function requeue(self, job, err)
    local seconds = math.max(err.retry_after or 0, pause_of(job.attempts))
    self.writer:insist(function(db) ledger.requeue(db, job.id, seconds) end, function()
        self.active[job.id] = nil
    end)
end

--- The submission was not accepted, or perhaps it was.
local function not_accepted(self, job, err)
    if err.kind == "unknown_outcome" or err.kind == "cancelled" then return unknown(self, job, err) end
    if IS_TEMPORARY[err.kind] and os.time() - job.created < QUEUE_TIME then return requeue(self, job, err) end
    fail(self, job, err, true)
end

-- Images --------------------------------------------------------------------------------------------------------------

local poll_later

--- Downloads the images of a result. Runs in a coroutine. Returns a list for the ledger.
local function collect(self, job, result)
    local images = {}
    for i, image in ipairs(result.images) do
        local path, err = image:save(self.store:incoming(job.id, i))
        if not path then return nil, err end
        local kept, reason = self.store:keep(path)
        if not kept then
            self.warn("task " .. job.id .. ": its image cannot be stored: " .. reason)
            return nil, { kind = "io", message = reason }
        end
        images[i] = kept
    end
    return images
end

local function succeed(self, job, result)
    flux2.spawn(function()
        local images, err = collect(self, job, result)
        if not images then return poll_later(self, job, err) end
        self.writer:insist(function(db) ledger.done(db, job.id, images, result.credits, self.retention) end, function()
            forget(self, job)
        end)
    end)
end

-- Tasks at the service ------------------------------------------------------------------------------------------------

--- Writes the id at the service as soon as it is known.
local function note_accepted(self, job, task)
    if job.upstream or not task.id or task.state == "submitting" then return end
    job.upstream, job.poll_url = task.id, task.poll_url
    self.submitting = self.submitting - 1
    self.writer:insist(function(db) ledger.accepted(db, job.id, self.gateway, job.upstream, job.poll_url) end)
end

local function ended(self, job, task, result, err)
    if not job.is_submitted then
        if result or err.paid or IS_FINAL[err.kind] then note_accepted(self, job, task) end
        if not job.upstream then self.submitting = self.submitting - 1 end
        job.is_submitted = true
    end
    if result then return succeed(self, job, result) end
    if not job.upstream and err.kind ~= "task_failed" then return not_accepted(self, job, err) end
    if IS_FINAL[err.kind] then return fail(self, job, err, false) end
    poll_later(self, job, err)
end

local function listeners(self, job)
    return {
        on_status = function(task) note_accepted(self, job, task) end,
        on_request = function(task, info)
            if info.kind == "poll" then note_accepted(self, job, task) end
        end,
        on_progress = function(task) self.progress[job.id] = task.progress end,
        on_done = function(task, result, err) ended(self, job, task, result, err) end,
    }
end

local function poll(self, job)
    local options = listeners(self, job)
    options.poll_url = job.poll_url
    local task, err = self.client:task(job.upstream, options)
    if not task then poll_later(self, job, err) end
end

--- A paid task whose end is not known: it is polled again.
function poll_later(self, job, err)
    local age = os.time() - job.created
    if age > GIVE_UP or (age > GIVE_UP_UNKNOWN and err.kind == "not_found") or not job.upstream then
        return fail(self, job, err, false)
    end
    job.failures = (job.failures or 0) + 1
    self.later[#self.later + 1] = { at = core.now() + pause_of(job.failures), job = job }
end

--- Polls what has waited long enough.
function Upstream:turn()
    local now, due, left = core.now(), {}, {}
    if #self.later == 0 or self.is_stopping then return end
    for _, item in ipairs(self.later) do
        local list = item.at <= now and due or left
        list[#list + 1] = item
    end
    self.later = left
    for _, item in ipairs(due) do poll(self, item.job) end
end

local function job_of(row)
    return {
        id = row.id, upstream = row.upstream, poll_url = row.poll_url, created = tonumber(row.created),
        attempts = tonumber(row.attempts), is_submitted = row.upstream ~= nil,
    }
end

--- Submits a claimed task.
---@param row flux2.gateway.Task
function Upstream:submit(row)
    local job = job_of(row)
    self.active[job.id] = true
    self.submitting = self.submitting + 1
    local task, err = self.client:submit(json.decode(row.request), listeners(self, job))
    if task then return end
    self.submitting = self.submitting - 1 -- nothing was sent
    job.is_submitted = true
    not_accepted(self, job, err)
end

--- Waits for an accepted task.
---@param row flux2.gateway.Task
function Upstream:resume(row)
    if self.active[row.id] then return end
    self.active[row.id] = true
    poll(self, job_of(row))
end

-- After a crash -------------------------------------------------------------------------------------------------------

local function contains(given, wanted)
    if type(wanted) ~= "table" then return given == wanted end
    if type(given) ~= "table" then return false end
    for name, member in pairs(wanted) do
        if not contains(given[name], member) then return false end
    end
    return true
end

--- Takes the first task with this request from the list. Tasks with the same request are interchangeable.
local function take_equal(rows, request)
    for i, row in ipairs(rows) do
        local wanted = json.decode(row.request)
        if wanted and contains(request, wanted) then return table.remove(rows, i) end
    end
end

local function attach(self, row, task)
    local job = job_of(row)
    self.active[job.id], job.is_submitted = true, true
    for event, fn in pairs { progress = "on_progress", done = "on_done" } do
        task:on(event, listeners(self, job)[fn])
    end
end

--- Assigns the tasks of the spool to those of the ledger.
local function match(self, found, accepted, unsettled)
    local by_upstream, learned = {}, {}
    for _, row in ipairs(accepted) do by_upstream[row.upstream] = row end
    for _, task in ipairs(found) do
        local row = task.id and by_upstream[task.id]
        if row then
            attach(self, row, task)
        elseif task.id and self.is_settled(task.id) then
            task:discard()
        else
            learned[#learned + 1] = task
        end
    end
    for _, task in ipairs(learned) do
        local row = take_equal(unsettled, task.request)
        if row then
            row.upstream, row.poll_url = task.id, task.poll_url
            if task.id then
                self.writer:insist(function(db)
                    ledger.accepted(db, row.id, self.gateway, task.id, task.poll_url)
                end)
            end
            attach(self, row, task)
        else
            self.warn("the spool holds a task that the ledger does not know: " .. tostring(task.id))
        end
    end
end

--- Continues the work of the last run: polls accepted tasks, and learns from the spool what became of submissions. The
--- others are of unknown outcome.
---@param db flux2.gateway.Database
---@return flux2.Error? err the spool cannot be read
function Upstream:recover(db)
    local found, unclear, damaged = self.client:recover()
    if not found then return unclear end
    local accepted, unsettled = ledger.accepted_of(db, self.gateway), ledger.unsettled_of(db, self.gateway)
    self.is_settled = function(id)
        return db:first("SELECT id FROM tasks WHERE upstream = ? AND state IN ('done', 'failed')", id) ~= nil
    end
    match(self, found, accepted, unsettled)
    for _, row in ipairs(unsettled) do
        self.writer:insist(function() ledger.unknown(db, row.id, "the gateway stopped during the submission") end)
    end
    for _, record in ipairs(unclear) do record:discard() end -- the ledger has them
    for _, record in ipairs(damaged) do self.warn(record.path .. ": " .. record.reason) end
    for _, row in ipairs(accepted) do self:resume(row) end
end

--- Puts tasks back that were claimed, but not submitted, because the answer to the commit was lost.
---@param db flux2.gateway.Database
function Upstream:reclaim(db)
    for _, row in ipairs(db:query("SELECT id FROM tasks WHERE state = 'submitting' AND gateway = ?", self.gateway)) do
        if not self.active[row.id] then ledger.requeue(db, row.id, 0) end
    end
end

return upstream
