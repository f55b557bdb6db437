--- The manifest of a batch directory: manifest.jsonl has one line for each image and its cost.
-- Owns the file and the lock of the directory. A crash can damage only the last line; its content is recovered from the
-- spool. Any other line that cannot be read is an error.

local core = require "flux2.core"
local errors = require "flux2.errors"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local prompts = require "flux2.cli.prompts"
local tables = require "flux2.tables"
local text = require "flux2.text"

local manifest = {}

local MAX_BYTES = 2 ^ 30 -- of a manifest
local MOST_COPIES = 1e9 -- of a request
local STATES = { ready = true, done = true, failed = true, unknown = true }
local LOCK = "^%.flux2%-batch%-%x+%.lock$"
local CLAIM = "^%..+%.name$"
local PART = "^%..+%.%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%.part$"

---@class flux2.cli.Manifest
---@field path string
---@field spoiled integer lines that a crash cut off
---@field by_id table<string, table> task id -> last line about the task
local Manifest = {}
Manifest.__index = Manifest

local function io_error(path, reason)
    return errors.new("io", "cannot use " .. text.show(path) .. ": " .. tostring(reason):gsub("^.*: ", ""))
end

--- Removes the lock of an ended run. Returns an error if the run is alive, or if that cannot be determined.
local function lock_of_other(directory, name)
    local path = directory .. "/" .. name
    local released, reason, why = files.release_dead(path)
    if released then return end
    if why == "busy" then
        return errors.new("io", "another flux2 batch is running in " .. text.show(directory) ..
            ": wait for it, or give another --out", { advice = false })
    elseif why ~= "missing" then
        return io_error(path, reason)
    end
end

--- Locks the directory: two programs would pay for the same images. Each program creates its own lock file and then
--- checks those of others. If two start at the same moment, both fail.
local function lock(directory)
    local own = directory .. "/.flux2-batch-" .. core.token() .. ".lock"
    local held, reason = core.lock(own, true)
    if not held then return nil, io_error(directory, reason) end
    local names, why = core.list(directory)
    local err = not names and io_error(directory, why) or nil
    for _, name in ipairs(names or {}) do
        if name:find(LOCK) and directory .. "/" .. name ~= own then err = err or lock_of_other(directory, name) end
    end
    if not err then return held end
    held:release()
    return nil, err
end

--- Removes the partial files and reserved names of a killed run.
local function sweep(directory)
    for _, name in ipairs(core.list(directory) or {}) do
        local path = directory .. "/" .. name
        if name:find(PART) then core.remove(path) end
        -- Reserved names are empty files; any other file with such a name is the user's.
        if name:find(CLAIM) and core.read_file(path, 0) then files.release_dead(path) end
    end
end

--- Returns the credits of a line: the higher of the reported cost and the expected price.
local function cost_of(line)
    local most = 0
    for _, name in ipairs { "credits", "price" } do
        local n = tonumber(line[name])
        if n and n > most and n < math.huge then most = n end
    end
    return most
end

--- Returns the payments for earlier submissions of the same image, so that a new line keeps those of the line that it
--- replaces.
local function earlier_of(before, line, is_new)
    local earlier = {}
    for i, payment in ipairs(type(before.earlier) == "table" and before.earlier or {}) do earlier[i] = payment end
    local is_same = before.task_id == line.task_id and (line.task_id ~= nil or not is_new)
    if not is_same and (before.task_id or cost_of(before) > 0) then
        earlier[#earlier + 1] = {
            task_id = before.task_id, state = before.state, credits = cost_of(before), at = before.at,
            submitted = before.submitted,
        }
    end
    return earlier[1] and earlier or nil
end

--- Fills in fields from earlier lines. A task that is downloaded by its id has no cost of its own.
local function inherit(self, line, is_new)
    local known = line.task_id and self.by_id[line.task_id]
    if known then
        for _, name in ipairs { "credits", "price", "submitted" } do line[name] = line[name] or known[name] end
    end
    local before = self.lines[prompts.key(line.request, line.copy or 1)]
    if not before then return end
    line.line = line.line or before.line
    -- A download that is repeated and fails: the file may be there already, by a run that was killed.
    if line.state == "failed" and line.task_id == before.task_id then line.stem = line.stem or before.stem end
    line.earlier = line.earlier or earlier_of(before, line, is_new)
end

