--- Mistakes in the command line: argparse's messages in the style of the other errors, with suggestions.

local provider = require("flux2.provider").resolve()
local shell = require "flux2.cli.shell"
local suggest = require "flux2.suggest"
local text = require "flux2.text"

local usage = {}

local MOST = 3 -- suggestions
local FEW = 5 -- commands that are listed

--- Returns the names that a word is a beginning of, or else the nearest name.
---@param word string
---@param names string[]
---@return string[] candidates
-- Example: `usage.candidates("gen", { "generate", "batch" })` is { "generate" }
function usage.candidates(word, names)
    local list = {}
    for _, name in ipairs(names) do
        if name:sub(1, #word) == word and #list < MOST then list[#list + 1] = name end
    end
    if #list == 0 then list[1] = suggest.nearest(word, names) end
    return list
end

local function did_you_mean(word, names)
    local list = usage.candidates(word, names)
    return #list > 0 and "\nDid you mean " .. table.concat(list, " or ") .. "?" or ""
end

--- Returns the long options of an argparse Command; argparse has no public function for it.
local function options_of(command)
    local names = {}
    for _, option in ipairs(command and command._options or {}) do
        for _, name in ipairs(option._aliases) do
            if name:sub(1, 2) == "--" then names[#names + 1] = name end
        end
    end
    return names
end

local function names_of(commands)
    local names = {}
    for _, command in ipairs(commands) do names[#names + 1] = command._name end
    return names
end

local KEY = "Set " .. provider.environment.api_key .. " in the environment: other users can read a command line."

--- Options that other programs have, and what takes their place.
local FOREIGN = {
    ["--api-key"] = KEY, ["--key"] = KEY, ["--token"] = KEY,
    ["--prompt"] = "Write the prompt in quotes, without an option.",
}

--- Returns what takes the place of an unknown option: another one, or --extra for a field of the service.
local function replacement(option, names)
    if FOREIGN[option] then return "\n" .. FOREIGN[option] end
    local field = provider.also[option:sub(3):gsub("-", "_")]
    local takes = {}
    for _, name in ipairs(names) do takes[name] = true end
    local same = field and "--" .. field:gsub("_", "-")
    for _, name in ipairs { same or "", (same or ""):gsub("s$", "") } do
        if takes[name] then return "\nDid you mean " .. name .. "?" end
    end
    for _, name in ipairs(names) do -- --output for --out
        if #name > #"--x" and option:sub(1, #name) == name then return "\nDid you mean " .. name .. "?" end
    end
    local near = did_you_mean(option, names)
    if near == "" and takes["--extra"] and option:find "^%-%-" then
        return "\nFields of a request that have no option go into --extra, such as --extra '{\"seed\": 7}'."
    end
    return near
end

--- Returns the value that was given to an option.
local function value_of(option, argv)
    for i, word in ipairs(argv) do
        if word == option then return argv[i + 1] end
        if word:sub(1, #option + 1) == option .. "=" then return word:sub(#option + 2) end
    end
end

--- By the beginning of argparse's message: returns the message, and a hint after a line break.
local RULES = {
    { "^unknown option '(.-)'", function(run, option)
        local message = "unknown option " .. text.show(option)
        if option:find "^%-%d" then return message .. "\nWrite a value that begins with - as --option=VALUE." end
        local later = run.command and run.argv[1] == option and value_of(option, run.argv) -- before the command
        for _, name in ipairs(later and options_of(run.command) or {}) do
            if name == option then
                return message .. (" before the command\nWrite: flux2 %s %s"):format(run.command._name, option)
            end
        end
        return message .. replacement(option, options_of(run.command or run.parser))
    end },
    { "^unknown command '(.-)'", function(run, word)
        local command = run.command
        local group = command and #command._commands > 0 and command or run.parser
        local names = names_of(group._commands)
        local hint = did_you_mean(word, names)
        if hint == "" and not command and word:find "%s" then
            hint = "\nWrite: flux2 generate " .. shell.quote(text.clean(word, 200))
        elseif hint == "" and #names <= FEW then
            hint = "\nKnown: " .. table.concat(names, ", ")
        end
        return "unknown command " .. text.show(word) .. hint
    end },
    { "^argument for option '(.-)' must be one of (.*)$", function(run, option, list)
        local value = value_of(option, run.argv)
        list = list:gsub(", ([^,]*)$", " or %1")
        return ("%s must be %s%s"):format(option, list, value and ", not " .. text.show(value) or "")
    end },
    { "^option '(.-)' requires an argument$", function(_, option) return option .. " needs a value" end },
    { "^option '(.-)' does not take arguments$", function(_, option) return option .. " takes no value" end },
    { "^option '(.-)' must be used at most 1 time$", function(_, option)
        return option .. " can be given only once"
    end },
    { "^missing argument '(.-)'", function(run, name)
        return ("%s needs %s"):format(run.command and "flux2 " .. run.command._name or "flux2",
            name:find "^[aeiou]" and "an " .. name or "a " .. name)
    end },
    { "^too many arguments$", function(run)
        if not run.command then return "too many arguments" end
        local count = #run.command._arguments
        return ("flux2 %s takes %s"):format(run.command._name, count == 0 and "options only" or count == 1
            and "one argument, the " .. run.command._arguments[1]._name or "fewer arguments")
    end },
    { "^a command is required$", function(run)
        local name = run.command and "flux2 " .. run.command._name or "flux2"
        return name .. " needs one of: " .. table.concat(names_of((run.command or run.parser)._commands), ", ")
    end },
}

--- Returns argparse's message in our words.
---@param message string
---@param run { parser: table, command: table?, argv: string[] } the parser, the named command, the words
---@return string message
---@return string? hint
function usage.explain(message, run)
    for _, rule in ipairs(RULES) do
        local first, second = message:match(rule[1])
        if first then
            message = rule[2](run, first, second)
            break
        end
    end
    local line, hint = message:match "^([^\n]*)\n(.*)$"
    return line or message, hint
end

return usage
