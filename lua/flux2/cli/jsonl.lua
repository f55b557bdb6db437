--- JSON Lines: encoded deterministically, and appended so that a crash damages at most one line, which readers skip.

local core = require "flux2.core"
local json = require "flux2.json"
local text = require "flux2.text"

local jsonl = {}

local MAX_BYTES = 2 ^ 30 -- of a file that is appended to

-- These names come first; others follow in sorted order.
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

local EXACT = 2 ^ 53

--- Escapes characters that JSON allows but that can affect a terminal: DEL, C1 controls, bidirectional marks.
local function escape(s)
    s = s:gsub("\127", "\\u007f")
    s = s:gsub("\194([\128-\159])", function(c) return ("\\u%04x"):format(c:byte()) end)
    s = s:gsub("\226\128([\142\143\168-\174])", function(c) return ("\\u%04x"):format(0x2000 + c:byte() - 128) end)
    return (s:gsub("\226\129([\166-\169])", function(c) return ("\\u%04x"):format(0x2040 + c:byte() - 128) end))
end

--- Infinity and NaN become null.
local function write_number(n)
    if n ~= n or n == math.huge or n == -math.huge then return "null" end
    if n % 1 == 0 and n > -EXACT and n < EXACT then return ("%.0f"):format(n) end
    return (assert(json.write(n)))
end

--- Bytes that are not UTF-8 become U+FFFD.
local function scalar(value)
    if type(value) == "number" then return write_number(value) end
    return escape(assert(json.readable(type(value) == "string" and text.utf8(value) or value, "value")))
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
    for i = 1, is_list and #value or #names do
        if i > 1 then out[#out + 1] = "," end
        if not is_list then
            out[#out + 1] = scalar(tostring(names[i]))
            out[#out + 1] = ":"
        end
        write(value[is_list and i or names[i]], out)
    end
    out[#out + 1] = is_list and "]" or "}"
end

--- Encodes a value as one line of JSON. Equal values give equal lines.
---@param value any raises for functions, userdata other than json.null, and cyclic tables
---@return string line without a line end
-- Example: `jsonl.encode { prompt = "a fox", credits = 10 }`
function jsonl.encode(value)
    local out = {}
    write(value, out)
    return table.concat(out)
end

--- Iterates over the values of a text. Empty lines are skipped.
---@param bytes string
---@return fun(): integer?, any, string?, string? next_line line number, then the value or nil and the reason; the line
function jsonl.lines(bytes)
    local number = 0
    local next_line = (bytes .. "\n"):gmatch "([^\n]*)\n"
    return function()
        for line in next_line do
            number = number + 1
            if line:find "[^%s]" then
                local value, reason = json.decode(line)
                return number, value, reason, line
            end
        end
    end
end

---@class flux2.cli.Appender It is opened for each line: Lua on Windows cannot open a file with a UTF-8 name.
---@field path string
---@field is_torn boolean the last line may be incomplete: the next one starts with a line end

--- Prepares a file for appending. It is created if missing.
---@param path string
---@return flux2.cli.Appender? file
---@return string? reason
function jsonl.open(path)
    local ok, reason = core.append_file(path, "")
    if not ok then return nil, reason end
    local bytes = core.read_file(path, MAX_BYTES)
    return { path = path, is_torn = bytes ~= "" and (not bytes or bytes:sub(-1) ~= "\n") }
end

--- Appends a line, which survives a power failure.
---@param file flux2.cli.Appender
---@param value any
---@return boolean? ok
---@return string? reason
function jsonl.append(file, value)
    local bytes = (file.is_torn and "\n" or "") .. jsonl.encode(value) .. "\n"
    local ok, reason = core.append_file(file.path, bytes, true)
    file.is_torn = not ok
    return ok, reason
end

return jsonl
