--- A client: one key, one base URL, one set of limits. Turns requests into tasks.
-- Owns its settings. Every client of a Lua state shares the engine and its connections.

local core = require "flux2.core"
local errors = require "flux2.errors"
local Map = require "flux2.map"
local options = require "flux2.options"
local pricing = require "flux2.pricing"
local request = require "flux2.request"
local settings = require "flux2.settings"
local Task = require "flux2.task"
local text = require "flux2.text"

---@class flux2.Client
local Client = {}
Client.__index = Client
Client.__name = "flux2.Client"

local LONGEST_ID = 512

local SUBMIT_OPTIONS = { on_done = "function", on_progress = "function", on_status = "function", timeout = "seconds" }
local GENERATE_OPTIONS = { save = "string" }
local MAP_OPTIONS = { concurrency = "positive", ordered = "boolean", save = "function" }
for name, kind in pairs(SUBMIT_OPTIONS) do
    GENERATE_OPTIONS[name] = kind
    MAP_OPTIONS[name] = kind
end

--- See flux2.new.
---@param given? table
---@param level integer
---@return flux2.Client?
---@return flux2.Error?
function Client.new(given, level)
    local read, err = settings.read(given, level + 1)
    if not read then return nil, err end
    return setmetatable({ _settings = read }, Client)
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

local function submit(self, given, opts, level)
    local payload, err = request.build(given, level + 1)
    if not payload then return nil, err end
    local body
    body, err = request.encode(payload)
    if not body then return nil, err end
    local task
    task, err = Task.submit(self._settings, body, pricing.estimate(payload) or nil, opts.timeout)
    if not task then return nil, err end
    return listen(task, opts)
end

local function generate(self, given, opts, level)
    local until_ = core.now() + (opts.timeout or self._settings.timeout)
    if opts.save then
        -- Before a credit is spent.
        local ok, reason = core.check_file(opts.save)
        if not ok then return nil, errors.new("io", "cannot write " .. text.show(opts.save) .. ": " .. reason) end
    end
    local task, err = submit(self, given, opts, level + 1)
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
        fetched, err = image:bytes(left)
    end
    if not fetched then
        err.task_id = err.task_id or task.id
        return nil, err
    end
    return image
end

--- Submits a request and returns at once. The request is checked before anything is sent.
---@param given string|flux2.Request a prompt, or a table with prompt, type, resolution, aspect_ratio, input_urls, extra
---@param opts? { timeout: number?, on_status: function?, on_progress: function?, on_done: function? } timeout in
---  seconds for the whole task, by default the client's
---@return flux2.Task? task
---@return flux2.Error? err
-- Example: `local task = assert(client:submit { prompt = "a red fox", aspect_ratio = "16:9" })`
function Client:submit(given, opts)
    opts = options.check("client:submit", opts, SUBMIT_OPTIONS, 2)
    return submit(self, given, opts, 2)
end

--- Takes up a task that already exists, for instance one that a time-out left at the service.
---@param id string
---@param opts? { timeout: number?, on_status: function?, on_progress: function?, on_done: function? }
---@return flux2.Task? task
---@return flux2.Error? err
-- Example: `local result, err = client:task(err.task_id):wait()`
function Client:task(id, opts)
    opts = options.check("client:task", opts, SUBMIT_OPTIONS, 2)
    if type(id) ~= "string" then error("client:task: a task id is a string, not " .. text.show(id), 2) end
    if id == "" or #id > LONGEST_ID then
        return nil, errors.new("invalid_request", "a task id has 1 to " .. LONGEST_ID .. " bytes; this one has " .. #id)
    end
    local task, err = Task.adopt(self._settings, id, opts.timeout)
    if not task then return nil, err end
    return listen(task, opts)
end

--- From a prompt to a picture: submits, waits, and fetches into memory, or with `save` straight into a file. Yields in
--- a coroutine, blocks outside one.
---@param given string|flux2.Request
---@param opts? { save: string?, timeout: number?, on_status: function?, on_progress: function?, on_done: function? }
---  timeout in seconds covers everything
---@return flux2.Image? image
---@return flux2.Error? err with task_id once the service has accepted it
-- Example: `assert(client:generate("a red fox", { save = "fox.png" }))`
function Client:generate(given, opts)
    opts = options.check("client:generate", opts, GENERATE_OPTIONS, 2)
    return generate(self, given, opts, 2)
end

--- Generates many, with a bounded number at once. The iterator gives `index, image, err` in the order in which they
--- finish, or in the order given with `ordered`. It asks for the next prompt only when there is room; one failure does
--- not stop the rest; leaving the loop cancels what is still running (at once on Lua 5.4; before, when the iterator is
--- collected, or by its `close`). Yields in a coroutine, blocks outside one.
---@param iterable table|fun(): any prompts or requests: a list, or a function that returns the next one and at last nil
---@param opts? { concurrency: integer?, ordered: boolean?, save: (fun(index: integer, request: any): string)?,
---  timeout: number?, on_status: function?, on_progress: function?, on_done: function? } concurrency is 4; save names
---  the file for each; timeout in seconds is for each
---@return fun(): integer?, flux2.Image?, flux2.Error?
-- Example: `for i, image, err in client:map(prompts, { concurrency = 8 }) do ... end`
function Client:map(iterable, opts)
    opts = options.check("client:map", opts, MAP_OPTIONS, 2)
    if type(iterable) ~= "table" and type(iterable) ~= "function" then
        error("client:map: a list or a function that returns the next prompt is needed, not " .. text.show(iterable), 2)
    end
    return Map.new(iterable, opts, function(item, index)
        if type(item) ~= "string" and type(item) ~= "table" then
            return nil, errors.new("invalid_request", "a prompt or a request is needed, not " .. text.show(item))
        end
        return generate(self, item, {
            save = opts.save and opts.save(index, item), timeout = opts.timeout, on_status = opts.on_status,
            on_progress = opts.on_progress, on_done = opts.on_done,
        }, 2)
    end)
end

return Client
