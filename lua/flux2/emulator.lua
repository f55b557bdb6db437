--- The service on this machine: what games are developed against without spending credits, and what every spec runs on.
-- It runs on threads of its own, so that a script that blocks can still talk to it, and listens on 127.0.0.1 only.
-- This file knows the settings by name and the shapes of answers; what the service does is in csrc/emulator/.

local core = require "flux2.emulator.core"
local suggest = require "flux2.suggest"

local emulator = {}

--- The shapes of a task's answer by name: JSON with `"$task_id"`, `"$status"`, `"$progress"`, `"$url"`, `"$b64"`,
--- `"$created"` where those go, and `{"$json": X}` for X as a string. What has nothing to say yet is left out; an
--- element of an array that says `"$url"` or `"$b64"` comes once for each image. `shape` takes such a text as well.
-- Only "output_image_url", the default, and the answer to a submission are the emulator's idea of this service; the
-- others are what clients of it and of its neighbours have seen.
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
--- A success without a picture: not an answer of any service, but one that a client must survive.
emulator.shapes.no_image = in_data '"note":"there is no image in this answer"'

--- Where the reason of a failure goes, by name; laid over the shape of a task that failed. `"$reason"` is the reason.
emulator.failure_shapes = {
    error_string = [[{"data":{"error":"$reason"}}]],
    error_object = [[{"data":{"error":{"code":"task_failed","message":"$reason"}}}]],
    fail_reason = [[{"data":{"fail_reason":"$reason"}}]],
    failMsg = [[{"data":{"failCode":"500","failMsg":"$reason"}}]],
    top_error = [[{"error":{"message":"$reason","type":"task_failed"}}]],
    no_reason = [[{}]],
}

local function names_of(map)
    local names = {}
    for name in pairs(map) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function set_of(names)
    local set = {}
    for _, name in ipairs(names) do set[name] = true end
    return set
end

local setting_names, fault_fields = core.settings(), core.fault_fields()
local is_setting, is_fault_field = set_of(setting_names), set_of(fault_fields)

local function mistake(what, name, known)
    local nearest = type(name) == "string" and suggest.nearest(name, known)
    local hint = nearest and (", did you mean %s?"):format(nearest) or ""
    return ("flux2.emulator: unknown %s %s%s"):format(what, tostring(name), hint)
end

-- What follows raises at the caller of the public function that calls it, whose frame must be there: such a function
-- never ends in a tail call.

--- `options` must be a table whose names are all in `set`.
local function check_names(options, set, names, what, level)
    if type(options) ~= "table" then
        error(("flux2.emulator: a table of %ss expected, got %s"):format(what, type(options)), level + 1)
    end
    for name in pairs(options) do
        if not set[name] then error(mistake(what, name, names), level + 1) end
    end
end

--- A shape by name, or the text of one.
local function resolve(shape, shapes, what)
    if type(shape) ~= "string" or shape:find "^%s*{" or shapes[shape] then return shapes[shape] or shape end
    error(mistake(what, shape, names_of(shapes)), 4)
end

--- A copy of the caller's settings as the core takes them.
local function prepare(options)
    check_names(options, is_setting, setting_names, "setting", 3)
    local settings = {}
    for name, value in pairs(options) do settings[name] = value end
    settings.shape = resolve(options.shape, emulator.shapes, "shape")
    settings.failure_shape = resolve(options.failure_shape, emulator.failure_shapes, "failure_shape")
    return settings
end

---@class flux2.Emulator One emulator that runs, or has run.
---@field url string "http://127.0.0.1:PORT", the client's base_url
---@field api_key string the one key that the emulator takes
---@field port integer the port, on 127.0.0.1
---@field private core userdata
---@field tester_url string the API tester in the browser, on this emulator; started when it is first asked for
---@field private page? flux2.Tester
local Emulator = {}

function Emulator.__index(self, name)
    if name == "tester_url" then return Emulator.tester(self).url end
    return Emulator[name]
end

