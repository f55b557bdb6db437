--- A local emulator of the service, for development and tests without credits.
-- It runs on its own threads, so a script that blocks can use it, and listens on 127.0.0.1 only. This file checks names
-- and resolves response templates; csrc/emulator/ implements the service.

local is_preloaded = package.preload["flux2.emulator.core"] -- by the specs under Wine, from Linux
if package.config:sub(1, 1) == "\\" and not is_preloaded then
    error("flux2.emulator does not run on Windows: start `flux2 emulator` in WSL, and set FLUX2_BASE_URL and " ..
        "FLUX2_API_KEY as it says", 0)
end
local core = require "flux2.load_core" "flux2.emulator.core"
local suggest = require "flux2.suggest"
local tables = require "flux2.tables"
local validate = require "flux2.validate"

local emulator = {}

--- Templates of a task's response by name: JSON with the placeholders `"$task_id"`, `"$status"`, `"$progress"`,
--- `"$url"`, `"$b64"` and `"$created"`; `{"$json": X}` is X encoded as a string. Members without a value are omitted.
--- An array element with `"$url"` or `"$b64"` is repeated for each image. `shape` also takes the text of a template.
-- "output_image_url", the default, is an assumption about this service; the other shapes are known from clients of this
-- service and of similar services.
emulator.shapes = {}

local function in_data(members)
    return '{"code":200,"message":"success","data":{"task_id":"$task_id","status":"$status","progress":"$progress",'
        .. members .. "}}"
end

emulator.shapes.output_image_url = in_data '"output":{"image_url":"$url"}'
emulator.shapes.output_string = in_data '"output":"$url"'
emulator.shapes.output_array = in_data '"output":["$url"]'
emulator.shapes.result_images = in_data '"result":{"images":[{"url":"$url"}]}'
emulator.shapes.result_images_nested = in_data '"result":{"images":[{"url":["$url"]}]}'
emulator.shapes.result_strings = in_data '"result":["$url"]'
emulator.shapes.result_objects = in_data '"result":[{"type":"image","url":"$url"}]'
emulator.shapes.images = in_data '"images":[{"url":"$url"}]'
emulator.shapes.image_url = in_data '"image_url":"$url"'
emulator.shapes.url = in_data '"url":"$url"'
emulator.shapes.result_urls = in_data '"result_urls":["$url"]'
emulator.shapes.response_result_urls = in_data '"response":{"result_urls":["$url"]}'
emulator.shapes.openai_url =
    '{"created":"$created","task_id":"$task_id","status":"$status","progress":"$progress","data":[{"url":"$url"}]}'
emulator.shapes.openai_b64 =
    '{"created":"$created","task_id":"$task_id","status":"$status","progress":"$progress","data":[{"b64_json":"$b64"}]}'
emulator.shapes.result_json =
    '{"code":200,"msg":"success","data":{"taskId":"$task_id","state":"$status","progress":"$progress",'
    .. '"resultJson":{"$json":{"resultUrls":["$url"]}}}}'
emulator.shapes.state_field =
    '{"code":200,"data":{"task_id":"$task_id","state":"$status","progress":"$progress","output":{"image_url":"$url"}}}'
emulator.shapes.top_level =
    '{"task_id":"$task_id","status":"$status","progress":"$progress","output":{"image_url":"$url"}}'
--- A success without an image, to test clients.
emulator.shapes.no_image = in_data '"note":"this response contains no image"'

--- Templates of the error of a failed task by name, merged into its response. `"$reason"` is the reason.
emulator.failure_shapes = {
    error_string = [[{"data":{"error":"$reason"}}]],
    error_object = [[{"data":{"error":{"code":"task_failed","message":"$reason"}}}]],
    fail_reason = [[{"data":{"fail_reason":"$reason"}}]],
    failMsg = [[{"data":{"failCode":"500","failMsg":"$reason"}}]],
    top_error = [[{"error":{"message":"$reason","type":"task_failed"}}]],
    no_reason = [[{}]],
}

--- The dialect of each provider of flux2, by its name.
emulator.dialects = { apiin = "flux2", bfl = "bfl" }

--- The settings of a dialect that its responses need; others override them.
local DIALECTS = {
    bfl = {
        shape = '{"id":"$task_id","status":"$status","result":{"sample":"$url"},"progress":"$progress"}',
        failure_shape = '{"details":{"error":"$reason"}}',
        moderation_shape = '{"details":{"Moderation Reasons":["$reason"]}}',
        status_words = { running = "Pending", succeeded = "Ready", failed = "Error", moderated = "Request Moderated" },
        moderation_reason = "Derivative Works Filter",
        progress = "fraction",
        max_active_tasks = 24,
        max_body_bytes = 64 * 2 ^ 20, -- input images in Base64
    },
}

