--- Errors that belong to nobody: of callbacks, and of coroutines that nobody has joined. They are never lost.
-- Owns the list of those that nobody has heard of yet. Never: resumes anything, or ends the process by itself.

if jit then jit.off(true, true) end -- see flux2.scheduler

local reports = {}

local failures = {} -- { error, told }
local running = 0 -- depth of run()
local later -- how a host calls a function at the next turn of its loop
local unpack = table.unpack or unpack

--- Receives what goes wrong in a callback or a coroutine that the pump resumes. Set by `flux2.on_error`.
---@type fun(message: string)?
reports.on_error = nil

local function remove(list, item)
    for i = #list, 1, -1 do
        if list[i] == item then return table.remove(list, i) end
    end
end

--- For xpcall: a traceback to errors that are text.
---@param e any
---@return any
function reports.with_traceback(e)
    if type(e) == "string" then return debug.traceback(e, 2) end
    return e
end

local function tell(e)
    if reports.on_error and pcall(reports.on_error, e) then return true end
    return false
end

local function write_to_stderr(message)
    io.stderr:write(message, "\n")
end
local last_resort = write_to_stderr

local function shout(e)
    last_resort("flux2: uncaught error in a callback or coroutine: " .. tostring(e))
end

--- For hosts whose programs have a loop and never call `run`: an error in a coroutine that nobody has joined when
--- `defer` calls back, at the loop's next turn, is told then.
---@param defer? fun(fn: function)
---@param tell_user? fun(message: string) where such errors go; stderr by default
function reports.tell_by(defer, tell_user)
    later, last_resort = defer, tell_user or write_to_stderr
end

--- Takes an error that has no caller to go to: to on_error, or out of run(), or at least to stderr.
---@param e any
function reports.report(e)
    if tell(e) then return end
    if running > 0 then
        failures[#failures + 1] = { e }
    else
        shout(e)
    end
end

--- Keeps an error for run() to raise, unless `take_back` says before that somebody has heard of it. on_error hears of
--- it at once. Where nobody calls run(), it is told when the host's next turn, or a second, has passed.
---@param e any
---@param in_a_second fun(fn: function) calls fn then
---@return function take_back
function reports.leave(e, in_a_second)
    local entry = { e, tell(e) }
    failures[#failures + 1] = entry
    local function tell_at_last()
        if running == 0 and remove(failures, entry) and not entry[2] then shout(e) end
    end
    if later and running == 0 then
        later(tell_at_last)
    else
        in_a_second(tell_at_last)
    end
    return function() remove(failures, entry) end
end

--- A run() begins: until it ends, errors are kept for it.
function reports.begin_run()
    running = running + 1
end

--- It ends: the outermost one raises the first of the errors that were left behind; the others are at least told.
function reports.end_run()
    running = running - 1
    if running > 0 then return end
    local list = failures
    failures = {}
    for i = 2, #list do
        if not list[i][2] then shout(list[i][1]) end
    end
    if list[1] then error(list[1][1], 0) end
end

local call = xpcall
if not select(2, xpcall(function(given) return given end, tostring, true)) then
    -- Lua 5.1 passes no arguments on.
    function call(fn, handler, ...)
        local n, args = select("#", ...), { ... }
        return xpcall(function() fn(unpack(args, 1, n)) end, handler)
    end
end

--- Calls `fn(...)` for somebody who must not be hurt by its errors.
---@param fn function
---@param ... any
---@return boolean ok
function reports.guard(fn, ...)
    local ok, e = call(fn, reports.with_traceback, ...)
    if not ok then reports.report(e) end
    return ok
end

return reports
