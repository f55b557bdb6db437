--- The API tester: a local web page that generates images with this module and shows each step.
-- Its server runs on its own thread with its own Lua state (flux2.tester.service), so it works while the program is
-- busy. It listens on 127.0.0.1 only and never reveals the API key.

local Client = require "flux2.client"
local core = require "flux2.core"
local errors = require "flux2.errors"
local json = require "flux2.json"
local validate = require "flux2.validate"
local server = require "flux2.load_core" "flux2.tester.core"
local settings = require "flux2.config"

local tester = {}

---@class flux2.Tester A running or stopped tester.
---@field url string URL of the page; it gives access to the credits
---@field base_url string base URL of the service
---@field port integer the port, on 127.0.0.1
---@field private handle userdata
local Tester = {}
Tester.__index = Tester
Tester.__name = "flux2.Tester"

---@class flux2.TesterOptions : flux2.Options Options of flux2.tester.start.
---@field port? integer TCP port, default: any free port
---@field emulator? boolean whether the service is an emulator on this machine: the page then shows that, and its key

local KNOWN = { port = "count", emulator = "boolean" }
for name, kind in pairs(settings.known) do KNOWN[name] = kind end

local LARGEST_PORT = 65535
local LONGEST_WAIT = 60 -- seconds

--- Returns package.path for the new state, with the folder of this flux2 first.
local function module_path()
    local source = debug.getinfo(settings.read, "S").source
    local home = source:match "^@(.*)flux2[/\\]config%.lua$"
    if not home then return package.path end
    return home .. "?.lua;" .. home .. "?/init.lua;" .. package.path
end

local function config_of(given, client)
    local config = { client = {}, emulator = given.emulator or false }
    if type(given.provider) == "table" then
        return nil, "a provider is given by its name here: the page is answered in a Lua state of its own"
    end
    if type(given.log) == "function" then
        return nil, "log is true or false here: the page is answered in a Lua state of its own"
    end
    for name in pairs(settings.known) do config.client[name] = given[name] end
    -- The environment of the program is read now, as for a client.
    config.client.api_key, config.client.base_url = client._config.get_key(), client._config.base_url
    return json.encode(config, "the options of the tester")
end

--- Starts a tester. It stops with `stop` or when it is collected.
---@param opts? flux2.TesterOptions default: environment variables and the defaults
---@return flux2.Tester? tester
---@return flux2.Error? err kind "auth" without a key, "invalid_request" for an invalid base URL, "io" if the
---  port is in use
-- Example: `local tester = assert(require("flux2.tester").start { budget = 50 }); print(tester.url)`
function tester.start(opts)
    opts = validate.options("flux2.tester.start", opts, KNOWN, 2)
    if opts.port and opts.port > LARGEST_PORT then
        error("flux2.tester.start: port must be a whole number from 0 to 65535, not " .. opts.port, 2)
    end
    local for_client = {}
    for name in pairs(settings.known) do for_client[name] = opts[name] end
    local client, err = Client.new(for_client, 2)
    if not client then return nil, err end
    local config, reason = config_of(opts, client)
    if not config then return nil, errors.new("invalid_request", reason) end
    local handle
    handle, reason = server.serve(opts.port or 0, "flux2.tester.service", module_path(), package.cpath, config)
    if not handle then return nil, errors.new("io", "cannot start the tester: " .. reason) end
    local url, port = server.url(handle)
    return setmetatable({ handle = handle, url = url, port = port, base_url = client._config.base_url }, Tester)
end

--- Stops the tester and its tasks. Idempotent.
-- Example: `tester:stop()`
function Tester:stop()
    validate.receiver(self, Tester, "tester:stop")
    server.stop(self.handle)
end

--- Blocks until the time has elapsed or a signal arrives.
---@param seconds number maximum time in seconds, at most 60
-- Example: `while true do tester:wait(60) end`
function Tester:wait(seconds)
    validate.receiver(self, Tester, "tester:wait")
    if type(seconds) ~= "number" or seconds ~= seconds then
        error("tester:wait: seconds must be a number, not a " .. type(seconds), 2)
    end
    core.pause(math.min(seconds, LONGEST_WAIT))
end

Tester.__close = Tester.stop

--- Omits the token, because strings may be logged.
function Tester:__tostring()
    return ("flux2.Tester (127.0.0.1:%d, %s)"):format(self.port, self.base_url)
end

return tester
