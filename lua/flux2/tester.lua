--- The API tester: a page in the browser of this machine that makes pictures through this module, and shows how.
-- Starts and stops it. The page is answered on a thread and in a Lua state of its own (flux2.tester.service): it works
-- whatever this program does meanwhile. Never: listens on anything but 127.0.0.1, gives the key away.

local core = require "flux2.emulator.core"
local Client = require "flux2.client"
local errors = require "flux2.errors"
local json = require "flux2.json"
local options = require "flux2.options"
local settings = require "flux2.settings"

local tester = {}

---@class flux2.Tester A page that is being served.
---@field url string where the page is; whoever has it can spend credits
---@field base_url string the service that it talks to
---@field port integer the port, on 127.0.0.1
---@field private server userdata
local Tester = {}
Tester.__index = Tester
Tester.__name = "flux2.Tester"

---@class flux2.TesterOptions : flux2.Options What flux2.tester.start takes.
---@field port? integer the port, by default any that is free
---@field emulator? boolean whether the service behind it is an emulator, so that the page says so

local KNOWN = { port = "count", emulator = "boolean" }
for name, kind in pairs(settings.known) do KNOWN[name] = kind end

local LARGEST_PORT = 65535

--- Where the new state finds modules: first of all this very flux2, wherever it was loaded from.
local function module_path()
    local source = debug.getinfo(settings.read, "S").source
    local home = source:match "^@(.*)flux2[/\\]settings%.lua$"
    if not home then return package.path end
    return home .. "?.lua;" .. home .. "?/init.lua;" .. package.path
end

local function config_of(given, client)
    local config = { client = {}, emulator = given.emulator or false }
    for name in pairs(settings.known) do config.client[name] = given[name] end
    -- What this program's environment says now is what counts, as for a client that it makes.
    config.client.api_key, config.client.base_url = client._settings.key, client._settings.base_url
    return json.encode(config, "the options of the tester")
end

--- Starts a tester. It ends with `stop`, or when it is collected.
---@param opts? flux2.TesterOptions without them, what the environment and the defaults say
---@return flux2.Tester? tester
---@return flux2.Error? err kind "auth" without a key, "invalid_request" for a base URL that cannot be used, "io" when
---  the port is taken
-- Example: `local tester = assert(require("flux2.tester").start { budget = 50 }); print(tester.url)`
function tester.start(opts)
    opts = options.check("flux2.tester.start", opts, KNOWN, 2)
    if opts.port and opts.port > LARGEST_PORT then
        error("flux2.tester.start: port must be a whole number from 0 to 65535, not " .. opts.port, 2)
    end
    local for_client = {}
    for name in pairs(settings.known) do for_client[name] = opts[name] end
    local client, err = Client.new(for_client, 2)
    if not client then return nil, err end
    local config, reason = config_of(opts, client)
    if not config then return nil, errors.new("invalid_request", reason) end
    local server
    server, reason = core.serve(opts.port or 0, "flux2.tester.service", module_path(), package.cpath, config)
    if not server then return nil, errors.new("io", "the tester does not start: " .. reason) end
    local url, port = core.server_url(server)
    return setmetatable({ server = server, url = url, port = port, base_url = client._settings.base_url }, Tester)
end

--- Stops it: the page is gone, and what it was waiting for is given up. Twice does nothing.
-- Example: `tester:stop()`
function Tester:stop()
    core.server_stop(self.server)
end

--- Blocks for so long, or until a signal came: for programs that have nothing else to do.
---@param seconds number at most 60 of them
-- Example: `while true do tester:wait(60) end`
function Tester:wait(seconds)
    if type(seconds) ~= "number" or seconds ~= seconds then
        error("tester:wait: seconds must be a number, not a " .. type(seconds), 2)
    end
    core.pause(seconds)
end

Tester.__close = Tester.stop

--- Without the token, which would end up in logs.
function Tester:__tostring()
    return ("flux2.Tester (127.0.0.1:%d, %s)"):format(self.port, self.base_url)
end

return tester
