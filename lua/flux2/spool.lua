--- The spool: a directory of records, so that a crash loses no paid task. A record exists from before the submission
--- until its images are collected.
-- The engine writes a record (csrc/engine/spool_record.c); this file prepares, finds and removes it.
--
--     task-<owner>-<number>.json   a record. task_id is empty until the service has accepted the submission; poll_url
--                                  is null or the poll URL from the response; answer is null or, as a string, the body
--                                  of a response with the images
--     owner-<owner>.lock           locked by the client that owns the records, while its process lives
--     *.damaged                    an invalid record; each search reports it until it is removed
--
-- The records of an owner whose lock is free may be taken over, by renaming them: only one process succeeds.

local core = require "flux2.core"
local errors = require "flux2.errors"
local json = require "flux2.json"
local text = require "flux2.text"
local validate = require "flux2.validate"

local spool = {}

local TRIES = 8
local MAX_BYTES = 256 * 2 ^ 20 -- of a record: it may contain images
local RESEND = 24 * 3600 -- seconds for which a submission may be sent again with its key
local RECORD, LOCK = "^task%-(%x+)%-%d+%.json$", "^owner%-(%x+)%.lock$"
local PART = "^%.(task%-(%x+)%-%d+%.json)%.%x+%.part$"
local DAMAGED = "^task%-%x+%-%d+%.json%.damaged$"

---@class flux2.Spool
local Spool = {}
Spool.__index = Spool

---@class flux2.Record One submission in the spool; client:recover returns those of unknown outcome.
---@field id? string the task id, if known
---@field poll_url? string the poll URL, if it came in the response
---@field private text? string the content of a new file
---@field request table as it was sent
---@field submitted string the time, as "2026-01-31T12:00:00Z"
---@field price? number credits
---@field path string the file
---@field private resend? { key: string, body: string } of a submission that may be sent again: its key of idempotency
---@field is_finished? boolean whether the record contains a response with the images: see finished
local Record = {}
Record.__index = Record
Record.__name = "flux2.Record"

function Record:__tostring()
    return "flux2.Record (" .. text.clean(self.path, 200) .. ")"
end

-- Owners --------------------------------------------------------------------------------------------------------------

local function io_error(self, reason)
    return errors.new("io", "the spool " .. text.show(self.directory) .. " cannot be used: " .. reason)
end

local function path_of(self, name)
    return self.directory .. "/" .. name
end

--- Returns the owner of this client's records. A fork of its process gets a new one.
local function own(self)
    if self.lock and self.lock:mine() then return self.owner end
    local reason
    for _ = 1, TRIES do
        local owner = core.token()
        local lock, why = core.lock(path_of(self, "owner-" .. owner .. ".lock"), true)
        reason = why
        if lock then
            self.owner, self.lock, self.last = owner, lock, 0
            -- Name -> record, while the program has a reference to it.
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

--- Opens a directory; creates it if only the last part of its path is missing. Several clients may share it.
---@param directory string
---@param schema userdata the response schema
---@param submit_url fun(request: table): string the URL of a submission: URLs in its response are relative to it
---@return flux2.Spool?
---@return flux2.Error? err kind "io"
function spool.open(directory, schema, submit_url)
    local self = setmetatable({ directory = directory, schema = schema, submit_url = submit_url }, Spool)
    -- Absolute: the program may change its working directory.
    local absolute, reason = core.directory(directory)
    if not absolute then return nil, io_error(self, reason) end
    self.directory = absolute
    local owner, err = own(self)
    if not owner then return nil, err end
    return self
end

-- Writing -------------------------------------------------------------------------------------------------------------

--- Removes the key from a request that contains it.
---@param value any
---@param key string
---@return any copy
function spool.without_key(value, key)
    if type(value) == "string" then return errors.remove_key(value, key) end
    if type(value) ~= "table" then return value end
    local out = {}
    for name, member in next, value do out[spool.without_key(name, key)] = spool.without_key(member, key) end
    return out
