--- The command line: parses the arguments, runs the command, and returns an exit status.
-- Owns the list of commands. Each command is a file, which is loaded when it is needed:
--
--     { name = "generate", summary = "...", describe = function(command) end, run = function(args, terminal) end }
--
-- `describe` adds options and examples to argparse's Command; `run` returns the exit status.

local core = require "flux2.core"
local exit = require "flux2.cli.exit"
local terminal = require "flux2.cli.terminal"

local cli = {}

---@class flux2.cli.Command
---@field name string
---@field summary string one line
---@field describe fun(command: table) adds options, arguments and examples
---@field run fun(args: table, terminal: flux2.Terminal): integer returns the exit status
---@field needs_settings? false it runs although a setting is invalid: `args.settings_error` is the error then

--- In the order of the help text.
cli.commands = {
    "generate", "batch", "task", "recover", "show", "estimate", "emulator", "tester", "serve", "token", "doctor",
    "config", "completion", "version",
}

-- Modules that other projects maintain: their Debian package and their rock.
local DEPENDENCIES = { { "cjson", "lua-cjson", "lua-cjson" }, { "argparse", "lua-argparse", "argparse" } }
local VERSION = { ["-V"] = true, ["--version"] = true }
local WIDEST, NARROW = 80, 60 -- columns of the help

