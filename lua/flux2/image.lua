--- A finished image: downloaded into memory, or streamed to a file by the engine.

local core = require "flux2.core"
local error_mapping = require "flux2.error_mapping"
local errors = require "flux2.errors"
local metadata = require "flux2.metadata"
local transport = require "flux2.transport"
local image_signature = require "flux2.image_signature"
local text = require "flux2.text"
local validate = require "flux2.validate"

---@class flux2.Image A finished image, at the service or in memory.
---@field url? string the URL at the service; it expires
---@field content_type? string according to the service or, after the download, to its first bytes
---@field path? string the file to which it was last saved
---@field result? flux2.Result its result, if client:generate made it
local Image = {}
Image.__index = Image
Image.__name = "flux2.Image"

-- `_state`, the place of the bytes, and the type of `_data`:
--   "remote"     at `url`; nil
--   "arriving"   being prefetched: a flux2.Prefetch
--   "embedded"   from a response, not checked yet: a flux2.Buffer
--   "buffer"     in memory: a flux2.Buffer
--   "string"     in memory: a string
--   "base64"     in memory, encoded: a string
local function set(self, state, data)
    self._state, self._data = state, data
end

--- Makes an image, for Task.
---@private
---@param config table
---@param given table url or buffer, content_type
---@param origin? { task_id: string?, poll_url: string?, index: integer?, record: flux2.Record?,
---  prefetch: flux2.Prefetch?, made: table? } its task, the poll URL of that, if any, and its place among the images;
---  the record of the task in the spool; the started download; what its metadata is made of, nil: it has none
---@return flux2.Image
function Image.new(config, given, origin)
    origin = origin or {}
    local self = setmetatable({
        url = given.url, content_type = given.content_type, _config = config, _task_id = origin.task_id,
        _poll_url = origin.poll_url, _index = origin.index, _record = origin.record, _made = origin.made,
        _born = core.now(),
    }, Image)
    if given.buffer then
        set(self, "embedded", given.buffer)
    elseif origin.prefetch then
        set(self, "arriving", origin.prefetch)
    else
        set(self, "remote")
    end
    return self
end

--- The image was saved or returned to the caller. It leaves the spool.
local function collected(self)
    if self._record then self._record:collected() end
    self._record = nil
end

function Image:__tostring()
    return "flux2.Image (" .. text.clean(self.path or self.url or "in memory", 200) .. ")"
end

--- Returns the metadata for a file; nil if it gets none.
local function describe(self)
    local made = self._made
    return made and metadata.of(self._config, {
        time = made.time, request = made.request, task_id = self._task_id or "",
    }) or nil
end

--- Starts the download, or takes the prefetch, and waits for it. With a path the engine streams into that file; with
--- `as_base64` it encodes the bytes on its own thread.
local function download(self, path, seconds, as_base64)
    local prefetch = self._state == "arriving" and self._data
    if prefetch and prefetch.path == path and not as_base64 then
        set(self, "remote")
        return prefetch:take(seconds, self._task_id)
    end
    local task_url = self._task_id and transport.task_url(self._config, self._task_id, self._poll_url) or nil
    local spec = {
        url = self.url, file = transport.absolute(path), metadata = path and describe(self), base64 = as_base64,
        check = true, deadline = seconds, patient = true, task_url = task_url, task_profile = self._config.service,
        index = self._index,
    }
    return transport.download(self._config, spec, self._task_id)
end

local function read_failure(self, event, path)
    local err = error_mapping.of(event, {
        url = self.url, download = true, task_id = self._task_id,
        limit = self._config.max_image_bytes, limit_name = "max_image_bytes",
        max_redirects = self._config.max_redirects, key = self._config.get_key(),
    })
    if event.failure == "io" then
        err.message = "cannot write " .. text.show(path) .. ": " .. (event.message or "?")
    end
    return err
end

