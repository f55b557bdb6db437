--- flux2 in the loop of libuv: in programs with luv, and in Neovim (vim.uv, vim.loop).
--
--     require "flux2.host.luv"
--     flux2.spawn(function() assert(client:generate "a red fox"):save "fox.png" end)
--     uv.run()                         -- returns when all work has ended; not needed in Neovim, whose loop runs
--
-- Owns one poll handle for the engine's descriptor, which calls the pump; there is no timer. The first job creates the
-- handle. It keeps the loop alive exactly while flux2 has work: `uv.run()` returns after the last image.
--
-- Callbacks and coroutines run in the loop; in Neovim in its main loop (vim.schedule), where its whole API is allowed.
-- A wait outside a coroutine blocks:
--
-- - luv: in a callback of the loop, it blocks the loop. Use flux2.spawn.
-- - Neovim: like vim.wait. Timers and other plugins run, typed keys are queued, and Ctrl-C ends the wait with an error
--   (the task goes on). In a fast event, where vim.wait is not allowed, the wait blocks the editor.
--
-- If other code closes the handle (a uv.walk that closes all handles), waits in coroutines end with an error of kind
-- "cancelled", and the reason is reported; the next wait opens a new handle.

local jit_off = require "flux2.jit_off"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local core = require "flux2.core"
local waits = require "flux2.waits"

local host = {}

local vim = rawget(_G, "vim")
if type(vim) ~= "table" or not vim.schedule then vim = nil end
local uv = vim and (vim.uv or vim.loop) or require "luv"

local handle -- the uv_poll handle: from the first job until stop(), or until other code closes it
local close_is_watched = false
local stopped = false -- by stop()
local SLICE = 0.1 -- seconds between two checks for Ctrl-C
local turns = 0 -- the number of calls of the pump, to detect one inside vim.wait

local function pump()
    turns = turns + 1
    scheduler.update()
end

--- Runs the pump later, in Neovim's main loop. Until then (a "Press ENTER" prompt may delay it) the descriptor stays
--- readable, so polling stops: it would use all processor time.
local function pump_in_main_loop(on_readable)
    local mine = handle
    mine:stop()
    vim.schedule(function()
        if handle ~= mine then return end -- stopped meanwhile
        mine:start("r", on_readable)
        pump()
    end)
end

local function on_readable(err)
    if err then
        host.stop()
        uncaught.report("flux2: libuv cannot poll the engine's descriptor: " .. tostring(err))
    elseif vim then
        pump_in_main_loop(on_readable)
    else
        pump()
    end
end

--- Calls `fn` in the next turn of the loop; in Neovim in its main loop.
local function at_next_turn(fn)
    if vim then return vim.schedule(fn) end
    local timer = uv.new_timer()
    timer:start(0, 0, function()
        timer:close()
        fn()
    end)
end

--- Without the handle no pump runs, and waits in coroutines would never end.
local function on_closed_by_others()
    handle = nil
    at_next_turn(function()
        uncaught.report("flux2: other code has closed the poll handle of flux2.host.luv; " ..
            "waits in coroutines are cancelled")
        waits.interrupt_waits()
    end)
end

--- Wraps the functions that close handles, because libuv reports a close only to the code that closes.
local function watch_close(poll)
    if close_is_watched then return end
    close_is_watched = true
    for _, functions in ipairs { uv, getmetatable(poll).__index } do
        local close = functions.close
        functions.close = function(closing, ...)
            if closing ~= nil and closing == handle then on_closed_by_others() end
            return close(closing, ...)
        end
    end
end

local function open()
    local fd, reason = scheduler.fileno()
    if not fd then return nil, reason end
    local poll
    poll, reason = uv.new_socket_poll(fd) -- on Windows it is a socket; elsewhere the two are the same
    if not poll then return nil, reason end
    local ok
    ok, reason = poll:start("r", on_readable)
    if not ok then
        poll:close()
        return nil, reason
    end
    watch_close(poll)
    handle = poll
    return handle
end

--- Keeps the loop alive while there is work. Timeouts of other waits do not keep it alive.
local function hold(busy)
    if busy then handle:ref() else handle:unref() end
end

local function serve(busy)
    if not handle then
        local ok, reason = open()
        if not ok then error("flux2: no poll handle of libuv: " .. tostring(reason), 0) end
    end
    hold(busy)
end

local function on_work(busy)
    if stopped then return end
    if handle or busy then serve(busy) end
end

--- Called at each wait in a coroutine. Returns no token: the scheduler itself suspends, but the handle is needed.
local function before_wait()
    if not (handle or stopped) then serve(scheduler.pending() > 0) end
end

--- Opens the handle now, instead of at the first job, or again after `stop`. Idempotent.
---@return boolean? started true
---@return string? reason
-- Example: `assert(require("flux2.host.luv").start())`
function host.start()
    if not handle then
        local ok, reason = open()
        if not ok then return nil, reason end
    end
    stopped = false
    hold(scheduler.pending() > 0)
    return true
end

--- Closes the handle: the loop does not pump until `start`. Tasks go on in the engine, which keeps their events.
-- Example: `require("flux2.host.luv").stop()`
function host.stop()
    stopped = true
    local poll = handle
    handle = nil
    if poll then poll:close() end
end

local function never() return false end

--- A wait outside a coroutine, in Neovim.
local function block_in_neovim(engine, seconds)
    if not handle or vim.in_fast_event() then return engine:wait(seconds) end
    local before, until_ = turns, core.now() + seconds
    local function has_events()
        return turns ~= before or engine:ready() > 0
    end
    -- Neovim 0.7 reports Ctrl-C only at the end of a vim.wait that timed out.
    local ready, left, _, before_it, after_it
    repeat
        _, before_it = vim.wait(0, never)
        left = math.max(until_ - core.now(), 0)
        ready, after_it = vim.wait(math.ceil(math.min(left, SLICE) * 1000), has_events)
        if before_it == -2 or after_it == -2 then return nil, "Keyboard interrupt" end
    until ready or left == 0
    return ready
end

local function notify(message)
    vim.schedule(function() vim.notify(message, vim.log.levels.ERROR) end)
end

if vim then scheduler.block_by(block_in_neovim) end
uncaught.print_by(at_next_turn, vim and notify)
waits.add_host { running = before_wait }
scheduler.on_work(on_work)

jit_off { host, waits }

return host
