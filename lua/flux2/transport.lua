--- Single HTTP requests, and prefetched downloads: starts them and waits for their end.

local core = require "flux2.core"
local errors = require "flux2.errors"
local request_log = require "flux2.request_log"
local scheduler = require "flux2.scheduler"
local text = require "flux2.text"
local waits = require "flux2.waits"

local transport = {}

local is_windows = package.config:sub(1, 1) == "\\"

--- Returns an absolute path: the program may change its working directory before the engine opens the file.
---@param path? string
---@return string? absolute
function transport.absolute(path)
    if not path or path:find "^/" or is_windows and (path:find "^\\" or path:find "^%a:") then return path end
    local directory = core.directory "."
    return directory and directory .. "/" .. path or path
end

--- Waits for the end of a job. If the wait ends first, the job is cancelled. Yields in a coroutine, blocks outside one.
---@param id integer of the job
---@param latch flux2.Latch that opens at its end
---@param timeout? number seconds
---@param task_id? string for the error
---@return boolean? ended false after a timeout
---@return flux2.Error? err kind "cancelled"
local function await(id, latch, timeout, task_id)
    local open, reason = waits.await(latch, timeout)
    if open then return true end
    scheduler.cancel(id)
    if reason == "timeout" then return false end
    return nil, errors.new("cancelled", "the waiting coroutine was cancelled, and its request with it",
        { task_id = task_id })
end

--- Returns the handler of a transfer: it logs requests, and calls `on_end` at the end.
local function handler_of(config, kind, body, on_end)
    return function(name, event)
        if name == "ended" then return on_end(event) end
        local sent = {
            kind = kind == "download" and event.query and "poll" or kind, method = body and "POST" or "GET",
            url = event.url, size = body and #body or 0,
        }
        if config.log then request_log.write(config.log, request_log.info(event, sent, config.get_key())) end
    end
end

--- Starts a request with a profile of the client. `event` is set, and the latch opens, at its end.
local function begin(config, kind, profile, spec, task_id)
    local started = { latch = waits.latch() }
    local id, reason = scheduler.transfer(profile, spec, handler_of(config, kind, spec.body, function(ended)
        started.event = ended
        waits.open(started.latch)
    end))
    if not id then return nil, errors.new("io", "the engine could not start: " .. reason, { task_id = task_id }) end
    started.id = id
    return started
end

--- Makes a request and waits for its end. Yields in a coroutine, blocks outside one.
local function request(config, kind, profile, spec, task_id)
    local started, err = begin(config, kind, profile, spec, task_id)
    if not started then return nil, err end
    local _, cancelled = await(started.id, started.latch, nil, task_id)
    if cancelled then return nil, cancelled end
    return started.event
end

--- Whether a poll URL may receive the key.
---@param config table the client's
---@param poll_url string
---@return boolean
function transport.may_poll_at(config, poll_url)
    for _, origin in ipairs(config.origins) do
        if core.is_of_origin(poll_url, origin) then return true end
    end
    return false
end

--- Returns the URL at which a task is polled: `poll_url` if it may receive the key, else the route with the id.
---@param config table the client's
---@param id string
---@param poll_url? string from the response to the submission
---@return string? url
---@return string? reason why there is none
function transport.task_url(config, id, poll_url)
    if poll_url and transport.may_poll_at(config, poll_url) then return poll_url end
    if config.task_url then return (config.task_url:gsub("{id}", function() return core.escape(id) end)) end
    if poll_url then return nil, "the key may not go to its URL " .. text.show(poll_url) .. ": see provider.origins" end
    return nil, "provider " .. config.provider.name .. " polls a task at a URL of its own, and that is not known"
end

--- Downloads an image. Yields in a coroutine, blocks outside one.
---@param config table the client's
---@param spec table as for scheduler.transfer
---@param task_id? string for the error
---@return table? event the "ended" event, also of a failure
---@return flux2.Error? err the request was not started, or was cancelled with the waiting coroutine
function transport.download(config, spec, task_id)
    return request(config, "download", config.images, spec, task_id)
end

--- Polls a task once. Yields in a coroutine, blocks outside one.
---@param config table the client's
---@param id string for the error
---@param url string at which the task is polled
---@param timeout number seconds
---@return table? event
---@return flux2.Error? err
function transport.poll_once(config, id, url, timeout)
    return request(config, "poll", config.service, { url = url, deadline = timeout, kind = "task" }, id)
end

--- Starts to upload an image to a service that takes them. Several callers may wait for it.
---@param config table the client's
---@param bytes string
---@param timeout number seconds
---@return table? upload for transport.uploaded
---@return flux2.Error? err
function transport.upload(config, bytes, timeout)
    return begin(config, "upload", config.uploader, {
        url = config.upload_url, body = bytes, deadline = timeout,
        kind = "task", -- the response has the URL of an image
    })
end

--- Waits for the end of an upload. Yields in a coroutine, blocks outside one.
---@param upload table
---@return table? event
---@return flux2.Error? err kind "cancelled": the upload goes on, for others
function transport.uploaded(upload)
    if waits.await(upload.latch) then return upload.event end
    return nil, errors.new("cancelled", "the coroutine that waited for an upload was cancelled")
end

--- Returns the context of errors about requests to the service.
---@param config table the client's
---@param task_id? string
---@return flux2.ErrorContext
function transport.context(config, task_id)
    return {
        task_id = task_id, url = config.base_url, limit = config.max_response_bytes, limit_name = "max_response_bytes",
        key = config.get_key(), response = config.provider.response,
    }
end

---@class flux2.Prefetch One download that the engine starts at the end of a task, even while the program is busy.
---@field path? string the target file; nil: memory
local Prefetch = {}
Prefetch.__index = Prefetch

--- Prepares a prefetch. It starts at the end of a task.
---@param path? string
---@param until_ number the deadline of the download, in the time of core.now
---@param config table the client's
---@return flux2.Prefetch
function transport.prefetch(path, until_, config)
    -- All fields exist from the beginning, because `begin` must not allocate.
    return setmetatable({
        path = path, _until = until_, _latch = waits.latch(), _job = false, _event = false, _config = config,
    }, Prefetch)
end

--- The engine has started the download.
---@param id integer of the job
function Prefetch:begin(id)
    scheduler.adopt(id, handler_of(self._config, "download", nil, function(ended)
        self._event = ended
        waits.open(self._latch)
    end))
    self._job = id
end

--- Whether the download was started.
---@return boolean
function Prefetch:has_begun()
    return self._job ~= false
end

--- Calls `fn` when the download has ended.
---@param fn function called again if an allocation fails in it
function Prefetch:when_ended(fn)
    waits.when(self._latch, fn)
end

--- Cancels the download.
function Prefetch:cancel()
    if self._job then scheduler.cancel(self._job) end
end

--- Waits for the download. To be called once. Yields in a coroutine, blocks outside one.
---@param seconds number timeout
---@param task_id? string for the error
---@return table? event the "ended" event, also of a failure
---@return flux2.Error? err kind "cancelled"; the download is cancelled too
function Prefetch:take(seconds, task_id)
    -- The deadline itself is kept by the engine.
    local timeout = core.now() + seconds < self._until and seconds or nil
    local ended, err = await(self._job, self._latch, timeout, task_id)
    if err then return nil, err end
    return ended and self._event or { failure = "timeout", error = "timeout", retryable = true }
end

return transport
