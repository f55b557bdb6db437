--- The command line: finds the command, reads its arguments, runs it, and turns what became of it into an exit status.
-- Owns the list of commands. What a command does is in its own file:
--
--     { name = "generate", summary = "...", describe = function(command) end, run = function(args, terminal) end }
--
-- `describe` is given argparse's Command to add options and examples to; `run` gives the exit status.

local arguments = require "flux2.cli.arguments"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local flux2 = require "flux2"
local terminal = require "flux2.cli.terminal"

local cli = {}

---@class flux2.cli.Command
---@field name string
---@field summary string one line
---@field describe fun(command: table) adds options, arguments and examples
---@field run fun(args: table, terminal: flux2.Terminal): integer gives the exit status

--- In the order in which help shows them.
cli.commands = { "generate", "batch", "task", "recover", "estimate", "emulator", "tester", "doctor", "completion" }

local WIDTH = 80

local function describe_exits()
    local parts = {}
    for _, pair in ipairs(exit.kinds) do
        if pair[2] ~= exit.USAGE then parts[#parts + 1] = ("%d %s"):format(pair[2], pair[1]) end
    end
    return ("Exit status: 0 done, 1 several things went wrong or a fault in flux2, 2 a mistake in the command line " ..
        "or the request, %s, %d interrupted."):format(table.concat(parts, ", "), exit.INTERRUPTED)
end

local function describe_environment()
    local lines = { "Environment:" }
    for _, variable in ipairs(arguments.variables) do
        lines[#lines + 1] = ("   %-21s %s"):format(variable[1], variable[2] and "for " .. variable[3] or variable[3])
    end
    lines[#lines + 1] = "   NO_COLOR              no colours"
    return table.concat(lines, "\n")
end

--- A command by its name.
---@param name string
---@return flux2.cli.Command
function cli.command(name)
    return require("flux2.cli." .. name)
end

--- The parser of everything, for use and for completion.
---@return table parser argparse's
function cli.parser()
    local argparse = require "argparse"
    local parser = argparse("flux2", "Pictures from prompts, with Flux 2."):command_target "command"
        :usage_max_width(WIDTH):help_max_width(WIDTH):help_description_margin(28)
    parser:flag "--version":description "Show the version.":action(function()
        print(("flux2 %s (%s, %s)"):format(flux2._VERSION, rawget(_G, "jit") and jit.version or _VERSION,
            core.libcurl:match "%S+"))
        os.exit(exit.OK)
    end)
    parser:epilog(describe_environment() .. "\n\n" .. describe_exits() ..
        '\n\nExample:\n   flux2 generate "a red fox in the snow, watercolour" -o fox.png')
    for _, name in ipairs(cli.commands) do
        local described = cli.command(name)
        local command = parser:command(described.name):summary(described.summary):description(described.summary)
        described.describe(command)
    end
    return parser:add_help_command()
end

local function named_command(argv)
    for _, word in ipairs(argv) do
        for _, name in ipairs(cli.commands) do
            if word == name then return name end
        end
    end
end

local function mistake(out, argv, message)
    local command = named_command(argv)
    out:warn(out:style("red", "flux2:") .. " " .. message:gsub("\n", ". "))
    out:warn("Try: flux2 " .. (command and command .. " " or "") .. "--help")
    return exit.USAGE
end

local function run(argv, out)
    local parser = cli.parser()
    if #argv == 0 then
        out:warn(parser:get_help())
        return exit.USAGE
    end
    local understood, args = parser:pparse(argv)
    if not understood then return mistake(out, argv, args) end
    out.quiet, out.json = args.quiet or false, args.json or false
    args.argv = argv
    local ok, err = arguments.complete(args)
    if not ok then return complaint.tell(out, err) end
    return cli.command(args.command).run(args, out)
end

local function with_traceback(fault)
    return type(fault) == "string" and debug.traceback(fault, 2) or fault
end

--- Runs a command line.
---@param argv string[]
---@return integer status for os.exit
-- Example: `os.exit(require("flux2.cli").main(arg), true)`
function cli.main(argv)
    core.interrupts(true)
    local out = terminal.new()
    if core.interrupts() > 0 then return exit.INTERRUPTED end
    if not pcall(require, "argparse") then
        out:warn "flux2: the command line needs argparse (Debian: lua-argparse, LuaRocks: argparse)"
        return exit.FAULT
    end
    flux2.on_error = function(message) out:warn("flux2: " .. tostring(message)) end
    local words = {}
    for i = 1, #argv do words[i] = argv[i] end
    local ran, status = xpcall(function() return run(words, out) end, with_traceback)
    -- Also what Ctrl-C broke off in passing, such as reading the prompt from stdin.
    if ran then return status ~= exit.OK and core.interrupts() > 0 and exit.INTERRUPTED or status end
    if errors.is(status) then return complaint.tell(out, status) end
    out:warn("flux2: a fault of its own, please report it: " .. tostring(status))
    return exit.FAULT
end

return cli