end

local function encode(value)
    return assert(json.readable(value, "record"))
end

--- Returns the text of a record, with placeholders for what the engine knows later.
local function compose(base_url, record, resend)
    local lines = {
        -- First, because the engine replaces the first occurrence of each placeholder, and a prompt may contain them.
        '  "task_id": "{id}"',
        '  "poll_url": {poll_url}',
        '  "answer": {answer}',
        '  "submitted": ' .. encode(record.submitted),
        '  "base_url": ' .. encode(base_url),
    }
    if record.price then lines[#lines + 1] = '  "price": ' .. assert(json.write { record.price }):sub(2, -2) end
    if resend then lines[#lines + 1] = '  "resend": ' .. encode(resend) end
    lines[#lines + 1] = '  "request": ' .. encode(record.request)
    return "{\n" .. table.concat(lines, ",\n") .. "\n}\n"
end

--- Returns what a later run needs to send a submission again: only with the same API key, because the service knows the
--- key of idempotency together with that.
local function resend_of(config, given)
    local key = config.get_key()
    if not given or given.body:find(key, 1, true) then return nil end
    return { key = given.key, body = given.body, sender = core.digest(given.key .. key) }
end

--- Prepares the record of a submission. The engine writes `text` to `path`.
---@param config table the client's: get_key, base_url
---@param request table as it is sent
---@param price? number credits
---@param resend? { key: string, body: string } of a submission that the service accepts once for this key
---@return flux2.Record?
---@return flux2.Error? err kind "io"
function Spool:record(config, request, price, resend)
    local owner, err = own(self)
    if not owner then return nil, err end
    local record = {
        request = spool.without_key(request, config.get_key()), submitted = text.time(), price = price,
    }
    local template = compose(config.base_url, record, resend_of(config, resend))
    record.request, record.text = request, template
    return keep(self, next_name(self), record)
end

--- Removes the record.
-- Example: `for _, record in ipairs(unknown) do print(record.submitted, record.request.prompt) record:discard() end`
function Record:discard()
    validate.receiver(self, Record, "record:discard")
    if self._gone then return end
    self._gone = true
    core.remove(self.path)
    self._spool.live[self._name] = nil
end

--- The engine may have written the record after it was discarded: then it is removed again.
---@private
function Record:written()
    if self._gone then core.remove(self.path) end
end

--- Sets the number of images to be collected.
---@private
---@param n integer
function Record:expect(n)
    self._left = n
end

--- One image was collected. The last one removes the record.
---@private
function Record:collected()
    self._left = (self._left or 1) - 1
    if self._left <= 0 then self:discard() end
end

-- Recovery ------------------------------------------------------------------------------------------------------------

--- Adds an unusable record to the result: it may be of a paid image, which the caller would submit again.
local function report(search, path, reason)
    search.damaged[#search.damaged + 1] = { path = path, reason = text.clean(reason, 200) }
end

--- Whether an owner is dead. Then its lock is held until the end of the search. If unknown, nil and the reason.
local function is_dead(search, owner)
    local known = search.dead[owner]
    if known == nil then
        local path = path_of(search.spool, "owner-" .. owner .. ".lock")
        local lock, reason, why = core.lock(path, false)
        if lock then search.locks[path] = lock end
        known = lock ~= nil or why == "missing"
        if not known and why ~= "busy" then known = path .. ": " .. reason end
        search.dead[owner] = known
    end
    if type(known) == "string" then return nil, known end
    return known
end

--- Whether a record may be taken: its owner is dead, or it belongs to this client, which has no reference to it. If
--- unknown, nil and the reason.
local function is_free(search, owner, name)
    if owner ~= search.spool.owner then return is_dead(search, owner) end
    return search.spool.live[name] == nil
end

--- Returns the content of a file; nil if it is missing, nil and the reason if it cannot be read.
local function read_file(path)
    local bytes, reason, why = core.read_file(path, MAX_BYTES)
    if not bytes and why ~= "missing" then return nil, reason end
    return bytes
end

--- Renames a file. Returns false if that fails, or if another process has renamed it.
local function rename(search, from, to)
    local ok, reason, why = core.rename(from, to)
    if not ok and why ~= "missing" then report(search, from, reason) end
    return ok
end

--- Decodes a record; nil and the reason if it is invalid.
local function parse(bytes)
    local said, reason = json.decode(bytes)
    if type(said) ~= "table" then return nil, reason or "it holds no object" end
    local id = said.task_id
    if type(id) ~= "string" or #id > core.id_max then return nil, "invalid task_id" end
    if type(said.request) ~= "table" then return nil, "request is missing" end
    if type(said.base_url) ~= "string" then return nil, "base_url is missing" end
    if type(said.submitted) ~= "string" then return nil, "submitted is missing" end
    if said.price ~= nil and type(said.price) ~= "number" then return nil, "price is not a number" end
    if said.price and not (said.price >= 0 and said.price < math.huge) then said.price = nil end
    -- Earlier versions wrote a response as JSON, not as a string that holds it.
    if type(said.answer) == "table" then said.answer = encode(said.answer) end
    if type(said.answer) ~= "string" then said.answer = nil end
    if type(said.poll_url) ~= "string" then said.poll_url = nil end
    if type(said.resend) ~= "table" then said.resend = nil end
    return said
end

--- Reads the response in a record; nil if it contains no image.
local function read_response(self, said)
    if not said.answer then return nil end
    local known, url = pcall(self.submit_url, said.request) -- the request may be for another provider
    local response = core.read_response(self.schema, "submission", 200, said.answer, nil, nil, known and url or nil)
    return response.images and response
end

--- Reads the response with the images from the disk. It is not kept in memory, because it may be large.
---@private
---@return flux2.Response? response with `images`, and `body`
---@return string? reason
function Record:finished()
    local bytes, trouble = read_file(self.path)
    if not bytes then return nil, trouble or "it was removed" end
    local said, reason = parse(bytes)
    local response = said and read_response(self._spool, said)
    if not response then return nil, reason or "it contains no response" end
    response.body = said.answer
    return response
end

--- Writes the id of a torn file into the record that it was to replace. Returns false if that fails.
local function adopt_id(search, bytes, target)
    -- The file had an earlier content: with the beginning of the next line the id is whole.
    local id = bytes:match '^{\n  "task_id": ("[^"\\%c]+"),\n  "poll_url": '
    local path = path_of(search.spool, target)
    local record = id and read_file(path)
    local said = record and parse(record)
    if not said or said.task_id ~= "" then return true end
    local filled = record:gsub('"task_id": ""', function() return '"task_id": ' .. id end, 1)
    return core.write_file(path, filled, true, true)
end

--- Handles a file that was written but not renamed, because of a crash. With an id or a response it replaces the
--- record. Otherwise it is removed: its submission was not sent, or its record exists.
local function finish_part(search, name, target, owner)
    if owner == search.spool.owner or not is_dead(search, owner) then return end
    local path = path_of(search.spool, name)
    local bytes, reason = read_file(path)
    local said, is_settled = bytes and parse(bytes), true
    if reason then
        is_settled = false
        report(search, path, reason)
    elseif said and (said.task_id ~= "" or said.answer) then
        is_settled = rename(search, path, path_of(search.spool, target))
        if is_settled then search.names[#search.names + 1] = target end
    elseif bytes then
        is_settled = said or adopt_id(search, bytes, target)
        if is_settled then core.remove(path) end
    end
    if not is_settled then search.doubtful[target] = true end
end

local function put_aside(search, path, reason)
    local aside = path .. ".damaged"
    if rename(search, path, aside) then report(search, aside, reason) end
end

--- Returns how a submission without a known outcome is sent again, if this client may do that.
local function find_resend(search, said)
    local resend, config = said.resend, search.config
    if not resend or said.task_id ~= "" or not config.provider.idempotency_header then return nil end
    if type(resend.key) ~= "string" or type(resend.body) ~= "string" then return nil end
    local is_young = said.submitted > text.time(os.time() - RESEND)
    return is_young and resend.sender == core.digest(resend.key .. config.get_key()) and resend or nil
end

local function take(search, name, owner)
    local self = search.spool
    local path = path_of(self, name)
    local bytes, trouble = read_file(path)
    if not bytes then return trouble and report(search, path, trouble) end
    local said, reason = parse(bytes)
    if not said then return put_aside(search, path, reason) end
    if said.base_url ~= search.config.base_url then
        search.others[said.base_url] = (search.others[said.base_url] or 0) + 1
        return
    end
    if owner ~= self.owner then
        name = next_name(self)
        if not rename(search, path, path_of(self, name)) then return end
    end
    local is_finished = read_response(self, said) ~= nil
    local resend = not is_finished and find_resend(search, said) or nil
    local is_composed, record_text = false, nil
    if resend then is_composed, record_text = pcall(compose, said.base_url, said, resend) end
    resend = is_composed and resend or nil -- a damaged request cannot be written again
    local list = said.task_id == "" and not is_finished and not resend and search.unknown or search.found
    list[#list + 1] = keep(self, name, {
        resend = resend, text = resend and record_text,
        id = said.task_id ~= "" and said.task_id or nil, poll_url = said.poll_url, is_finished = is_finished,
        request = said.request, submitted = said.submitted, price = said.price,
    })
end

--- Returns the poll URL in the record of a task, of any owner.
---@param base_url string of its service
---@param id string
---@return string? poll_url
function Spool:find_poll_url(base_url, id)
    for _, name in ipairs(core.list(self.directory) or {}) do
        local bytes = name:find(RECORD) and read_file(path_of(self, name))
        local said = bytes and parse(bytes)
        if said and said.task_id == id and said.base_url == base_url then return said.poll_url end
    end
end

local function release(search)
    for path, lock in pairs(search.locks) do
        core.remove(path)
        lock:release()
    end
end

local function by_time(a, b)
    if a.submitted ~= b.submitted then return a.submitted < b.submitted end
    return a.path < b.path
end

--- Takes over the records of dead owners.
---@param config table the client's: get_key, base_url, provider
---@return flux2.Record[]? found accepted and not collected, with `id` or `is_finished`, or to be sent again, with
---  `resend`; oldest first
---@return flux2.Record[]|flux2.Error unknown perhaps accepted, without `id`; or, after nil, kind "io"
---@return { path: string, reason: string }[]? damaged unreadable records: each may be of a paid image
---@return table<string, integer>? others the number of records of other services, by their base URL
function Spool:recover(config)
    local owner, err = own(self)
    if not owner then return nil, err end
    local names, reason = core.list(self.directory)
    if not names then return nil, io_error(self, reason) end
    local search = {
        spool = self, config = config, names = {}, dead = {}, locks = {}, found = {}, unknown = {}, damaged = {},
        others = {}, doubtful = {}, -- records with a replacement that cannot be used now
    }
    for _, name in ipairs(names) do
        local target, of = name:match(PART)
        if target then finish_part(search, name, target, of) end
        local locked_by = name:match(LOCK)
        if locked_by and locked_by ~= owner then is_dead(search, locked_by) end
        if name:find(RECORD) then search.names[#search.names + 1] = name end
        if name:find(DAMAGED) then report(search, path_of(self, name), "put aside by an earlier run") end
    end
    table.sort(search.names)
    for _, name in ipairs(search.names) do
        local of = name:match(RECORD)
        local free, trouble = is_free(search, of, name)
        if free and not search.doubtful[name] then take(search, name, of) end
        if trouble then report(search, path_of(self, name), trouble) end
    end
    release(search)
    table.sort(search.found, by_time)
    table.sort(search.unknown, by_time)
    return search.found, search.unknown, search.damaged, search.others
end

return spool
