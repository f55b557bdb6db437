--- The client of a command: from its options to flux2.new, and where the records of paid tasks are kept.
-- Owns the default place of the spool. Sends nothing.

local core = require "flux2.core"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local text = require "flux2.text"

local session = {}

local function is_set(value)
    return value ~= nil and value ~= ""
end

--- Where records are kept unless somebody says otherwise: state of programs, says the XDG base directory specification.
---@param getenv? fun(name: string): string?
---@return string? directory nil without a home
function session.default_spool(getenv)
    getenv = getenv or os.getenv
    local state, home = getenv "XDG_STATE_HOME", getenv "HOME"
    if is_set(state) and state:sub(1, 1) == "/" then return state .. "/flux2/spool" end
    if is_set(home) then return home .. "/.local/state/flux2/spool" end
end

--- Makes a directory and those above it, each for its owner only.
local function make_private(path)
    local made = path:sub(1, 1) == "/" and "" or "."
    for part in path:gmatch "[^/]+" do
        made = made .. "/" .. part
        local ok, reason = core.directory(made)
        if not ok then return nil, made .. ": " .. reason end
    end
    return true
end

--- The spool of commands that are given none: a picture that was paid for can be fetched after a crash.
---@param args table spool, no_spool
---@param terminal flux2.Terminal
---@return string? directory
function session.spool(args, terminal)
    if args.no_spool then return nil end
    if args.spool then return args.spool end
    local directory = session.default_spool()
    local ok, reason
    if directory then ok, reason = make_private(directory) end
    if ok then return directory end
    terminal:say("flux2: no record of paid tasks is kept: " .. (reason or "there is no HOME") .. " (see --spool)")
end

--- Makes the client.
---@param args table as parsed
---@param more? table further options of flux2.new
---@return flux2.Client? client
---@return flux2.Error? err
function session.client(args, more)
    local opts = {
        base_url = args.base_url, timeout = args.timeout, proxy = args.proxy, ca_file = args.ca_file,
        insecure_http = args.insecure_http,
        poll = args.poll_interval and { interval = args.poll_interval } or nil,
    }
    for name, value in pairs(more or {}) do opts[name] = value end
    for name, value in pairs(opts) do
        if value == "" then
            return nil, errors.new("invalid_request", "--" .. name:gsub("_", "-") .. " is empty: " .. text.show(value))
        end
    end
    local client, err = flux2.new(opts)
    if client or err.kind ~= "auth" or os.getenv "FLUX2_API_KEY" then return client, err end
    return nil, errors.new("auth", "there is no API key in the environment variable FLUX2_API_KEY")
end

return session
