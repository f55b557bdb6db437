--- A client: one key, one base URL, one set of limits. Turns requests into tasks.
-- All clients of a Lua state share the engine and its connections.

local budget = require "flux2.budget"
local core = require "flux2.core"
local error_mapping = require "flux2.error_mapping"
local input_images = require "flux2.input_images"
local errors = require "flux2.errors"
local Map = require "flux2.map"
local validate = require "flux2.validate"
local request = require "flux2.request"
local scheduler = require "flux2.scheduler"
local config = require "flux2.config"
local Task = require "flux2.task"
local tables = require "flux2.tables"
local text = require "flux2.text"
local transport = require "flux2.transport"
local waits = require "flux2.waits"

---@class flux2.Client One key, one base URL, one set of limits; made by flux2.new.
local Client = {}
Client.__index = Client
Client.__name = "flux2.Client"

local TASK_OPTIONS = {
    on_done = "function", on_request = "function", on_progress = "function", on_status = "function",
    timeout = "seconds",
}
local SUBMIT_OPTIONS = tables.merge({ price = "credits", save = "string" }, TASK_OPTIONS)
local RECOVER_OPTIONS = { timeout = "seconds" }
local STATUS_OPTIONS = { poll_url = "string", timeout = "seconds" }
local ADOPT_OPTIONS = tables.merge({ poll_url = "string" }, TASK_OPTIONS)
local MAP_OPTIONS = tables.merge({ concurrency = "positive", ordered = "boolean" }, SUBMIT_OPTIONS,
    { save = "function" })

--- Makes a client, for flux2.new.
---@private
---@param given? flux2.Options
---@param level integer
---@return flux2.Client?
---@return flux2.Error?
function Client.new(given, level)
    local read, err = config.read(given, level + 1)
    if not read then return nil, err end
    scheduler.start()
    return setmetatable({ _config = read, _budget = budget.new(read.budget) }, Client)
end

function Client:__tostring()
    return "flux2.Client (" .. self._config.base_url .. ")"
end

local function listen(task, opts)
    if opts.on_status then task:on("status", opts.on_status) end
    if opts.on_progress then task:on("progress", opts.on_progress) end
    if opts.on_done then task:on("done", opts.on_done) end
    return task
end

--- Reserves the price, writes the record if there is a spool, and sends the submission.
--- `images`: the local input images, nil: none.
local function send(self, payload, body, images, opts, prefetch)
    -- A loop over prompts in a cancelled coroutine would pay for each, and wait for none.
    if waits.is_cancelled() then
        return nil, errors.new("cancelled", "nothing was sent, because the coroutine was cancelled")
    end
    local url = self._config.submit_url(payload)
    local price, unpublished = opts.price, nil
    if not price then price, unpublished = request.price(self._config.provider, payload) end
    local parts, size
    if images then body, parts, size = images:split(body, self._config.max_image_bytes) end
    if not body then return nil, parts end
    local reservation, err = self._budget:reserve(price, unpublished)
    if not reservation then return nil, err end
    local kind = request.kind(self._config.provider, payload)
    if images then images:describe(payload) end
    local key = self._config.provider.idempotency_header and core.token() .. core.token() or nil
    local submission = {
        idempotency = key, images = parts, size = size or #body, kind = kind,
        url = url, body = body, request = payload, price = price, is_estimated = not opts.price,
        timeout = opts.timeout, reservation = reservation,
        on_request = opts.on_request, prefetch = prefetch, save = opts.save,
    }
    local task
    if self._config.spool then
        local resend = key and not parts and { key = key, body = body } or nil
        submission.record, err = self._config.spool:record(self._config, payload, price, resend)
    end
    if not err then
        task, err = Task.submit(self._config, submission, function(fresh) listen(fresh, opts) end)
    end
    if not task then
        reservation:release()
        return nil, err
    end
    return task
end

