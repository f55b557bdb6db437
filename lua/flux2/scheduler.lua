--- The scheduler: starts jobs in the engine, and delivers its events to their handlers.
-- Owns the engine of this Lua state and the handlers of its jobs. flux2.waits implements waiting.

local core = require "flux2.load_core" "flux2.core"
local uncaught = require "flux2.uncaught"
local text = require "flux2.text"

local scheduler = {}

local has_events = core.has_events
local engine -- started by the first client
local handlers = {} -- job id -> function(kind, event)
local entries = 0 -- the number of handlers
local background_jobs = {} -- job id -> true: not counted in `work` (the timeout of a wait)
local work = 0 -- the number of other jobs
local peak = 0 -- the largest `work` since the tables were made
local watchers = {} -- functions of on_work
local busy -- the last argument of the watchers; nil before the first job
local blocker -- the blocking wait of a host

local SLICE = 60 -- seconds of one blocking wait; events and signals end it earlier
local COUNTERS = { "jobs", "in_flight", "requests", "connections", "received", "ended" }

-- Jobs ------------------------------------------------------------------------------------------------------------

local function get_engine()
    if not engine then
        local new, reason = core.engine()
        if not new then return nil, reason end
        engine = new
    end
    return engine
end

--- Starts the engine: its thread initializes libcurl, which takes milliseconds, before the first job. If that fails,
--- the first job tries again and reports the reason.
function scheduler.start()
    get_engine()
end

local function notify_watchers()
    if busy == (work > 0) then return end
    busy = work > 0
    for i = 1, #watchers do uncaught.guard(watchers[i], busy) end
end