---@class flux2.EmulatorSettings Everything is optional. `false` means the default. (*): at the start only.
---@field port integer? (*) the port; default 0: the kernel picks a free one
---@field seed integer? (*) the number that chance begins with: ids, durations, failures and pictures repeat;
--- without it only pictures do
---@field log_requests integer? (*) how many requests `requests()` remembers, default 1000
---@field log_body_bytes integer? (*) how many bytes of each body are remembered, default 32768
---@field picture_cache_bytes integer? (*) drawn pictures kept in memory, default 64 MiB
---@field api_key string? default "aio_emulator_key"
---@field credits number? credits that are left to spend, default 1000000
---@field flex_2k_credits number? the price of flex at 2K. The service publishes none: the default of 12 is the
--- emulator's own invention, and says nothing about the service
---@field rate_limit table|false|nil { requests = n, per_seconds = s, submissions_only = bool }: beyond it 429
---@field retry_after_format string? "seconds" (default) or "date"
---@field max_body_bytes integer? a longer request is refused with 413, default 1 MiB
---@field rejection_word string? a prompt with it is refused with 422, default "[reject]"; "" for none, as below
---@field duration number|number[]? seconds that a task runs, or { least, most }; default { 1.5, 3 }
---@field failure_rate number? the share of tasks that fail, 0 to 1, default 0
---@field failure_word string? a prompt with it fails, default "[fail]"
---@field failure_reason string? what a failed task says of itself
---@field moderation_word string? a prompt with it ends as moderated, default "[moderate]"
---@field moderation_reason string? default "Request Moderated"
---@field shape string? a name of `emulator.shapes` or the JSON text of one, default "output_image_url"
---@field failure_shape string? a name of `emulator.failure_shapes` or the JSON text of one, default "error_string"
---@field status_words table? { running = "IN_PROGRESS", succeeded = "SUCCESS", failed = "FAILED", moderated = failed }
---@field progress string? "percent" (default: 0 to 100), "fraction" (0 to 1), "string" ("50%") or "none"
---@field sync string? "none" (default), "url" or "b64_json": a submission is answered when its picture is there,
--- in the shape of OpenAI's Images API
---@field dialect string? "flux2" (default) or "openai": submissions, at /v1/images/generations too, are read as
--- OpenAI's SDK sends them (n, size, quality, response_format, user), answered when all their pictures are there,
--- drawn in the size that was asked for; what is wrong is told in OpenAI's words. `sync` says what comes
--- without response_format
---@field latency number|number[]? seconds before each answer, or { least, most }; default 0
---@field image_bytes integer? each picture is a tiny PNG padded to this many bytes, which costs no drawing; default 0:
--- drawn in full
---@field images_per_task integer? how many pictures a task brings, default 1
---@field image_ttl number? seconds that an image's URL works; default 0: for ever. Asking for the task again gives a
--- fresh URL
---@field image_expired_status integer? the HTTP status that an expired URL answers, default 404
---@field image_path string? where images are, default "/images"
---@field image_base_url string? what image URLs begin with, default "": the emulator's own URL
---@field image_content_type string? default "image/png"
---@field max_requests_per_connection integer? how many requests; the last answer says `Connection: close`; default 0:
---  no limit
---@field idle_close number? whole seconds after which a kept-alive connection is closed; default 0: never

--- Starts an emulator. Raises on a setting that does not exist or makes no sense.
---@param settings flux2.EmulatorSettings? without them, the defaults
---@return flux2.Emulator? emu nil when the port is taken, or the machine out of something
---@return string? err
-- Example: `local emu = assert(require("flux2.emulator").start { duration = 0.1 })`
function emulator.start(settings)
    local prepared = prepare(settings == nil and {} or settings)
    local ran, handle, err, misuse = pcall(core.start, prepared)
    if not ran then error("flux2.emulator: " .. handle, 2) end
    if not handle then
        err = "flux2.emulator: " .. err
        if misuse then error(err, 2) end
        return nil, err
    end
    return setmetatable({
        core = handle,
        url = core.url(handle),
        port = core.port(handle),
        api_key = prepared.api_key or "aio_emulator_key",
    }, Emulator)
end

--- Calls a verb of the core; what it complains of is the caller's mistake.
local function call(emu, verb, argument)
    local ran, result, err = pcall(core.call, emu.core, verb, argument)
    if not ran then result, err = nil, result end
    if result == nil and err then error("flux2.emulator: " .. err, 3) end
    return result
end

--- Changes settings while it runs. A request that has begun ends under the old ones. Raises as `start` does.
---@param settings flux2.EmulatorSettings those that change
-- Example: `emu:set { failure_rate = 0.1 }`
function Emulator:set(settings)
    local prepared = prepare(settings)
    call(self, "set", prepared)
    if prepared.api_key ~= nil then self.api_key = prepared.api_key or "aio_emulator_key" end
end

--- Counters since the start.
---@return table stats requests, submissions (accepted), polls, downloads, connections (opened), open_connections,
--- bytes_out (of bodies), credits_left, faults_fired, by_status = { [200] = n, ... } (0: no answer was given)
-- Example: `assert(emu:stats().submissions == 1)`
function Emulator:stats()
    local stats = call(self, "stats")
    local by_status = {}
    for status, count in pairs(stats.by_status) do by_status[tonumber(status)] = count end
    stats.by_status = by_status
    return stats
end

--- Every submission that was accepted, and charged for, in order.
---@return table[] entries task_id, model, prompt, type, resolution, aspect_ratio, input_urls, credits, at (seconds
--- since the start), body (the JSON as it came), and as in `task`: state, reason, duration, polls
-- Example: `assert(emu:ledger()[1].prompt == "a red fox")`
function Emulator:ledger()
    return (call(self, "ledger"))
end

--- The last requests, oldest first.
---@return table[] entries method, path (with the query), status (0: no answer was given), at, connection (its number),
--- headers (by name in lower case), body, fault (index, if one fired)
-- Example: `print(emu:requests()[1].headers["user-agent"])`
function Emulator:requests()
    return (call(self, "requests"))