local function submit(self, given, opts, level, prefetch)
    local images
    if opts.save and opts.save:find "%z" then
        local message = "cannot write " .. text.show(opts.save) .. ": a file name must not contain a NUL byte"
        return nil, errors.new("io", message)
    end
    if type(given) == "table" and given.input_images ~= nil then
        given, images = input_images.place(self._config, given, opts.timeout or self._config.timeout)
        if not given then return nil, images end
    end
    local payload, err = request.build(self._config.provider, given, level + 1)
    if not payload then return nil, err end
    local body
    body, err = request.encode(self._config.provider, payload)
    if not body then return nil, err end
    return send(self, payload, body, images, opts, prefetch)
end

local function generate(self, given, opts, level)
    local until_ = core.now() + (opts.timeout or self._config.timeout)
    local task, err = submit(self, given, opts, level + 1, true)
    if not task then return nil, err end
    local result
    result, err = task:wait()
    if not result then
        if err.kind == "cancelled" then task:cancel() end -- no other code has a reference to this task
        return nil, err
    end
    local image, fetched = result.images[1], opts.save
    image.result = result
    if not fetched then fetched, err = image:buffer(until_ - core.now()) end
    if not fetched then return nil, err end
    return image
end

--- Submits a request and returns at once. The request is checked before anything is sent. Only the upload of
--- local `input_images`, to a gateway or by the option `upload`, is waited for: yields in a coroutine, blocks outside
--- one. With `save` the first image is downloaded into that file as soon as the task has ended, even while the program
--- is busy; then the task is done.
---@param given string|flux2.Request a prompt, or a table with prompt, type, resolution, aspect_ratio, input_urls, extra
---@param opts? { save: string?, timeout: number?, price: number?, on_status: function?, on_progress: function?,
---  on_done: function?, on_request: (fun(task: flux2.Task, info: flux2.RequestInfo))? } save is the path of a file, and
---  is checked before anything is sent: task:wait returns the error; timeout in seconds for the whole task, by default
---  the client's; price in credits, instead of the published one; the functions as for task:on, but on_request is
---  called after every HTTP request for the task, failed and repeated ones included
---@return flux2.Task? task
---@return flux2.Error? err "invalid_request" for a request that breaks a rule, "budget" if it would be exceeded, "io"
---  for a spool that cannot be written; task:wait returns later errors
-- Example: `local task = assert(client:submit { prompt = "a red fox", aspect_ratio = "16:9" })`
function Client:submit(given, opts)
    validate.receiver(self, Client, "client:submit")
    opts = validate.options("client:submit", opts, SUBMIT_OPTIONS, 2)
    local task, err = submit(self, given, opts, 2) -- no tail call: the error level counts this function
    return task, err
end

