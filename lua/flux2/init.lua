--- flux2: images from prompts, through the Flux 2 API.
--
--     local flux2  = require "flux2"
--     local client = assert(flux2.new())
--     local image  = assert(client:generate "A serene Japanese garden, photorealistic")
--     assert(image:save "garden.png")
--
-- Times are seconds, sizes bytes, prices credits. Run-time failures are returned as `nil, err`; a mistake in the
-- calling code raises an error at its line.
--
-- This module loads everything, libcurl too, so that loading takes no time from a frame of a game. The first flux2.new
-- starts the thread, which initializes libcurl and its TLS library.

local budget = require "flux2.budget"
local Client = require "flux2.client"
local all_any = require "flux2.all_any"
local errors = require "flux2.errors"
local jit_off = require "flux2.jit_off"
local providers = require "flux2.provider"
local request = require "flux2.request"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local spawn = require "flux2.spawn"
local can_yield = require "flux2.can_yield"
local version = require "flux2.version"

---@class flux2
---@field on_error? fun(message: string) a function that you set: receives errors of callbacks and coroutines at once
local flux2 = { _VERSION = version._VERSION }

-- LÖVE may run the whole game in one coroutine, in which a yield ends the frame. Its outermost function is in boot.lua.
if rawget(_G, "love") then
    can_yield.block_in(function()
        local level, info, outermost = 2, debug.getinfo(2, "S"), nil
        while info do
            level, outermost = level + 1, info.source
            info = debug.getinfo(level, "S")
        end
        return outermost == "=[love \"boot.lua\"]"
    end)
end

--- Makes a client.
---@param opts? flux2.Options default: the environment and the defaults
---@return flux2.Client? client
---@return flux2.Error? err kind "auth" without a key, "invalid_request" for an invalid base URL, "io" for a spool that
---  cannot be used
-- Example: `local client = assert(flux2.new { timeout = 120 })`
function flux2.new(opts)
    local client, err = Client.new(opts, 2) -- no tail call: the error level counts this function
    return client, err
end

--- Estimates the price of a request by the default provider. For another provider: client:estimate.
---@param given string|flux2.Request as for client:submit
---@return number? credits an estimate: the service determines the price
---@return string? reason why there is no price
---@return string? source of the prices: where and when they were published
-- Example: `flux2.estimate { prompt = "a fox", type = "flex" }` is 6
function flux2.estimate(given)
    local credits, reason, source = request.price(providers.resolve(), given, 2)
    return credits, reason, source
end

---@class flux2.Stats Counters of one Lua state, since its start.
---@field jobs integer the number of unfinished jobs: submissions, tasks, downloads, sleeps
---@field in_flight integer the number of jobs with a running request
---@field requests integer the number of started HTTP requests
---@field connections integer the number of opened connections
---@field received integer bytes of bodies
---@field ended integer the number of ended jobs
---@field pending integer the number of jobs that flux2.pending counts
---@field spent number credits, of all clients
---@field unpriced integer the number of accepted tasks of unknown price

--- Returns the counters of this Lua state.
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
flux2.all = all_any.all
flux2.any = all_any.any

--- The kinds of errors, with their meaning and advice.
flux2.errors = { kinds = errors.kinds, advice = errors.advice }

setmetatable(flux2, {
    __index = function(_, name)
        if name == "on_error" then return uncaught.on_error end
    end,
    __newindex = function(_, name, value)
        if name ~= "on_error" then return rawset(flux2, name, value) end
        if value ~= nil and type(value) ~= "function" then error("flux2.on_error: a function is needed", 2) end
        uncaught.on_error = value
    end,
})
jit_off(flux2)
Client.warm_up()

return flux2
