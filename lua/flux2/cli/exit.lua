--- The exit status of `flux2`: one number for each kind of error.
-- Owns the numbers. They are part of the interface and never change.

local exit = {}

exit.OK = 0
exit.FAULT = 1 -- errors of several kinds, or an internal error
exit.USAGE = 2
exit.INTERRUPTED = 130 -- 128 + SIGINT, as in shells

--- The status for each kind of error, in the order of the documentation.
exit.kinds = {
    { "invalid_request", exit.USAGE }, { "auth", 3 }, { "credits", 4 }, { "budget", 5 }, { "rate_limited", 6 },
    { "not_found", 7 }, { "rejected", 8 }, { "task_failed", 9 }, { "moderated", 10 }, { "server", 11 },
    { "network", 12 }, { "tls", 13 }, { "timeout", 14 }, { "cancelled", 15 }, { "too_large", 16 },
    { "not_an_image", 17 }, { "protocol", 18 }, { "unknown_outcome", 19 }, { "io", 20 },
}

local CODE = {}
for _, pair in ipairs(exit.kinds) do CODE[pair[1]] = pair[2] end

--- Returns the status for an error.
---@param err flux2.Error|any
---@return integer code FAULT for a value that is not a flux2.Error
-- Example: `return exit.of(err)`
function exit.of(err)
    return type(err) == "table" and CODE[err.kind] or exit.FAULT
end

--- Returns the status for a set of errors: that of their kind, or FAULT for several kinds.
---@param kinds table<string, integer> kind -> count
---@return integer code
-- Example: `exit.of_many { network = 3 }` is 12
function exit.of_many(kinds)
    local first = next(kinds)
    if not first then return exit.OK end
    if next(kinds, first) then return exit.FAULT end
    return CODE[first] or exit.FAULT
end

return exit
