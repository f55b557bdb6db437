--- The tasks of this session, what happened to each, and their pictures.
-- Owns the one log that the page reads: every event has a number, and whoever knows the first n of them asks for what
-- came after n. Goes through the client as any program does. Never: HTTP, or the page.

local errors = require "flux2.errors"
local json = require "flux2.json"
local pricing = require "flux2.pricing"
local scheduler = require "flux2.scheduler"
local spawn = require "flux2.spawn"

local MAX_TASKS = 100 -- of those that ended, the oldest go first
local MAX_PICTURE_BYTES = 256 * 1024 * 1024 -- of all pictures together
local MAX_EVENTS = 3000 -- of one task; a poll a second, for as long as a task may take
local MAX_BODIES = 1024 * 1024 -- bytes of raw answers that one task keeps
local MAX_NEWS = 200 -- events in one answer

local ALIVE = { submitting = true, running = true }

---@class flux2.TesterSession
local Session = {}
Session.__index = Session

local session = {}

---@param client flux2.Client
---@param now fun(): number seconds
---@return flux2.TesterSession
function session.new(client, now)
    return setmetatable({
        client = client, now = now, entries = {}, by_id = {}, made = 0, version = 0, picture_bytes = 0,
        news = scheduler.latch(),
    }, Session)
end

-- What happened -----------------------------------------------------------------------------------------------------

local ERROR_FIELDS = {
    "kind", "message", "status", "code", "type", "task_id", "request_id", "attempts", "retryable", "retry_after",
    "field", "index", "raw",
}

--- An error with its meaning and what to do about it, as plain data.
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

--- Every change of an entry goes with an event: its number is how the page hears of it.
local function add_event(self, entry, event)
    self.version = self.version + 1
    event.n, event.task, event.at = self.version, entry.id, self.now() - entry.began
    entry.changed = self.version
    if #entry.events < MAX_EVENTS or event.kind ~= "exchange" then entry.events[#entry.events + 1] = event end
    local news = self.news
    self.news = scheduler.latch()
    scheduler.open(news)
end

local function is_alive(entry)
    return ALIVE[entry.task.state] == true
end

--- How it stands, without its events.
local function summary(entry)
    local task = entry.task
    return {
        id = entry.id, request = entry.request, state = task.state, task_id = task.id, status = task.status,
        progress = task.progress, price = entry.price, credits = task.result and task.result.credits,
        elapsed = entry.elapsed, pictures = #entry.pictures > 0 and entry.pictures or nil, alive = is_alive(entry),
        error = task.error and session.describe_error(task.error), fetching = entry.fetching or nil,
        -- Whether asking for the same task again may still bring the picture.
        resumable = task.state == "failed" and task.id ~= nil and task.error ~= nil and task.error.retryable or nil,
    }
end

--- A raw answer, unless the task has kept so many of them that this one would be too much.
local function keep_body(entry, body)
    if not body or entry.bodies + #body > MAX_BODIES then return nil end
    entry.bodies = entry.bodies + #body
    return body
end

local function heard_exchange(self, entry, exchange)
    add_event(self, entry, {
        kind = "exchange", what = exchange.kind, number = exchange.number, http_status = exchange.http_status,
        failure = exchange.failure, message = exchange.message, status = exchange.status,
        progress = exchange.progress, elapsed = exchange.elapsed, pause = exchange.pause,
        retry_after = exchange.retry_after, request_id = exchange.request_id, size = exchange.size,
        body = keep_body(entry, exchange.body),
    })
end

-- Pictures ------------------------------------------------------------------------------------------------------------

local function drop_picture(self, picture)
    self.picture_bytes = self.picture_bytes - #self.by_id[picture.task].bytes[picture.index]
    self.by_id[picture.task].bytes[picture.index] = nil
    picture.dropped = true
end

--- The oldest pictures make room for a new one.
local function make_room(self, needed)
    for _, entry in ipairs(self.entries) do
        for _, picture in ipairs(entry.pictures) do
            if self.picture_bytes + needed <= MAX_PICTURE_BYTES then return end
            if entry.bytes[picture.index] then drop_picture(self, picture) end
        end
    end
end

