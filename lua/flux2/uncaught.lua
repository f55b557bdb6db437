--- Errors without a caller: of callbacks, and of coroutines without a join. All of them are reported.

local tables = require "flux2.tables"

local uncaught = {}

local failures = {} -- { error, whether on_error received it }
local running = 0 -- depth of run()
local later -- calls a function in the next turn of a host's loop
local unpack = table.unpack or unpack

--- Receives errors of callbacks and of coroutines that the pump resumes. Set by `flux2.on_error`.
---@type fun(message: string)?
uncaught.on_error = nil

--- For xpcall: adds a traceback to errors that are strings.
---@param e any
---@return any
function uncaught.with_traceback(e)
    if type(e) == "string" then return debug.traceback(e, 2) end
    return e
end

local function call_on_error(e)
    return uncaught.on_error ~= nil and pcall(uncaught.on_error, e)
end

local function write_to_stderr(message)
    io.stderr:write(message, "\n")
end
local write = write_to_stderr

--- Returns an error as text. The __tostring of a program may fail, too.
---@param e any
---@return string
function uncaught.text(e)
    local ok, shown = pcall(tostring, e)
    return ok and shown or "(an error whose __tostring fails: " .. type(e) .. ")"
end

local function print_error(e)
    write("flux2: uncaught error in a callback or coroutine: " .. uncaught.text(e))
end

--- For hosts whose programs have a loop and never call `run`: an error of a coroutine is printed if it was not joined
--- until the next turn of the loop, when `defer` calls its argument.
---@param defer? fun(fn: function)
---@param write_message? fun(message: string) prints an error; default: to stderr
function uncaught.print_by(defer, write_message)
    later, write = defer, write_message or write_to_stderr
end

--- Reports an error without a caller: to on_error, or by run(), or on stderr.
---@param e any
function uncaught.report(e)
    if call_on_error(e) then return end
    if running > 0 then
        failures[#failures + 1] = { e }
    else
        print_error(e)
    end
end

--- Passes an error to on_error, and keeps it for run() to raise, unless `take_back` is called before. Outside run(), it
--- is printed in the next turn of the host's loop, or after a second.
---@param e any
---@param in_a_second fun(fn: function) calls fn then
---@return function take_back
function uncaught.leave(e, in_a_second)
    local entry = { e, call_on_error(e) }
    failures[#failures + 1] = entry
    local function print_later()
        if running == 0 and tables.remove(failures, entry) and not entry[2] then print_error(e) end
    end
    if later and running == 0 then
        later(print_later)
    else
        in_a_second(print_later)
    end
    return function() tables.remove(failures, entry) end
end

--- A run() begins: until it ends, errors are kept for it.
function uncaught.begin_run()
    running = running + 1
end

--- It ends: the outermost one raises the first kept error, and prints the others.
function uncaught.end_run()
    running = running - 1
    if running > 0 then return end
    local list = failures
    failures = {}
    for i = 2, #list do
        if not list[i][2] then print_error(list[i][1]) end
    end
    if list[1] then error(list[1][1], 0) end
end

local call = xpcall
if not select(2, xpcall(function(given) return given end, tostring, true)) then
    -- The xpcall of Lua 5.1 passes no arguments.
    function call(fn, handler, ...)
        local n, args = select("#", ...), { ... }
        return xpcall(function() fn(unpack(args, 1, n)) end, handler)
    end
end

--- Calls `fn(...)`, and reports its error.
---@param fn function
---@param ... any
---@return boolean ok
function uncaught.guard(fn, ...)
    local ok, e = call(fn, uncaught.with_traceback, ...)
    if not ok then uncaught.report(e) end
    return ok
end

return uncaught