local setting_names, fault_fields = core.settings, core.fault_fields
local is_setting, is_fault_field = tables.set(setting_names), tables.set(fault_fields)

local function mistake(what, name, known)
    local nearest = type(name) == "string" and suggest.nearest(name, known)
    local hint = nearest and (", did you mean %s?"):format(nearest) or ""
    return ("flux2.emulator: unknown %s %s%s"):format(what, tostring(name), hint)
end

-- The following functions raise errors at the caller of a public function. Therefore public functions do not use tail
-- calls, which would remove their stack frame.

--- Raises an error unless `options` is a table with names in `set` only.
local function check_names(options, set, names, what, level)
    if type(options) ~= "table" then
        error(("flux2.emulator: a table of %ss expected, got %s"):format(what, type(options)), level + 1)
    end
    for name in pairs(options) do
        if not set[name] then error(mistake(what, name, names), level + 1) end
    end
end

--- Returns the template for a name or the text of a template.
local function resolve(shape, shapes, what)
    if type(shape) ~= "string" or shape:find "^%s*{" or shapes[shape] then return shapes[shape] or shape end
    error(mistake(what, shape, tables.names(shapes)), 4)
end

--- Returns a checked copy of the settings for the core.
local function prepare(options)
    check_names(options, is_setting, setting_names, "setting", 3)
    local settings = tables.merge({}, DIALECTS[options.dialect], options)
    settings.shape = resolve(settings.shape, emulator.shapes, "shape")
    settings.failure_shape = resolve(settings.failure_shape, emulator.failure_shapes, "failure_shape")
    return settings
end

---@class flux2.Emulator A running or stopped emulator.
---@field url string "http://127.0.0.1:PORT", for the client's base_url
---@field api_key string the only valid API key
---@field port integer the port, on 127.0.0.1
---@field private core userdata
---@field private page? flux2.Tester
local Emulator = {}
Emulator.__index = Emulator

---@class flux2.EmulatorSettings All settings are optional. `false` means the default. (*): at the start only.
---@field port integer? (*) TCP port, default 0: any free port
---@field seed integer? (*) seed number of ids, durations, failures and images; without it only images are
--- reproducible
---@field log_requests integer? (*) number of requests that `requests()` keeps, default 1000
---@field log_body_bytes integer? (*) number of bytes that are kept of each body, default 32768
---@field image_cache_bytes integer? (*) size of the cache of drawn images in bytes, default 64 MiB
---@field api_key string? default "aio_emulator_key"
---@field credits number? available credits, default 1000000
---@field flex_2k_credits number? price in credits of flex at 2K, default 12, which is arbitrary: the service publishes
--- no price
---@field rate_limit table|false|nil { requests = n, per_seconds = s, submissions_only = bool }; beyond it: 429
---@field max_active_tasks integer? maximum number of unfinished tasks, default 0: unlimited; beyond it: 429
---@field retry_after_format string? "seconds" (default) or "date"
---@field max_body_bytes integer? maximum size of a request body in bytes, default 1 MiB; beyond it: 413
---@field rejection_word string? a prompt with this word is refused with 422, default "[reject]"; "" disables each word
---@field duration number|number[]? duration of a task in seconds, or { min, max }; default { 1.5, 3 }
---@field failure_rate number? share of tasks that fail, 0 to 1, default 0
---@field failure_word string? a task whose prompt has this word fails, default "[fail]"
---@field failure_reason string? the reason of a failed task
---@field moderation_word string? a task whose prompt has this word is moderated, default "[moderate]"
---@field moderation_reason string? default "Request Moderated"
---@field shape string? a name of `emulator.shapes` or the text of a template, default "output_image_url"
---@field failure_shape string? a name of `emulator.failure_shapes` or the text of a template, default "error_string"
---@field moderation_shape string? the same for a moderated task, as the text of a template; default "{}": failure_shape
---@field status_words table? { running = "IN_PROGRESS", succeeded = "SUCCESS", failed = "FAILED", moderated = failed }
---@field progress string? "percent" (default: 0 to 100), "fraction" (0 to 1), "string" ("50%") or "none"
---@field sync string? "none" (default), "url" or "b64_json": a submission gets its response when the image is finished,
--- in the format of OpenAI's Images API
---@field dialect string? "flux2" (default); "bfl": the API of Black Forest Labs, with its own defaults of the shapes,
--- status_words, moderation_reason, progress, max_active_tasks and max_body_bytes; "openai": accepts requests of
--- OpenAI's SDK (n, size, quality,
--- response_format, user), also at /v1/images/generations, and responds in OpenAI's format, errors included, when all
--- images are finished. `sync` is the default of response_format
---@field latency number|number[]? seconds before each response, or { min, max }; default 0
---@field image_bytes integer? size of each image in bytes, a tiny PNG with padding; default 0: drawn images
---@field images_per_task integer? number of images per task, default 1
---@field image_ttl number? lifetime of an image URL in seconds; default 0: unlimited. A later poll returns new URLs
---@field image_expired_status integer? HTTP status of an expired image URL, default 404
---@field image_path string? path of image URLs, default "/images"
---@field image_base_url string? base of image URLs, default "": the URL of the emulator
---@field image_content_type string? default "image/png"
---@field max_requests_per_connection integer? number of requests after which a connection is closed with `Connection:
--- close`; default 0: unlimited
---@field idle_close number? whole seconds after which an idle connection is closed; default 0: never

