--- Creates the client of a command from its options. Owns the default directory of the spool.

local config = require "flux2.config"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local files = require "flux2.cli.files"
local settings = require "flux2.cli.settings"
local tables = require "flux2.tables"
local text = require "flux2.text"

local session = {}

--- Returns the default directory of records: in the state directory of the XDG base directory specification, on Windows
--- in the local application data unless XDG_STATE_HOME is set.
---@param getenv? fun(name: string): string?
---@return string? directory nil without a home
function session.default_spool(getenv)
    local state = files.user_directory(getenv or config.getenv, "XDG_STATE_HOME", "LOCALAPPDATA", ".local/state")
    return state and state .. "/flux2/spool"
end

--- Returns the spool directory of a command. Without --spool it is the default one, created if missing.
---@param args table spool, no_spool
---@param terminal flux2.Terminal
---@return string? directory
function session.spool(args, terminal)
    if args.no_spool then return nil end
    if args.spool then return args.spool end
    local directory = session.default_spool()
    local ok, reason
    if directory then ok, reason = files.make_directory(directory, true) end
    if ok then return directory end
    reason = directory and directory .. ": " .. reason or "HOME is not set"
    terminal:say("flux2: paid tasks are not recorded: " .. reason .. " (see --spool)")
end

--- Returns an error if --ca-file is missing. The module would notice it with the first connection only.
local function missing_ca_file(args)
    if not args.ca_file or files.exists(args.ca_file) ~= false then return nil end
    local message = (settings.sources.ca_file or "--ca-file") .. ": there is no file " .. text.show(args.ca_file)
    return errors.new("invalid_request", message)
end

--- Creates the client.
---@param args table parsed arguments, and `request_log`, from flux2.cli
---@param more? table further options of flux2.new
---@return flux2.Client? client
---@return flux2.Error? err
function session.client(args, more)
    local opts = {
        base_url = args.base_url, timeout = args.timeout, proxy = args.proxy, ca_file = args.ca_file,
        insecure_http = args.insecure_http, log = args.request_log, metadata = args.metadata ~= false,
        poll = {
            interval = args.poll_interval, patience = args.patience or settings.patience,
            per_second = args.polls_per_second,
        },
    }
    local missing = missing_ca_file(args)
    if missing then return nil, missing end
    local client, err = flux2.new(tables.merge(opts, more))
    if client or err.kind ~= "auth" or os.getenv(settings.key_variable) then return client, err end
    return nil, errors.new("auth", "the environment variable " .. settings.key_variable .. " is not set")
end

return session
