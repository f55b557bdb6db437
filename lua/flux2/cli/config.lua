--- `flux2 config`: prints each setting, its value, and where it comes from.

local arguments = require "flux2.cli.arguments"
local config_file = require "flux2.cli.config_file"
local getenv = require("flux2.config").getenv
local error_output = require "flux2.cli.error_output"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"
local settings = require "flux2.cli.settings"
local text = require "flux2.text"
local url = require "flux2.url"

local config = { name = "config", summary = "Print the settings, and where each comes from.", needs_settings = false }

function config.describe(command)
    command:command_target "action":require_command(false)
    command:command "path":summary("Print the path of the configuration file.")
        :description("Print the path of the configuration file.")
    arguments.output(command)
    command:epilog [[
An option has precedence over the environment, the environment over the
configuration file, and that over the default. The file contains lines such as
type = "flex" or timeout = 120.

Examples:
   flux2 config
   flux2 config path]]
end

--- A missing key has neither a value nor a source.
local function row(name, value, source)
    return { name = name, value = value, source = source or value and "default" }
end

local function rows(args)
    local key = settings.key()
    local list = { row("api_key", key and settings.mask(key), key and settings.key_variable) }
    for _, setting in ipairs(settings.list) do
        local value = args[setting.name]
        local source = settings.sources[setting.name]
        if setting.name == "proxy" and value then value = url.mask(value) end
        if type(value) == "number" then value = text.number(value) end
        list[#list + 1] = row(setting.name, value == nil and setting.default or tostring(value), source)
    end
    return list
end

local function print_rows(out, list)
    local width = 0
    for _, item in ipairs(list) do width = math.max(width, #(item.value or "")) end
    width = math.min(width, 40)
    for _, item in ipairs(list) do
        local line = ("%-14s %-" .. width .. "s  "):format(item.name, text.clean(item.value or "not set", 1000))
        out:result(line .. out:style_result("dim", item.source or "see " .. settings.key_variable))
    end
end

local function print_path(out)
    local path = config_file.path(getenv)
    if path then
        out:result(path)
        return exit.OK
    end
    local err = errors.new("io", "there is no place for a configuration file: HOME is not set",
        { advice = "Set HOME or XDG_CONFIG_HOME." })
    return error_output.print(out, err)
end

function config.run(args, out)
    if args.action == "path" then return print_path(out) end
    if args.settings_error then return error_output.print(out, args.settings_error) end
    local list = rows(args)
    if not out.json then print_rows(out, list) end
    for _, item in ipairs(out.json and list or {}) do out:result(jsonl.encode(item)) end
    return exit.OK
end

return config
