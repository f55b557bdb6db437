--- The loop of a command that waits: pumps, draws, and hears Ctrl-C.
-- Owns the time between two looks. What a Ctrl-C means is the command's to say.

local core = require "flux2.core"
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"

local loop = {}

local TURN = 0.1 -- seconds

---@class flux2.cli.Job
---@field work fun(): any runs in a coroutine; what it returns is what loop.run returns
---@field draw? fun() is called some ten times in a second
---@field interrupted fun(count: integer): boolean? is told of each Ctrl-C; true leaves at once
---@field leaves? fun(): boolean? is asked at every turn after the first Ctrl-C; true leaves

--- Runs a job to its end, or until it is left.
---@param job flux2.cli.Job
---@return boolean finished false if it was left
---@return any result what `work` returned
function loop.run(job)
    local handle = flux2.spawn(job.work)
    local heard = 0
    while handle.state == "running" do
        local count = core.interrupts()
        while heard < count do
            heard = heard + 1
            if job.interrupted(heard) then return false end
        end
        if heard > 0 and job.leaves and job.leaves() then return false end
        if job.draw then job.draw() end
        scheduler.block(TURN)
        scheduler.update()
    end
    local result, fault = handle:join()
    -- Work that fails says so by what it returns: an error that was raised is a fault of ours.
    if handle.state == "failed" then error(fault, 0) end
    return true, result
end

--- Runs `fn` for each item, some of them at the same time, until `next_item` gives no more. For use within `work`.
---@param at_once integer
---@param next_item fun(): any nil: there is nothing left to begin
---@param fn fun(item: any)
function loop.each(at_once, next_item, fn)
    local crew, fault = {}, nil
    for i = 1, at_once do
        crew[i] = flux2.spawn(function()
            local item = next_item()
            while item ~= nil do
                fn(item)
                item = next_item()
            end
        end)
    end
    for i = 1, at_once do
        local _, e = crew[i]:join()
        if crew[i].state == "failed" then fault = fault or e end
    end
    if fault then error(fault, 0) end
end

return loop
