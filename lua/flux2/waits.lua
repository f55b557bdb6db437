--- Waits: latches, and the coroutines and functions that wait for them to open.
-- A wait yields in a coroutine of the program or of a host (another scheduler of coroutines), and blocks elsewhere.

local can_yield = require "flux2.can_yield"
local core = require "flux2.load_core" "flux2.core"
local scheduler = require "flux2.scheduler"
local tables = require "flux2.tables"
local uncaught = require "flux2.uncaught"

local waits = {}

local function weak() return setmetatable({}, { __mode = "k" }) end

local waiting = weak() -- suspended coroutine -> its waiter
local begun = 0 -- waits since that table was made
local error_handlers = weak() -- coroutine -> function(e, traceback)
local cancelled = weak() -- coroutines whose waits end at once
local hosts = {} -- other schedulers, which suspend and resume their own coroutines

---@class flux2.Latch opens once; coroutines and functions wait for it
---@field open boolean
---@field waiters table[] waiting coroutines and functions
---@field called? table[]|false the waiters at the time of opening, until all are woken

local NONE = {} -- the waiters of a new or open latch; opening a latch must not allocate

---@return flux2.Latch
function waits.latch()
    return { open = false, waiters = NONE, called = false }
end

local function add_waiter(latch, waiter)
    local waiters = latch.waiters
    if waiters == NONE then
        latch.waiters = { waiter }
    else
        waiters[#waiters + 1] = waiter
    end
end

--- Whether a coroutine is suspended in this wait. It may be dead, or other code may have resumed it, and it may have
--- yielded for another reason.
local function is_suspended_for(waiter)
    return waiting[waiter.co] == waiter and core.is_suspended(waiter.co)
end

--- Resumes a coroutine. Its error goes to the function of `own`, or is reported with its traceback. (A coroutine with a
--- pcall inside could not yield on Lua 5.1.)
---@param co thread
---@param ... any
function waits.resume(co, ...)
    local ok, e = coroutine.resume(co, ...)
    if ok then return end
    local traceback = debug.traceback(co, uncaught.text(e))
    if error_handlers[co] then return error_handlers[co](e, traceback) end
    uncaught.report(type(e) == "string" and traceback or e)
end

--- Undoes `own` and `cancel_waits`: a host may use the coroutine again.
---@param co thread
function waits.disown(co)
    error_handlers[co], cancelled[co] = nil, nil
end

--- `on_error(e, traceback)` is called if the coroutine ends with an error while the pump resumes it.
---@param co thread
---@param on_error function
function waits.own(co, on_error)
    error_handlers[co] = on_error
end

-- Calls again if an allocation failed.
local function call_twice(fn, ...)
    local ok, value = pcall(fn, ...)
    if ok then return value end
    return fn(...)
end

-- An allocation may fail anywhere here, even in a function call: a collection of Lua 5.2 frees unused call frames. A
-- second call continues after the completed steps.
local function wake(waiter, reason)
    if waiter.done then return end
    waiter.woken = waiter.woken or reason
    if waiter.timer then
        pcall(scheduler.cancel, waiter.timer) -- a timer that remains does nothing to a woken waiter
        waiter.timer = nil
    end
    if waiter.call then
        if not pcall(waiter.call) then call_twice(uncaught.guard, waiter.call) end
    elseif waiter.host then
        call_twice(uncaught.guard, waiter.host.wake, waiter.token)
    elseif call_twice(is_suspended_for, waiter) then
        waits.resume(waiter.co)
    end
    waiter.done = true
end

--- Opens a latch, but leaves it to `open` to wake its waiters: later waits return at once.
---@param latch flux2.Latch
function waits.unlock(latch)
    if not latch.open then latch.open, latch.called, latch.waiters = true, latch.waiters, NONE end
end

--- Opens a latch and wakes its waiters in the order of their waits. If an allocation fails, a second call wakes the
--- remaining ones.
---@param latch flux2.Latch
function waits.open(latch)
    waits.unlock(latch)
    local called = latch.called
    if not called then return end
    for i = 1, #called do wake(called[i], "open") end
    latch.called = false
end

--- Calls `fn` when the latch opens; at once if it is open.
---@param latch flux2.Latch
---@param fn function called again if an allocation fails in it
---@return function forget prevents the call
function waits.when(latch, fn)
    local waiter = { call = fn, done = false }
    if latch.open then
        wake(waiter, "open")
    else
        add_waiter(latch, waiter)
    end
    return function() tables.remove(latch.waiters, waiter) end
end

---@class flux2.Host another scheduler of coroutines
---@field running fun(): any returns a token if the running coroutine belongs to the host, otherwise nil or false
---@field suspend fun(token: any) suspends it; may return before `wake`
---@field start? fun(fn: function) runs fn in a new coroutine of the host, at once until its first wait
---@field wake fun(token: any) makes the host resume it soon; called by the pump, from any coroutine

--- Adds a host: its coroutines wait by means of the host. The host has to call `update`: when the descriptor is
--- readable, or at intervals.
---@param host flux2.Host
function waits.add_host(host)
    hosts[#hosts + 1] = host
end

local function find_host()
    for i = 1, #hosts do
        local token = hosts[i].running()
        if token then return hosts[i], token end
    end
end

--- Returns the `start` function of the current host, if any.
---@return fun(fn: function)? start
function waits.starter()
    local host = coroutine.running() and find_host()
    return host and host.start
end

local function await_yielding(co, latch, timeout)
    local host, token = find_host()
    local waiter = { co = co, latch = latch, host = host, token = token, woken = false, done = false }
    if timeout then
        waiter.timer = scheduler.after(timeout, function()
            waiter.timer = nil
            tables.remove(latch.waiters, waiter)
            wake(waiter, "timeout")
        end, true)
    end
    add_waiter(latch, waiter)
    local before = waiting[co]
    waiting[co], begun = waiter, begun + 1
    -- Other code may resume the coroutine; only `wake` ends the wait.
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

--- Whether the running coroutine was cancelled: each wait in it ends at once.
---@return boolean
function waits.is_cancelled()
    local co = coroutine.running()
    return co ~= nil and cancelled[co] == true
end

--- Waits until the latch opens. Yields if possible, else blocks.
---@param latch flux2.Latch
---@param timeout? number seconds
---@return boolean open whether the latch opened
---@return string? reason otherwise: "timeout", or "cancelled" (waits.cancel_waits)
function waits.await(latch, timeout)
    if latch.open then return true end
    if waits.is_cancelled() then return false, "cancelled" end
    if timeout and timeout <= 0 then
        scheduler.update()
        return latch.open, "timeout"
    end
    local co = coroutine.running()
    if can_yield.check(co) then return await_yielding(co, latch, timeout) end
    return await_blocking(latch, timeout)
end

--- Waits for `seconds`, which `pending` counts: flux2.run does not end meanwhile. Yields if possible, else blocks.
---@param seconds number
---@return boolean? slept false if the wait was cancelled; nil if the engine cannot start
---@return string? reason
function waits.sleep(seconds)
    local latch = waits.latch()
    local id, why = scheduler.after(seconds, function() waits.open(latch) end)
    if not id then return nil, why end
    local open, reason = waits.await(latch)
    if not open then scheduler.cancel(id) end
    return open, reason
end

--- Ends the wait of a coroutine, and every later one, with "cancelled".
---@param co thread
function waits.cancel_waits(co)
    cancelled[co] = true
    local waiter = waiting[co]
    if not waiter then return end
    tables.remove(waiter.latch.waiters, waiter)
    wake(waiter, "cancelled")
end

--- For hosts that cannot pump any more: ends the current waits of all coroutines with "cancelled".
function waits.interrupt_waits()
    local waiters = {}
    for _, waiter in pairs(waiting) do waiters[#waiters + 1] = waiter end
    for _, waiter in ipairs(waiters) do
        tables.remove(waiter.latch.waiters, waiter)
        wake(waiter, "cancelled")
    end
end

--- Replaces the table after a burst: an emptied table keeps its size.
scheduler.on_work(function(busy)
    if not busy and begun >= 256 then waiting, begun = tables.merge(weak(), waiting), 0 end
end)

return waits
