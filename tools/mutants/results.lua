--- The results of mutants: a file with one line per tested mutant.
-- A result is { status, name, line, spec, test, seconds, difference }. Its status is "killed", "timed out",
-- "survived", "uncovered" (no spec runs it, so it survives), "invalid" (does not compile) or "same" (compiles to the
-- same code); the last two do not count.

local files = require "files"

local results = {}

local FIELDS = { "status", "line", "spec", "test", "seconds", "difference", "name" }
local COUNTED = { killed = true, ["timed out"] = true, survived = true, uncovered = true }
local SURVIVES = { survived = true, uncovered = true }

function results.counts(result)
    return COUNTED[result.status] ~= nil
end

function results.survives(result)
    return SURVIVES[result.status] ~= nil
end

local function escape(text)
    return (text:gsub("[\\\n\t]", { ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t" }))
end

local function unescape(text)
    return (text:gsub("\\(.)", { ["\\"] = "\\", n = "\n", t = "\t" }))
end

function results.append(path, result)
    local words = {}
    for i, field in ipairs(FIELDS) do words[i] = escape(tostring(result[field])) end
    files.append(path, table.concat(words, "\t") .. "\n")
end

--- Returns the results of a file in order and by name.
function results.read(path)
    local list, by_name = {}, {}
    -- An incomplete line is ignored.
    for line in (files.read(path) or ""):gmatch "([^\n]+)\n" do
        local result, i = {}, 0
        for word in (line .. "\t"):gmatch "(.-)\t" do
            i = i + 1
            if FIELDS[i] then result[FIELDS[i]] = unescape(word) end
        end
        if i == #FIELDS then
            list[#list + 1] = result
            by_name[result.name] = result
        end
    end
    return list, by_name
end

--- Formats a result as a line, with the change of a survivor.
function results.describe(result)
    local path, operator = result.name:match "^(.-)\t(.-)\t"
    local status = results.survives(result) and "SURVIVED" or result.status
    local line = ("%-9s %s:%s  %s  %s  %s s"):format(status, path, result.line, operator, result.spec, result.seconds)
    return line .. (results.survives(result) and "\n" .. result.difference or "")
end

local function folder_of(result)
    return result.name:match "^(.-)\t":match "^(.*)/"
end

local function row(name, counted, killed)
    local score = counted > 0 and ("%.0f %%"):format(100 * killed / counted) or "-"
    return ("%-28s %8d %8d %7s"):format(name, counted, killed, score)
end

--- Returns the table by folder and the survivors as text.
function results.report(list, title)
    local folders, names, killed = {}, {}, 0
    local lines = { title, "", ("%-28s %8s %8s %7s"):format("folder", "mutants", "killed", "score") }
    for _, result in ipairs(list) do
        local name = folder_of(result)
        if not folders[name] then
            folders[name] = { counted = 0, killed = 0 }
            names[#names + 1] = name
        end
        local died = results.survives(result) and 0 or 1
        folders[name].counted, folders[name].killed = folders[name].counted + 1, folders[name].killed + died
        killed = killed + died
    end
    table.sort(names)
    for _, name in ipairs(names) do lines[#lines + 1] = row(name, folders[name].counted, folders[name].killed) end
    lines[#lines + 1] = row("all", #list, killed)
    lines[#lines + 1] = ""
    for _, result in ipairs(list) do
        if results.survives(result) then lines[#lines + 1] = results.describe(result) end
    end
    return table.concat(lines, "\n") .. "\n"
end

return results
