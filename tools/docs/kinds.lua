--- Generates the table of docs/errors.md from lua/flux2/errors.lua: error kinds, meaning and advice.
-- The table is between its heading and `<!-- end -->`.

local files = require "files"

local kinds = {}

local HEADING = "| `err.kind` | what it means | what to do |\n|---|---|---|\n"
local END = "<!-- end -->"

local function rows(errors)
    local names, list = {}, {}
    for kind in pairs(errors.kinds) do names[#names + 1] = kind end
    table.sort(names)
    for i, kind in ipairs(names) do
        local advice = errors.advice[kind]
            :gsub("err%.[%l_]+", "`%0`"):gsub("%f[%w_]FLUX2_[%u_]+", "`%0`"):gsub("client:task%b()[%w:()]*", "`%0`")
            :gsub("``", "`"):gsub("(client:task%()`(err%.task_id)`(%))", "%1%2%3")
        list[i] = ("| `%s` | %s | %s |\n"):format(kind, errors.kinds[kind], advice)
    end
    return table.concat(list)
end

local function parts(text)
    local from, start = text:find(HEADING, 1, true)
    local stop = start and text:find(END, start, true)
    if not stop then error("kinds: the table's heading or end is missing", 0) end
    return text:sub(1, start), text:sub(start + 1, stop - 1), text:sub(stop), from
end

--- Checks the table in a text.
---@param text string
---@param errors table flux2.errors
---@return integer? line first line of an outdated table
function kinds.differs(text, errors)
    local _, found, _, from = parts(text)
    if found == rows(errors) then return nil end
    return select(2, text:sub(1, from):gsub("\n", "")) + 1
end

--- Writes the table into a file.
---@param path string
---@param errors table flux2.errors
function kinds.write(path, errors)
    local before, _, after = parts(assert(files.read(path)))
    files.write(path, before .. rows(errors) .. after)
end

return kinds
