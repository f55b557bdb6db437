--- JSON, one value on a line: written the same way each time, appended so that a crash spoils one line at most, and
-- read past such a line. Knows nothing of what the lines say.

local json = require "flux2.json"

local jsonl = {}

-- What people look for first. Other names follow, sorted.
local FIRST = {
    "state", "line", "prompt", "file", "files", "task_id", "seconds", "credits", "error", "kind", "message", "request",
}
local RANK = {}
for i, name in ipairs(FIRST) do RANK[name] = i end

local function comes_before(a, b)
    local x, y = RANK[a] or math.huge, RANK[b] or math.huge
    if x ~= y then return x < y end
    return a < b
end

--- cjson escapes the slash, which needs none and makes URLs hard to read.
local function scalar(value)
    return (assert(json.encode({ value }, "value")):sub(2, -2):gsub("\\/", "/"))
end

local function write(value, out)
    if type(value) ~= "table" then
        out[#out + 1] = scalar(value)
        return
    end
    local names, is_list = {}, #value > 0
    for name in pairs(value) do names[#names + 1] = name end
    if not is_list then table.sort(names, comes_before) end
    out[#out + 1] = is_list and "[" or "{"
    for i = 1, #names do
        if i > 1 then out[#out + 1] = "," end
        if not is_list then
            out[#out + 1] = scalar(names[i])
            out[#out + 1] = ":"
        end
        write(value[is_list and i or names[i]], out)
    end
    out[#out + 1] = is_list and "]" or "}"
end

--- A value as one line of JSON. Equal values give equal lines, whatever order their tables have.
---@param value any what JSON can hold; raises for anything else
---@return string line without its end
-- Example: `jsonl.encode { prompt = "a fox", credits = 10 }`
function jsonl.encode(value)
    local out = {}
    write(value, out)
    return table.concat(out)
end

--- The values of a text, line by line; empty lines are passed over.
---@param text string
---@return fun(): integer?, any, string? next_line number of the line, its value, or nil and what is wrong with it
function jsonl.lines(text)
    local number = 0
    local next_line = (text .. "\n"):gmatch "([^\n]*)\n"
    return function()
        for line in next_line do
            number = number + 1
            if line:find "[^%s]" then
                local value, reason = json.decode(line)
                return number, value, reason
            end
        end
    end
end

--- Opens a file to append lines to. What a crash left half-written at its end is closed off: it spoils no other line.
---@param path string
---@return file*? file
---@return string? reason
function jsonl.open(path)
    local file, reason = io.open(path, "a+b")
    if not file then return nil, reason end
    -- One line is one write, unless it is longer than this.
    file:setvbuf("full", 65536)
    local size = file:seek "end"
    if size > 0 then
        file:seek("set", size - 1)
        local last = file:read(1)
        file:seek "end"
        if last ~= "\n" then file:write "\n" end
    end
    return file
end

--- Appends a line.
---@param file file*
---@param value any
---@return boolean? ok
---@return string? reason
function jsonl.append(file, value)
    local ok, reason = file:write(jsonl.encode(value), "\n")
    if ok then ok, reason = file:flush() end
    if not ok then return nil, reason end
    return true
end

return jsonl
