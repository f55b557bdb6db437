--- Executes a plan: several images at a time, each saved to its file and noted in the manifest.
-- Owns the counters of a run and the decision to stop submitting. Prints nothing.

local core = require "flux2.core"
local errors = require "flux2.errors"
local files = require "flux2.cli.files"
local flux2 = require "flux2"
local loop = require "flux2.cli.loop"
local result_json = require "flux2.cli.result_json"
local tables = require "flux2.tables"
local text = require "flux2.text"

-- After one of these errors every other submission fails too, unless it is about a field of the request.
local FATAL = { auth = true, budget = true, credits = true, io = true, tls = true }
-- After several of these in a row the service is considered down.
local OUTAGE = { network = true, protocol = true, server = true, timeout = true, unknown_outcome = true }
local OUTAGE_LIMIT = 3 -- such failures in a row, for each concurrent task
local SLOW_DOWNS = 8 -- 429 responses before an image counts as failed
local LONGEST_PAUSE = 60 -- seconds

---@class flux2.cli.BatchRunner
---@field finished integer saved images
---@field failed integer
---@field running table<flux2.cli.Entry, flux2.Task|boolean>
---@field reserved table<string, boolean> names, in lower case, that an image without a name does not get
---@field halted? flux2.Error why nothing more is submitted
---@field stopping boolean nothing more is submitted
---@field failures table<string, integer> kind -> count
---@field undelivered integer paid tasks in a row whose images could not be downloaded
local BatchRunner = {}
BatchRunner.__index = BatchRunner

local batch_runner = {}

