--- What users see of flux2: the list of its functions. Each thing lives in a file of its own.
-- Loaded by `require "flux2"` when the first of them is asked for, see init.lua; what is here is there.

local budget = require "flux2.budget"
local Client = require "flux2.client"
local combine = require "flux2.combine"
local errors = require "flux2.errors"
local pricing = require "flux2.pricing"
local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"
local spawn = require "flux2.spawn"
local yielding = require "flux2.yielding"

---@class flux2
local flux2 = {}

-- LÖVE may run the whole game in a coroutine of its own, which takes any yield for the end of a frame. It is known by
-- what it began with.
if rawget(_G, "love") then
    yielding.block_in(function()
        local level, info, outermost = 2, debug.getinfo(2, "S"), nil
        while info do
            level, outermost = level + 1, info.source
            info = debug.getinfo(level, "S")
        end
        return outermost == "=[love \"boot.lua\"]"
    end)
end

--- Makes a client.
---@param opts? flux2.Options without them, what the environment and the defaults say
---@return flux2.Client? client
---@return flux2.Error? err kind "auth" without a key, "invalid_request" for a base URL that cannot be used, "io" for a
---  spool that cannot be used
-- Example: `local client = assert(flux2.new { timeout = 120 })`
function flux2.new(opts)
    -- No tail call: the level of an error counts this function too.
    local client, err = Client.new(opts, 2)
    return client, err
end

--- Credits that a request is expected to cost, as published.
---@param request string|flux2.Request as for client:submit
---@return number? credits
---@return string? reason why there is no figure
-- Example: `flux2.estimate { prompt = "a fox", type = "flex" }` is 6
function flux2.estimate(request)
    local credits, reason = pricing.estimate(request, 2)
    return credits, reason
end

---@class flux2.Stats Counters of one Lua state, since its start.
---@field jobs integer the number of jobs that are alive: submissions, tasks, downloads, sleeps
---@field in_flight integer the number of jobs that have an exchange under way
---@field exchanges integer the number of HTTP exchanges begun
---@field connections integer the number of connections opened
---@field received integer bytes of bodies
---@field ended integer the number of jobs that have ended
---@field pending integer the number of jobs that are work, as flux2.pending
---@field spent number credits, of all clients
---@field unpriced integer the number of accepted tasks whose price nobody knows

--- Counters of this Lua state.
---@return flux2.Stats stats
-- Example: `print(flux2.stats().spent)`
function flux2.stats()
    local stats = scheduler.stats()
    stats.spent, stats.unpriced = budget.total()
    return stats
end

flux2.update = scheduler.update
flux2.run = scheduler.run
flux2.fileno = scheduler.fileno
flux2.pending = scheduler.pending
flux2.spawn = spawn.spawn
flux2.sleep = spawn.sleep
flux2.all = combine.all
flux2.any = combine.any

--- Every kind of error with its meaning, and what to do about it.
flux2.errors = { kinds = errors.kinds, advice = errors.advice }

local api = {}

--- Puts all of it into `target`, which gets `on_error` too: `target.on_error = function(message) end` receives what
--- goes wrong in callbacks and coroutines.
---@param target table
function api.into(target)
    for name, value in pairs(flux2) do rawset(target, name, value) end
    setmetatable(target, {
        __index = function(_, name)
            if name == "on_error" then return reports.on_error end
        end,
        __newindex = function(t, name, value)
            if name == "on_error" then
                if value ~= nil and type(value) ~= "function" then error("flux2.on_error: a function is needed", 2) end
                reports.on_error = value
            else
                rawset(t, name, value)
            end
        end,
    })
end

return api
