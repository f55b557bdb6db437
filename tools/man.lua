--- man - writes the man page flux2(1) from the parser of the command line.
--
--     lua tools/man.lua TIME >flux2.1      TIME: of the last change, seconds since 1970
--
-- LUA_PATH and LUA_CPATH contain flux2 and its core.

local cli = require "flux2.cli"

local out = {}
local function add(line) out[#out + 1] = line end

--- Text as roff prints it: no control lines, no hyphens for minus signs.
local function escape(text)
    return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("%f[^\n%z]([%.'])", "\\&%1"))
end

local function bold(text) return "\\fB" .. escape(text) .. "\\fR" end

local function heading(macro, text) add(macro .. ' "' .. escape(text) .. '"') end

local function paragraph(text)
    add ".PP"
    add(escape((text:gsub("%s*\n%s*", " "))))
end

--- Lines as they are, such as examples.
local function verbatim(lines)
    add ".PP"
    add ".EX"
    add(escape((lines:gsub("%s+$", ""))))
    add ".EE"
end

--- The elements of argparse: arguments, options or commands.
local function list(elements, left_out)
    for _, element in ipairs(elements) do
        if not element._hidden and element._name ~= left_out then
            add ".TP"
            local label = table.concat(element:_get_label_lines(), " "):gsub("%s+", " "):gsub("^ ", "")
            add(bold(label))
            add(escape(element:_get_description()))
        end
    end
end

--- An epilog: paragraphs such as "Exit status: 0 success" and "Examples:" with indented lines.
local function epilog(macro, text)
    for part in ((text or "") .. "\n\n"):gmatch "(.-)\n\n+" do
        local title, more, rest = part:match "^(%u[%l ]+)(,?[^\n:]*):%s*(.*)$"
        if title then heading(macro, macro == ".SH" and title:upper() or title) end
        if title and more ~= "" then paragraph(title .. more .. ":") end
        if title and part:find("^[^\n]*:\n") then
            verbatim((rest:gsub("\n   ", "\n")))
        else
            paragraph(title and rest or part)
        end
    end
end

local function synopsis(element)
    local words = { bold(element:_get_fullname()), "[\\fIoption\\fR ...]" }
    for _, argument in ipairs(element._arguments) do words[#words + 1] = escape(argument:_get_usage()) end
    if #element._commands > 0 then words[#words + 1] = "\\fIcommand\\fR ..." end
    add(table.concat(words, " "))
end

local function command(element)
    heading(".SH", element:_get_fullname():upper())
    synopsis(element)
    paragraph(element._description)
    list(element._arguments)
    list(element._options, "-h")
    list(element._commands)
    epilog(".SS", element._epilog)
end

local WIDTH = 73 -- of the lines that are not filled: 80 columns without the margin
local parser = cli.parser(nil, WIDTH)
add((".TH FLUX2 1 %s \"flux2 %s\""):format(os.date("!%Y-%m-%d", tonumber(arg[1])), require("flux2")._VERSION))
heading(".SH", "NAME")
add("flux2 \\- " .. escape(parser._description:gsub("^%u", string.lower):gsub("%.$", "")))
heading(".SH", "SYNOPSIS")
synopsis(parser)
heading(".SH", "COMMANDS")
list(parser._commands)
heading(".SH", "OPTIONS")
list(parser._options)
for _, element in ipairs(parser._commands) do command(element) end
epilog(".SH", parser._epilog)
print(table.concat(out, "\n"))