local function take(self, line)
    local key = prompts.key(line.request, line.copy or 1)
    if self.lines[key] then
        self.superseded = true
    else
        self.order[#self.order + 1] = key
    end
    self.lines[key] = line
    if line.task_id then self.by_id[line.task_id] = line end
    for _, payment in ipairs(line.earlier or {}) do
        if payment.task_id and not self.by_id[payment.task_id] then self.by_id[payment.task_id] = payment end
    end
end

local function is_copy(n) return type(n) == "number" and n % 1 == 0 and n >= 1 and n <= MOST_COPIES end

--- Whether a decoded value is a manifest line. Removes fields of a wrong type.
local function is_line(line)
    if type(line) ~= "table" or type(line.request) ~= "table" or not STATES[line.state] then return false end
    if type(line.task_id) ~= "string" then line.task_id = nil end
    if type(line.earlier) ~= "table" then line.earlier = nil end
    if type(line.submitted) ~= "string" then line.submitted = nil end
    for _, name in ipairs { "file", "stem", "was" } do
        -- A manifest may come with a folder from elsewhere: no image is written outside of this one.
        if type(line[name]) ~= "string" or line[name]:find "[/\\%z]" or line[name]:find "^%." then line[name] = nil end
    end
    for _, payment in ipairs(line.earlier or {}) do
        if type(payment) ~= "table" then return false end
        for _, name in ipairs { "task_id", "submitted" } do
            if type(payment[name]) ~= "string" then payment[name] = nil end
        end
    end
    if not is_copy(line.copy) then line.copy = nil end
    return true
end

--- Whether a crash may have cut off a line. Its image is in the spool. A power failure may leave NUL bytes.
local function is_torn(value, line)
    return value == nil and (line:find '^{"state":' or line:find "^%z") ~= nil
end

--- Returns the error about a line that is no entry. It may be of a paid image, which would be paid for again.
local function line_error(path, number)
    return errors.new("io", ("line %d of %s is no entry of a manifest; it may be of a paid image: correct or delete it")
        :format(number, text.show(path)), { advice = false })
end

--- Reads the lines of earlier runs. A read error is fatal: the images would be paid for again.
local function read(self)
    local bytes, reason, why = core.read_file(self.path, MAX_BYTES)
    if not bytes and why == "missing" then return true end
    if not bytes then return nil, io_error(self.path, reason) end
    for number, value, _, line in jsonl.lines(text.without_bom(bytes)) do
        if is_line(value) then
            inherit(self, value)
            take(self, value)
        elseif is_torn(value, line) then
            self.spoiled = self.spoiled + 1
        else
            return nil, line_error(self.path, number)
        end
    end
    return true
end

--- Opens the file, which contains prompts and links.
local function open_file(self)
    local ok, reason = core.make_private(self.path)
    if not ok then return nil, io_error(self.path, reason) end
    local is_read, err = read(self)
    if not is_read then return nil, err end
    self.file, reason = jsonl.open(self.path)
    return self.file and self, not self.file and io_error(self.path, reason) or nil
end

--- Opens the manifest of an existing directory and locks the directory until `close`.
---@param directory string
---@return flux2.cli.Manifest?
---@return flux2.Error? err kind "io"
function manifest.open(directory)
    local held, err = lock(directory)
    if not held then return nil, err end
    sweep(directory)
    local self = setmetatable({
        path = directory .. "/manifest.jsonl", lines = {}, order = {}, by_id = {}, spoiled = 0, lock = held,
    }, Manifest)
    local opened
    opened, err = open_file(self)
    if not opened then held:release() end
    return opened, err
end

--- Returns the last line about an entry.
---@param key string
---@return table? line
function Manifest:find(key)
    return self.lines[key]
end

--- Returns the lines of all saved files.
---@return table<string, table> by name
function Manifest:files()
    local lines = {}
    for _, line in pairs(self.lines) do
        if line.file then lines[line.file] = line end
    end
    return lines
end

--- Identifies a submission whose id is unknown: by its request and, if it is known, its time.
local function submission_key(request, submitted)
    return prompts.body(request) .. (submitted or "")
end

--- Returns the credits of all submissions that were, or may have been, paid for.
---@param ... { id: string?, request: table, submitted: string, price: number? }[] tasks and records of the spool: those
---  that are in no line are added
---@return number credits
function Manifest:spent(...)
    local spent, counted = 0, {}
    local function add(payment, request)
        local cost = cost_of(payment)
        spent = spent + cost
        -- Its record in the spool may lack the id.
        local has_record = payment.submitted or not payment.task_id and payment.state ~= "done"
        local key = cost > 0 and has_record and submission_key(request, payment.submitted)
        if key then counted[key] = (counted[key] or 0) + 1 end
    end
    for _, line in pairs(self.lines) do
        add(line, line.request)
        for _, payment in ipairs(line.earlier or {}) do add(payment, line.request) end
    end
    local function is_counted(item)
        if item.id then return self.by_id[item.id] ~= nil end
        for _, time in ipairs { item.submitted, "" } do
            local key = submission_key(item.request, time)
            if (counted[key] or 0) > 0 then
                counted[key] = counted[key] - 1
                return true
            end
        end
    end
    for _, items in ipairs { ... } do
        for _, item in ipairs(items) do
            if not is_counted(item) then spent = spent + math.max(item.price or 0, 0) end
        end
    end
    return spent
end

--- Writes a line.
---@param line table state ("ready", "done", "failed" or "unknown"), request, and other known fields
---@param is_new? boolean first line about a submission; not needed if there is a task id
---@return boolean? ok
---@return flux2.Error? err kind "io"
function Manifest:note(line, is_new)
    inherit(self, line, is_new)
    local ok, reason = jsonl.append(self.file, line)
    take(self, line)
    if not ok then return nil, io_error(self.path, reason) end
    return true
end

--- Marks an image as done: its file was saved by a killed run, or gets another name.
---@param key string
---@param file string
---@param was? string its previous name
---@return boolean? ok
---@return flux2.Error? err kind "io"
function Manifest:complete(key, file, was)
    local line = tables.merge({}, self.lines[key])
    line.state, line.file, line.stem, line.was = "done", file, nil, was
    return self:note(line)
end

--- Closes the manifest. Superseded lines are removed, so that one line for each image remains.
function Manifest:close()
    if self.superseded or self.spoiled > 0 then
        local out = {}
        for i, key in ipairs(self.order) do out[i] = jsonl.encode(self.lines[key]) end
        core.write_file(self.path, table.concat(out, "\n") .. "\n", true, true)
    end
    self.lock:release()
end

return manifest
