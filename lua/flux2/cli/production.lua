--- Works through a plan: several pictures at a time, each into its file and into the manifest.
-- Owns the counters of a run, and the rule when to stop asking for more. Draws nothing: `board` and `batch` do.

local core = require "flux2.core"
local files = require "flux2.cli.files"
local flux2 = require "flux2"
local loop = require "flux2.cli.loop"
local receipt = require "flux2.cli.receipt"
local text = require "flux2.text"

-- After these no other submission can fare better.
local HOPELESS = { auth = true, budget = true, credits = true, io = true, tls = true }
-- After several of these in a row, nor can one.
local WEARISOME = { network = true, protocol = true, server = true, timeout = true, unknown_outcome = true }
local PATIENCE = 3 -- such failures in a row, for each picture that is made at a time
local SLOW_DOWNS = 8 -- refusals with "slow down" until one picture is given up
local LONGEST_PAUSE = 60 -- seconds

---@class flux2.cli.Production
---@field finished integer pictures that were saved
---@field failed integer
---@field running table<flux2.cli.Entry, flux2.Task|boolean>
---@field halted? flux2.Error why nothing more is submitted
---@field stopping boolean nothing more is submitted
---@field failures table<string, integer> kind -> how often
local Production = {}
Production.__index = Production

local production = {}