--- The URL at which a task is polled: from the caller, from its record in the spool, or made from its id. `what`: the
--- public function that calls this one.
local function find_urls(self, what, id, opts)
    local own, poll_url = self._config, opts.poll_url
    if type(id) ~= "string" then error(what .. ": a task id is a string, not " .. text.show(id), 3) end
    if id == "" or #id > core.id_max then
        local message = ("a task id has 1 to %d bytes; this one has %d"):format(core.id_max, #id)
        return nil, errors.new("invalid_request", message)
    end
    if poll_url and not transport.may_poll_at(own, poll_url) then
        local message = "the key may not go to poll_url " .. text.show(poll_url) .. ": see provider.origins"
        return nil, errors.new("invalid_request", message, { task_id = id })
    end
    if not poll_url and own.spool and #own.provider.response.poll_url > 0 then
        poll_url = own.spool:find_poll_url(own.base_url, id)
    end
    local url, reason = transport.task_url(own, id, poll_url)
    if url then return { url = url, poll_url = poll_url } end
    return nil, errors.new("invalid_request", reason .. "; give poll_url = task.poll_url", { task_id = id })
end

--- Polls a task that already exists, for instance after a timeout.
---@param id string as in task.id or err.task_id
---@param opts? { timeout: number?, on_status: function?, on_progress: function?, on_done: function?,
---  on_request: function?, poll_url: string? } timeout in seconds from now, by default the client's; the functions as
---  for submit; poll_url as in task.poll_url, for a provider that polls each task at a separate URL: by default from
---  the record in the spool
---@return flux2.Task? task
---@return flux2.Error? err "invalid_request" for an invalid task id, or if the poll URL is unknown; task:wait returns
---  later errors
-- Example: `local result, err = client:task(err.task_id):wait()`
function Client:task(id, opts)
    validate.receiver(self, Client, "client:task")
    opts = validate.options("client:task", opts, ADOPT_OPTIONS, 2)
    local task
    local urls, err = find_urls(self, "client:task", id, opts)
    if urls then task, err = Task.adopt(self._config, id, urls, opts.timeout, opts.on_request) end
    if not task then return nil, err end
    return listen(task, opts)
end

---@class flux2.TaskStatus The status of a task at the time of the call.
---@field id string the task
---@field state "running"|"succeeded"|"failed" according to the service
---@field status? string the status word of the service
---@field progress? number 0 to 1
---@field urls string[] of its images; they expire
---@field error? flux2.Error why it failed
---@field credits? number credits, according to the service

local function get_status(self, id, url, timeout)
    local event, request_error = transport.poll_once(self._config, id, url, timeout or self._config.timeout)
    if not event then return nil, request_error end
    local state = error_mapping.states[event.verdict]
    local err = event.error and error_mapping.of(event, transport.context(self._config, id))
    if not state or (state == "succeeded" and err) then return nil, err end
    local urls = {}
    for _, image in ipairs(event.images or {}) do urls[#urls + 1] = image.url end
    return {
        id = id, state = state, status = event.status, progress = state == "succeeded" and 1 or event.progress,
        urls = urls, error = err, credits = event.credits,
    }
end

--- Requests the status of a task once, without polling it. Yields in a coroutine, blocks outside one.
---@param id string as in task.id or err.task_id
---@param opts? { timeout: number?, poll_url: string? } timeout in seconds, by default the client's; poll_url as for
---  client:task
---@return flux2.TaskStatus? status
---@return flux2.Error? err kind "not_found" for a task that is unknown to the service, "invalid_request" if the poll
---  URL is unknown
-- Example: `print(assert(client:status "n41xxxx_flux2").state)`
function Client:status(id, opts)
    validate.receiver(self, Client, "client:status")
    opts = validate.options("client:status", opts, STATUS_OPTIONS, 2)
    local status
    local urls, err = find_urls(self, "client:status", id, opts)
    if urls then status, err = get_status(self, id, urls.url, opts.timeout) end
    return status, err
end

--- Generates an image: submits, waits, and downloads it into memory or, with `save`, into a file. The download begins
--- as soon as the task has ended, even while the program is busy. Yields in a coroutine, blocks outside one.
---@param given string|flux2.Request as for submit
---@param opts? { save: string?, timeout: number?, price: number?, on_status: function?, on_progress: function?,
---  on_done: function?, on_request: function? } save is the path of a file; timeout in seconds covers everything;
---  price in credits and the functions as for submit
---@return flux2.Image? image
---@return flux2.Error? err of any kind, with task_id if the task was accepted
-- Example: `assert(client:generate("a red fox", { save = "fox.png" }))`
function Client:generate(given, opts)
    validate.receiver(self, Client, "client:generate")
    opts = validate.options("client:generate", opts, SUBMIT_OPTIONS, 2)
    local image, err = generate(self, given, opts, 2)
    return image, err
end

--- Generates many images with bounded concurrency. The iterator returns `index, image, err` in the order in which they
--- finish or, with `ordered`, in the order of the prompts. It reads the next prompt only when it can be submitted. One
--- failure does not stop the rest. Leaving the loop cancels the running tasks: at once on Lua 5.4; on other versions
--- when the iterator is collected, or by its `close`. Yields in a coroutine, blocks outside one.
---@param iterable table|fun(): any prompts or requests: a list, or a function that returns the next one, nil at the end
---@param opts? { concurrency: integer?, ordered: boolean?, save: (fun(index: integer, request: any): string)?,
---  timeout: number?, price: number?, on_status: function?, on_progress: function?, on_done: function?,
---  on_request: function? } concurrency: the number of tasks at once, default 4; save returns the path of each file;
---  timeout in seconds for each; price in credits for each; the functions as for submit
---@return flux2.Map iterator returns the index, then an image, or nil and a flux2.Error of any kind
-- Example: `for i, image, err in client:map(prompts, { concurrency = 8 }) do print(i, image or err) end`
function Client:map(iterable, opts)
    validate.receiver(self, Client, "client:map")
    opts = validate.options("client:map", opts, MAP_OPTIONS, 2)
    if type(iterable) ~= "table" and type(iterable) ~= "function" then
        error("client:map: a list or a function that returns the next prompt is needed, not " .. text.show(iterable), 2)
    end
    local key = type(iterable) == "table" and iterable[1] == nil and next(iterable) or nil
    if key ~= nil then
        error("client:map: a list of prompts is needed; this table has no item 1, but the key " .. text.show(key), 2)
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
        local own = tables.merge({}, opts)
        own.save = path
        return generate(self, item, own, 2)
    end)
end

--- Runs the code of flux2.new and of a submission once, without effect. The first run of any code reads its pages from
--- the file, which takes a part of a millisecond: at start-up, and not in a frame.
---@private
function Client.warm_up()
    local read = config.read({ api_key = "warm-up", base_url = "https://flux2.invalid", log = false }, 1)
    if not read then return end
    read.tasks = read.max_tasks -- so that the submission is refused
    setmetatable({ _config = read, _budget = budget.new() }, Client):submit "warm up"
end

--- Estimates the price of a request, from the provider's prices or the option `prices`. Sends nothing.
---@param given string|flux2.Request as for submit
---@return number? credits an estimate: the service determines the price
---@return string? reason why there is no price
---@return string? source of the prices: where and when they were published
-- Example: `print(client:estimate { prompt = "a red fox", type = "flex" })`
function Client:estimate(given)
    validate.receiver(self, Client, "client:estimate")
    local credits, reason, source = request.price(self._config.provider, given, 2)
    return credits, reason, source
end

--- Credits of the accepted submissions: what the service says that they cost, or else their estimate or the given
--- `price`; a task without any of these counts as 0.
--- Tasks from client:recover are not included.
---@return number spent credits
---@return number reserved credits of submissions without a response yet, or of unknown outcome; they count against the
---  budget
-- Example: `print(client:spent())`
function Client:spent()
    validate.receiver(self, Client, "client:spent")
    return self._budget.spent, self._budget.reserved
end

--- With `spool`: returns the tasks that earlier runs paid for and did not collect, because of a crash or a timeout.
--- They are polled from their first `wait` or `on`; `request` is what was submitted. A submission to a gateway without
--- a known outcome is sent again then, for a day after it: the gateway returns the same task for the same key. Tasks of
--- running programs are not included. A record is removed when its image is saved or read, when its task has failed, or
--- by `discard()`.
---@param opts? { timeout: number? } timeout in seconds for each task from its first wait, by default the client's
---@return flux2.Task[]? tasks oldest first
---@return flux2.Record[]|flux2.Error unknown submissions that may have been accepted, with `request`, `submitted` and
---  `discard()`: they are returned until they are discarded. After nil an error: "invalid_request" for a client without
---  a spool, "io" for one that cannot be read
---@return { path: string, reason: string }[]? damaged records that cannot be read: each may be of a paid image. Check
---  them before submitting again; they are returned until the file `path` is removed
---@return table<string, integer>? others the number of records of other services, by their base URL: a client with that
---  base URL returns them
-- Example: `for _, task in ipairs(assert(client:recover())) do task:wait().images[1]:save(task.id .. ".png") end`
function Client:recover(opts)
    validate.receiver(self, Client, "client:recover")
    opts = validate.options("client:recover", opts, RECOVER_OPTIONS, 2)
    local spool = self._config.spool
    if not spool then
        return nil, errors.new("invalid_request", "this client has no spool: give flux2.new { spool = directory }")
    end
    local found, unknown, damaged, others = spool:recover(self._config)
    if not found then return nil, unknown end
    local tasks = {}
    for i, record in ipairs(found) do tasks[i] = Task.recovered(self._config, record, opts.timeout) end
    return tasks, unknown, damaged, others
end

return Client
