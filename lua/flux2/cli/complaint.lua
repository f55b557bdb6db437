--- What went wrong, told to people on stderr or to machines on stdout.
-- Owns the advice in the words of the command line; where it has none, that of flux2.errors is given.

local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"

local complaint = {}

local ADVICE = {
    auth = "Check FLUX2_API_KEY; keys begin with aio_. To try flux2 without one: flux2 emulator -- flux2 generate ...",
    credits = "Buy credits, or use --type flex or --resolution 1K.",
    budget = "Raise --budget, or stop here.",
    rate_limited = "Wait a little, or lower --concurrency.",
    not_found = "Check the id; results expire, so fetch them as soon as they are there.",
    network = "Check the connection, the proxy and the address: `flux2 doctor` tells which it is.",
    tls = "Check the clock, --ca-file and who stands in between: `flux2 doctor` tells more. Verification is never off.",
    timeout = "Try again, or give it longer with --timeout.",
    cancelled = false,
    invalid_request = false,
    protocol = "Please report it, with what --json prints; the service may have changed.",
    unknown_outcome = "Look at the account before you submit again, or you may pay twice.",
}

local FIELDS = {
    "kind", "message", "status", "code", "type", "task_id", "request_id", "attempts", "retryable", "field",
}

--- An error as it goes into JSON.
---@param err flux2.Error
---@return table
function complaint.fields(err)
    local out = {}
    for _, name in ipairs(FIELDS) do out[name] = err[name] end
    return out
end

--- What to do about an error, in a sentence.
---@param err flux2.Error
---@return string? advice
function complaint.advice(err)
    if err.kind == "timeout" and err.task_id then
        return "The task goes on. Take it up again: flux2 task " .. err.task_id .. " --wait"
    end
    if err.advice then return err.advice end
    local advice = ADVICE[err.kind]
    if advice == nil then advice = errors.advice[err.kind] end
    return advice or nil
end

--- Tells an error, and gives the exit status for it.
---@param terminal flux2.Terminal
---@param err flux2.Error
---@param command? string the command whose help to name; for mistakes in its use
---@return integer code
function complaint.tell(terminal, err, command)
    if terminal.json then
        terminal:result(jsonl.encode({ error = complaint.fields(err) }))
        return exit.of(err)
    end
    local label = terminal:style("red", "flux2:")
    if err.kind == "invalid_request" then
        terminal:warn(label .. " " .. err.message)
        if command then terminal:say(terminal:style("dim", "Try: flux2 " .. command .. " --help")) end
    else
        terminal:warn(label .. " " .. tostring(err))
    end
    local advice = complaint.advice(err)
    if advice then terminal:say(terminal:style("dim", advice)) end
    return exit.of(err)
end

return complaint
