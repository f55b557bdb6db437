--- Converts a list of prompts to requests. Every error in the list is found before anything is sent.
-- flux2.cli.list_formats parses the formats.

local arguments = require "flux2.cli.arguments"
local errors = require "flux2.errors"
local files = require "flux2.cli.files"
local input_images = require "flux2.input_images"
local jsonl = require "flux2.cli.jsonl"
local list_formats = require "flux2.cli.list_formats"
local providers = require "flux2.provider"
local request = require "flux2.request"
local tables = require "flux2.tables"
local text = require "flux2.text"

local prompts = {}

local LONGEST_NAME = 200 -- bytes

local FIELDS = { "extra", "file" }
for i, name in ipairs(providers.resolve().field_names) do table.insert(FIELDS, i, name) end

---@class flux2.cli.Entry one image of a list
---@field line integer line, or number of the item
---@field payload table request body
---@field request flux2.Request what is submitted: with `extra` and `input_images`, which the body does not have
---@field copy integer 1, or higher for a repeated request
---@field key string identifies the entry in this run and in later ones
---@field name? string file name given in the list

--- Returns a text that is equal for equal requests: of a list, of a manifest, and of a record in the spool, which has
--- the names of local images in the field of URLs.
---@param payload table
---@return string
function prompts.body(payload)
    local files_given, field = payload.input_images, input_images.field_of(providers.resolve())
    if type(files_given) ~= "table" or not field then return jsonl.encode(payload) end
    local merged, list = tables.merge({}, payload), {}
    for _, values in ipairs { type(merged[field.name]) == "table" and merged[field.name] or {}, files_given } do
        for _, value in ipairs(values) do list[#list + 1] = value end
    end
    merged.input_images, merged[field.name] = nil, list[1] ~= nil and list or nil
    return jsonl.encode(merged)
end

--- Returns the key of an entry.
---@param payload table
---@param copy integer
---@return string
function prompts.key(payload, copy)
    return ("%s#%d"):format(prompts.body(payload), copy) -- copy is a float after decoding from JSON
end

local function check_name(name)
    if type(name) ~= "string" or name == "" then return "file must be a file name, not " .. text.show(name) end
    if name:find "[/\\%c]" or name:sub(1, 1) == "." or #name > LONGEST_NAME then
        return "file must be a name without a directory, not " .. text.show(name)
    end
    if not files.has_extension(name) then
        return "file must end in .png, .jpg, .webp, .gif or .avif, not " .. text.show(name)
    end
end

--- See flux2.cli.list_formats.
prompts.formats, prompts.format = list_formats.names, list_formats.of

local function read_row(list, row)
    if row.reason then return nil, row.reason end
    local merged = tables.merge({}, list.defaults, row.given)
    local name = merged.file
    merged.file = nil
    local payload, err = request.build(providers.resolve(), merged)
    if not payload then return nil, err.message end
    local reason = name ~= nil and check_name(name)
    -- Names that differ only in case are one file on Windows and macOS.
    local id = type(name) == "string" and name:lower()
    if not reason and id and list.names[id] then
        reason = ("file %s is also the file of %s %d"):format(text.show(name), list.unit, list.names[id])
    end
    if reason then return nil, reason end
    if id then list.names[id] = row.line end
    return { line = row.line, payload = payload, request = merged, name = name }
end

--- Numbers identical requests; with `unique` only the first one is kept.
local function number_copies(entries, unique)
    local seen, kept, repeated = {}, {}, 0
    for _, entry in ipairs(entries) do
        local body = prompts.body(entry.payload)
        seen[body] = (seen[body] or 0) + 1
        entry.copy = seen[body]
        entry.key = prompts.key(entry.payload, entry.copy)
        if entry.copy > 1 then repeated = repeated + 1 end
        if entry.copy == 1 or not unique then kept[#kept + 1] = entry end
    end
    return kept, repeated
end

--- Parses a list.
---@param bytes string
---@param opts { format: string, defaults: table, unique: boolean? } defaults are fields of requests
---@return flux2.cli.Entry[]? entries
---@return integer|{ line: integer, message: string }[] repeated number of repeated requests; or the errors, with
---  `unit`, the unit of `line`
-- Example: `prompts.parse("a fox\na hare\n", { format = "txt", defaults = { type = "flex" } })`
function prompts.parse(bytes, opts)
    local rows, unit = list_formats.read(bytes, opts.format, FIELDS)
    local list = { unit = unit, defaults = opts.defaults, names = {} }
    local entries, wrong = {}, { unit = unit }
    for _, row in ipairs(rows) do
        local entry, reason = read_row(list, row)
        if entry then entries[#entries + 1] = entry end
        if reason then wrong[#wrong + 1] = { line = row.line, message = reason } end
    end
    if #wrong > 0 then return nil, wrong end
    return number_copies(entries, opts.unique)
end

--- Adds the options of a list.
---@param command table
function prompts.describe(command)
    command:option("--format", "Format of the list, if its name does not show it."):choices(prompts.formats)
        :argname("<" .. table.concat(prompts.formats, "|") .. ">")
end

--- Reads the list of a command. The options for requests are its defaults.
---@param args table list, format, unique
---@param out flux2.Terminal
---@return flux2.cli.Entry[]? entries
---@return integer|flux2.Error|table repeated as `parse` returns it, or the error of a list that cannot be read
function prompts.read(args, out)
    local bytes, err = arguments.read(args.list, out)
    if not bytes then return nil, err end
    local format, reason = prompts.format(args.list, bytes, args.format)
    if not format then return nil, errors.new("invalid_request", reason) end
    local defaults = arguments.to_request(args, nil)
    return prompts.parse(bytes, { format = format, defaults = defaults, unique = args.unique })
end

return prompts
