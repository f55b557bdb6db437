--- A client: one key, one base URL, one set of limits. Turns requests into tasks.
-- Owns its settings. Every client of a Lua state shares the engine and its connections.

if jit then jit.off(true, true) end -- see flux2.scheduler

local Arrival = require "flux2.arrival"
local budget = require "flux2.budget"
local core = require "flux2.core"
local errors = require "flux2.errors"
local look = require "flux2.look"
local Map = require "flux2.map"
local options = require "flux2.options"
local pricing = require "flux2.pricing"
local request = require "flux2.request"
local response = require "flux2.response"
local settings = require "flux2.settings"
local Task = require "flux2.task"
local text = require "flux2.text"

---@class flux2.Client One key, one base URL, one set of limits; made by flux2.new.
local Client = {}
Client.__index = Client
Client.__name = "flux2.Client"

local TASK_OPTIONS = {
    on_done = "function", on_exchange = "function", on_progress = "function", on_status = "function",
    timeout = "seconds",
}
local SUBMIT_OPTIONS = { price = "credits" }
local RECOVER_OPTIONS = { timeout = "seconds" }
local LOOK_OPTIONS = { timeout = "seconds" }
local GENERATE_OPTIONS = { save = "string" }
local MAP_OPTIONS = { concurrency = "positive", ordered = "boolean", save = "function" }
for name, kind in pairs(TASK_OPTIONS) do SUBMIT_OPTIONS[name] = kind end
for name, kind in pairs(SUBMIT_OPTIONS) do
    GENERATE_OPTIONS[name] = kind
    MAP_OPTIONS[name] = kind
end

--- See flux2.new.
---@private
---@param given? flux2.Options
---@param level integer
---@return flux2.Client?
---@return flux2.Error?
function Client.new(given, level)
    local read, err = settings.read(given, level + 1)
    if not read then return nil, err end
    return setmetatable({ _settings = read, _budget = budget.new(read.budget) }, Client)
end

function Client:__tostring()
    return "flux2.Client (" .. self._settings.base_url .. ")"
end

local function listen(task, opts)
    if opts.on_status then task:on("status", opts.on_status) end
    if opts.on_progress then task:on("progress", opts.on_progress) end
    if opts.on_done then task:on("done", opts.on_done) end
    return task
end

--- Puts the submission into the books, and sends it.
local function send(self, payload, body, opts, arrival)
    local price, unpublished = opts.price, nil
    if not price then price, unpublished = pricing.estimate(payload) end
    local reservation, err = self._budget:reserve(price, unpublished)
    if not reservation then return nil, err end
    local order = {
        body = body, request = payload, price = price, timeout = opts.timeout, reservation = reservation,
        on_exchange = opts.on_exchange, arrival = arrival,
    }
    local task
    if self._settings.spool then order.record, err = self._settings.spool:record(self._settings, payload, price) end
    if not err then
        task, err = Task.submit(self._settings, order, function(fresh) listen(fresh, opts) end)
    end
    if not task then
        reservation:release()
        return nil, err
    end
    return task
end

local function submit(self, given, opts, level, arrival)
    local payload, err = request.build(given, level + 1)
    if not payload then return nil, err end
    local body
    body, err = request.encode(payload, true)
    if not body then return nil, err end
    return send(self, payload, body, opts, arrival)
end

--- Before a credit is spent.
local function check_path(path)
    local ok, reason = false, "a file's name holds no NUL byte"
    if not path:find "%z" then ok, reason = core.check_file(path) end
    return not ok and errors.new("io", "cannot write " .. text.show(path) .. ": " .. reason) or nil
end

local function generate(self, given, opts, level)
    local until_ = core.now() + (opts.timeout or self._settings.timeout)
    if opts.save then
        local err = check_path(opts.save)
        if err then return nil, err end
    end
    local task, err = submit(self, given, opts, level + 1, Arrival.new(opts.save, until_))
    if not task then return nil, err end
    local result
    result, err = task:wait()
    if not result then
        -- Nobody else knows this task: whoever cancels the wait cancels the task.
        if err.kind == "cancelled" then task:cancel() end
        return nil, err
    end
    local image, left = result.images[1], math.max(until_ - core.now(), 0.001)
    image.result = result
    local fetched
    if opts.save then
        fetched, err = image:save(opts.save, left)
    else
        fetched, err = image:buffer(left)
    end
    if not fetched then
        err.task_id = err.task_id or task.id
        return nil, err
    end
    return image
