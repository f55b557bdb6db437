--- flux2: pictures from prompts, through the Flux 2 API.
--
--     local flux2  = require "flux2"
--     local client = assert(flux2.new())
--     local image  = assert(client:generate "A serene Japanese garden, photorealistic")
--     assert(image:save "garden.png")
--
-- This file is the list of what users see; each thing lives in a file of its own.

local budget = require "flux2.budget"
local Client = require "flux2.client"
local combine = require "flux2.combine"
local errors = require "flux2.errors"
local pricing = require "flux2.pricing"
local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"
local spawn = require "flux2.spawn"
local version = require "flux2.version"

local flux2 = { _VERSION = version._VERSION }

-- LÖVE runs the whole game in a coroutine of its own, which takes any yield for the end of a frame.
if rawget(_G, "love") then scheduler.block_here() end

--- Makes a client.
---@param opts? table api_key (FLUX2_API_KEY), base_url (FLUX2_BASE_URL, https://apiin.one), timeout (600 s for a whole
---  task), connect_timeout (15 s), silence_timeout (60 s without a byte), exchange_timeout (180 s), max_retries (2),
---  max_connections (8), poll = { interval = seconds, which fixes it, per_second = polls per second of all tasks
---  together (20; with an interval none), memory = file that keeps how long tasks took (none) },
---  max_response_bytes (32 MiB), max_image_bytes (64 MiB), max_header_bytes (64 KiB), max_redirects (5, of a picture),
---  max_tasks (10,000 alive at once), max_submissions_per_second (20, after as many at once), max_event_bytes (256 MiB
---  that flux2.update has not taken), proxy, ca_file, insecure_http, user_agent, budget (credits that the submissions
---  of this client may cost; none), spool (a directory for client:recover; none)
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
---@param request string|flux2.Request
---@return number? credits
---@return string? reason why there is no figure
-- Example: `flux2.estimate { prompt = "a fox", type = "flex" }` is 6
function flux2.estimate(request)
    local credits, reason = pricing.estimate(request, 2)
    return credits, reason
end

--- Counters of this Lua state.
---@return { jobs: integer, in_flight: integer, exchanges: integer, connections: integer, received: integer,
---  ended: integer, pending: integer, spent: number, unpriced: integer } jobs alive, and of those with an exchange
---  under way; exchanges begun; connections opened; bytes of bodies received; jobs ended; jobs that are work; credits
---  spent by all clients, and tasks of unknown price that were accepted
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

--- `flux2.on_error = function(message) end` receives what goes wrong in callbacks and coroutines.
return setmetatable(flux2, {
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