--- For hosts: calls `fn(busy)` at the first job, and then whenever work begins (true) or ends (false); at once if there
--- has been a job. Even when not busy, `update` may have to deliver the timeout of a wait.
---@param fn fun(busy: boolean)
function scheduler.on_work(fn)
    watchers[#watchers + 1] = fn
    if busy ~= nil then uncaught.guard(fn, busy) end
end

--- Replaces the tables after a burst: an emptied table keeps its size.
local function shrink()
    if peak < 256 then return end
    handlers, background_jobs, peak = {}, {}, 0
end

local function forget(id)
    if not handlers[id] then return end
    handlers[id] = nil
    entries = entries - 1
    if background_jobs[id] then
        background_jobs[id] = nil
    else
        work = work - 1
    end
    if entries == 0 then shrink() end
    notify_watchers()
end

local function register(id, handler, background)
    if background then background_jobs[id] = true end
    handlers[id] = handler
    entries = entries + 1
    if not background then
        work = work + 1
        if work > peak then peak = work end
    end
    notify_watchers()
end

local function register_and_start(id, handler, background, start, ...)
    register(id, handler, background)
    return engine[start](engine, id, ...)
end

--- Registers a job, then starts it in the engine. A failed allocation after the start could lose a paid task.
---@param handler function
---@param background? boolean
---@param start string the engine's method
---@param ... any its arguments
---@return integer? id
---@return string? reason
local function begin(handler, background, start, ...)
    local e, id, reason
    e, reason = get_engine()
    if not e then return nil, reason end
    id, reason = e:next_id()
    if not id then return nil, reason end
    local ran, ok
    ran, ok, reason = pcall(register_and_start, id, handler, background, start, ...)
    if ran and ok then return id end
    forget(id)
    background_jobs[id] = nil
    if not ran then error(ok, 0) end
    return nil, reason
end

--- Starts a transfer. `handler(kind, event)` is called by the pump; kind is "ended".
---@param profile userdata
---@param spec table
---@param handler fun(kind: string, event: table)
---@return integer? id
---@return string? reason
function scheduler.transfer(profile, spec, handler)
    return begin(handler, false, "transfer", profile, spec)
end

--- Starts a poll. The kinds are "accepted", "changed", with `observe` "request", and at last "ended". With `fetch`,
--- the profile of a transfer, the engine downloads the first image at once: `event.fetch` of "ended" is the id of that
--- job, for `adopt` or `decline`.
---@param profile userdata
---@param spec table
---@param handler fun(kind: string, event: table)
---@return integer? id
---@return string? reason
function scheduler.poll(profile, spec, handler)
    return begin(handler, false, "poll", profile, spec)
end

--- Registers a job that the engine has started by itself. To be called by the handler of the event that names it,
--- before the events of the job are delivered.
---@param id integer
---@param handler fun(kind: string, event: table)
function scheduler.adopt(id, handler)
    if not handlers[id] then register(id, handler) end
end

--- Lets the pump call `fn` after `seconds`.
---@param seconds number
---@param fn function
---@param background? boolean true: `pending` does not count it
---@return integer? id
---@return string? reason
function scheduler.after(seconds, fn, background)
    return begin(fn, background, "timer", seconds)
end

--- Cancels a job. Its handler is not called again; `last_handler`, if given, receives the remaining events, "ended" at
--- least.
---@param id integer?
---@param last_handler? fun(kind: string, event: table)
function scheduler.cancel(id, last_handler)
    if not id or not handlers[id] then return end
    forget(id)
    if last_handler then
        handlers[id], background_jobs[id] = last_handler, true
        entries = entries + 1
    end
    engine:cancel(id)
end

--- Cancels a job that the engine has started by itself, instead of `adopt`.
---@param id integer
function scheduler.decline(id)
    engine:cancel(id)
end

--- Returns the number of unfinished jobs: submissions, polled tasks, downloads, sleeps.
---@return integer count
-- Example: `while flux2.pending() > 0 do flux2.update() end`
function scheduler.pending()
    return work
end

-- The pump --------------------------------------------------------------------------------------------------------

local function deliver(handler, id, kind, event)
    if kind == "ended" then forget(id) end
    handler(kind, event)
end

-- Handlers guard their callbacks, so only a failed allocation ends a handler early. Without a second delivery the id of
-- a paid task could be lost, or a wait could last for ever.
local function deliver_again(handler, id, kind, event)
    local ok, e = xpcall(function() deliver(handler, id, kind, event) end, uncaught.with_traceback)
    if not ok then uncaught.report(e) end
end

--- Delivers the waiting events. With `seconds` it stops after that time, but not before the first event.
local function deliver_events(seconds)
    if not engine then return 0 end
    engine:relieve()
    local n, until_ = engine:ready(), seconds and core.now() + seconds
    for i = 1, n do
        local id, kind, event = engine:next()
        if not id then return i - 1 end
        local handler = handlers[id]
        -- This pcall allocates nothing: the call before it was as deep.
        if handler and not pcall(deliver, handler, id, kind, event) then deliver_again(handler, id, kind, event) end
        if until_ and core.now() >= until_ then return i end
    end
    return n
end

local function check_budget(seconds)
    if type(seconds) == "number" and seconds >= 0 then return end
    error("flux2.update: the time budget must be a number of seconds, 0 or more, not " .. text.show(seconds), 3)
end

--- Delivers the events since the last call: updates tasks, calls callbacks, resumes coroutines. Costs an atomic load if
--- there are none. Never blocks, and raises only for an invalid budget. Events that arrive during the call wait for the
--- next one.
---@param seconds? number a time budget: after so many seconds the remaining events wait for the next call; each call
---  delivers at least one event; default: no limit
---@return integer events the number of delivered events
-- Example: `function love.update() flux2.update(0.0005) end`
function scheduler.update(seconds)
    if seconds ~= nil then check_budget(seconds) end
    if not has_events() then return 0 end
    return deliver_events(seconds)
end

--- For hosts that have to run during a blocking wait: `fn(engine, seconds)` replaces `engine:wait(seconds)`. It may
--- return early, and may call `update`; nil and a reason end the wait with an error.
---@param fn? fun(engine: userdata, seconds: number): boolean?, string?
function scheduler.block_by(fn)
    blocker = fn
end

--- Blocks until events are pending, a signal arrives, or `seconds` have passed. Delivers nothing.
---@param seconds? number
---@return boolean ready
function scheduler.block(seconds)
    local e, reason = get_engine()
    if not e then error(reason, 2) end
    local ready, why = (blocker or e.wait)(e, seconds or SLICE)
    if ready == nil then error(why, 2) end
    return ready
end

--- Returns a descriptor that is readable exactly while `update` has something to do: for select, poll, epoll, kqueue.
--- It never changes in a Lua state. Do not read or close it.
---@return integer? fd a descriptor
---@return string? reason
-- Example: `local fd = assert(flux2.fileno())`
function scheduler.fileno()
    local e, reason = get_engine()
    if not e then return nil, reason end
    return e:fileno()
end

--- Returns counters of the engine; all zero before its first job.
---@return table
function scheduler.stats()
    local e = engine
    local stats = e and e:stats() or {}
    for _, name in ipairs(COUNTERS) do stats[name] = stats[name] or 0 end
    stats.pending = work
    return stats
end

-- Running ---------------------------------------------------------------------------------------------------------

--- Pumps until nothing is pending. With `fn`, runs it in a coroutine first. At the end, raises the first uncaught error
--- of a callback or coroutine.
---@param fn? function the function to run
---@param ... any its arguments
-- Example: `flux2.run(function() assert(client:generate "a fox"):save "fox.png" end)`
function scheduler.run(fn, ...)
    if fn ~= nil and type(fn) ~= "function" then error("flux2.run: a function is needed, not " .. text.show(fn), 2) end
    uncaught.begin_run()
    local ok, e = true, nil
    if fn then
        local co = coroutine.create(fn)
        ok, e = coroutine.resume(co, ...)
        if not ok and type(e) == "string" then e = debug.traceback(co, e) end
    end
    local pumped, why = pcall(function()
        while work > 0 do
            scheduler.block()
            scheduler.update()
        end
    end)
    local no_uncaught, first = pcall(uncaught.end_run)
    if not no_uncaught and not (ok and pumped) then uncaught.report(first) end
    if not ok then error(e, 0) end
    if not pumped then error(why, 0) end
    if not no_uncaught then error(first, 0) end
end

return scheduler
