--- The configuration file: assignments in Lua syntax. It is data: it has no access to globals.
--
--     type = "flex"
--     timeout = 120

local core = require "flux2.core"
local errors = require "flux2.errors"
local files = require "flux2.cli.files"
local text = require "flux2.text"

local config_file = {}

local MAX_BYTES = 2 ^ 20

---@class flux2.cli.Assignment
---@field name string
---@field word string the value as a word of a command line
---@field type string its type in the file
---@field line integer

--- Returns the path of the configuration file.
---@param getenv fun(name: string): string?
---@return string? path nil without a home
function config_file.path(getenv)
    local directory = files.user_directory(getenv, "XDG_CONFIG_HOME", "APPDATA", ".config")
    return directory and directory .. "/flux2/config.lua"
end

local WORDS = { string = tostring, number = text.number, boolean = tostring }

--- Returns the environment of the file: it records assignments, and nothing can be read from it.
local function recorder(list)
    return setmetatable({}, {
        __metatable = false,
        __index = function(_, name)
            error(("%s is not available: a line is a name and a value, such as type = \"flex\""):format(
                text.show(name)), 2)
        end,
        __newindex = function(_, name, value)
            local to_word = WORDS[type(value)]
            if not to_word then error(name .. " must be a text, a number, true or false, not a " .. type(value), 2) end
            local line = debug.getinfo(2, "l").currentline
            list[#list + 1] = { name = name, word = to_word(value), type = type(value), line = line }
        end,
    })
end

--- Compiles text, but no bytecode. Errors begin with "config:LINE: ".
local function compile(source, environment)
    if source:sub(1, 1) == "\27" then return nil, "config:1: bytecode is not allowed" end
    local set_environment = rawget(_G, "setfenv")
    if not set_environment then return load(source, "=config", "t", environment) end
    local chunk, reason = loadstring(source, "=config")
    return chunk and set_environment(chunk, environment), reason
end

local function invalid(path, reason)
    return nil, errors.new("invalid_request", text.clean(path, 300) .. tostring(reason):gsub("^config:", ":"))
end

--- Reads the file. A missing one is empty.
---@param path? string
---@return flux2.cli.Assignment[]? assignments in their order
---@return flux2.Error? err kind "invalid_request" with the line, or "io"
function config_file.read(path)
    if not path then return {} end
    local source, reason, why = core.read_file(path, MAX_BYTES)
    if why == "missing" then return {} end
    if not source then
        local message = "cannot read " .. text.show(path) .. ": " .. tostring(reason or "it is not a file")
        return nil, errors.new("io", message, { advice = "Correct the file, or remove it." })
    end
    local list = {}
    local chunk, mistake = compile(text.without_bom(source), recorder(list))
    if not chunk then return invalid(path, mistake) end
    local ran, result = pcall(chunk)
    if not ran then return invalid(path, result) end
    if result == nil then return list end
    return invalid(path, ": write one setting per line, such as type = \"flex\", without return")
end

return config_file
