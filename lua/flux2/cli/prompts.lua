--- A list of prompts: one on a line, or JSON Lines. All that can be wrong with it is found before anything is sent.
-- Owns the two formats. Knows no task and no file system.

local files = require "flux2.cli.files"
local json = require "flux2.json"
local jsonl = require "flux2.cli.jsonl"
local request = require "flux2.request"
local text = require "flux2.text"

local prompts = {}

local LONGEST_NAME = 200 -- bytes

---@class flux2.cli.Entry one picture to be made
---@field line integer where it stands
---@field payload table the request as it is sent
---@field copy integer 1, or more for a request that stood there before
---@field key string what tells it from the others, in this run and in later ones
---@field name? string the file name that the list asks for

--- What tells one request from another.
---@param payload table
---@param copy integer
---@return string
function prompts.key(payload, copy)
    return ("%s#%d"):format(jsonl.encode(payload), copy) -- JSON brings it back as a float
end

local function check_name(name)
    if type(name) ~= "string" or name == "" then return "file must be a file name, not " .. text.show(name) end
    if name:find "[/\\%c]" or name:sub(1, 1) == "." or #name > LONGEST_NAME then
        return "file must be a plain name within the output directory, not " .. text.show(name)
    end
    if not files.has_extension(name) then
        return "file must end in .png, .jpg, .webp, .gif or .avif, unlike " .. text.show(name)
    end
end

local function from_text(line)
    if line:find "^%s*$" or line:find "^#" then return nil end
    return { prompt = (line:gsub("^%s+", ""):gsub("%s+$", "")) }
end

local function from_json(line)
    if line:find "^%s*$" then return nil end
    local value, reason = json.decode(line)
    if type(value) == "string" then return { prompt = value } end
    if type(value) == "table" and line:find "^%s*{" then return value end
    return nil, "it is neither a JSON object nor a JSON string" .. (reason and ": " .. reason or "")
end

local READERS = { txt = from_text, jsonl = from_json }

--- How a list is written: by the end of its name, else by its first line.
---@param path string
---@param bytes string
---@return "txt"|"jsonl"
function prompts.format(path, bytes)
    if path:find "%.jsonl$" or path:find "%.ndjson$" then return "jsonl" end
    if path:find "%.txt$" then return "txt" end
    return bytes:find "^%s*{" and "jsonl" or "txt"
end

local function read_line(list, number, line)
    local given, reason = list.read(line)
    if not given then return nil, reason end
    local merged = {}
    for name, value in pairs(list.defaults) do merged[name] = value end
    for name, value in pairs(given) do merged[name] = value end
    local name = merged.file
    merged.file = nil
    local payload, err = request.build(merged)
    if not payload then return nil, err.message end
    reason = name ~= nil and check_name(name)
    if not reason and name and list.names[name] then
        reason = ("file %s is that of line %d too"):format(text.show(name), list.names[name])
    end
    if reason then return nil, reason end
    if name then list.names[name] = number end
    return { line = number, payload = payload, name = name }
end

--- Numbers those that ask for the same; with `unique` only the first of them stays.
local function tell_apart(entries, unique)
    local seen, kept, again = {}, {}, 0
    for _, entry in ipairs(entries) do
        local body = jsonl.encode(entry.payload)
        seen[body] = (seen[body] or 0) + 1
        entry.copy = seen[body]
        entry.key = prompts.key(entry.payload, entry.copy)
        if entry.copy > 1 then again = again + 1 end
        if entry.copy == 1 or not unique then kept[#kept + 1] = entry end
    end
    return kept, again
end

--- Reads a list.
---@param bytes string
---@param opts { format: "txt"|"jsonl", defaults: table, unique: boolean? } defaults are fields of requests
---@return flux2.cli.Entry[]? entries
---@return integer|{ line: integer, message: string }[] again how many stood there before; or what is wrong
-- Example: `prompts.parse("a fox\na hare\n", { format = "txt", defaults = { type = "flex" } })`
function prompts.parse(bytes, opts)
    local list = { read = READERS[opts.format], defaults = opts.defaults, names = {} }
    local entries, wrong, number = {}, {}, 0
    for line in (bytes:gsub("^\239\187\191", "") .. "\n"):gmatch "([^\n]*)\n" do
        number = number + 1
        local entry, reason = read_line(list, number, (line:gsub("\r$", "")))
        if entry then entries[#entries + 1] = entry end
        if reason then wrong[#wrong + 1] = { line = number, message = reason } end
    end
    if #wrong > 0 then return nil, wrong end
    return tell_apart(entries, opts.unique)
end

return prompts
