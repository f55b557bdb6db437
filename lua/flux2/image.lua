--- A finished picture: fetched into memory, or streamed to a file by the engine.
-- Owns the bytes once they are here. Knows no task beyond asking it once for a fresh URL.

if jit then jit.off(true, true) end -- see flux2.scheduler

local base64 = require "flux2.base64"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exchange = require "flux2.exchange"
local response = require "flux2.response"
local text = require "flux2.text"

---@class flux2.Image A finished picture, at the service or here.
---@field url? string where the service put it; such links expire
---@field content_type? string by its first bytes once it was fetched, before that as the service says
---@field path? string where it was last saved
---@field result? flux2.Result what it came with, when client:generate made it
local Image = {}
Image.__index = Image
Image.__name = "flux2.Image"

-- A link that has expired, as services say it.
local GONE = { [403] = true, [404] = true, [410] = true }

--- Used by Task.
---@private
---@param settings table
---@param picture table url or b64, content_type
---@param refresh? fun(timeout: number): flux2.Picture?, flux2.Error? asks for the same picture anew
---@param task_id? string
---@param record? flux2.Record in the spool, until the picture is collected
---@param arrival? flux2.Arrival its download, which has begun
---@return flux2.Image
function Image.new(settings, picture, refresh, task_id, record, arrival)
    return setmetatable({
        url = picture.url, content_type = picture.content_type, _b64 = picture.b64, _settings = settings,
        _refresh = refresh, _task_id = task_id, _record = record, _arrival = arrival,
    }, Image)
end

--- Saved, or handed over: from here on the picture is the caller's.
local function collected(self)
    if self._record then self._record:collected() end
    self._record = nil
end

function Image:__tostring()
    return "flux2.Image (" .. text.clean(self.path or self.url or "in memory", 200) .. ")"
end

--- One download, unless it is on its way already. With a path the engine streams it there; with `as_base64` it encodes
--- it, on its own thread.
local function download(self, path, seconds, as_base64)
    local arrival = self._arrival
    if arrival and arrival.path == path and not as_base64 then
        self._arrival = nil
        return arrival:take(seconds, self._task_id)
    end
    local spec = { url = self.url, file = path, base64 = as_base64, check = true, deadline = seconds }
    return exchange.ask(self._settings.images, spec, self._task_id)
end

local function read_failure(self, event, path)
    local context = {
        url = self.url, download = true, task_id = self._task_id,
        limit = self._settings.max_image_bytes, limit_name = "max_image_bytes",
        max_redirects = self._settings.max_redirects,
    }
    local err
    if event.failure then
        err = exchange.failure(event, context)
        if event.failure == "io" then
            err.message = "cannot write " .. text.show(path) .. ": " .. (event.message or "?")
        end
    else
        err = response.http_error(event.http_status, event.body, exchange.info(event, context))
    end
    return exchange.redact(err, self._settings.key)
end

--- Downloads, and asks the task for a fresh link if this one has expired.
local function fetch(self, path, timeout, as_base64)
    local until_ = core.now() + (timeout or self._settings.timeout)
    for attempt = 1, 2 do
        local event, reason = download(self, path, math.max(until_ - core.now(), 0.001), as_base64)
        if not event then return nil, reason end
        if not event.failure and event.http_status < 300 then
            local signature = response.signatures[event.signature]
            self.content_type = signature and signature.content_type or self.content_type
            return event
        end
        local err = read_failure(self, event, path)
        if attempt == 2 or not self._refresh or not GONE[event.http_status] then return nil, err end
        local picture = self._refresh(math.max(until_ - core.now(), 0.001))
        if not picture or not picture.url then return nil, err end
        self.url = picture.url
    end
end

--- What came inside the answer itself.
local function decode(self)
    local bytes, reason = base64.decode(self._b64)
    if not bytes then
        return nil, errors.new("protocol", "the picture in the answer is not Base64: " .. tostring(reason),
            { task_id = self._task_id })
    end
    local content_type = response.image_type(bytes)
    if not content_type then
        return nil, errors.new("not_an_image", "what the answer holds is not an image (PNG, JPEG, WEBP, GIF or AVIF " ..
            "by its first bytes)", { task_id = self._task_id })
    end
    self.content_type = content_type
    return bytes
end

local function check_timeout(what, timeout)
    if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
        error(what .. ": timeout must be a number of seconds, not " .. text.show(timeout), 3)
    end
end