local function describe_exits()
    local parts = {}
    for _, pair in ipairs(exit.kinds) do
        if pair[2] ~= exit.USAGE then parts[#parts + 1] = ("%d %s"):format(pair[2], pair[1]) end
    end
    return ("Exit status: 0 success, 1 errors of several kinds or an internal error, 2 invalid command line or " ..
        "request, %s, %d interrupted."):format(table.concat(parts, ", "), exit.INTERRUPTED)
end

--- Returns lines of a name and a description, wrapped.
local function definitions(rows, columns)
    local lines, margin = {}, columns < NARROW and 6 or 28
    for _, row in ipairs(rows) do
        local described = terminal.wrap(row[2], columns - margin)
        if margin > #row[1] + 4 then
            lines[#lines + 1] = ("   %-" .. margin - 3 .. "s%s"):format(row[1], table.remove(described, 1))
        else
            lines[#lines + 1] = "   " .. row[1]
        end
        for _, line in ipairs(described) do lines[#lines + 1] = (" "):rep(margin) .. line end
    end
    return table.concat(lines, "\n")
end

local function describe_environment(columns)
    local settings = require "flux2.cli.settings"
    local rows = {
        { settings.key_variable, "the API key; there is no option for it" },
        { "FLUX2_PROVIDER", "the service: " .. table.concat(require("flux2.provider").names, ", ") },
    }
    for _, setting in ipairs(settings.list) do
        local words = (setting.option and "false is " or "default of ") .. settings.option(setting.name)
        if setting.variable then rows[#rows + 1] = { setting.variable, words } end
    end
    rows[#rows + 1] = { "NO_COLOR", "disables colours and images; CLICOLOR_FORCE enables them in a pipe" }
    rows[#rows + 1] = { "XDG_CONFIG_HOME", "directory of the configuration file (flux2 config path)" }
    return "Environment, which has precedence over the configuration file:\n" .. definitions(rows, columns)
end

--- Loads a command.
---@param name string
---@return flux2.cli.Command
function cli.command(name)
    return require("flux2.cli." .. name)
end

--- Adds `help`. Unlike that of argparse, it refuses an unknown command as a usage error.
local function add_help_command(parser, commands)
    local help = parser:command "help":summary "Show the help of a command.":description "Show the help of a command."
        :command_target "topic":require_command(false)
        :action(function(args) print((commands[args.topic] or parser):get_help()) end)
    for _, name in ipairs(cli.commands) do help:command(name):summary(cli.command(name).summary) end
end

local function new_parser(columns)
    return require "argparse"("flux2", "Generate images with Flux 2."):command_target "command"
        :usage_max_width(columns):help_max_width(columns):help_description_margin(columns < NARROW and 8 or 28)
end

local function add_command(parser, name)
    local described = cli.command(name)
    local command = parser:command(described.name):summary(described.summary):description(described.summary)
    described.describe(command)
    return command
end

--- Creates the parser of all commands, or of one.
---@param only? string the name of a command: the others are not loaded
---@param columns? integer width of the help; default 80
---@return table parser argparse's
---@return table<string, table> commands argparse's, by name
function cli.parser(only, columns)
    columns = columns or WIDEST
    local parser, commands = new_parser(columns), {}
    if only then
        commands[only] = add_command(parser, only)
        return parser, commands
    end
    parser:flag "-V --version":description "Print the version."
    for _, name in ipairs(cli.commands) do commands[name] = add_command(parser, name) end
    add_help_command(parser, commands)
    local exits = table.concat(terminal.wrap(describe_exits(), columns), "\n")
    parser:epilog(describe_environment(columns) .. "\n\n" .. exits ..
        '\n\nExample:\n   flux2 generate "a red fox in the snow, watercolour" -o fox.png')
    return parser, commands
end

--- Returns the command that the words begin with, or the first one that they contain.
local function named_command(argv)
    for _, word in ipairs(argv) do
        if word == "--" then return nil end
        for _, name in ipairs(cli.commands) do
            if word == name then return name end
        end
        if word == "help" then return word end
    end
end

--- Prints a mistake in the command line.
local function mistake(out, name, message, hint)
    if out.json then
        local err = require("flux2.errors").new("invalid_request", message .. (hint and ". " .. hint or ""))
        return require("flux2.cli.error_output").print(out, err)
    end
    out:error(message)
    if hint then out:hint(hint) end
    out:hint("Try: flux2 " .. (name and name .. " " or "") .. "--help")
    return exit.USAGE
end

--- Returns the status of a command that has ended.
local function status_of(out, status)
    if out.unwritten then
        out.json = false -- stdout cannot be written
        local err = require("flux2.errors").new("io", "cannot write to stdout: " .. out.unwritten,
            { advice = "Part of the output is missing." })
        local code = require("flux2.cli.error_output").print(out, err)
        return status == exit.OK and code or status
    end
    -- Ctrl-C may also interrupt a call such as reading stdin.
    return status ~= exit.OK and core.interrupts() > 0 and exit.INTERRUPTED or status
end

--- Parses the words. For --help argparse prints and exits without checking for write errors; here `print` is replaced
--- by a function that does.
local function parse(parser, argv, out)
    local print_before = print
    rawset(_G, "print", function(shown)
        out:result(shown)
        os.exit(status_of(out, exit.OK))
    end)
    local understood, args = parser:pparse(argv)
    rawset(_G, "print", print_before)
    return understood, args
end

local function has(argv, option)
    for _, word in ipairs(argv) do
        if word == "--" then return false end
        if word == option then return true end
    end
    return false
end

--- Completes the arguments with the settings, and prepares the output. Returns an error for an invalid setting.
local function complete(args, out)
    local files = require "flux2.cli.files"
    local ok, err = require("flux2.cli.settings").complete(args)
    if ok then out:set_color(args.color or "auto") end
    args.request_log = args.verbose and function(line) out:warn(out:style("dim", line)) end or false
    for _, name in ipairs { "ca_file", "image", "like", "out", "output", "spool" } do
        args[name] = args[name] and files.normalize(args[name])
    end
    return not ok and err or nil
end

local function run_command(args, argv, out)
    local command = cli.command(args.command)
    out.quiet, out.json, out.command = args.quiet or false, args.json or false, args.command
    args.argv = argv
    require("flux2").on_error = function(message) out:warn("flux2: " .. tostring(message)) end
    local err = complete(args, out)
    if err then out.command = nil end -- its --help does not describe the environment and the configuration file
    if err and command.needs_settings ~= false then return require("flux2.cli.error_output").print(out, err) end
    args.settings_error = err
    return command.run(args, out)
end

--- Returns a message if a module is not installed.
local function find_missing()
    for _, names in ipairs(DEPENDENCIES) do
        if not pcall(require, names[1]) then
            return ("the Lua module %s is missing. Install it: apt-get install %s, or luarocks install %s"):format(
                names[1], names[2], names[3])
        end
    end
end

--- Runs a command on a terminal.
---@param argv string[]
---@param out flux2.Terminal
---@return integer status
function cli.run(argv, out)
    if VERSION[argv[1]] then return cli.command "version".run({}, out) end
    local missing = find_missing()
    if missing then
        out:error(missing)
        return exit.FAULT
    end
    local name = named_command(argv)
    local columns = math.min(WIDEST, out:columns())
    local parser, commands = cli.parser(name == argv[1] and name ~= "help" and name or nil, columns)
    if #argv == 0 then
        out:warn(parser:get_help())
        return exit.USAGE
    end
    local understood, args = parse(parser, argv, out)
    if understood then return run_command(args, argv, out) end
    out.json = has(argv, "--json")
    return mistake(out, name, require("flux2.cli.usage").explain(args, {
        parser = parser, command = commands[name], argv = argv,
    }))
end

local function with_traceback(fault)
    return type(fault) == "string" and debug.traceback(fault, 2) or fault
end

--- Runs a command.
---@param argv string[]
---@return integer status for os.exit
-- Example: `os.exit(require("flux2.cli").main(arg), true)`
function cli.main(argv)
    core.interrupts(true)
    local out = terminal.new()
    if core.interrupts() > 0 then return exit.INTERRUPTED end
    local words = {}
    for i = 1, #argv do words[i] = argv[i] end
    local ran, status = xpcall(function() return cli.run(words, out) end, with_traceback)
    if ran then return status_of(out, status) end
    if require("flux2.errors").is(status) then return require("flux2.cli.error_output").print(out, status) end
    out:warn("flux2: internal error, please report it: " .. tostring(status))
    return exit.FAULT
end

return cli
