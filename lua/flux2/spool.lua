--- Tasks on disk: from before a submission is sent until its pictures are collected, so that a crash loses none that
--- was paid for.
-- Owns a directory of records, one small JSON file for each task, and the rule whose they are. The engine writes a
-- record (csrc/record.c); here it is prepared, taken away, and found again. Knows nothing of polling.
--
--     task-<owner>-<number>.json   a record. Its task_id is empty until the service has accepted the submission; its
--                                  answer is null, unless the submission itself was answered with the picture
--     owner-<owner>.lock           locked by the client that its records belong to, for as long as its process lives
--     *.damaged                    what could not be read, put aside
--
-- Whoever finds the lock of an owner free may take its records over, by renaming them: that succeeds for one only.

if jit then jit.off(true, true) end -- see flux2.scheduler

local core = require "flux2.core"
local errors = require "flux2.errors"
local json = require "flux2.json"
local response = require "flux2.response"
local text = require "flux2.text"

local spool = {}

local TRIES = 8
local MOST_BYTES = 256 * 2 ^ 20 -- of a record that is read: an answer in it may hold pictures
local RECORD, LOCK = "^task%-(%x+)%-%d+%.json$", "^owner%-(%x+)%.lock$"
local PART = "^%.(task%-(%x+)%-%d+%.json)%.%x+%.part$"

---@class flux2.Spool
local Spool = {}
Spool.__index = Spool

---@class flux2.Record What the spool holds about one submission; client:recover returns those of unknown outcome.
---@field id? string the task's, where it is known
---@field private text? string what is to be written
---@field request table as it was sent
---@field submitted string when, as "2026-01-31T12:00:00Z"
---@field price? number credits
---@field path string the file
---@field is_finished? boolean the record itself holds the answer with the pictures: see finished
local Record = {}
Record.__index = Record
Record.__name = "flux2.Record"

function Record:__tostring()
    return "flux2.Record (" .. text.clean(self.path, 200) .. ")"
end

-- Whose ---------------------------------------------------------------------------------------------------------------

local function io_error(self, reason)
    return errors.new("io", "the spool " .. text.show(self.directory) .. " cannot be used: " .. reason)
end

local function path_of(self, name)
    return self.directory .. "/" .. name
end

--- The owner that this client is. A fork of its process has to be another one.
local function own(self)
    if self.lock and self.lock:mine() then return self.owner end
    local reason
    for _ = 1, TRIES do
        local owner = core.token()
        local lock, why = core.lock(path_of(self, "owner-" .. owner .. ".lock"), true)
        reason = why
        if lock then
            self.owner, self.lock, self.last = owner, lock, 0
            -- By name, those that somebody here can still collect.
            self.live = setmetatable({}, { __mode = "v" })
            return owner
        end
    end
    return nil, io_error(self, reason)
end

local function next_name(self)
    self.last = self.last + 1
    return ("task-%s-%04d.json"):format(self.owner, self.last)
end

local function keep(self, name, record)
    record.path, record._name, record._spool = path_of(self, name), name, self
    self.live[name] = record
    return setmetatable(record, Record)
end

--- Opens a directory, which is made if only its last part is missing. Another client may use it too.
---@param directory string
---@return flux2.Spool?
---@return flux2.Error? err kind "io"
function spool.open(directory)
    local self = setmetatable({ directory = directory:gsub("(.)/+$", "%1") }, Spool)
    local ok, reason = core.directory(self.directory)
    if not ok then return nil, io_error(self, reason) end
    local owner, err = own(self)
    if not owner then return nil, err end
    return self
end

-- Writing -------------------------------------------------------------------------------------------------------------

--- The request without the key, should somebody have put it there.
local function without_key(value, key)
    if type(value) == "string" then return (value:gsub(key:gsub("%W", "%%%0"), "aio_***")) end
    if type(value) ~= "table" then return value end
    local out = {}
    for name, member in next, value do out[without_key(name, key)] = without_key(member, key) end
    return out
end

--- JSON for people: a slash needs no escape, although cjson gives it one.
local function encode(value)
    return (assert(json.encode({ value }, "record")):sub(2, -2):gsub("\\/", "/"))
end

--- Prepares the record of a submission; the engine writes it. `path` and `text` are what it needs.
---@param settings table the client's: key, base_url
---@param request table as it is sent
---@param price? number credits
---@return flux2.Record?
---@return flux2.Error? err kind "io"
function Spool:record(settings, request, price)
    local owner, err = own(self)
    if not owner then return nil, err end
    local submitted = os.date "!%Y-%m-%dT%H:%M:%SZ"
    local lines = {
        '  "task_id": "{id}"', -- the first place where "{id}" stands: a prompt may hold it as well
        '  "answer": {answer}', -- likewise
        '  "submitted": "' .. submitted .. '"',
        '  "base_url": ' .. encode(settings.base_url),
        '  "request": ' .. encode(without_key(request, settings.key)),
    }
    if price then table.insert(lines, 5, '  "price": ' .. encode(price)) end
    return keep(self, next_name(self), {
        request = request, submitted = submitted, price = price,
        text = "{\n" .. table.concat(lines, ",\n") .. "\n}\n",
    })
end

--- Puts the id in, where the engine has not seen it.
---@private
---@param id string
---@return boolean? ok
---@return string? reason
function Record:identify(id)
    local escaped = encode(id):sub(2, -2):gsub("%%", "%%%%")
    local filled = self.text:gsub("{id}", escaped, 1):gsub("{answer}", "null", 1)
    return core.write_file(self.path, filled, true, true)
end

