--- The figures of a gateway, in Prometheus' text format.

local tables = require "flux2.tables"

local metrics = {}

---@class flux2.gateway.Metrics
local Metrics = {}
Metrics.__index = Metrics

local STATES = { "queued", "submitting", "accepted", "done", "failed", "unknown" }

---@return flux2.gateway.Metrics
function metrics.new()
    return setmetatable({ requests = {}, seconds = 0 }, Metrics)
end

--- Counts a request.
---@param route string
---@param status integer
---@param seconds number
function Metrics:count(route, status, seconds)
    local key = ('route="%s",status="%d"'):format(route, status)
    self.requests[key] = (self.requests[key] or 0) + 1
    self.seconds = self.seconds + seconds
end

--- Writes all figures.
---@param now table<string, any> tasks by state, credits, connections, waiting
---@return string
function Metrics:text(now)
    local lines = {}
    local function add(name, kind, help) lines[#lines + 1] =
        ("# HELP flux2_gateway_%s %s\n# TYPE flux2_gateway_%s %s"):format(name, help, name, kind) end
    local function value(name, labels, n)
        lines[#lines + 1] = ("flux2_gateway_%s%s %.10g"):format(name, labels and "{" .. labels .. "}" or "", n)
    end
    add("requests_total", "counter", "HTTP requests by route and status.")
    for _, key in ipairs(tables.names(self.requests)) do value("requests_total", key, self.requests[key]) end
    add("request_seconds_total", "counter", "Seconds for which requests were handled, long polls included.")
    value("request_seconds_total", nil, self.seconds)
    add("tasks", "gauge", "Tasks in the ledger by state.")
    for _, state in ipairs(STATES) do value("tasks", ('state="%s"'):format(state), now.tasks[state] or 0) end
    add("credits_spent", "gauge", "Credits that count against budgets, reserved ones included.")
    value("credits_spent", nil, now.credits)
    add("connections", "gauge", "Open connections.")
    value("connections", nil, now.connections)
    add("requests_waiting", "gauge", "Requests without a response, long polls included.")
    value("requests_waiting", nil, now.waiting)
    return table.concat(lines, "\n") .. "\n"
end

return metrics