--- Notes the type of a downloaded image, and its URL, which may be a fresh one.
local function note_download(self, event)
    self.url = event.url or self.url
    local signature = image_signature.list[event.signature]
    self.content_type = signature and signature.content_type or self.content_type
end

--- Downloads. An image may be missing because the storage of the service is late, or because its URL has expired.
--- Therefore the engine repeats the download for `poll.patience`, with a fresh URL from the task.
local function fetch(self, path, timeout, as_base64)
    -- The engine knows 0 as no limit.
    local event, reason = download(self, path, math.max(timeout or self._config.timeout, 0.001), as_base64)
    if not event then return nil, reason end
    note_download(self, event)
    if event.error then return nil, read_failure(self, event, path) end
    return event
end

--- Checks an embedded image, at its first use.
local function check(self)
    local content_type = image_signature.type(self._data:string(image_signature.size))
    if not content_type then
        return nil, errors.new("not_an_image", "the data in the response is " .. image_signature.NONE,
            { task_id = self._task_id })
    end
    if not core.is_whole_image(self._data) then
        return nil, errors.new("not_an_image", ("the image in the response is truncated after %d bytes"):format(
            #self._data), { task_id = self._task_id })
    end
    self.content_type = content_type
    set(self, "buffer", self._data)
    return true
end

--- Whether no download is needed.
function Image:_is_in_memory()
    return self._state ~= "remote" and self._state ~= "arriving"
end

--- Marks an error: a finished task is paid for.
function Image:_paid(err)
    err.paid, err.task_id = true, err.task_id or self._task_id
    return err
end

--- Ensures that the image is in memory, as received or as Base64.
local function load(self, timeout, as_base64)
    if self._state == "embedded" then
        local ok, wrong = check(self)
        return ok, wrong and self:_paid(wrong)
    end
    if self:_is_in_memory() then return true end
    local event, err = fetch(self, nil, timeout, as_base64)
    if not event then return nil, self:_paid(err) end
    if as_base64 then
        set(self, "base64", event.buffer:string())
    else
        set(self, "buffer", event.buffer)
    end
    return true
end

--- The bytes of an image in memory, as a string or a buffer.
local function decoded(self)
    if self._state == "base64" then set(self, "string", (core.unbase64(self._data))) end
    return self._data
end

--- Returns the bytes of the image. Downloads them once, then keeps them. Yields in a coroutine, blocks outside one.
---@param timeout? number seconds, by default the client's
---@return string? bytes
---@return flux2.Error? err "timeout", "network" and other kinds; "not_found" if the URL has expired and the service
---  returns no new one; "not_an_image" and "too_large" for invalid data
-- Example: `local png = assert(image:bytes())`
function Image:bytes(timeout)
    validate.receiver(self, Image, "image:bytes")
    validate.timeout("image:bytes", timeout)
    local ok, err = load(self, timeout)
    if not ok then return nil, err end
    local bytes = decoded(self)
    if self._state == "buffer" then set(self, "string", bytes:string()) end
    collected(self)
    return self._data
end

---@class flux2.Buffer The bytes of an image, not copied into a Lua string. `#buffer` is their number.
---@field string fun(self: flux2.Buffer): string returns a copy as a string
---@field pointer fun(self: flux2.Buffer): userdata returns the address, for LuaJIT's ffi; valid while the buffer is
---  referenced

--- Returns the bytes of the image without a copy: copying 8 MB into a Lua string takes milliseconds. Downloads them
--- once. Yields in a coroutine, blocks outside one.
---@param timeout? number seconds, by default the client's
---@return flux2.Buffer? buffer
---@return flux2.Error? err as for image:bytes: "timeout", "network", "not_an_image" and the like
-- Example: `local buffer = assert(image:buffer()); ffi.copy(target, buffer:pointer(), #buffer)`
function Image:buffer(timeout)
    validate.receiver(self, Image, "image:buffer")
    validate.timeout("image:buffer", timeout)
    local ok, err = load(self, timeout)
    if not ok then return nil, err end
    local bytes = decoded(self)
    collected(self)
    return self._state == "buffer" and bytes or core.buffer(bytes)
end

--- Returns the image as Base64: standard alphabet, padded, one line. Downloads it once; the engine's thread encodes it.
--- Yields in a coroutine, blocks outside one.
---@param timeout? number seconds, by default the client's
---@return string? text
---@return flux2.Error? err as for image:bytes: "timeout", "network", "not_an_image" and the like
-- Example: `local html = "<img src=\"data:" .. image.content_type .. ";base64," .. assert(image:base64()) .. "\">"`
function Image:base64(timeout)
    validate.receiver(self, Image, "image:base64")
    validate.timeout("image:base64", timeout)
    local ok, err = load(self, timeout, true)
    if not ok then return nil, err end
    local encoded = self._state == "base64" and self._data or core.base64(self._data)
    collected(self)
    return encoded
end

--- Saves the image. The engine streams a download into the file, in constant memory. The file appears only when it is
--- whole; a failure leaves no file. With the option `metadata` of flux2.new a PNG or JPEG says how it was made. An
--- image of another type, or with a C2PA manifest or an XMP packet, stays as it is, and `path`.json says it. Yields in
--- a coroutine, blocks outside one.
---@param path string the file; its folder must exist
---@param timeout? number seconds, by default the client's
---@return string? path
---@return flux2.Error? err "io" if the file cannot be written, else as for image:bytes
-- Example: `assert(image:save "garden.png")`
function Image:save(path, timeout)
    validate.receiver(self, Image, "image:save")
    if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
        error("image:save: path must be a string that is not empty, not " .. text.show(path), 2)
    end
    validate.timeout("image:save", timeout)
    if self:_is_in_memory() then
        local ok, reason = load(self)
        if not ok then return nil, reason end
        ok, reason = core.save_image(path, decoded(self), self._config.spool ~= nil, describe(self))
        if not ok then
            local message = "cannot write " .. text.show(path) .. ": " .. reason
            return nil, self:_paid(errors.new("io", message))
        end
    else
        local event, err = fetch(self, path, timeout)
        if not event then return nil, self:_paid(err) end
    end
    self.path = path
    collected(self)
    return path
end

--- Returns the bytes for an open file, beside which there is no place for metadata.
local function with_metadata(self, bytes)
    local texts = describe(self)
    if not texts then return bytes end
    return core.with_metadata(bytes, texts)
end

--- On Windows a write to stdout would add a carriage return before each line feed.
local function write_all(file, bytes)
    local is_text = file == io.stdout and package.config:sub(1, 1) == "\\"
    local ok, reason = file:write(is_text and "" or bytes)
    if ok then ok, reason = file:flush() end
    if ok and is_text then ok, reason = core.write_output(bytes) end
    return ok, reason
end

--- Writes the bytes of the image into an open file, such as io.stdout. The option `metadata` applies as for
--- image:save, but nothing is written beside the file. The record leaves the spool when all bytes are written and
--- flushed. Yields in a coroutine, blocks outside one.
---@param file file* open for writing
---@param timeout? number seconds, by default the client's
---@return boolean? written
---@return flux2.Error? err "io" if the file cannot be written, else as for image:bytes
-- Example: `assert(image:write(io.stdout))`
function Image:write(file, timeout)
    validate.receiver(self, Image, "image:write")
    if io.type(file) ~= "file" then
        error("image:write: an open file is needed, not " .. (io.type(file) and "a closed one" or text.show(file)), 2)
    end
    validate.timeout("image:write", timeout)
    local ok, err = load(self, timeout)
    if not ok then return nil, err end
    local bytes, written, reason
    bytes, reason = with_metadata(self, decoded(self))
    if bytes then written, reason = write_all(file, type(bytes) == "string" and bytes or bytes:string()) end
    if not written then return nil, self:_paid(errors.new("io", "cannot write the image: " .. tostring(reason))) end
    collected(self)
    return true
end

return Image