--- Takes the record away: there is nothing to collect, or nobody wants it.
-- Example: `for _, record in ipairs(unknown) do print(record.submitted, record.request.prompt) record:discard() end`
function Record:discard()
    if self._gone then return end
    self._gone = true
    os.remove(self.path)
    self._spool.live[self._name] = nil
end

--- So many pictures have to be collected.
---@private
---@param n integer
function Record:expect(n)
    self._left = n
end

--- One of them was saved, or handed over.
---@private
function Record:collected()
    self._left = (self._left or 1) - 1
    if self._left <= 0 then self:discard() end
end

-- Finding again -------------------------------------------------------------------------------------------------------

--- Whether an owner is dead: then its lock is held until the search is over.
local function is_dead(search, owner)
    local known = search.dead[owner]
    if known ~= nil then return known end
    local path = path_of(search.spool, "owner-" .. owner .. ".lock")
    local lock, _, why = core.lock(path, false)
    if lock then search.locks[path] = lock end
    known = lock ~= nil or why == "missing"
    search.dead[owner] = known
    return known
end

--- Whether a record may be taken: its owner is dead, or it is ours and nobody here can reach it any more.
local function is_free(search, owner, name)
    if owner ~= search.spool.owner then return is_dead(search, owner) end
    return search.spool.live[name] == nil
end

local function read_file(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    -- Lua takes the memory for as many bytes as it is asked to read, and there may be thousands of records.
    local size = file:seek "end"
    file:seek "set"
    local bytes = file:read(math.min(size or MOST_BYTES, MOST_BYTES))
    file:close()
    return bytes or ""
end

--- What a record says; nil and what is wrong with it.
local function parse(bytes)
    local said, reason = json.decode(bytes)
    if type(said) ~= "table" then return nil, reason or "it holds no object" end
    local id = said.task_id
    if type(id) ~= "string" or #id > response.longest_id then return nil, "task_id is no task id" end
    if type(said.request) ~= "table" then return nil, "request is missing" end
    if type(said.base_url) ~= "string" then return nil, "base_url is missing" end
    if type(said.submitted) ~= "string" then return nil, "submitted is missing" end
    if said.price ~= nil and type(said.price) ~= "number" then return nil, "price is no number" end
    if said.answer == json.null then said.answer = nil end
    return said
end

--- What the submission was answered, where that answer holds the pictures. Read from the disk when it is asked for, for
--- it may be long.
---@private
---@return flux2.TaskAnswer? answer
---@return string? reason
function Record:finished()
    local bytes = read_file(self.path)
    local said, reason = parse(bytes or "")
    local out = said and said.answer and response.kept(said.answer)
    if out then return out end
    return nil, bytes and (reason or "it holds no answer") or "it is gone"
end

--- A crash between the writing of a file and its renaming: one that holds an id is the better record, any other has
--- never come to count, because its submission was not sent.
local function finish_part(search, name, target, owner)
    if owner == search.spool.owner or not is_dead(search, owner) then return end
    local path = path_of(search.spool, name)
    local said = parse(read_file(path) or "")
    if said and said.task_id ~= "" then
        os.rename(path, path_of(search.spool, target))
        search.names[#search.names + 1] = target
    else
        os.remove(path)
    end
end

local function put_aside(search, path, reason)
    local aside = path .. ".damaged"
    if not os.rename(path, aside) then return end
    search.damaged[#search.damaged + 1] = { path = aside, reason = text.clean(reason, 200) }
end

local function take(search, name, owner)
    local self = search.spool
    local path = path_of(self, name)
    local bytes = read_file(path)
    if not bytes then return end
    local said, reason = parse(bytes)
    if not said then return put_aside(search, path, reason) end
    if said.base_url ~= search.base_url then return end
    if owner ~= self.owner then
        name = next_name(self)
        -- Somebody else was quicker.
        if not os.rename(path, path_of(self, name)) then return end
    end
    local is_finished = said.answer ~= nil and response.kept(said.answer) ~= nil
    local list = said.task_id == "" and not is_finished and search.unknown or search.found
    list[#list + 1] = keep(self, name, {
        id = said.task_id ~= "" and said.task_id or nil, is_finished = is_finished,
        request = said.request, submitted = said.submitted, price = said.price,
    })
end

local function release(search)
    for path, lock in pairs(search.locks) do
        os.remove(path)
        lock:release()
    end
end

local function by_time(a, b)
    if a.submitted ~= b.submitted then return a.submitted < b.submitted end
    return a.path < b.path
end

--- Takes over the records that nobody alive looks after.
---@param base_url string only those of this service
---@return flux2.Record[]? found with `id` or `is_finished`: accepted, and not collected; oldest first
---@return flux2.Record[]|flux2.Error unknown without an id: sent, and perhaps accepted; or, after nil, kind "io"
---@return { path: string, reason: string }[]? damaged put aside
function Spool:recover(base_url)
    local owner, err = own(self)
    if not owner then return nil, err end
    local names, reason = core.list(self.directory)
    if not names then return nil, io_error(self, reason) end
    local search = {
        spool = self, base_url = base_url, names = {}, dead = {}, locks = {}, found = {}, unknown = {}, damaged = {},
    }
    for _, name in ipairs(names) do
        local target, of = name:match(PART)
        if target then finish_part(search, name, target, of) end
        local locked_by = name:match(LOCK)
        if locked_by and locked_by ~= owner then is_dead(search, locked_by) end
        if name:find(RECORD) then search.names[#search.names + 1] = name end
    end
    table.sort(search.names)
    for _, name in ipairs(search.names) do
        local of = name:match(RECORD)
        if is_free(search, of, name) then take(search, name, of) end
    end
    release(search)
    table.sort(search.found, by_time)
    table.sort(search.unknown, by_time)
    return search.found, search.unknown, search.damaged
end

return spool