--- Starts an emulator. Raises an error for an unknown or invalid setting.
---@param settings flux2.EmulatorSettings? default: the defaults of all settings
---@return flux2.Emulator? emu nil if the port is in use or a system resource is exhausted
---@return string? err
-- Example: `local emu = assert(require("flux2.emulator").start { duration = 0.1 })`
function emulator.start(settings)
    local prepared = prepare(settings == nil and {} or settings)
    local ran, handle, url, port = pcall(core.start, prepared)
    if not ran then error("flux2.emulator: " .. handle, 2) end
    if not handle then
        local err, is_misuse = "flux2.emulator: " .. url, port
        if is_misuse then error(err, 2) end
        return nil, err
    end
    local api_key = prepared.api_key or "aio_emulator_key"
    return setmetatable({ core = handle, url = url, port = port, api_key = api_key }, Emulator)
end

--- Executes a command of the core. Raises its error at the caller of the public function.
local function call(emu, command, argument)
    local ran, result, err = pcall(core.call, emu.core, command, argument)
    if not ran then result, err = nil, result end
    if result == nil and err then error("flux2.emulator: " .. err, 3) end
    return result
end

--- Changes settings. Requests in progress keep the old settings. Raises an error as `start` does.
---@param settings flux2.EmulatorSettings the settings to change
-- Example: `emu:set { failure_rate = 0.1 }`
function Emulator:set(settings)
    validate.receiver(self, Emulator, "emu:set")
    local prepared = prepare(settings)
    call(self, "set", prepared)
    if prepared.api_key ~= nil then self.api_key = prepared.api_key or "aio_emulator_key" end
end

--- Returns counters since the start.
---@return table stats requests, submissions (accepted), polls, downloads, connections (opened), open_connections,
--- bytes_out (of bodies), credits_left, faults_fired, by_status = { [200] = n, ... } (0: no response)
-- Example: `assert(emu:stats().submissions == 1)`
function Emulator:stats()
    validate.receiver(self, Emulator, "emu:stats")
    local stats = call(self, "stats")
    local by_status = {}
    for status, count in pairs(stats.by_status) do by_status[tonumber(status)] = count end
    stats.by_status = by_status
    return stats
end

--- Returns all accepted and charged submissions in order.
---@return table[] entries task_id, model, prompt, type, resolution, aspect_ratio, input_urls, credits, at (seconds
--- since the start), body (the received JSON), and the members of `task`: state, reason, duration, polls
-- Example: `assert(emu:ledger()[1].prompt == "a red fox")`
function Emulator:ledger()
    validate.receiver(self, Emulator, "emu:ledger")
    return (call(self, "ledger"))
end

--- Returns the latest requests, oldest first.
---@return table[] entries number (1 for the first since the start), method, path (with the query), status (0: no
--- response), at, connection (number), headers (lower-case names), body, fault (index of the applied fault)
-- Example: `print(emu:requests()[1].headers["user-agent"])`
function Emulator:requests()
    validate.receiver(self, Emulator, "emu:requests")
    return (call(self, "requests"))
end

--- Returns the current state of a task, as an entry of the ledger.
---@param task_id string as task.id
---@return table? task nil if unknown; state is "running", "succeeded" or "failed"
-- Example: `assert(emu:task(task.id).state == "succeeded")`
function Emulator:task(task_id)
    validate.receiver(self, Emulator, "emu:task")
    return (call(self, "task", task_id))
end

--- Finishes running tasks immediately with their planned outcome.
---@param task_id string? default: all tasks
---@return integer count number of tasks that were running
-- Example: `emu:finish(task.id)`
function Emulator:finish(task_id)
    validate.receiver(self, Emulator, "emu:finish")
    return (call(self, "finish", task_id))
end

