--- Event loop of a command that waits: runs flux2.update, draws progress, and handles Ctrl-C.

local core = require "flux2.core"
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"

local loop = {}

local TURN = 0.1 -- seconds

--- After so many paid tasks in a row whose images cannot be downloaded, a command stops submitting.
loop.max_undelivered = 3

---@class flux2.cli.Job
---@field work fun(): any runs in a coroutine; loop.run returns its result
---@field draw? fun() called about ten times per second
---@field interrupted fun(count: integer): boolean? called for each Ctrl-C; true exits at once
---@field leaves? fun(): boolean? called every turn after the first Ctrl-C; true exits

--- Runs a job until it ends or Ctrl-C exits.
---@param job flux2.cli.Job
---@return boolean finished false if Ctrl-C exited
---@return any result what `work` returned
function loop.run(job)
    local handled, handle = 0, nil
    repeat
        while handled < core.interrupts() do
            handled = handled + 1
            if job.interrupted(handled) then return false end
        end
        if handled > 0 and job.leaves and job.leaves() then return false end
        handle = handle or flux2.spawn(job.work) -- not before an earlier Ctrl-C is handled
        if handle.state == "running" then
            if job.draw then job.draw() end
            scheduler.block(TURN)
            scheduler.update()
        end
    until handle.state ~= "running"
    local result, fault = handle:join()
    -- Expected failures are return values; a raised error is a bug.
    if handle.state == "failed" then error(fault, 0) end
    return true, result
end

--- Runs `fn` for each item, several at once, until `next_item` returns nil. Call it inside `work`.
---@param at_once integer
---@param next_item fun(): any nil ends the loop
---@param fn fun(item: any)
function loop.each(at_once, next_item, fn)
    local workers, fault = {}, nil
    for i = 1, at_once do
        workers[i] = flux2.spawn(function()
            local item = next_item()
            while item ~= nil do
                fn(item)
                item = next_item()
            end
        end)
    end
    for i = 1, at_once do
        local _, e = workers[i]:join()
        if workers[i].state == "failed" then fault = fault or e end
    end
    if fault then error(fault, 0) end
end

return loop
