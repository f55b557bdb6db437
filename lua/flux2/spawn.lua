--- Coroutines with a handle, which returns their results and errors, and cancels them.

local errors = require "flux2.errors"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local text = require "flux2.text"
local validate = require "flux2.validate"
local waits = require "flux2.waits"

---@class flux2.Handle A coroutine of flux2.spawn.
---@field state "running"|"done"|"failed"|"cancelled" the state of the coroutine
local Handle = {}
Handle.__index = Handle
Handle.__name = "flux2.Handle"

local spawn = {}

local unpack = table.unpack or unpack
local function in_a_second(fn) scheduler.after(1, fn, true) end
local function pack(...) return { n = select("#", ...), ... } end

function Handle:__tostring()
    return "flux2.Handle (" .. self.state .. ")"
end

--- On Lua 5.4, `local h <close> = flux2.spawn(...)` cancels it at the end of the block.
Handle.__close = function(self) self:cancel() end

local function finish(self, state, results, e)
    self.state, self._results, self._error = state, results, e
    local joined = #self._latch.waiters > 0
    if state == "failed" and not joined then
        local message = type(e) == "string" and self._traceback or e
        self._take_back = uncaught.leave(message, in_a_second)
    end
    waits.open(self._latch)
end

local function body(self, fn, ...)
    local results = pack(fn(...))
    if self.state == "running" then finish(self, "done", results) end
    waits.disown(self._co) -- last, because `fail` has to run if an allocation fails in `finish`
end

local function fail(self, e, traceback)
    self._traceback = traceback
    if self.state == "running" then return finish(self, "failed", nil, e) end
    waits.open(self._latch) -- `finish` may have failed before that, in an allocation
    uncaught.leave(traceback, in_a_second)
end

--- Runs in a coroutine that a host resumes, so errors are caught inside.
local function run_in_host(self, run)
    self._co = coroutine.running()
    local traceback
    local ok, e = xpcall(run, function(e)
        traceback = debug.traceback(uncaught.text(e), 2)
        return e
    end)
    if ok then return end
    waits.disown(self._co)
    fail(self, e, traceback)
end

--- Runs `fn(...)` in a coroutine, at once until its first wait. `join` returns its error. Without a `join`, it is
--- passed to `flux2.on_error` at once, and raised by `flux2.run()` with its traceback.
---@param fn function the function to run
---@param ... any its arguments
---@return flux2.Handle handle
-- Example: `local h = flux2.spawn(function() return client:generate "a fox" end)`
function spawn.spawn(fn, ...)
    if type(fn) ~= "function" then error("flux2.spawn: a function is needed, not " .. text.show(fn), 2) end
    local self = setmetatable({ state = "running", _latch = waits.latch() }, Handle)
    local args = pack(...)
    local function run() body(self, fn, unpack(args, 1, args.n)) end
    local start = waits.starter()
    if start then
        start(function() run_in_host(self, run) end)
        return self
    end
    self._co = coroutine.create(run)
    waits.own(self._co, function(e, traceback) fail(self, e, traceback) end)
    waits.resume(self._co)
    return self
end

--- Returns the latch that opens at its end.
function Handle:_end_latch() return self._latch end

--- Returns its results or its error, for join, flux2.all and flux2.any. The error does not count as uncaught any more.
function Handle:_outcome()
    if self._take_back then
        self._take_back()
        self._take_back = nil
    end
    if self.state == "done" then return unpack(self._results, 1, self._results.n) end
    return nil, self._error == nil and "nil" or self._error
end

--- Waits for the end. Yields in a coroutine, blocks outside one.
---@param timeout? number seconds
---@return any ... the results of the function; or nil and the error that it raised; or nil and an error of kind
---  "timeout" or "cancelled"
-- Example: `local image, err = handle:join(60)`
function Handle:join(timeout)
    validate.receiver(self, Handle, "handle:join")
    validate.timeout("handle:join", timeout)
    if self.state == "running" then
        local open, reason = waits.await(self._latch, timeout)
        if not open then
            local message = reason == "timeout" and "waited for " .. text.number(timeout) .. " s; it is still running"
                or "the waiting coroutine was cancelled"
            return nil, errors.new(reason, message)
        end
    end
    return self:_outcome()
end

--- Cancels the coroutine: its current wait, and every later one, returns nil and an error of kind "cancelled", so that
--- it can clean up and return; so does client:submit. Its running client:generate is cancelled too. `join` returns the
--- same error.
---@return flux2.Handle self
-- Example: `handle:cancel()`
function Handle:cancel()
    validate.receiver(self, Handle, "handle:cancel")
    if self.state ~= "running" then return self end
    finish(self, "cancelled", nil, errors.new("cancelled", "the coroutine was cancelled"))
    waits.cancel_waits(self._co)
    return self
end

--- Waits for `seconds`. Yields in a coroutine, blocks outside one.
---@param seconds number seconds; 0 only lets other coroutines run
---@return boolean? slept true
---@return flux2.Error? err kind "cancelled", or "io" if the engine cannot start its thread
-- Example: `flux2.sleep(0.5)`
function spawn.sleep(seconds)
    if type(seconds) ~= "number" or seconds ~= seconds then
        error("flux2.sleep: a number of seconds is needed, not " .. text.show(seconds), 2)
    end
    local slept, why = waits.sleep(math.max(seconds, 0))
    if slept then return true end
    if slept == nil then return nil, errors.new("io", "the engine could not start: " .. why) end
    return nil, errors.new("cancelled", "the coroutine was cancelled during flux2.sleep")
end

return spawn
