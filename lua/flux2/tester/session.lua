--- The tasks of the tester's session with their events and images.
-- Every event has a number; the page requests the events after the last number that it has. Uses the public client.

local errors = require "flux2.errors"
local input_images = require "flux2.input_images"
local json = require "flux2.json"
local spawn = require "flux2.spawn"
local waits = require "flux2.waits"

local MAX_TASKS = 100 -- the oldest ended tasks are evicted first
local MAX_IMAGE_BYTES = 256 * 1024 * 1024 -- of all images
local MAX_EVENTS = 3000 -- per task: one poll per second for the longest task
local MAX_BODIES = 1024 * 1024 -- bytes of raw responses per task
local MAX_RESPONSE_EVENTS = 200 -- events per response

local RUNNING = { submitting = true, running = true }

---@class flux2.TesterSession
local Session = {}
Session.__index = Session

local session = {}

---@param client flux2.Client
---@param now fun(): number seconds
---@return flux2.TesterSession
function session.new(client, now)
    return setmetatable({
        client = client, now = now, entries = {}, by_id = {}, made = 0, version = 0, image_bytes = 0,
        updated = waits.latch(),
    }, Session)
end

-- Events ------------------------------------------------------------------------------------------------------------

local ERROR_FIELDS = {
    "kind", "message", "status", "code", "type", "task_id", "request_id", "attempts", "retryable", "retry_after",
    "field", "index", "raw",
}

--- Returns an error with its meaning and advice as a plain table.
---@param err flux2.Error
---@return table
function session.describe_error(err)
    local out = { meaning = errors.kinds[err.kind], advice = errors.advice[err.kind] }
    for _, name in ipairs(ERROR_FIELDS) do
        local value = err[name]
        if type(value) ~= "table" and type(value) ~= "userdata" then out[name] = value end
    end
    return out
end

--- Adds an event. Every change of an entry needs one: the page is notified by event numbers.
local function add_event(self, entry, event)
    self.version = self.version + 1
    event.n, event.task, event.at = self.version, entry.id, self.now() - entry.began
    entry.changed = self.version
    if #entry.events < MAX_EVENTS or event.kind ~= "request" then entry.events[#entry.events + 1] = event end
    local updated = self.updated
    self.updated = waits.latch()
    waits.open(updated)
end

local function is_running(entry)
    return RUNNING[entry.task.state] == true
end

--- The state of a task, without its events.
local function summary(entry)
    local task = entry.task
    return {
        id = entry.id, request = entry.request, state = task.state, task_id = task.id, status = task.status,
        progress = task.progress, price = entry.price, credits = task.result and task.result.credits,
        elapsed = entry.elapsed, images = #entry.images > 0 and entry.images or nil, running = is_running(entry),
        error = task.error and session.describe_error(task.error), fetching = entry.fetching or nil,
        -- Whether polling again may still deliver the image.
        resumable = task.state == "failed" and task.id ~= nil and task.error ~= nil and task.error.retryable or nil,
    }
end

--- Returns the raw response, or nil if the task's limit would be exceeded.
local function limit_body(entry, body)
    if not body or entry.bodies + #body > MAX_BODIES then return nil end
    entry.bodies = entry.bodies + #body
    return body
end

local function on_request(self, entry, request)
    add_event(self, entry, {
        kind = "request", what = request.kind, number = request.number, http_status = request.http_status,
        failure = request.failure, message = request.message, status = request.status,
        progress = request.progress, elapsed = request.elapsed, pause = request.pause,
        retry_after = request.retry_after, request_id = request.request_id, size = request.size,
        body = limit_body(entry, request.body),
    })
end

-- Images --------------------------------------------------------------------------------------------------------------

local function drop_image(self, image)
    self.image_bytes = self.image_bytes - #self.by_id[image.task].bytes[image.index]
    self.by_id[image.task].bytes[image.index] = nil
    image.dropped = true
end

--- Evicts the oldest images until `needed` bytes fit.
local function evict_images(self, needed)
    for _, entry in ipairs(self.entries) do
        for _, image in ipairs(entry.images) do
            if self.image_bytes + needed <= MAX_IMAGE_BYTES then return end
            if entry.bytes[image.index] then drop_image(self, image) end
        end
    end
end

