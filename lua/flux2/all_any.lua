--- Waiting for several tasks or handles: for all of them, or for the first.

local errors = require "flux2.errors"
local validate = require "flux2.validate"
local text = require "flux2.text"
local waits = require "flux2.waits"

local all_any = {}

local KNOWN = { cancel = "boolean", timeout = "seconds" }

local function read_options(what, opts)
    if type(opts) == "number" then opts = { timeout = opts } end
    local checked = validate.options(what, opts, KNOWN, 3) -- no tail call: the error level counts this function
    return checked
end

local function check_list(what, list)
    if type(list) ~= "table" then error(what .. ": a list of tasks is needed, not " .. text.show(list), 3) end
    local key = #list == 0 and next(list) or nil
    if key ~= nil then error(what .. ": a list of tasks is needed; this table has the key " .. text.show(key), 3) end
    for i = 1, #list do
        if type(list[i]) ~= "table" or not list[i]._end_latch then
            local message = ": item " .. i .. " is neither a task nor a handle of flux2.spawn, but "
            error(what .. message .. text.show(list[i]), 3)
        end
    end
end

local function cancel_all(list)
    for i = 1, #list do list[i]:cancel() end
end

--- Calls `ended(i)` for each item that has ended or ends, again if an allocation failed in it. Waits until a call
--- returns true, or for the timeout.
local function watch(list, timeout, ended)
    local latch, forget, handled, enough = waits.latch(), {}, {}, false
    for i = 1, #list do
        handled[i] = false
        forget[i] = waits.when(list[i]:_end_latch(), function()
            if not enough and not handled[i] then enough, handled[i] = ended(i), true end
            if enough then waits.open(latch) end
        end)
    end
    local open, reason = true, nil
    if #list > 0 then open, reason = waits.await(latch, timeout) end
    for i = 1, #list do forget[i]() end
    return open, reason
end

local function not_open(what, reason, timeout, done, n)
    if reason == "cancelled" then return errors.new("cancelled", "the waiting coroutine was cancelled") end
    return errors.new("timeout", what .. ": " .. done .. " of " .. n .. " had ended after " .. text.number(timeout) ..
        " s; the others go on, and can be waited for again", { retryable = true })
end

--- Waits until all have succeeded, or the first one has failed.
---@param list table tasks, or handles of flux2.spawn
---@param opts? number|{ timeout: number?, cancel: boolean? } timeout in seconds, also as a number alone; cancel:
---  whether the others are cancelled when one fails
---@return any[]? results in the order of the list
---@return flux2.Error? err of the first that failed, of any kind, with `index` if it is an error of flux2; "timeout" if
---  this wait was too short
---@return table<integer, any>? partial after an error: the results so far, by place in the list
-- Example: `local results = assert(flux2.all({ task1, task2 }, 120))`
function all_any.all(list, opts)
    check_list("flux2.all", list)
    opts = read_options("flux2.all", opts)
    local results, left, failed = {}, #list, nil
    local open, reason = watch(list, opts.timeout, function(i)
        local value, err = list[i]:_outcome()
        if value == nil and err ~= nil then
            if errors.is(err) then err.index = i end
            failed = err
        end
        results[i] = value
        left = left - 1
        return failed ~= nil or left == 0
    end)
    if not open then failed = not_open("flux2.all", reason, opts.timeout or 0, #list - left, #list) end
    if failed == nil then return results end
    if opts.cancel then cancel_all(list) end
    return nil, failed, results
end

--- Waits until the first has succeeded, or all have failed.
---@param list table tasks, or handles of flux2.spawn
---@param opts? number|{ timeout: number?, cancel: boolean? } timeout in seconds, also as a number alone; cancel:
---  whether the others are cancelled when one succeeds
---@return any result of the first that succeeded
---@return integer|flux2.Error index its place in the list; or, after nil, the error of the last that failed, of any
---  kind; "timeout" if this wait was too short
-- Example: `local result, i = flux2.any({ fast, good }, { cancel = true })`
function all_any.any(list, opts)
    check_list("flux2.any", list)
    opts = read_options("flux2.any", opts)
    local winner, index, left, last = nil, nil, #list, nil
    if left == 0 then return nil, errors.new("invalid_request", "flux2.any: the list is empty") end
    local open, reason = watch(list, opts.timeout, function(i)
        local value, err = list[i]:_outcome()
        left = left - 1
        if value == nil and err ~= nil then
            last = err
            return left == 0
        end
        winner, index = value, i
        return true
    end)
    if not open then last = not_open("flux2.any", reason, opts.timeout or 0, #list - left, #list) end
    if opts.cancel then cancel_all(list) end
    if index then return winner, index end
    return nil, last
end

return all_any