--- Creates a runner.
---@param opts { client: flux2.Client, plan: flux2.cli.Plan, manifest: flux2.cli.Manifest, directory: string,
---  concurrency: integer, price: number?, digits: integer, on_end: fun(entry: flux2.cli.Entry, line: table,
---  err: flux2.Error?) }
---@return flux2.cli.BatchRunner
function batch_runner.new(opts)
    local self = setmetatable({
        queue = {}, next = 1, finished = 0, failed = 0, in_a_row = 0, undelivered = 0, running = {}, failures = {},
        reserved = {}, stopping = false, began = core.now(),
    }, BatchRunner)
    tables.merge(self, opts)
    -- Paid images come first: their links expire.
    for _, list in ipairs { opts.plan.fetch, opts.plan.make } do
        for _, entry in ipairs(list) do
            self.queue[#self.queue + 1] = entry
            local stem = entry.name and files.without_extension(entry.name) or entry.stem
            if stem then self.reserved[stem:lower()] = true end
        end
    end
    return self
end

--- Returns the number of images that are neither saved nor failed.
---@return integer
function BatchRunner:left()
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

-- One image -----------------------------------------------------------------------------------------------------------

local function pause(self, seconds)
    local until_ = core.now() + math.min(seconds, LONGEST_PAUSE)
    while core.now() < until_ and not self.stopping do flux2.sleep(0.2) end
end

local function price_of(self, entry)
    return entry.task and entry.task.price or self.price or flux2.estimate(entry.payload) or nil
end

--- Returns a manifest line. `submission` is the task, or the record of an unknown outcome.
local function line_of(entry, state, submission)
    return {
        state = state, line = entry.line, copy = entry.copy > 1 and entry.copy or nil, prompt = entry.payload.prompt,
        request = entry.payload, submitted = submission and submission.submitted, at = text.time(),
    }
end

--- Adds the cost of an image.
local function add_cost(self, line, entry, credits)
    local price = (entry.task or not entry.id) and price_of(self, entry) or nil
    line.credits = credits or price
    line.price = line.credits ~= price and price or nil
end

--- Removes the records of earlier submissions: one without the id, and one that this image replaces.
local function discard_earlier(entry)
    if entry.record then entry.record:discard() end
    if entry.replaces then entry.replaces:discard() end
end

--- Writes a manifest line about an entry.
local function note(self, entry, line)
    local is_new = not is_paid(entry) and not entry.is_noted
    entry.is_noted = true
    return self.manifest:note(line, is_new)
end

--- Returns the manifest line about a failed image.
local function failure_line(self, entry, task, err)
    local line = line_of(entry, err.kind == "unknown_outcome" and "unknown" or "failed", task)
    line.task_id = task and task.id or err.task_id or entry.id
    -- A task with a known id was paid for, even if the service does not find it now.
    local paid = err.paid or is_paid(entry) and err.kind == "not_found"
    line.error = { kind = err.kind, message = err.message, paid = paid or false }
    if line.task_id or line.state == "unknown" or paid then add_cost(self, line, entry) end
    return line
end

--- Notes a failed paid task before its record is removed from the spool. If noting fails, the record is kept.
local function failure_listener(self, entry)
    return function(task, _, err)
        -- An image whose file is missing stays noted as done: only --remake pays for it again.
        if not err or not task.id or entry.gone then return end
        entry.noted = failure_line(self, entry, task, err)
        local ok, write_err = note(self, entry, entry.noted)
        if not ok then error(write_err, 0) end
    end
end

--- Submits, and repeats after a 429, which proves that nothing was accepted.
local function submit(self, entry)
    for refusals = 1, SLOW_DOWNS do
        local task, err = self.client:submit(entry.request, {
            price = self.price, on_done = failure_listener(self, entry),
        })
        if not task then return nil, nil, err end
        self.running[entry] = task
        local result
        result, err = task:wait()
        local refused = not result and err.kind == "rate_limited" and not task.id
        if not refused or refusals == SLOW_DOWNS then return task, result, err end
        pause(self, err.retry_after or 2 ^ refusals)
        if self.stopping then return task, nil, err end
    end
end

--- Submits; replaces an earlier submission, if there is one. Its record is removed unless the new one is refused; the
--- manifest keeps its possible cost.
local function submit_again(self, entry)
    if entry.record then
        local line = line_of(entry, "unknown", entry.record)
        line.credits = entry.record.price
        local before = self.manifest:find(entry.key)
        if not before or before.state ~= "unknown" then
            local ok, err = self.manifest:note(line)
            if not ok then return nil, nil, err end
        end
    end
    local task, result, err = submit(self, entry)
    if task and (task.id or result or err.kind == "unknown_outcome") then discard_earlier(entry) end
    return task, result, err
end

local function get_result(self, entry)
    if not is_paid(entry) then return submit_again(self, entry) end
    local task, err = entry.task, nil
    if task then
        task:on("done", failure_listener(self, entry))
    else
        task, err = self.client:task(entry.id, { on_done = failure_listener(self, entry) })
    end
    if not task then return nil, nil, err end
    self.running[entry] = task
    local result
    result, err = task:wait()
    return task, result, err
end

--- Chooses and reserves the file name.
local function choose_target(self, entry)
    if entry.name then return { path = self.directory .. "/" .. entry.name }, entry.name end
    local directory = self.directory
    if entry.stem then return { directory = directory, stem = entry.stem, ours = true }, entry.stem end
    local stem = files.stem(entry.payload.prompt)
    if entry.line then stem = ("%0" .. self.digits .. "d-"):format(entry.line) .. stem end
    local claim, err = files.claim(directory, stem, self.reserved)
    if not claim then return nil, err end
    return { directory = directory, stem = claim.stem, ours = true, release = claim.release }, claim.stem
end

local function save(self, entry, task, result)
    local target, stem = choose_target(self, entry)
    if not target then return nil, stem end
    local line = line_of(entry, "ready", task)
    line.stem, line.task_id = stem, task.id
    add_cost(self, line, entry, result.credits)
    -- Saving the image removes its spool record; after that this line proves the payment.
    local ok, err = note(self, entry, line)
    local paths
    if ok then paths, err = files.save(result, target) end
    if target.release then target.release() end
    if not paths then return nil, err end
    for i, path in ipairs(paths) do paths[i] = path:match "[^/]+$" end
    local price = line.price
    line = tables.merge(line_of(entry, "done", task), result_json.of(entry.payload, task, result, paths))
    line.price = price
    -- For a task of an earlier run the elapsed time is not the duration of the task.
    if is_paid(entry) then line.seconds = nil end
    ok, err = note(self, entry, line)
    if not ok then return nil, err, true end
    discard_earlier(entry)
    return line
end

-- Run ---------------------------------------------------------------------------------------------------------------

--- Returns the error that stops a run whose paid images cannot be downloaded.
local function undelivered_error(self, err)
    local message = ("%d images in a row are paid for and could not be downloaded. The next run retries them. Last " ..
        "error: %s: %s"):format(self.undelivered, err.kind, err.message)
    return errors.new(err.kind, message, { status = err.status })
end

local function is_fatal(err)
    return FATAL[err.kind] and not err.field
end

local function halt(self, err, is_paid_for)
    if is_fatal(err) then
        self.halted = self.halted or err
        return
    end
    self.in_a_row = OUTAGE[err.kind] and self.in_a_row + 1 or 0
    if self.in_a_row >= OUTAGE_LIMIT * self.concurrency then self.halted = self.halted or err end
    self.undelivered = is_paid_for and self.undelivered + 1 or self.undelivered
    if self.undelivered >= loop.max_undelivered then self.halted = self.halted or undelivered_error(self, err) end
end

local function failed(self, entry, task, err, is_saved)
    local line = failure_line(self, entry, task, err)
    self.failed = self.failed + 1
    self.failures[err.kind] = (self.failures[err.kind] or 0) + 1
    halt(self, err, line.error.paid)
    -- A missing file stays noted as done, so that only --remake pays again. A saved image stays noted as ready, so that
    -- the next run finds its file.
    if entry.gone or is_saved then return self.on_end(entry, line, err) end
    local noted, write_err = entry.noted, nil
    if not noted then noted, write_err = note(self, entry, line) end
    if noted and not line.error.paid and is_paid(entry) and entry.record then entry.record:discard() end
    if not noted then self.halted, entry.is_unnoted = self.halted or write_err, true end
    self.on_end(entry, line, err)
end

--- Whether an image was not submitted, so that a later run can submit it.
local function is_untouched(self, task, err)
    if task and task.id then return false end
    return is_fatal(err) or self.stopping and err.kind == "rate_limited"
end

local function process(self, entry)
    self.running[entry] = true
    local task, result, err = get_result(self, entry)
    local line, is_saved
    if result then
        line, err, is_saved = save(self, entry, task, result)
        if not line then err.paid = true end
    end
    self.running[entry] = nil
    if line then
        self.finished, self.in_a_row, self.undelivered = self.finished + 1, 0, 0
        return self.on_end(entry, line)
    end
    if is_untouched(self, task, err) then
        self.halted = self.halted or err
    else
        failed(self, entry, task, err, is_saved)
    end
end

--- Processes the queue until it is empty or the run has stopped. Runs inside loop.run.
function BatchRunner:work()
    loop.each(self.concurrency, function() return next_entry(self) end, function(entry) process(self, entry) end)
end

--- Stops submitting. Running tasks continue.
function BatchRunner:stop()
    self.stopping = true
end

--- Returns the running tasks in the order of the list.
---@return { entry: flux2.cli.Entry, id: string? }[]
function BatchRunner:alive()
    local list = {}
    for entry, task in pairs(self.running) do
        list[#list + 1] = { entry = entry, id = type(task) == "table" and task.id and text.clean(task.id, 100) or nil }
    end
    table.sort(list, function(a, b) return (a.entry.line or 0) < (b.entry.line or 0) end)
    return list
end

return batch_runner
