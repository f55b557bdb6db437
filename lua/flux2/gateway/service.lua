--- The gateway's main loop: takes requests from the server, runs flux2.update(), writes to the ledger, claims tasks.
--
-- One turn: requests -> handlers, until they wait; what they have to write, and the claim of queued tasks, is one
-- transaction; after its commit the handlers respond, and the claimed tasks are submitted.

local core = require "flux2.core"
local database = require "flux2.gateway.database"
local flux2 = require "flux2"
local http = require "flux2.gateway.http"
local ledger = require "flux2.gateway.ledger"
local metrics = require "flux2.gateway.metrics"
local responses = require "flux2.gateway.responses"
local routes = require "flux2.gateway.routes"
local tables = require "flux2.tables"
local text = require "flux2.text"
local upstream = require "flux2.gateway.upstream"
local waiters = require "flux2.gateway.waiters"
local writer = require "flux2.gateway.writer"

local service = {}

---@class flux2.gateway.Service
local Service = {}
Service.__index = Service

-- Seconds.
local PAUSE = 0.2 -- of a turn without events
local UPDATE = 0.05 -- of the events of one turn
local CLAIM = 0.25 -- between two claims of queued tasks
local BEAT = 5 -- at most; a sixth of the lease
local EXPIRY = 10 -- between two searches for expired images, of which each finds 1,000 at most
local CHECK = 1 -- between two questions for tasks of other gateways
local RETRY = 1 -- after a failed transaction
local STOP_SUBMISSIONS, STOP_RESPONSES = 180, 5 -- at the end: for submissions without a response, and for clients
local MAX_REQUESTS = 500 -- of one turn
local MAX_CHECKED = 100 -- tasks in one question

-- Requests ------------------------------------------------------------------------------------------------------------

local function add_cors(self, request, response)
    local origin = request.headers.origin
    if not origin or not (self.cors[origin] or self.cors["*"]) then return end
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Vary"] = "Origin"
end

local function preflight(self, request)
    local response = { status = 204, headers = { Allow = "GET, POST" } }
    request.route = "preflight"
    if next(self.cors) then
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key"
        response.headers["Access-Control-Max-Age"] = "600"
    end
    return response
end

--- OpenAI's SDK repeats a request by itself after errors. Without a key that would buy the images again.
local function forbid_retry(request, response)
    if response.status < 400 or not request.may_be_taken or request.headers["idempotency-key"] then return end
    response.headers["X-Should-Retry"] = "false"
end

local function respond(self, request, response)
    add_cors(self, request, response)
    forbid_retry(request, response)
    local ok, reason = self.server:respond(request.id, response.status, response.headers, response.body, response.path)
    if not ok then
        self.warn("a response could not be sent: " .. reason)
        response = responses.error(404, "not_found", "the file cannot be read")
        self.server:respond(request.id, response.status, response.headers, response.body)
    end
    self.metrics:count(request.route, response.status, core.now() - request.began)
    self.log:write(request, response)
end

local function handle(self, request)
    if request.method == "OPTIONS" then return preflight(self, request) end
    local handler, rest = routes.find(self.routes, request)
    if handler then return handler(self, request, rest) end
    if not rest then return responses.error(404, "not_found", "unknown path") end
    local response = responses.error(405, "invalid_request", "this path allows " .. rest .. " only")
    response.headers.Allow = rest
    return response
end

--- Resumes a handler. A failed one is answered here, because a coroutine of Lua 5.1 cannot yield in a pcall.
local function resume(self, co, ...)
    local ok, fault = coroutine.resume(co, ...)
    if ok then return end
    local request = self.handlers[co]
    self.handlers[co] = nil
    if not request then return self.warn("internal error: " .. tostring(fault)) end
    if database.is_failure(fault) then
        self.warn("the database failed: " .. fault.message)
        return respond(self, request, responses.error(503, "server_error", "the ledger is not available", 5))
    end
    self.warn("internal error: " .. text.clean(debug.traceback(co, tostring(fault)), 2000))
    respond(self, request, responses.error(500, "server_error", "internal error of the gateway"))
end

local function take_requests(self)
    for _ = 1, MAX_REQUESTS do
        local id, method, target, peer, headers, body = self.server:next()
        if not id then return end
        local request = http.request(self.trusted, id, method, target, peer, headers, body, core.now())
        local co
        co = coroutine.create(function()
            local response = handle(self, request)
            self.handlers[co] = nil
            respond(self, request, response)
        end)
        self.handlers[co] = request
        resume(self, co)
    end
end

--- Runs a write in the transaction of this turn, and waits for its commit. For handlers.
---@param fn fun(db: flux2.gateway.Database): any
---@return boolean ok
---@return any result or the reason
function Service:write(fn)
    local co = coroutine.running()
    self.writer:add(fn, function(ok, result) resume(self, co, ok, result) end)
    return coroutine.yield()
end

-- The loop ------------------------------------------------------------------------------------------------------------

--- Adds the claim of queued tasks to the transaction of this turn.
local function claim(self, now)
    if self.is_stopping or now < self.flush_at or not (self.may_claim or now >= self.claim_at) then return end
    local limits, claimed = self.upstream:limits_of_claim(self.limits), nil
    if not limits then return end
    self.may_claim, self.claim_at = false, now + CLAIM
    self.writer:add(function(db)
        for id in pairs(self.unconfirmed) do ledger.requeue(db, id, self.gateway, 0) end
        claimed = ledger.claim(db, self.gateway, limits)
    end, function(ok)
        if ok then self.unconfirmed = {} end
        for _, row in ipairs(claimed or {}) do
            if ok then self.upstream:submit(row) else self.unconfirmed[row.id] = true end
        end
        if ok and #claimed == self.limits.at_once then self.may_claim = true end
    end)
