--- The settings of the command line: options with a default in the environment and in the configuration file.
-- Owns their names, their parsers and their precedence: option, environment, configuration file, default.

local config = require "flux2.config"
local config_file = require "flux2.cli.config_file"
local errors = require "flux2.errors"
local provider = require("flux2.provider").resolve()
local suggest = require "flux2.suggest"
local tables = require "flux2.tables"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local settings = {}

--- Seconds. Shorter than the client's default: the same command can be run again.
settings.patience = 30
--- Tasks at once of `flux2 batch`.
settings.concurrency = 4

--- The environment variables of the key. There is no other place for it.
settings.key_variable = provider.environment.api_key

---@class flux2.cli.Setting
---@field name string in the configuration file and in the parsed arguments; with dashes the name of the option
---@field variable? string environment variable
---@field option? string the option, if it has another name
---@field read fun(word: string): any, string? parses a value; nil and the rule that it breaks
---@field default? string description of the default
---@field environment? fun(getenv: function): string?, string? returns a value and its variable, instead of `variable`

--- By the convention of https://no-color.org and https://bixense.com/clicolors.
local function find_color(getenv)
    local forced = getenv "CLICOLOR_FORCE"
    if (getenv "NO_COLOR" or "") ~= "" then return "never", "NO_COLOR" end
    if forced and forced ~= "" and forced ~= "0" then return "always", "CLICOLOR_FORCE" end
    if getenv "TERM" == "dumb" then return "never", "TERM" end
end

--- The variable is FLUX2_NAME, unless `more` has another one.
local function define(name, read, default, more)
    return tables.merge({ name = name, variable = "FLUX2_" .. name:upper(), read = read, default = default }, more)
end

local function field(name)
    return define(name, values.field(name), provider.by_name[name].default)
end

---@type flux2.cli.Setting[]
settings.list = {
    define("base_url", values.text, provider.base_url, { variable = provider.environment.base_url }),
    field "type",
    field "resolution",
    field "aspect_ratio",
    define("concurrency", values.count, text.number(settings.concurrency)),
    define("budget", values.credits, "none"),
    define("timeout", values.seconds, text.number(config.defaults.timeout)),
    define("poll_interval", values.seconds, "by the durations of tasks"),
    define("patience", values.seconds, text.number(settings.patience)),
    define("proxy", values.text, "HTTPS_PROXY and NO_PROXY"),
    define("ca_file", values.text, "SSL_CERT_FILE, or the system's"),
    define("insecure_http", values.boolean, "false"),
    define("metadata", values.boolean, "true", { option = "--no-metadata" }),
    define("spool", values.text, "the state directory"),
    define("verbose", values.log, "false", { variable = "FLUX2_LOG" }),
    { name = "color", environment = find_color, read = values.color, default = "auto" },
}

local by_name = {}
for _, setting in ipairs(settings.list) do by_name[setting.name] = setting end

--- The places of the values of this run, by name: an option, a variable, or a line of a file.
---@type table<string, string>
settings.sources = {}

--- Returns the key; nil if it is not set.
---@return string? key
function settings.key()
    local key = config.getenv(settings.key_variable)
    return key ~= "" and key or nil
end

--- Returns a key of which only the beginning is shown, which is the same for all keys of the service.
---@param key string
---@return string
function settings.mask(key)
    local prefix = provider.key_prefix or ""
    return (key:sub(1, #prefix) == prefix and prefix or "") .. ("... (%d characters)"):format(#key)
end

--- Returns the name of an option.
---@param name string
---@return string
-- Example: `settings.option "base_url"` is "--base-url"
function settings.option(name)
    return by_name[name] and by_name[name].option or "--" .. name:gsub("_", "-")
end

local function from_environment(setting, getenv)
    if setting.environment then return setting.environment(getenv) end
    local word = getenv(setting.variable)
    if word ~= "" then return word, setting.variable end
end

--- Returns the assignments of the configuration file by name, or nil and an error for an unknown name.
local function read_file(getenv)
    local path = config_file.path(getenv)
    local assignments, err = config_file.read(path)
    if not assignments then return nil, err end
    local found = {}
    for _, assignment in ipairs(assignments) do
        local name, where = assignment.name, ("%s:%d"):format(text.clean(path, 300), assignment.line)
        if not by_name[name] then
            local hint = name == "api_key" and "'api_key': set " .. settings.key_variable .. " in the environment"
                or suggest.unknown(name, by_name)
            return nil, errors.new("invalid_request", where .. ": unknown setting " .. hint)
        end
        -- `proxy = false` would be a proxy called "false".
        if by_name[name].read == values.text and assignment.type ~= "string" then
            return nil, errors.new("invalid_request", ("%s: %s must be a text in quotes, not %s"):format(where, name,
                assignment.word))
        end
        found[name] = { word = assignment.word, where = where }
    end
    return found
end

--- Finds the value of one setting. Returns nil and an error for an invalid one.
local function find(setting, args, getenv, file)
    local name = setting.name
    if args[name] ~= nil then return args[name], settings.option(name) end
    local word, where = from_environment(setting, getenv)
    local label = where
    if not word and file[name] then
        word, where = file[name].word, file[name].where
        label = where .. ": " .. name
    end
    if not word then return nil, nil end
    local value, reason = setting.read(word)
    if value == nil then return nil, nil, errors.new("invalid_request", label .. " " .. reason) end
    return value, where
end

--- Completes the parsed arguments with the environment and the configuration file, and sets `sources`.
---@param args table
---@param getenv? fun(name: string): string?
---@return boolean? ok
---@return flux2.Error? err kind "invalid_request" for the first invalid value, "io" for an unreadable file
function settings.complete(args, getenv)
    getenv = getenv or config.getenv
    settings.sources = {}
    local file, err = read_file(getenv)
    if not file then return nil, err end
    for _, setting in ipairs(settings.list) do
        local value, where, wrong = find(setting, args, getenv, file)
        if wrong then return nil, wrong end
        args[setting.name], settings.sources[setting.name] = value, where
    end
    return true
end

return settings