local function fetch_image(self, entry, image, index)
    local start = self.now()
    local bytes, err = image:bytes()
    local info = {
        task = entry.id, index = index, url = image.url, content_type = image.content_type,
        seconds = self.now() - start, size = bytes and #bytes, error = err and session.describe_error(err),
    }
    if bytes then
        evict_images(self, #bytes)
        entry.bytes[index] = bytes
        self.image_bytes = self.image_bytes + #bytes
    end
    entry.images[#entry.images + 1] = info
    add_event(self, entry, { kind = "image", image = info })
end

local function fetch_images(self, entry, images)
    spawn.spawn(function()
        for i, image in ipairs(images) do
            if self.by_id[entry.id] then fetch_image(self, entry, image, i) end
        end
        entry.fetching = false
        add_event(self, entry, { kind = "fetched" })
    end)
end

--- Returns an image and its content type.
---@param id integer
---@param index integer
---@return string? bytes nil if there is none or it was evicted
---@return string? content_type
function Session:image(id, index)
    local entry = self.by_id[id]
    local bytes = entry and entry.bytes[index]
    if not bytes then return nil end
    for _, image in ipairs(entry.images) do
        if image.index == index then return bytes, image.content_type end
    end
end

-- Tasks ---------------------------------------------------------------------------------------------------------------

local function on_done(self, entry, result)
    local task = entry.task
    entry.elapsed = self.now() - entry.began
    entry.fetching = result ~= nil
    add_event(self, entry, { kind = "ended", state = task.state, status = task.status })
    if result then fetch_images(self, entry, result.images) end
end

--- Evicts the oldest ended tasks beyond MAX_TASKS.
local function evict_tasks(self)
    local i = 1
    while #self.entries > MAX_TASKS and i <= #self.entries do
        local entry = self.entries[i]
        if is_running(entry) or entry.fetching then
            i = i + 1
        else
            for _, bytes in pairs(entry.bytes) do self.image_bytes = self.image_bytes - #bytes end
            self.by_id[entry.id] = nil
            table.remove(self.entries, i)
        end
    end
end

--- Submits a request.
---@param given table
---@return integer? id session id of the task
---@return flux2.Error?
function Session:submit(given)
    local entry = { events = {}, images = {}, bytes = {}, bodies = 0, began = self.now() }
    local refused = input_images.refuse(given)
    if refused then return nil, refused end
    local task, err = self.client:submit(given, {
        on_request = function(_, request) on_request(self, entry, request) end,
    })
    if not task then return nil, err end
    self.made = self.made + 1
    entry.id, entry.task, entry.request = self.made, task, task.request
    entry.price = self.client:estimate(task.request)
    self.entries[#self.entries + 1] = entry
    self.by_id[entry.id] = entry
    add_event(self, entry, { kind = "submitted" })
    task:on("status", function() add_event(self, entry, { kind = "status", status = task.status }) end)
    task:on("progress", function() add_event(self, entry, { kind = "progress", progress = task.progress }) end)
    task:on("done", function(_, result) on_done(self, entry, result) end)
    evict_tasks(self)
    return entry.id
end

local function unknown_task(id)
    return nil, errors.new("not_found", "unknown task " .. tostring(id))
end

--- Cancels a task locally. The service may still finish it and charge for it.
---@param id integer
---@return boolean? ok
---@return flux2.Error?
function Session:cancel(id)
    local entry = self.by_id[id]
    if not entry then return unknown_task(id) end
    entry.task:cancel()
    return true
end

--- Resumes polling of a task that timed out or failed temporarily.
---@param id integer
---@return boolean? ok
---@return flux2.Error?
function Session:resume(id)
    local entry = self.by_id[id]
    if not entry then return unknown_task(id) end
    if not summary(entry).resumable then
        return nil, errors.new("invalid_request", "task " .. id .. " cannot be resumed")
    end
    spawn.spawn(function()
        -- The first wait reports the stored error; the second resumes polling.
        entry.task:wait(0)
        entry.task:wait()
    end)
    add_event(self, entry, { kind = "resumed" })
    return true
end

-- Updates -------------------------------------------------------------------------------------------------------------

local function collect(self, after)
    local events = {}
    for _, entry in ipairs(self.entries) do
        if entry.changed > after then
            for _, event in ipairs(entry.events) do
                if event.n > after then events[#events + 1] = event end
            end
        end
    end
    table.sort(events, function(a, b) return a.n < b.n end)
    local version = self.version
    if #events > MAX_RESPONSE_EVENTS then version = events[MAX_RESPONSE_EVENTS].n end
    for i = #events, MAX_RESPONSE_EVENTS + 1, -1 do events[i] = nil end
    return events, version
end

local function summaries(self, after, version)
    local list = {}
    for _, entry in ipairs(self.entries) do
        if entry.changed > after and entry.events[1].n <= version then list[#list + 1] = summary(entry) end
    end
    return list
end

--- Returns the events after number `after`. If there are none, waits for one.
---@param after integer event number
---@param seconds number maximum wait
---@return table update version (`after` of the next call), events, tasks (with new events), spent, reserved (credits)
function Session:events_after(after, seconds)
    if self.version <= after then waits.await(self.updated, seconds) end
    local events, version = collect(self, after)
    local tasks = summaries(self, after, version)
    local spent, reserved = self.client:spent()
    return {
        version = math.max(version, after), spent = spent, reserved = reserved,
        events = #events > 0 and events or json.null, tasks = #tasks > 0 and tasks or json.null,
    }
end

return session