--- Sees to it that the picture is in memory: as `_bytes`, a string, or as `_buffer`.
local function get(self, timeout)
    if self._bytes or self._buffer then return true end
    if self._b64 then
        local bytes, err = decode(self)
        if not bytes then return nil, err end
        self._bytes, self._b64 = bytes, nil
    else
        local event, err = fetch(self, nil, timeout)
        if not event then return nil, err end
        self._buffer = event.buffer
    end
    return true
end

--- The bytes of the picture. Fetched once, then kept. Yields in a coroutine, blocks outside one.
---@param timeout? number seconds, by default the client's
---@return string? bytes
---@return flux2.Error? err "timeout", "network" and the like; "not_found" if the link has expired and the service gives
---  no new one; "not_an_image" and "too_large" for what is no picture to be kept
-- Example: `local png = assert(image:bytes())`
function Image:bytes(timeout)
    check_timeout("image:bytes", timeout)
    local ok, err = get(self, timeout)
    if not ok then return nil, err end
    if not self._bytes then self._bytes, self._buffer = self._buffer:string(), nil end
    collected(self)
    return self._bytes
end

---@class flux2.Buffer The bytes of a picture outside Lua's strings: `#buffer` is how many.
---@field string fun(self: flux2.Buffer): string a copy of them
---@field pointer fun(self: flux2.Buffer): userdata where they begin, for LuaJIT's ffi; valid while the buffer is
---  referenced

--- The bytes of the picture as the engine received them, without a copy: for programs that count milliseconds, where a
--- string of 8 MB takes some. Fetched once. Yields in a coroutine, blocks outside one.
---@param timeout? number seconds, by default the client's
---@return flux2.Buffer? buffer
---@return flux2.Error? err as for image:bytes: "timeout", "network", "not_an_image" and the like
-- Example: `local buffer = assert(image:buffer()); ffi.copy(target, buffer:pointer(), #buffer)`
function Image:buffer(timeout)
    check_timeout("image:buffer", timeout)
    local ok, err = get(self, timeout)
    if not ok then return nil, err end
    collected(self)
    return self._buffer or core.buffer(self._bytes)
end

local function get_base64(self, timeout)
    if self._bytes or self._buffer then return base64.encode(self._bytes or self._buffer) end
    if self._b64 and not self._is_ours then
        local bytes, err = decode(self)
        if not bytes then return nil, err end
        self._b64 = base64.encode(bytes) -- whatever variant it came in
    elseif not self._b64 then
        local event, err = fetch(self, nil, timeout, true)
        if not event then return nil, err end
        self._b64 = event.buffer:string()
    end
    self._is_ours = true
    return self._b64
end

--- The picture as Base64: standard, padded, on one line. Fetched once, and encoded by the engine's thread. Yields in a
--- coroutine, blocks outside one.
---@param timeout? number seconds, by default the client's
---@return string? text
---@return flux2.Error? err as for image:bytes: "timeout", "network", "not_an_image" and the like
-- Example: `local html = "<img src=\"data:" .. image.content_type .. ";base64," .. assert(image:base64()) .. "\">"`
function Image:base64(timeout)
    check_timeout("image:base64", timeout)
    local encoded, err = get_base64(self, timeout)
    if not encoded then return nil, err end
    collected(self)
    return encoded
end

--- Saves the picture. From its URL it is streamed by the engine, in constant memory; it appears under its name when it
--- is whole, and nothing is left if it fails. Yields in a coroutine, blocks outside one.
---@param path string the file; its folder must be there
---@param timeout? number seconds, by default the client's
---@return string? path
---@return flux2.Error? err "io" if the file cannot be written, else as for image:bytes
-- Example: `assert(image:save "garden.png")`
function Image:save(path, timeout)
    if type(path) ~= "string" or path == "" or path:find("%z") then
        error("image:save: path must be a string that is not empty, not " .. text.show(path), 2)
    end
    check_timeout("image:save", timeout)
    if self._bytes or self._buffer or self._b64 then
        local ok, reason = get(self, timeout)
        if not ok then return nil, reason end
        ok, reason = core.write_file(path, self._bytes or self._buffer, self._settings.spool ~= nil)
        if not ok then
            local message = "cannot write " .. text.show(path) .. ": " .. reason
            return nil, errors.new("io", message, { task_id = self._task_id })
        end
    else
        local event, err = fetch(self, path, timeout)
        if not event then return nil, err end
    end
    self.path = path
    collected(self)
    return path
end

return Image
