--- flux2 in the loop of libuv: in luv's programs, and in Neovim (vim.uv, vim.loop).
--
--     require "flux2.host.luv"
--     flux2.spawn(function() assert(client:generate "a red fox"):save "fox.png" end)
--     uv.run()                         -- ends when everything has; in Neovim, whose loop runs, nothing more is needed
--
-- Owns one handle that polls the engine's descriptor, and pumps when that is readable. It has no loop of its own and
-- no timer. Nothing exists before the first job. From then on the handle keeps the loop alive exactly while flux2 has
-- work: `uv.run()` does not end before the last picture, and never waits for a handle that has nothing to do.
--
-- Callbacks and coroutines go on from the loop; in Neovim from its main loop (vim.schedule), where all of its API may
-- be called. A wait outside a coroutine blocks:
--
-- - in luv the loop too, if it is made in one of its callbacks: nothing is lost, but no timer fires meanwhile. Use
--   flux2.spawn.
-- - in Neovim as vim.wait does: timers and other plugins go on, typed keys have to wait, and Ctrl-C ends the wait with
--   an error (the task goes on). In a fast event, where vim.wait is forbidden, the editor stands still.

local core = require "flux2.core"
local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"

local host = {}

local vim = rawget(_G, "vim")
if type(vim) ~= "table" or not vim.schedule then vim = nil end
local uv = vim and (vim.uv or vim.loop) or require "luv"

local handle -- the uv_poll handle: there from the first job until stop()
local stopped = false -- the user has said so
local SLICE = 0.1 -- seconds between two looks for Ctrl-C
local turns = 0 -- of the pump: how a vim.wait sees that there was one inside it

local function pump()
    turns = turns + 1
    scheduler.update()
end

--- Makes the pump run later, in Neovim's main loop. Until then the descriptor stays readable, and polling it would keep
--- the processor busy for nothing: for as long as somebody thinks about a "Press ENTER".
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
        reports.report("flux2: libuv cannot poll the engine's descriptor: " .. tostring(err))
    elseif vim then
        pump_in_main_loop(on_readable)
    else
        pump()
    end
end

local function open()
    local fd, reason = scheduler.fileno()
    if not fd then return nil, reason end
    local poll
    poll, reason = uv.new_poll(fd)
    if not poll then return nil, reason end
    local ok
    ok, reason = poll:start("r", on_readable)
    if not ok then
        poll:close()
        return nil, reason
    end
    handle = poll
    return handle
end

--- The loop lives as long as there is work. What is left without work, time-outs of waits for something else than
--- flux2, is delivered as long as that something keeps the loop alive.
local function hold(busy)
    if busy then handle:ref() else handle:unref() end
end

local function on_work(busy)
    if stopped then return end
    if not handle then
        local ok, reason = open()
        if not ok then error("flux2: no poll handle of libuv: " .. tostring(reason), 0) end
    end
    hold(busy)
end

--- Makes the loop serve flux2 now, rather than at the first job; and again after `stop`. Does nothing if it does.
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

--- Closes the handle: the loop does nothing for flux2 any more until `start`. What is being generated goes on in the
--- engine, and its news wait there.
-- Example: `require("flux2.host.luv").stop()`
function host.stop()
    stopped = true
    local poll = handle
    handle = nil
    if not poll then return end
    poll:stop()
    if not poll:is_closing() then poll:close() end
end

local function never() return false end

--- A wait outside a coroutine, in Neovim.
local function block_in_neovim(engine, seconds)
    if not handle or vim.in_fast_event() then return engine:wait(seconds) end
    local before, until_ = turns, core.now() + seconds
    local function news()
        return turns ~= before or engine:ready() > 0
    end
    -- Neovim 0.7 tells of Ctrl-C at the end of a vim.wait that was in vain, and only there.
    local ready, left, _, before_it, after_it
    repeat
        _, before_it = vim.wait(0, never)
        left = math.max(until_ - core.now(), 0)
        ready, after_it = vim.wait(math.ceil(math.min(left, SLICE) * 1000), news)
        if before_it == -2 or after_it == -2 then return nil, "Keyboard interrupt" end
    until ready or left == 0
    return ready
end

--- Errors that nobody has asked for: said at the loop's next turn, unless somebody has joined by then.
local function at_next_turn(fn)
    local timer = uv.new_timer()
    timer:start(0, 0, function()
        timer:close()
        fn()
    end)
end

local function notify(message)
    vim.schedule(function() vim.notify(message, vim.log.levels.ERROR) end)
end

if vim then
    scheduler.block_by(block_in_neovim)
    reports.tell_by(vim.schedule, notify)
else
    reports.tell_by(at_next_turn)
end
scheduler.on_work(on_work)

return host