end

--- Submits a request and returns at once. The request is checked before anything is sent.
---@param given string|flux2.Request a prompt, or a table with prompt, type, resolution, aspect_ratio, input_urls, extra
---@param opts? { timeout: number?, price: number?, on_status: function?, on_progress: function?, on_done: function?,
---  on_exchange: (fun(task: flux2.Task, exchange: flux2.Exchange))? } timeout in seconds for the whole task, by default
---  the client's; price in credits, in the place of the published one; the functions as for task:on, but on_exchange
---  hears of every single request that is made for the task, also of those that failed and are made again
---@return flux2.Task? task
---@return flux2.Error? err "invalid_request" for a request that breaks a rule, "budget" where there is one, "io" for a
---  spool that cannot be written; whatever happens later comes out of task:wait
-- Example: `local task = assert(client:submit { prompt = "a red fox", aspect_ratio = "16:9" })`
function Client:submit(given, opts)
    opts = options.check("client:submit", opts, SUBMIT_OPTIONS, 2)
    -- No tail call: the level of an error counts this function too.
    local task, err = submit(self, given, opts, 2)
    return task, err
end

--- What is wrong with a task id; a value of another type is raised.
local function check_id(what, id, level)
    if type(id) ~= "string" then error(what .. ": a task id is a string, not " .. text.show(id), level + 1) end
    if id ~= "" and #id <= response.longest_id then return nil end
    local message = ("a task id has 1 to %d bytes; this one has %d"):format(response.longest_id, #id)
    return errors.new("invalid_request", message)
end

--- Takes up a task that already exists, for instance one that a time-out left at the service.
---@param id string as task.id or err.task_id said
---@param opts? { timeout: number?, on_status: function?, on_progress: function?, on_done: function?,
---  on_exchange: function? } timeout in seconds from now, by default the client's; the functions as for submit
---@return flux2.Task? task
---@return flux2.Error? err "invalid_request" for what cannot be a task id; whatever happens later comes out of
---  task:wait
-- Example: `local result, err = client:task(err.task_id):wait()`
function Client:task(id, opts)
    opts = options.check("client:task", opts, TASK_OPTIONS, 2)
    local wrong = check_id("client:task", id, 2)
    if wrong then return nil, wrong end
    local task, err = Task.adopt(self._settings, id, opts.timeout, opts.on_exchange)
    if not task then return nil, err end
    return listen(task, opts)
end

--- Asks once how a task stands, and takes nothing up. Yields in a coroutine, blocks outside one.
---@param id string as task.id or err.task_id said
---@param opts? { timeout: number? } timeout in seconds, by default the client's
---@return flux2.Look? look
---@return flux2.Error? err kind "not_found" for a task that the service does not know
-- Example: `print(assert(client:look "n41xxxx_flux2").state)`
function Client:look(id, opts)
    opts = options.check("client:look", opts, LOOK_OPTIONS, 2)
    local wrong = check_id("client:look", id, 2)
    if wrong then return nil, wrong end
    local found, err = look(self._settings, id, opts.timeout)
    return found, err
end

--- From a prompt to a picture: submits, waits, and fetches into memory, or with `save` straight into a file. The
--- download begins as soon as the task has ended, also while the host is busy. Yields in a coroutine, blocks outside
--- one.
---@param given string|flux2.Request as for submit
---@param opts? { save: string?, timeout: number?, price: number?, on_status: function?, on_progress: function?,
---  on_done: function?, on_exchange: function? } save is the path of a file; timeout in seconds covers everything;
---  price in credits and the functions as for submit
---@return flux2.Image? image
---@return flux2.Error? err of any kind, with task_id once the service has accepted it
-- Example: `assert(client:generate("a red fox", { save = "fox.png" }))`
function Client:generate(given, opts)
    opts = options.check("client:generate", opts, GENERATE_OPTIONS, 2)
    local image, err = generate(self, given, opts, 2)
    return image, err
end

--- Generates many, with a bounded number at once. The iterator gives `index, image, err` in the order in which they
--- finish, or in the order given with `ordered`. It asks for the next prompt only when there is room; one failure does
--- not stop the rest; leaving the loop cancels what is still running (at once on Lua 5.4; before, when the iterator is
--- collected, or by its `close`). Yields in a coroutine, blocks outside one.
---@param iterable table|fun(): any prompts or requests: a list, or a function that returns the next one and at last nil
---@param opts? { concurrency: integer?, ordered: boolean?, save: (fun(index: integer, request: any): string)?,
---  timeout: number?, price: number?, on_status: function?, on_progress: function?, on_done: function?,
---  on_exchange: function? } concurrency: how many at once, 4 by default; save names the file for each; timeout in
---  seconds for each; price in credits for each; the functions as for submit
---@return flux2.Map iterator gives the index, then an image, or nil and a flux2.Error of any kind
-- Example: `for i, image, err in client:map(prompts, { concurrency = 8 }) do print(i, image or err) end`
function Client:map(iterable, opts)
    opts = options.check("client:map", opts, MAP_OPTIONS, 2)
    if type(iterable) ~= "table" and type(iterable) ~= "function" then
        error("client:map: a list or a function that returns the next prompt is needed, not " .. text.show(iterable), 2)
    end
    return Map.new(iterable, opts, function(item, index)
        if type(item) ~= "string" and type(item) ~= "table" then
            return nil, errors.new("invalid_request", "a prompt or a request is needed, not " .. text.show(item))
        end
        local path = opts.save and opts.save(index, item) or nil
        if path ~= nil and (type(path) ~= "string" or path == "") then
            local message = "save must give the path of a file, a string that is not empty, not " .. text.show(path)
            return nil, errors.new("invalid_request", message)
        end
        return generate(self, item, {
            save = path, timeout = opts.timeout, price = opts.price,
            on_status = opts.on_status, on_progress = opts.on_progress, on_done = opts.on_done,
            on_exchange = opts.on_exchange,
        }, 2)
    end)
end

--- Credits of the submissions that the service accepted, at the published price or the `price` that was given; a task
--- without either counts as 0. What recover finds was counted by the program that paid for it.
---@return number spent credits
---@return number reserved credits of what is not answered yet, or of unknown outcome: it counts against the budget all
---  the same
-- Example: `print(client:spent())`
function Client:spent()
    return self._budget.spent, self._budget.reserved
end

--- With `spool`: what an earlier run paid for and did not collect, because it crashed, was killed or gave up waiting.
--- The tasks are polled from their first `wait` or `on`, not before; their `request` says what they were. What another
--- program that is alive looks after is left to it. A record leaves the spool when its picture is saved or handed over,
--- when its task has failed for good, or by `discard()`.
---@param opts? { timeout: number? } timeout in seconds for each task from its first wait, by default the client's
---@return flux2.Task[]? tasks oldest first
---@return flux2.Record[]|flux2.Error unknown or, after nil, an error: "invalid_request" for a client without a spool,
---  "io" for one that cannot be read. Unknown are submissions that may have been accepted, with `request`, `submitted`
---  and `discard()`; they are listed again by later runs until they are discarded
---@return { path: string, reason: string }[]? damaged records that could not be read; each is kept as `path`
-- Example: `for _, task in ipairs(assert(client:recover())) do task:wait().images[1]:save(task.id .. ".png") end`
function Client:recover(opts)
    opts = options.check("client:recover", opts, RECOVER_OPTIONS, 2)
    local tray = self._settings.spool
    if not tray then
        return nil, errors.new("invalid_request", "this client has no spool: give flux2.new { spool = directory }")
    end
    local found, unknown, damaged = tray:recover(self._settings.base_url)
    if not found then return nil, unknown end
    local tasks = {}
    for i, record in ipairs(found) do tasks[i] = Task.recovered(self._settings, record, opts.timeout) end
    return tasks, unknown, damaged
end

return Client