--- Prepares a run.
---@param opts { client: flux2.Client, plan: flux2.cli.Plan, manifest: flux2.cli.Manifest, directory: string,
---  concurrency: integer, price: number?, digits: integer, on_end: fun(entry: flux2.cli.Entry, line: table,
---  err: flux2.Error?) }
---@return flux2.cli.Production
function production.new(opts)
    local self = setmetatable({
        queue = {}, next = 1, finished = 0, failed = 0, in_a_row = 0, running = {}, failures = {}, stopping = false,
        began = core.now(),
    }, Production)
    for name, value in pairs(opts) do self[name] = value end
    -- What is paid comes first: its links expire.
    for _, list in ipairs { opts.plan.fetch, opts.plan.make } do
        for _, entry in ipairs(list) do self.queue[#self.queue + 1] = entry end
    end
    return self
end

--- How many pictures were neither made nor given up.
---@return integer
function Production:left()
    return #self.queue - self.finished - self.failed
end

local function is_paid(entry)
    return entry.task ~= nil or entry.id ~= nil
end

local function next_entry(self)
    local entry = self.queue[self.next]
    if not entry or self.stopping then return nil end
    if self.halted and not is_paid(entry) then return nil end
    self.next = self.next + 1
    return entry
end

-- One picture ---------------------------------------------------------------------------------------------------------

local function pause(self, seconds)
    local until_ = core.now() + math.min(seconds, LONGEST_PAUSE)
    while core.now() < until_ and not self.stopping do flux2.sleep(0.2) end
end

--- Submits, and outlasts a service that asks to slow down: it has accepted nothing by saying so.
local function submit(self, entry)
    for refusals = 1, SLOW_DOWNS do
        local task, err = self.client:submit(entry.payload, { price = self.price })
        if not task then return nil, nil, err end
        self.running[entry] = task
        local result
        result, err = task:wait()
        local refused = not result and err.kind == "rate_limited" and not task.id
        if not refused or refusals == SLOW_DOWNS or self.stopping then return task, result, err end
        pause(self, err.retry_after or 2 ^ refusals)
    end
end

local function obtain(self, entry)
    if entry.record then entry.record:discard() end -- its submission is made again because somebody asked for that
    if not is_paid(entry) then return submit(self, entry) end
    local task, err = entry.task, nil
    if not task then task, err = self.client:task(entry.id) end
    if not task then return nil, nil, err end
    self.running[entry] = task
    local result
    result, err = task:wait()
    return task, result, err
end

--- The name of the file, which is ours from here on.
local function choose_target(self, entry)
    if entry.name then return { path = self.directory .. "/" .. entry.name }, entry.name end
    local directory = self.directory
    if entry.stem then return { directory = directory, stem = entry.stem, ours = true }, entry.stem end
    local stem = files.stem(entry.payload.prompt)
    if entry.line then stem = ("%0" .. self.digits .. "d-"):format(entry.line) .. stem end
    local claim, err = files.claim(directory, stem)
    if not claim then return nil, err end
    return { directory = directory, stem = claim.stem, ours = true, release = claim.release }, claim.stem
end

local function line_of(entry, state)
    return {
        state = state, line = entry.line, copy = entry.copy > 1 and entry.copy or nil, prompt = entry.payload.prompt,
        request = entry.payload, at = os.date "!%Y-%m-%dT%H:%M:%SZ",
    }
end

local function save(self, entry, task, result)
    local target, stem = choose_target(self, entry)
    if not target then return nil, stem end
    local line = line_of(entry, "ready")
    line.stem, line.task_id, line.credits = stem, task.id, result.credits
    -- Once the picture is saved its record leaves the spool: from here on this line knows that it is paid.
    local ok, err = self.manifest:note(line)
    local paths
    if ok then paths, err = files.save(result, target) end
    if target.release then target.release() end
    if not paths then return nil, err end
    for i, path in ipairs(paths) do paths[i] = path:match "[^/]+$" end
    line = line_of(entry, "done")
    for name, value in pairs(receipt.of(entry.payload, task, result, paths)) do line[name] = value end
    -- Seconds of waiting for what was made before are not the seconds of the making.
    if is_paid(entry) then line.seconds = nil end
    ok, err = self.manifest:note(line)
    if not ok then return nil, err end
    return line
end

-- The run -------------------------------------------------------------------------------------------------------------

local function halt(self, err)
    if HOPELESS[err.kind] then
        self.halted = self.halted or err
        return
    end
    self.in_a_row = WEARISOME[err.kind] and self.in_a_row + 1 or 0
    if self.in_a_row >= PATIENCE * self.concurrency then self.halted = self.halted or err end
end

local function failed(self, entry, task, err)
    local line = line_of(entry, err.kind == "unknown_outcome" and "unknown" or "failed")
    line.task_id = task and task.id or err.task_id or entry.id
    line.error = { kind = err.kind, message = err.message }
    if task and task.id then line.credits = self.price or flux2.estimate(entry.payload) end
    self.failed = self.failed + 1
    self.failures[err.kind] = (self.failures[err.kind] or 0) + 1
    halt(self, err)
    -- It was done once: nothing but --remake pays for it again.
    if entry.gone then return self.on_end(entry, line, err) end
    -- A picture whose links have expired is gone: the next run makes it again, and this one has said so.
    if err.kind == "not_found" and task then task:discard() end
    local noted, trouble = self.manifest:note(line)
    if not noted then self.halted = self.halted or trouble end
    self.on_end(entry, line, err)
end

--- Whether nothing has become of a picture: it was not asked for, and still can be.
local function is_untouched(self, task, err)
    if task and task.id then return false end
    return HOPELESS[err.kind] or self.stopping and err.kind == "rate_limited"
end

local function make(self, entry)
    self.running[entry] = true
    local task, result, err = obtain(self, entry)
    local line
    if result then line, err = save(self, entry, task, result) end
    self.running[entry] = nil
    if line then
        self.finished, self.in_a_row = self.finished + 1, 0
        return self.on_end(entry, line)
    end
    if is_untouched(self, task, err) then
        self.halted = self.halted or err
    else
        failed(self, entry, task, err)
    end
end

--- Works until nothing is left that may be done. For loop.run.
function Production:work()
    loop.each(self.concurrency, function() return next_entry(self) end, function(entry) make(self, entry) end)
end

--- Begins nothing more; what runs goes on.
function Production:stop()
    self.stopping = true
end

--- Tasks that run, in the order of the list.
---@return { entry: flux2.cli.Entry, id: string? }[]
function Production:alive()
    local list = {}
    for entry, task in pairs(self.running) do
        list[#list + 1] = { entry = entry, id = type(task) == "table" and task.id and text.clean(task.id, 100) or nil }
    end
    table.sort(list, function(a, b) return (a.entry.line or 0) < (b.entry.line or 0) end)
    return list
end

return production
