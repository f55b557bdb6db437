--- Who is waiting for what: the one pump, the coroutines that wait, and the blocking wait.
-- Owns the engine of this Lua state and the table of its jobs. Knows nothing of Flux 2: a job is an id and a handler,
-- a wait is a latch that opens.

-- LuaJIT compiles what has run a few dozen times, in the middle of some frame: half a millisecond there, for code that
-- calls C all the time and gains nothing. So the rooms through which tasks and events go are interpreted.
if jit then jit.off(true, true) end

local core = require "flux2.core"
local reports = require "flux2.reports"
local yielding = require "flux2.yielding"

local scheduler = {}

local engine -- started by the first job
local count_ready -- how many events of it wait
local handlers = {} -- job id -> function(kind, event)
local entries = 0 -- how many of them
local quiet = {} -- job id -> true: nobody counts it as work (the time-out of a wait)
local work = 0 -- jobs that count
local most = 0 -- the largest `work` since the tables were made
local waiting = setmetatable({}, { __mode = "k" }) -- coroutine -> the waiter it is suspended for
local owners = setmetatable({}, { __mode = "k" }) -- coroutine -> who wants to know of its error
local hosts = {} -- schedulers of others whose coroutines must wait in their way
local cancelled = setmetatable({}, { __mode = "k" }) -- coroutines whose waits end at once
local watchers = {} -- functions that hear of work beginning and ending
local busy -- what they heard last: nil before the first job, then whether there is work
local blocker -- how a host lets the time of a blocking wait pass

local SLICE = 60 -- seconds of one blocking wait; events and signals end it earlier
local COUNTERS = { "jobs", "in_flight", "exchanges", "connections", "received", "ended" }

local function remove(list, item)
    for i = #list, 1, -1 do
        if list[i] == item then return table.remove(list, i) end
    end
end

-- Jobs ------------------------------------------------------------------------------------------------------------

local function get_engine()
    if not engine then
        local new, reason = core.engine()
        if not new then return nil, reason end
        count_ready = new:reader()
        engine = new
    end
    return engine
end

local function announce()
    if busy == (work > 0) then return end
    busy = work > 0
    for i = 1, #watchers do reports.guard(watchers[i], busy) end
end

