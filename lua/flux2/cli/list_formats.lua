--- Parses lists of prompts: plain text, JSON Lines, a JSON array, or CSV. Returns one row for each image.
-- flux2.cli.prompts checks the fields of a row.

local json = require "flux2.json"
local provider = require("flux2.provider").resolve()
local text = require "flux2.text"
local values = require "flux2.cli.values"

local list_formats = {}

---@class flux2.cli.Row
---@field line integer line, or number of the item
---@field given? table the fields of a request, and `file`
---@field reason? string why the row is invalid

--- Removes a BOM and converts line ends to "\n".
local function normalize(bytes)
    return (text.without_bom(bytes):gsub("\r\n?", "\n"))
end

--- Returns a row for each line for which `read` returns something.
local function each_line(bytes, read)
    local rows, number = {}, 0
    for line in (normalize(bytes) .. "\n"):gmatch "([^\n]*)\n" do
        number = number + 1
        local given, reason = read(line)
        if given or reason then rows[#rows + 1] = { line = number, given = given, reason = reason } end
    end
    return rows
end

local function from_text(line)
    if line:find "^%s*$" or line:find "^#" then return nil end
    return { prompt = text.trim(line) }
end

--- Converts an item of a JSON list: a string or an object.
local function from_value(value, is_object, reason)
    if type(value) == "string" then return { prompt = value } end
    if type(value) == "table" and is_object then return value end
    return nil, "expected a JSON object or a JSON string" .. (reason and ": " .. reason or "")
end

local function from_json(line)
    if line:find "^%s*$" then return nil end
    local value, reason = json.decode(line)
    return from_value(value, line:find "^%s*{" ~= nil, reason)
end

local function read_array(bytes)
    bytes = normalize(bytes)
    local value, reason = json.decode(bytes)
    if type(value) ~= "table" or not bytes:find "^%s*%[" then
        local message = "expected a JSON array of strings and objects" .. (reason and ": " .. reason or "")
        return { { line = 1, reason = message } }
    end
    local rows = {}
    for i, item in ipairs(value) do
        local given, wrong = from_value(item, type(item) == "table" and #item == 0)
        rows[i] = { line = i, given = given, reason = wrong }
    end
    return rows, "item"
end

-- CSV -----------------------------------------------------------------------------------------------------------------

--- Detects the separator from the first row.
local function separator_of(bytes)
    local header = bytes:match "^[^\n]*"
    for _, separator in ipairs { ",", ";", "\t" } do
        if header:find(separator, 1, true) then return separator end
    end
    return ","
end

--- Returns the cell at `at`, the position of the next one, and the character between them (a separator, "\n" or "").
--- Returns nil and a reason for invalid quotes.
local function read_cell(bytes, at, separator)
    if bytes:sub(at, at) ~= '"' then
        local last = (bytes:find("[" .. separator .. "\n]", at) or #bytes + 1) - 1
        return bytes:sub(at, last), last + 2, bytes:sub(last + 1, last + 1)
    end
    local from, parts = at + 1, {}
    while true do
        local quote = bytes:find('"', from, true)
        if not quote then return nil, "an opening quote has no closing quote" end
        parts[#parts + 1] = bytes:sub(from, quote - 1)
        local after = bytes:sub(quote + 1, quote + 1)
        if after ~= '"' then
            if after ~= separator and after ~= "\n" and after ~= "" then
                return nil, "text follows a closing quote; a quote inside quotes is written twice"
            end
            return table.concat(parts), quote + 2, after
        end
        parts[#parts + 1], from = '"', quote + 2
    end
end

--- Returns the cells of the row at `at` and the position of the next row; nil and a reason for invalid quotes.
local function read_cells(bytes, at, separator)
    local cells = {}
    while true do
        local cell, next_at, between = read_cell(bytes, at, separator)
        if not cell then return nil, next_at end
        cells[#cells + 1], at = cell, next_at
        if between ~= separator then return cells, at end
    end
end

--- Parsers of cells. URLs are separated by spaces.
local CELLS = {
    extra = values.object,
    input_urls = function(cell)
        local urls = {}
        for url in cell:gmatch "%S+" do urls[#urls + 1] = url end
        return urls
    end,
}

-- By the type of a field. What is no such value stays a text, which the check of the request names.
local CELLS_OF_TYPE = {
    integer = function(cell) return cell:find "^%s*-?%d+%s*$" and tonumber(cell) or cell end,
    boolean = function(cell)
        local value = values.boolean(cell:lower())
        return value == nil and cell or value
    end,
}

local function parser_of(name)
    local field = provider.by_name[name]
    return CELLS[name] or field and CELLS_OF_TYPE[field.type] or nil
end

local function from_cells(names, cells)
    if #cells > #names then
        return nil, ("the row has %d cells, the first row has %d"):format(#cells, #names)
    end
    local given, is_empty = {}, true
    for i, cell in ipairs(cells) do
        local value, reason, parse = cell, nil, parser_of(names[i])
        if cell:find "^%s*$" then value = nil elseif parse then value, reason = parse(cell) end
        if reason then return nil, names[i] .. " " .. reason end
        given[names[i]], is_empty = value, is_empty and value == nil
    end
    return not is_empty and given or nil
end

--- Returns the names of the columns, or nil and a reason.
local function read_header(cells, fields)
    local names, seen = {}, {}
    for i, cell in ipairs(cells) do
        names[i] = text.trim(cell):lower()
        if seen[names[i]] then return nil, "the first row names the column " .. text.show(names[i]) .. " twice" end
        seen[names[i]] = true
    end
    if not seen.prompt then
        return nil, "the first row must name the columns, and one of them must be prompt"
    end
    local known = {}
    for _, field in ipairs(fields) do known[field] = true end
    for _, name in ipairs(names) do
        if not known[name] then
            return nil, ("column %s is not a field of a request (%s): rename or remove it"):format(text.show(name),
                table.concat(fields, ", "))
        end
    end
    return names
end

local function read_table(bytes, fields)
    bytes = normalize(bytes):match "^.*[^\n]" or ""
    local separator = separator_of(bytes)
    local cells, at = read_cells(bytes, 1, separator)
    local names, reason = nil, at
    if cells then names, reason = read_header(cells, fields) end
    if not names then return { { line = 1, reason = reason } } end
    local rows, number, from = {}, 1, 1
    while at <= #bytes do
        number = number + select(2, bytes:sub(from, at - 1):gsub("\n", ""))
        from = at
        cells, at = read_cells(bytes, at, separator)
        if not cells then
            rows[#rows + 1] = { line = number, reason = at }
            return rows
        end
        local given, wrong = from_cells(names, cells)
        if given or wrong then rows[#rows + 1] = { line = number, given = given, reason = wrong } end
    end
    return rows
end

-- Formats -------------------------------------------------------------------------------------------------------------

local READERS = {
    txt = function(bytes) return each_line(bytes, from_text) end,
    jsonl = function(bytes) return each_line(bytes, from_json) end,
    json = read_array,
    csv = read_table,
}

--- Values of --format.
list_formats.names = { "txt", "jsonl", "json", "csv" }

local BY_EXTENSION = {
    txt = "txt", jsonl = "jsonl", ndjson = "jsonl", json = "json", csv = "csv", tsv = "csv",
}
-- These extensions do not define a format.
local SAYS_NOTHING = { list = true, lst = true, prompts = true, text = true }

--- Detects the format from the first characters.
local function sniff(bytes)
    bytes = text.without_bom(bytes)
    if bytes:find "^%s*{" then return "jsonl" end
    if bytes:find "^%s*%[" and type(json.decode(bytes)) == "table" then return "json" end
    return "txt"
end

--- Returns the format of a list: from --format, its extension, or its content. Other extensions are refused, because
--- each line would be paid for as a prompt.
---@param path string
---@param bytes string
---@param format? string value of --format
---@return string? format
---@return string? reason
function list_formats.of(path, bytes, format)
    local name = path == "-" and "stdin" or text.show(path)
    if bytes:find "^\255\254" or bytes:find "^\254\255" then
        return nil, name .. " is UTF-16: save it as UTF-8"
    end
    if bytes:find "%z" then return nil, name .. " contains NUL bytes: it is not a text file" end
    if format then return format end
    local extension = path:match "[^/]%.(%w+)$"
    extension = extension and extension:lower()
    if not extension or SAYS_NOTHING[extension] then return sniff(bytes) end
    if BY_EXTENSION[extension] then return BY_EXTENSION[extension] end
    return nil, ("%s does not end in .txt, .jsonl, .json, .csv or .tsv: if it has one of these formats, use --format")
        :format(name)
end

--- Parses a list.
---@param bytes string
---@param format string one of `list_formats.names`
---@param fields string[] allowed names of columns
---@return flux2.cli.Row[] rows
---@return string unit of `line` in a row: "line" or "item"
function list_formats.read(bytes, format, fields)
    local rows, unit = READERS[format](bytes, fields)
    return rows, unit or "line"
end

return list_formats