end

--- One task as it stands: like an entry of the ledger.
---@param task_id string as task.id
---@return table? task nil if there is none; state is "running", "succeeded" or "failed"
-- Example: `assert(emu:task(task.id).state == "succeeded")`
function Emulator:task(task_id)
    return (call(self, "task", task_id))
end

--- Ends running tasks at once, as they would have ended.
---@param task_id string? nil: all of them
---@return integer count how many were running
-- Example: `emu:finish(task.id)`
function Emulator:finish(task_id)
    return (call(self, "finish", task_id))
end

--- Makes the next accepted submissions fail.
---@param count integer? how many, default 1
---@param reason string? default: the setting failure_reason
-- Example: `emu:fail_next(1, "the model is being replaced")`
function Emulator:fail_next(count, reason)
    call(self, "fail_next", { count = count or 1, reason = reason })
end

--- Makes every image URL that was given out so far an expired one.
-- Example: `emu:expire_images()`
function Emulator:expire_images()
    call(self, "expire_images")
end

---@class flux2.EmulatorFault  Which requests, and what goes wrong with them.
---@field method string? default: any
---@field path string? without the query; `*` stands for anything; default: any
---@field nth integer|integer[]? the n-th request that matches, counted from now, or { first, last }
---@field every integer? each k-th, counted from now
---@field chance number? 0 to 1, seeded
---@field times integer? at most so often. Without nth, every and chance the next `times` (default 1) that match
---@field status integer? the HTTP status that is answered instead, with `headers` and `body`
---@field headers table<string, string|number>? added to the answer
---@field body string? answered instead, any bytes, with 200 unless `status` says otherwise; `{task_id}` and `{url}`
--- (of the emulator) are filled in
---@field redirect string? Location, with 302 unless `status` says otherwise
---@field retry_after string|number? Retry-After, with 429 unless `status` says otherwise
---@field delay number? seconds before the answer
---@field trickle table|true|nil { bytes = n, interval = seconds }: the body so many bytes at a time
---@field cut integer? the connection ends after so many bytes of the body, for all that Content-Length says
---@field reset string? "before": the connection is reset, the body unread; "after": once the request was processed
---@field close string? the same with an orderly end of the connection
---@field garbage boolean|string|nil these bytes on the wire instead of HTTP; true: noise
---@field endless boolean? the body (what `body` says, then "x") never ends
---@field endless_headers boolean? the headers never end
---@field bomb integer? a gzip body that expands to so many blanks, a byte each
---@field hang boolean? never answered, until the client leaves or the emulator stops
---@field accept boolean? whether the request is processed (a submission accepted and charged), whatever is answered.
--- Default: false if something else is answered than the normal answer, but true for reset = "after",
--- close = "after" and hang

--- Makes something go wrong. Of several faults that are due the first one counts.
---@param fault flux2.EmulatorFault which requests, and what goes wrong with them
---@return integer index which `requests()` names where it fired
-- Example: `emu:fault { method = "GET", path = "/api/v1/tasks/*", nth = 2, status = 503, retry_after = 1 }`
function Emulator:fault(fault)
    check_names(fault, is_fault_field, fault_fields, "fault field", 2)
    return (call(self, "fault", fault))
end

--- The faults that are set.
---@return table[] faults index, seen (requests that matched), fired
-- Example: `assert(emu:faults()[1].fired == 1)`
function Emulator:faults()
    return (call(self, "faults"))
end

--- Removes all faults. What has begun to go wrong goes on doing so.
-- Example: `emu:clear_faults()`
function Emulator:clear_faults()
    call(self, "clear_faults")
end

--- Blocks until so many requests have been seen since the start, `seconds` passed or a signal came.
---@param seconds number at most so many seconds
---@param requests integer? how many; nil: only wait
---@return boolean reached
-- Example: `assert(emu:wait(5, 2))`
function Emulator:wait(seconds, requests)
    return core.wait(self.core, seconds, requests)
end

--- The API tester on this emulator, which is started when it is first asked for and ends with it. It works whatever
--- the program does meanwhile, with the key that the emulator has at its start. `emu.tester_url` is its address. Raises
--- when it cannot be started.
---@param port integer? the port, the first time; default 0: the kernel picks a free one
---@return flux2.Tester tester
-- Example: `print(emu.tester_url)`
function Emulator:tester(port)
    if not rawget(self, "page") then
        local page, err = require("flux2.tester").start {
            base_url = self.url, api_key = self.api_key, port = port, emulator = true,
        }
        if not page then error("flux2.emulator: " .. err, 3) end
        self.page = page
    end
    return self.page
end

--- Stops it: connections end, the port is free. What it knows can still be asked. Twice does nothing.
-- Example: `emu:stop()`
function Emulator:stop()
    if rawget(self, "page") then self.page:stop() end
    core.stop(self.core)
end

Emulator.__close = Emulator.stop

function Emulator:__tostring()
    return ("flux2.Emulator(%s)"):format(self.url)
end

return emulator
