--- What a directory of pictures holds and what it cost: manifest.jsonl, a line for each picture, and the right to write
-- into that directory.
-- Owns the file and its lock. A crash can cut its last line short, which spoils that line only; what a line would have
-- said is found again through the spool.

local core = require "flux2.core"
local errors = require "flux2.errors"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local prompts = require "flux2.cli.prompts"
local text = require "flux2.text"

local manifest = {}

local LOCK = "^%.flux2%-batch%-%x+%.lock$"
local CLAIM = "^%..+%.name$"
local PART = "^%..+%.%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%.part$"

---@class flux2.cli.Manifest
---@field path string
---@field spoiled integer lines that could not be read
---@field spent number credits of the tasks in it
---@field by_id table<string, table> task id -> its line
local Manifest = {}
Manifest.__index = Manifest

local function io_error(path, reason)
    return errors.new("io", "cannot use " .. text.show(path) .. ": " .. tostring(reason):gsub("^.*: ", ""))
end

--- Only one program at a time makes pictures here: two would pay for the same ones. Each has a lock of its own and
--- looks for those of others; of two that come at the same moment, both see the other and leave.
local function lock(directory)
    local own = directory .. "/.flux2-batch-" .. core.token() .. ".lock"
    local held, reason = core.lock(own, true)
    if not held then return nil, io_error(directory, reason) end
    for _, name in ipairs(core.list(directory) or {}) do
        local path = directory .. "/" .. name
        if name:find(LOCK) and path ~= own then
            local other, _, why = core.lock(path, false)
            if other then
                os.remove(path)
                other:release()
            elseif why ~= "missing" then
                held:release()
                return nil, errors.new("io", "another flux2 batch is at work in " .. text.show(directory) ..
                    ": wait for it, or give another --out")
            end
        end
    end
    return held
end

--- Takes away what a killed run was writing when it ended, and the names that it had claimed.
local function sweep(directory)
    for _, name in ipairs(core.list(directory) or {}) do
        if name:find(PART) then os.remove(directory .. "/" .. name) end
        if name:find(CLAIM) then files.release_dead(directory .. "/" .. name) end
    end
end

local function take(self, line)
    local key = prompts.key(line.request, line.copy or 1)
    local before = self.lines[key]
    if not before then self.order[#self.order + 1] = key end
    if before and before.line then line.line = line.line or before.line end
    self.superseded = self.superseded or before ~= nil
    self.lines[key] = line
    local id = line.task_id
    if type(id) ~= "string" then return end
    if not self.by_id[id] then self.spent = self.spent + (tonumber(line.credits) or 0) end
    self.by_id[id] = line
end

local function read(self)
    local file = io.open(self.path, "rb")
    if not file then return end
    local bytes = file:read "*a" or ""
    file:close()
    for _, line in jsonl.lines(bytes) do
        if type(line) == "table" and type(line.request) == "table" and type(line.state) == "string" then
            take(self, line)
        else
            self.spoiled = self.spoiled + 1
        end
    end
end

--- Opens the manifest of a directory, which must be there, and keeps others out until `close`.
---@param directory string
---@return flux2.cli.Manifest?
---@return flux2.Error? err kind "io"
function manifest.open(directory)
    local held, err = lock(directory)
    if not held then return nil, err end
    sweep(directory)
    local self = setmetatable({
        path = directory .. "/manifest.jsonl", lines = {}, order = {}, by_id = {}, spoiled = 0, spent = 0, lock = held,
    }, Manifest)
    read(self)
    local reason
    self.file, reason = jsonl.open(self.path)
    if self.file then return self end
    held:release()
    return nil, io_error(self.path, reason)
end

--- The last line about an entry.
---@param key string
---@return table? line
function Manifest:find(key)
    return self.lines[key]
end

--- Writes a line.
---@param line table state ("ready", "done", "failed" or "unknown"), request, and what is known
---@return boolean? ok
---@return flux2.Error? err kind "io"
function Manifest:note(line)
    local ok, reason = jsonl.append(self.file, line)
    take(self, line)
    if not ok then return nil, io_error(self.path, reason) end
    return true
end

--- Says of a picture that was being saved when a run ended, that it is there.
---@param key string
---@param file string
function Manifest:complete(key, file)
    local line = {}
    for name, value in pairs(self.lines[key]) do line[name] = value end
    line.state, line.file, line.stem = "done", file, nil
    self:note(line)
end

--- Ends a run. Lines that later ones took the place of are dropped, so that there is one for each picture.
function Manifest:close()
    self.file:close()
    if self.superseded or self.spoiled > 0 then
        local out = {}
        for i, key in ipairs(self.order) do out[i] = jsonl.encode(self.lines[key]) end
        core.write_file(self.path, table.concat(out, "\n") .. "\n", true)
    end
    self.lock:release()
end

return manifest