--- For hosts: calls `fn(busy)` at the first job, and then whenever work begins (true) or none is left (false). At once
--- if the first job has been. Even when not busy, a wait may have a time-out that `update` has to deliver.
---@param fn fun(busy: boolean)
function scheduler.on_work(fn)
    watchers[#watchers + 1] = fn
    if busy ~= nil then reports.guard(fn, busy) end
end

--- A table that was large stays so until something is put into it. After a burst ours start anew.
local function shrink()
    if most < 256 then return end
    handlers, quiet, most = {}, {}, 0
    local still = setmetatable({}, { __mode = "k" })
    for co, waiter in pairs(waiting) do still[co] = waiter end
    waiting = still
end

local function forget(id)
    if not handlers[id] then return end
    handlers[id] = nil
    entries = entries - 1
    if quiet[id] then
        quiet[id] = nil
    else
        work = work - 1
    end
    if entries == 0 then shrink() end
    announce()
end

local function enter(id, handler, background)
    if background then quiet[id] = true end
    handlers[id] = handler
    entries = entries + 1
    if not background then
        work = work + 1
        if work > most then most = work end
    end
    announce()
end

local function enter_and_start(id, handler, background, start, ...)
    enter(id, handler, background)
    return engine[start](engine, id, ...)
end

--- Enters a job in the books, and then has the engine start it: from there on nothing needs memory. The other way round
--- a task might be paid for of which nobody knows.
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
    ran, ok, reason = pcall(enter_and_start, id, handler, background, start, ...)
    if ran and ok then return id end
    forget(id)
    quiet[id] = nil
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

--- Starts a poll. The kinds are "opened", "changed", with `observe` "exchanged", and at last "ended". With `fetch`, the
--- profile of a transfer, the first picture of a good end is fetched at once: `event.fetch` of "ended" is the id of the
--- job that does it, for `adopt` or `decline`.
---@param profile userdata
---@param spec table
---@param handler fun(kind: string, event: table)
---@return integer? id
---@return string? reason
function scheduler.poll(profile, spec, handler)
    return begin(handler, false, "poll", profile, spec)
end

--- Enters a job that the engine has begun by itself. To be called while the event that names it is handed out: what the
--- job has to tell comes after that.
---@param id integer
---@param handler fun(kind: string, event: table)
function scheduler.adopt(id, handler)
    if not handlers[id] then enter(id, handler) end
end

--- Calls `fn` by the pump after `seconds`.
---@param seconds number
---@param fn function
---@param background? boolean true: `pending` does not count it
---@return integer? id
---@return string? reason
function scheduler.after(seconds, fn, background)
    return begin(fn, background, "timer", seconds)
end

--- Gives a job up. Its handler is not called again; `heard`, if given, gets what still comes, its end at least.
---@param id integer?
---@param heard? fun(kind: string, event: table)
function scheduler.cancel(id, heard)
    if not id or not handlers[id] then return end
    forget(id)
    if heard then
        handlers[id], quiet[id] = heard, true
        entries = entries + 1
    end
    engine:cancel(id)
end

--- Gives up a job that the engine has begun by itself, and that nobody adopts.
---@param id integer
function scheduler.decline(id)
    engine:cancel(id)
end

--- How many jobs are alive: submissions, tasks that are polled, downloads, sleeps.
---@return integer count
-- Example: `while flux2.pending() > 0 do flux2.update() end`
function scheduler.pending()
    return work
end

-- The pump --------------------------------------------------------------------------------------------------------

local function hand_out(handler, id, kind, event)
    if kind == "ended" then forget(id) end
    handler(kind, event)
end

-- What handlers call is guarded, so that nothing but want of memory ends one early. It is told once more then: the id
-- of a paid task would be lost, or somebody would wait for ever.
local function tell_again(handler, id, kind, event)
    local ok, e = xpcall(function() hand_out(handler, id, kind, event) end, reports.with_traceback)
    if not ok then reports.report(e) end
end

--- Hands out what has happened since the last call: updates tasks, calls callbacks, resumes coroutines. Costs an atomic
--- load when nothing has. Never blocks and never raises.
---@param seconds? number seconds after which it leaves the rest for the next call
---@return integer events how many were handed out
-- Example: `function love.update() flux2.update() end`
function scheduler.update(seconds)
    if not engine then return 0 end
    local n = count_ready()
    if n == 0 then return 0 end
    local began = seconds and core.now()
    -- What arrives meanwhile waits for the next call, so that one call is bounded.
    for i = 1, n do
        local id, kind, event = engine:next()
        if not id then return i - 1 end
        local handler = handlers[id]
        -- No deeper than the call before, and so without need of memory for itself: nothing can come between.
        if handler and not pcall(hand_out, handler, id, kind, event) then tell_again(handler, id, kind, event) end
        -- At least an eighth, so that what is left does not pile up.
        if began and core.now() - began >= seconds and 8 * i >= n then return i end
    end
    return n
end

--- For hosts that must stay alive in a blocking wait: `fn(engine, seconds)` takes the place of `engine:wait(seconds)`.
--- It may return early, and may have called `update`; nil and a reason end the wait with an error.
---@param fn? fun(engine: userdata, seconds: number): boolean?, string?
function scheduler.block_by(fn)
    blocker = fn
end

--- Blocks until events wait, a signal came, or `seconds` have passed. Hands nothing out.
---@param seconds? number
---@return boolean ready
function scheduler.block(seconds)
    local e, reason = get_engine()
    if not e then error(reason, 2) end
    local ready, why = (blocker or e.wait)(e, seconds or SLICE)
    if ready == nil then error(why, 2) end
    return ready
end

--- The descriptor that is readable exactly while `update` has something to do: for select, poll, epoll, kqueue. It
--- stays the same as long as the Lua state lives; do not read or close it.
---@return integer? fd a descriptor
---@return string? reason
-- Example: `local fd = assert(flux2.fileno())`
function scheduler.fileno()
    local e, reason = get_engine()
    if not e then return nil, reason end
    return e:fileno()
end

--- Counters of the engine; all zero before its first job.
---@return table
function scheduler.stats()
    local e = engine
    local stats = e and e:stats() or {}
    for _, name in ipairs(COUNTERS) do stats[name] = stats[name] or 0 end
    stats.pending = work
    return stats
end

-- Waiting ---------------------------------------------------------------------------------------------------------

---@class flux2.Latch something that is closed and opens once
---@field open boolean
---@field waiters table[] those who wait: coroutines, and functions to be called
---@field called? table[]|false those who waited when it was opened, until each has been woken

local NOBODY = {} -- waits for a latch that is new, or open; opening one needs no memory

---@return flux2.Latch
function scheduler.latch()
    return { open = false, waiters = NOBODY, called = false }
end

local function enlist(latch, waiter)
    local waiters = latch.waiters
    if waiters == NOBODY then
        latch.waiters = { waiter }
    else
        waiters[#waiters + 1] = waiter
    end
end

--- A coroutine is resumed only while it is suspended in *our* yield and for this very wait. It may be dead, or have
--- been resumed by somebody else and have gone on to wait for something of its own.
local function is_suspended_for(waiter)
    return waiting[waiter.co] == waiter and core.is_suspended(waiter.co)
end

--- Resumes a coroutine on behalf of nobody. Its error goes to its owner, or is reported with its traceback. (A pcall
--- inside the coroutine would be simpler, and would make it unable to yield on Lua 5.1.)
---@param co thread
---@param ... any
function scheduler.resume(co, ...)
    local ok, e = coroutine.resume(co, ...)
    if ok then return end
    local traceback = debug.traceback(co, tostring(e))
    if owners[co] then return owners[co](e, traceback) end
    reports.report(type(e) == "string" and traceback or e)
end

--- A coroutine is done with waiting: it may be used again for something else.
---@param co thread
function scheduler.disown(co)
    owners[co], cancelled[co] = nil, nil
end

--- `on_error(e, traceback)` is called if the coroutine ends with an error while the pump resumes it.
---@param co thread
---@param on_error function
function scheduler.own(co, on_error)
    owners[co] = on_error
end

-- Want of memory must not cost anybody their turn.
local function insist(fn, ...)
    local ok, value = pcall(fn, ...)
    if ok then return value end
    return fn(...)
end

-- What want of memory interrupts here is done when it is called again, and what has been done is not repeated. Even the
-- call of a function may need memory: a collection of Lua 5.2 frees all the room for calls that is not in use.
local function wake(waiter, reason)
    if waiter.done then return end
    waiter.woken = waiter.woken or reason
    if waiter.timer then
        pcall(scheduler.cancel, waiter.timer) -- one that is left finds the waiter woken
        waiter.timer = nil
    end
    if waiter.call then
        if not pcall(waiter.call) then insist(reports.guard, waiter.call) end
    elseif waiter.host then
        insist(reports.guard, waiter.host.wake, waiter.token)
    elseif insist(is_suspended_for, waiter) then
        scheduler.resume(waiter.co)
    end
    waiter.done = true
end

--- Opens a latch and resumes everyone who waits for it, in the order in which they came. Called again, it goes on with
--- those whom want of memory has kept from being woken.
---@param latch flux2.Latch
function scheduler.open(latch)
    if not latch.open then latch.open, latch.called, latch.waiters = true, latch.waiters, NOBODY end
    local called = latch.called
    if not called then return end
    for i = 1, #called do wake(called[i], "open") end
    latch.called = false
end

--- Calls `fn` when the latch opens; at once if it is open.
---@param latch flux2.Latch
---@param fn function one that want of memory may end anywhere: it is then called again
---@return function forget call it to be left alone
function scheduler.when(latch, fn)
    local waiter = { call = fn, done = false }
    if latch.open then
        wake(waiter, "open")
    else
        enlist(latch, waiter)
    end
    return function() remove(latch.waiters, waiter) end
end

---@class flux2.Host a scheduler of coroutines that is not ours
---@field running fun(): any a token if the running coroutine belongs to the host, otherwise nil or false
---@field suspend fun(token: any) suspends it in the host's way; it may come back without reason
---@field start? fun(fn: function) runs fn in a new coroutine of the host, at once until its first wait
---@field wake fun(token: any) makes the host resume it soon; called by the pump, from any coroutine

--- From now on a coroutine of this host waits in the host's way. The host also has to call `update`: when the
--- descriptor is readable, or now and then.
---@param host flux2.Host
function scheduler.add_host(host)
    hosts[#hosts + 1] = host
end

local function find_host()
    for i = 1, #hosts do
        local token = hosts[i].running()
        if token then return hosts[i], token end
    end
end

--- How a coroutine is to be begun here, where that is a host's business.
---@return fun(fn: function)? start
function scheduler.starter()
    local host = coroutine.running() and find_host()
    return host and host.start
end

local function await_yielding(co, latch, timeout)
    local host, token = find_host()
    local waiter = { co = co, latch = latch, host = host, token = token, woken = false, done = false }
    if timeout then
        waiter.timer = scheduler.after(timeout, function()
            waiter.timer = nil
            remove(latch.waiters, waiter)
            wake(waiter, "timeout")
        end, true)
    end
    enlist(latch, waiter)
    local before = waiting[co]
    waiting[co] = waiter
    -- Anybody can resume a coroutine. Only the pump's reason counts.
    if host then
        repeat host.suspend(token) until waiter.woken
    else
        repeat core.suspend() until waiter.woken
    end
    waiting[co] = before
    return waiter.woken == "open", waiter.woken
end

local function await_blocking(latch, timeout)
    local over = false
    local timer = timeout and scheduler.after(timeout, function() over = true end, true)
    while not latch.open and not over do
        scheduler.block()
        scheduler.update()
    end
    if timer then scheduler.cancel(timer) end
    return latch.open, "timeout"
end

--- Waits until the latch opens: yields where that is possible, blocks where it is not.
---@param latch flux2.Latch
---@param timeout? number seconds
---@return boolean open false if something else came first
---@return string? reason then: "timeout", or "cancelled" (scheduler.cancel_waits)
function scheduler.await(latch, timeout)
    if latch.open then return true end
    local co = coroutine.running()
    if co and cancelled[co] then return false, "cancelled" end
    if timeout and timeout <= 0 then
        scheduler.update()
        return latch.open, "timeout"
    end
    if yielding.may(co) then return await_yielding(co, latch, timeout) end
    return await_blocking(latch, timeout)
end

--- Ends the wait of a coroutine, and every later one, with "cancelled".
---@param co thread
function scheduler.cancel_waits(co)
    cancelled[co] = true
    local waiter = waiting[co]
    if not waiter then return end
    remove(waiter.latch.waiters, waiter)
    wake(waiter, "cancelled")
end

--- Pumps until nothing is pending. With `fn`, runs it in a coroutine first. Raises the first error that a callback or a
--- coroutine left behind, when everything is done.
---@param fn? function what to run
---@param ... any its arguments
-- Example: `flux2.run(function() assert(client:generate "a fox"):save "fox.png" end)`
function scheduler.run(fn, ...)
    reports.begin_run()
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
    local quiet_end, left = pcall(reports.end_run)
    if not quiet_end and not (ok and pumped) then reports.report(left) end
    if not ok then error(e, 0) end
    if not pumped then error(why, 0) end
    if not quiet_end then error(left, 0) end
end

return scheduler