local function fetch_picture(self, entry, image, index)
    local began = self.now()
    local bytes, err = image:bytes()
    local picture = {
        task = entry.id, index = index, url = image.url, content_type = image.content_type,
        seconds = self.now() - began, size = bytes and #bytes, error = err and session.describe_error(err),
    }
    if bytes then
        make_room(self, #bytes)
        entry.bytes[index] = bytes
        self.picture_bytes = self.picture_bytes + #bytes
    end
    entry.pictures[#entry.pictures + 1] = picture
    add_event(self, entry, { kind = "picture", picture = picture })
end

local function fetch_pictures(self, entry, images)
    spawn.spawn(function()
        for i, image in ipairs(images) do
            if self.by_id[entry.id] then fetch_picture(self, entry, image, i) end
        end
        entry.fetching = false
        add_event(self, entry, { kind = "fetched" })
    end)
end

--- The bytes of a picture and their type.
---@param id integer
---@param index integer
---@return string? bytes nil where there is none (any more)
---@return string? content_type
function Session:picture(id, index)
    local entry = self.by_id[id]
    local bytes = entry and entry.bytes[index]
    if not bytes then return nil end
    for _, picture in ipairs(entry.pictures) do
        if picture.index == index then return bytes, picture.content_type end
    end
end

-- Tasks ---------------------------------------------------------------------------------------------------------------

local function heard_end(self, entry, result)
    local task = entry.task
    entry.elapsed = self.now() - entry.began
    entry.fetching = result ~= nil
    add_event(self, entry, { kind = "ended", state = task.state, status = task.status })
    if result then fetch_pictures(self, entry, result.images) end
end

--- The oldest that have ended make room.
local function forget_old(self)
    local i = 1
    while #self.entries > MAX_TASKS and i <= #self.entries do
        local entry = self.entries[i]
        if is_alive(entry) or entry.fetching then
            i = i + 1
        else
            for _, bytes in pairs(entry.bytes) do self.picture_bytes = self.picture_bytes - #bytes end
            self.by_id[entry.id] = nil
            table.remove(self.entries, i)
        end
    end
end

--- Submits a request. The task is in the log from its first moment on.
---@param given table
---@return integer? id of the session's own
---@return flux2.Error?
function Session:submit(given)
    local entry = { events = {}, pictures = {}, bytes = {}, bodies = 0, began = self.now() }
    local task, err = self.client:submit(given, {
        on_exchange = function(_, exchange) heard_exchange(self, entry, exchange) end,
    })
    if not task then return nil, err end
    self.made = self.made + 1
    entry.id, entry.task, entry.request = self.made, task, task.request
    entry.price = pricing.estimate(task.request)
    self.entries[#self.entries + 1] = entry
    self.by_id[entry.id] = entry
    add_event(self, entry, { kind = "submitted" })
    task:on("status", function() add_event(self, entry, { kind = "status", status = task.status }) end)
    task:on("progress", function() add_event(self, entry, { kind = "progress", progress = task.progress }) end)
    task:on("done", function(_, result) heard_end(self, entry, result) end)
    forget_old(self)
    return entry.id
end

local function unknown_task(id)
    return nil, errors.new("not_found", "this session has no task " .. tostring(id))
end

--- Stops waiting for a task; the service may finish it and charge for it all the same.
---@param id integer
---@return boolean? ok
---@return flux2.Error?
function Session:cancel(id)
    local entry = self.by_id[id]
    if not entry then return unknown_task(id) end
    entry.task:cancel()
    return true
end

--- Takes up the polling of a task that was given up.
---@param id integer
---@return boolean? ok
---@return flux2.Error?
function Session:resume(id)
    local entry = self.by_id[id]
    if not entry then return unknown_task(id) end
    if not summary(entry).resumable then
        return nil, errors.new("invalid_request", "task " .. id .. " has ended for good, or has not ended")
    end
    spawn.spawn(function()
        -- Known to have been heard of, it is polled again by the next wait.
        entry.task:wait(0)
        entry.task:wait()
    end)
    add_event(self, entry, { kind = "resumed" })
    return true
end

-- News ----------------------------------------------------------------------------------------------------------------

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
    if #events > MAX_NEWS then version = events[MAX_NEWS].n end
    for i = #events, MAX_NEWS + 1, -1 do events[i] = nil end
    return events, version
end

local function summaries(self, after, version)
    local list = {}
    for _, entry in ipairs(self.entries) do
        if entry.changed > after and entry.events[1].n <= version then list[#list + 1] = summary(entry) end
    end
    return list
end

--- What came after event number AFTER; waits for something to come, but not for long.
---@param after integer
---@param seconds number
---@return table news version (the number to ask after next), events, tasks (that have new events), spent, unpriced
function Session:news_after(after, seconds)
    if self.version <= after then scheduler.await(self.news, seconds) end
    local events, version = collect(self, after)
    local tasks = summaries(self, after, version)
    local spent, reserved = self.client:spent()
    return {
        version = math.max(version, after), spent = spent, reserved = reserved,
        events = #events > 0 and events or json.null, tasks = #tasks > 0 and tasks or json.null,
    }
end

return session