end

--- Writes. After a failure the next attempt waits.
local function flush(self, now)
    if now < self.flush_at then return end
    local ok, reason = self.writer:flush()
    if ok then return end
    self.flush_at = now + RETRY
    self.warn("the database failed: " .. tostring(reason))
end

--- Polls the tasks that a transaction returns.
local function poll_all(self)
    return function(ok, rows)
        for _, row in ipairs(ok and rows or {}) do self.upstream:resume(row) end
    end
end

local function beat(self)
    self.writer:add(function(db) ledger.beat(db, self.gateway) end)
    self.writer:add(function(db) return ledger.adopt(db, self.gateway) end, poll_all(self))
    if not self.db.is_shared then return end
    self.writer:add(function(db) return ledger.take_over(db, self.gateway, self.lease) end, poll_all(self))
end

local function expire(self)
    self.writer:add(function(db) return ledger.expire(db, self.retention) end, function(ok, contents)
        if ok then self.store:remove(contents) end
    end)
end

--- Wakes requests that wait for tasks of other gateways.
local function check_others(self)
    if not self.db.is_shared then return end
    local ids = self.waiters:tasks()
    for first = 1, #ids, MAX_CHECKED do
        local part = { unpack = table.unpack or unpack }
        for i = first, math.min(first + MAX_CHECKED - 1, #ids) do part[#part + 1] = ids[i] end
        local rows = self.db:query("SELECT id FROM tasks WHERE state IN ('done', 'failed', 'unknown') AND id IN (" ..
            ("?, "):rep(#part - 1) .. "?)", part.unpack(part, 1, #part))
        for _, row in ipairs(rows) do self.waiters:wake(row.id) end
    end
end

local REGULAR = {
    { "beat_at", "beat_interval", beat }, { "expire_at", EXPIRY, expire }, { "check_at", CHECK, check_others },
}

local function turn(self, seconds)
    self.server:wait(self.descriptor, self.writer:has_work() and core.now() >= self.flush_at and 0 or seconds)
    flux2.update(UPDATE)
    take_requests(self)
    self.upstream:turn() -- before files are removed that it refers to by now
    local now = core.now()
    for _, regular in ipairs(REGULAR) do
        local name, interval, fn = regular[1], regular[2], regular[3]
        if now >= self[name] then
            self[name] = now + (self[interval] or interval)
            local ok, fault = pcall(fn, self)
            if not ok then self.warn(tostring(fault)) end
        end
    end
    claim(self, now)
    flush(self, now)
    self.waiters:expire(now)
    self.log:flush()
end

-- Start and end -------------------------------------------------------------------------------------------------------

---@class flux2.gateway.Options
---@field server userdata from flux2.gateway.core
---@field db flux2.gateway.Database migrated
---@field client flux2.Client
---@field provider table of the client, prepared
---@field contract table the provider whose routes the gateway has, prepared
---@field gateway string its id
---@field store flux2.gateway.Store
---@field log flux2.gateway.AccessLog
---@field limits { active: integer?, per_second: number?, at_once: integer }
---@field lease number seconds after which others take over the work of a gateway that stopped
---@field retention number seconds
---@field max_queued integer
---@field public_url? string
---@field trusted table<string, boolean> the addresses of proxies
---@field cors table<string, boolean> origins
---@field policy? function
---@field warn fun(message: string)

--- Makes a gateway. Continues the work of its last run.
---@param options flux2.gateway.Options
---@return flux2.gateway.Service?
---@return string? reason
function service.new(options)
    local self = setmetatable({
        handlers = {}, writer = writer.new(options.db), metrics = metrics.new(), may_claim = true, is_stopping = false,
        claim_at = 0, flush_at = 0, beat_at = 0, expire_at = 0, check_at = 0,
        unconfirmed = {}, -- ids of tasks whose claim may have been committed, though the commit failed
    }, Service)
    tables.merge(self, options)
    self.beat_interval = math.min(BEAT, self.lease / 6)
    self.routes, self.task_route = routes.list(options.contract)
    self.waiters = waiters.new(function(co, ...) resume(self, co, ...) end)
    self.upstream = upstream.new {
        client = options.client, provider = options.provider, writer = self.writer, store = options.store,
        gateway = options.gateway, retention = options.retention, warn = options.warn,
        changed = function(id) self.waiters:wake(id) end,
    }
    self.writer:add(function(db) ledger.beat(db, self.gateway) end)
    self.writer:add(function(db) return ledger.recover(db, self.gateway) end, poll_all(self))
    local ok, reason = self.writer:flush()
    if not ok then return nil, reason end
    local fd
    fd, reason = flux2.fileno()
    if not fd then return nil, reason end
    self.descriptor = fd
    return self
end

--- Serves until `stops` returns true. Then it takes nothing new, waits for the responses to submissions, and answers
--- those who wait.
---@param stops fun(): boolean
function Service:run(stops)
    while not stops() do turn(self, PAUSE) end
    self.is_stopping, self.upstream.is_stopping = true, true
    self.waiters:release()
    local until_ = core.now() + STOP_SUBMISSIONS
    while (next(self.upstream.submitting) or self.writer:has_work()) and core.now() < until_ do turn(self, 0.05) end
    self.server:quiesce()
    until_ = core.now() + STOP_RESPONSES
    local _, waiting, sending = self.server:counts()
    while waiting + sending > 0 and core.now() < until_ do
        turn(self, 0.02)
        _, waiting, sending = self.server:counts()
    end
    self.writer:add(function(db) ledger.beat(db, self.gateway, 0) end)
    self.writer:flush()
    self.log:flush()
end

return service
