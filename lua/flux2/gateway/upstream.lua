--- The gateway's work at the service, by a client of flux2: submits claimed tasks, waits for them, and stores their
--- images. Every change of a task goes to the ledger.

local core = require "flux2.core"
local flux2 = require "flux2"
local input_images = require "flux2.input_images"
local json = require "flux2.json"
local ledger = require "flux2.gateway.ledger"
local uploads = require "flux2.gateway.uploads"

local upstream = {}

---@class flux2.gateway.Upstream
---@field client flux2.Client without a spool: the ledger has every task before it is submitted
---@field progress table<string, number> by task, 0 to 1
---@field submitting table<table, flux2.Task> submissions without a response, by job
local Upstream = {}
Upstream.__index = Upstream

-- Seconds.
local FIRST_PAUSE, LONGEST_PAUSE = 1, 60
-- Of this process, which may have been down for days: a paid task; one that the service does not know.
local GIVE_UP, GIVE_UP_UNKNOWN = 24 * 3600, 3600
local QUEUE_TIME = 3600 -- how long a task may be refused for now

local MOST_DOUBTS = 3 -- unknown outcomes in a row, after which submissions pause

-- The service, or the way to it, may be better later; nothing was accepted.
local IS_TEMPORARY = { rate_limited = true, network = true, tls = true, server = true, timeout = true }
-- The task has ended at the service.
local IS_FINAL = { task_failed = true, moderated = true, rejected = true }
-- What the operator has to correct, and clients need not know.
local IS_PRIVATE = { auth = true, credits = true, io = true, tls = true }

---@param options { client: flux2.Client, provider: table, writer: flux2.gateway.Writer, store: flux2.gateway.Store,
---  gateway: string, retention: number, changed: (fun(id: string)), warn: (fun(message: string)) } retention in
---  seconds; `changed` is called when a task has ended
---@return flux2.gateway.Upstream
function upstream.new(options)
    return setmetatable({
        client = options.client, provider = options.provider, writer = options.writer, store = options.store,
        gateway = options.gateway, retention = options.retention, changed = options.changed, warn = options.warn,
        progress = {}, active = {}, submitting = {}, later = {}, stored = {}, is_stopping = false,
        doubts = 0, submits_at = 0,
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
    self.doubts = self.doubts + 1
    if self.doubts >= MOST_DOUBTS then self.submits_at = core.now() + pause_of(self.doubts - MOST_DOUBTS) end
    self.warn("task " .. job.id .. ": " .. tostring(err) .. "; see flux2 serve --unknown")
    self.writer:insist(function(db) ledger.unknown(db, job.id, err.message) end, function() forget(self, job) end)
end

local function requeue(self, job, err)
    local seconds = math.max(err.retry_after or 0, pause_of(job.attempts))
    self.writer:insist(function(db) ledger.requeue(db, job.id, self.gateway, seconds) end, function()
        self.active[job.id] = nil
    end)
end

--- The submission was not accepted, or perhaps it was.
local function not_accepted(self, job, err)
    if err.kind == "unknown_outcome" or err.kind == "cancelled" then return unknown(self, job, err) end
    if err.status then self.doubts = 0 end
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
        self.stored[#self.stored + 1] = { job = job, images = images, credits = result.credits }
    end)
end

--- Writes to the ledger which tasks have their images, after these are on the disk.
local function settle_stored(self)
    local stored = self.stored
    if #stored == 0 then return end
    self.stored = {}
    local ok, reason = self.store:sync()
    if not ok then self.warn("images cannot be stored: " .. reason) end
    for _, item in ipairs(stored) do
        local job = item.job
        if ok then
            self.writer:insist(function(db) ledger.done(db, job.id, item.images, item.credits, self.retention) end,
                function() forget(self, job) end)
        else
            poll_later(self, job, { kind = "io", message = reason })
        end
    end
end

-- Tasks at the service ------------------------------------------------------------------------------------------------

--- Writes the id at the service as soon as it is known.
local function note_accepted(self, job, task)
    if job.upstream or not task.id or task.state == "submitting" then return end
    job.upstream, job.poll_url, self.doubts = task.id, task.poll_url, 0
    self.submitting[job] = nil
    self.writer:insist(function(db) ledger.accepted(db, job.id, self.gateway, job.upstream, job.poll_url) end)
end

local function ended(self, job, task, result, err)
    if self.submitting[job] and (result or err.paid or IS_FINAL[err.kind]) then note_accepted(self, job, task) end
    self.submitting[job] = nil
    if result then return succeed(self, job, result) end
    if not job.upstream and err.kind ~= "task_failed" then return not_accepted(self, job, err) end
    if IS_FINAL[err.kind] then return fail(self, job, err, false) end
    poll_later(self, job, err)
end

local function listeners(self, job)
    return {
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
    local age = core.now() - job.began
    if age > GIVE_UP or (age > GIVE_UP_UNKNOWN and err.kind == "not_found") or not job.upstream then
        return fail(self, job, err, false)
    end
    job.failures = (job.failures or 0) + 1
    self.later[#self.later + 1] = { at = core.now() + pause_of(job.failures), job = job }
end

--- Settles what was accepted or downloaded, and polls what has waited long enough.
function Upstream:turn()
    for job, task in pairs(self.submitting) do note_accepted(self, job, task) end
    settle_stored(self)
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
        attempts = tonumber(row.attempts), began = core.now(),
    }
end

--- Gives the service uploads of clients as files, if it takes those: then it need not reach the gateway.
local function embed_uploads(self, request)
    local field, list = input_images.field_of(self.provider), {}
    local urls = field and field.base64 and request[field.name]
    if not urls then return request end
    for i, url in ipairs(urls) do
        local sha256 = uploads.find(self.writer.db, url)
        list[i] = sha256 and self.store:path(sha256) or url
    end
    request[field.name], request.input_images = nil, list
    return request
end

--- Returns the limits of a claim; nil if nothing may be submitted now. After several unknown outcomes in a row, each of
--- which may be paid for, one submission at a time tells whether the service works again.
---@param limits { active: integer?, per_second: number?, at_once: integer }
---@return table? limits
function Upstream:limits_of_claim(limits)
    if self.doubts < MOST_DOUBTS then return limits end
    if next(self.submitting) or core.now() < self.submits_at then return nil end
    return { active = limits.active, per_second = limits.per_second, at_once = 1 }
end

--- Submits a claimed task.
---@param row flux2.gateway.Task
function Upstream:submit(row)
    local job = job_of(row)
    self.active[job.id] = true
    local ok, request = pcall(embed_uploads, self, json.decode(row.request))
    if not ok then
        self.warn("task " .. job.id .. " waits: " .. tostring(request))
        return requeue(self, job, {})
    end
    local task, err = self.client:submit(request, listeners(self, job))
    if not task then return not_accepted(self, job, err) end
    self.submitting[job] = task
end

--- Waits for an accepted task.
---@param row flux2.gateway.Task
function Upstream:resume(row)
    if self.active[row.id] then return end
    self.active[row.id] = true
    poll(self, job_of(row))
end

return upstream