--- Makes the next accepted submissions fail.
---@param count integer? number of submissions, default 1
---@param reason string? default: the setting failure_reason
-- Example: `emu:fail_next(1, "the model is being replaced")`
function Emulator:fail_next(count, reason)
    validate.receiver(self, Emulator, "emu:fail_next")
    call(self, "fail_next", { count = count or 1, reason = reason })
end

--- Expires all image URLs issued so far.
-- Example: `emu:expire_images()`
function Emulator:expire_images()
    validate.receiver(self, Emulator, "emu:expire_images")
    call(self, "expire_images")
end

---@class flux2.EmulatorFault The requests that a fault applies to, and its effects.
---@field method string? default: any
---@field path string? path without query; `*` matches any characters; default: any
---@field nth integer|integer[]? number of the matching request since the call of `fault`, or { first, last }
---@field every integer? the number n to affect each n-th matching request
---@field chance number? probability, 0 to 1, seeded
---@field times integer? maximum number of applications; default 1 without nth, every and chance, else unlimited
---@field status integer? HTTP status of the replaced response, with `headers` and `body`
---@field headers table<string, string|number>? additional headers
---@field body string? replaced body of any bytes, default status 200; `{task_id}` and `{url}` (of the emulator) are
--- replaced
---@field redirect string? Location header, default status 302
---@field retry_after string|number? Retry-After header, default status 429
---@field delay number? seconds before the response
---@field trickle table|true|nil { bytes = n, interval = seconds }: sends n bytes of the body at a time
---@field cut integer? closes the connection after this many bytes of the body, despite Content-Length
---@field reset string? resets the connection: "before" the body is read, or "after" the request is processed
---@field close string? closes the connection regularly: "before" or "after", as `reset`
---@field garbage boolean|string|nil sends these bytes instead of HTTP; true: random bytes
---@field endless boolean? sends an endless body: `body`, then "x"
---@field endless_headers boolean? sends headers without end
---@field bomb integer? sends a gzip body that expands to this many bytes
---@field hang boolean? never responds, until the client disconnects or the emulator stops
---@field accept boolean? whether the request is processed (a submission is accepted and charged) although the response
--- is replaced. Default: true for an unchanged response, reset = "after", close = "after" and hang, else false

--- Adds a fault. If several faults apply to a request, the first one is used.
---@param fault flux2.EmulatorFault the requests and the effects
---@return integer index the value of `fault` in `requests()`
-- Example: `emu:fault { method = "GET", path = "/api/v1/tasks/*", nth = 2, status = 503, retry_after = 1 }`
function Emulator:fault(fault)
    validate.receiver(self, Emulator, "emu:fault")
    check_names(fault, is_fault_field, fault_fields, "fault field", 2)
    return (call(self, "fault", fault))
end

--- Returns the faults.
---@return table[] faults index, seen (matching requests), fired (applications)
-- Example: `assert(emu:faults()[1].fired == 1)`
function Emulator:faults()
    validate.receiver(self, Emulator, "emu:faults")
    return (call(self, "faults"))
end

--- Removes all faults. Requests in progress keep theirs.
-- Example: `emu:clear_faults()`
function Emulator:clear_faults()
    validate.receiver(self, Emulator, "emu:clear_faults")
    call(self, "clear_faults")
end

--- Blocks until the number of requests since the start is reached, `seconds` have elapsed or a signal arrives.
---@param seconds number maximum time in seconds
---@param requests integer? number of requests; nil: waits for the time only
---@return boolean reached
-- Example: `assert(emu:wait(5, 2))`
function Emulator:wait(seconds, requests)
    validate.receiver(self, Emulator, "emu:wait")
    return core.wait(self.core, seconds, requests)
end

--- Returns the API tester in the browser for this emulator. The first call starts the tester, with the current API key;
--- it stops with the emulator. The tester works while the program is busy. Raises an error if it cannot be started.
---@param port integer? TCP port, for the first call; default 0: any free port
---@return flux2.Tester tester
-- Example: `print(emu:tester().url)`
function Emulator:tester(port)
    validate.receiver(self, Emulator, "emu:tester")
    if not self.page then
        local page, err = require("flux2.tester").start {
            base_url = self.url, api_key = self.api_key, port = port, emulator = true,
        }
        if not page then error("flux2.emulator: " .. err, 2) end
        self.page = page
    end
    return self.page
end

--- Stops the emulator: closes all connections and the port. Its data stays readable. Idempotent.
-- Example: `emu:stop()`
function Emulator:stop()
    validate.receiver(self, Emulator, "emu:stop")
    if self.page then self.page:stop() end
    core.stop(self.core)
end

Emulator.__close = Emulator.stop

function Emulator:__tostring()
    return ("flux2.Emulator(%s)"):format(self.url)
end

return emulator
