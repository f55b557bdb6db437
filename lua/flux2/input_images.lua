--- The option `input_images` of a request: files, images of flux2, and bytes. Each becomes a URL or, where the provider
-- takes that, Base64 in the body, which the engine's thread reads and encodes while it sends it.

local core = require "flux2.core"
local error_mapping = require "flux2.error_mapping"
local errors = require "flux2.errors"
local Image = require "flux2.image"
local image_signature = require "flux2.image_signature"
local json = require "flux2.json"
local request = require "flux2.request"
local tables = require "flux2.tables"
local text = require "flux2.text"
local transport = require "flux2.transport"
local url = require "flux2.url"
local validate = require "flux2.validate"

local input_images = {}

local IMAGE_LIFETIME = 540 -- seconds for which the URL of a generated image is passed on

---@class flux2.InputFile A local image, for the option `upload` of flux2.new.
---@field bytes string
---@field content_type string such as "image/png"
---@field path? string the file; nil: the image is not from a file

local function invalid(index, message, kind)
    return nil, errors.new(kind or "invalid_request", "input_images[" .. index .. "] " .. message,
        { field = "input_images", index = index })
end

--- Returns the field of a provider that takes input images; nil if none does.
---@param provider table prepared
---@return flux2.ProviderField?
function input_images.field_of(provider)
    for _, field in ipairs(provider.fields) do
        if field.type == "urls" then return field end
    end
end

--- Refuses `input_images` in a request from another program: its strings would name files of this machine.
---@param given table
---@return flux2.Error? err kind "invalid_request"
function input_images.refuse(given)
    if given.input_images == nil then return nil end
    return errors.new("invalid_request", "input_images is for files of the program itself: give URLs in input_urls",
        { field = "input_images" })
end

-- Reading -------------------------------------------------------------------------------------------------------------

--- Checks type and size of an image. Returns nil and an error, or the entry.
local function check(config, index, entry, head, size)
    local content_type = image_signature.type(head)
    local what = entry.path and text.show(entry.path) or "(bytes)"
    if not content_type then
        return invalid(index, what .. " is " .. image_signature.NONE, "not_an_image")
    end
    if size > config.max_image_bytes then
        return invalid(index, ("%s has %s bytes, more than max_image_bytes (%s)"):format(what, text.number(size),
            text.number(config.max_image_bytes)), "too_large")
    end
    entry.content_type, entry.size = content_type, size
    return entry
end

local function read_file(config, index, path)
    local head, size
    if not path:find "%z" then head, size = core.file_head(path) else size = "a file name has no NUL byte" end
    if not head then return invalid(index, "cannot be read: " .. text.show(path) .. ": " .. size, "io") end
    return check(config, index, { path = path }, head, size)
end

local function read_bytes(config, index, bytes)
    if type(bytes) == "userdata" then
        local is_buffer, copy = pcall(function() return bytes:string() end)
        if not is_buffer then return invalid(index, "has no bytes: a string or a buffer of flux2 is needed") end
        bytes = copy
    end
    if type(bytes) ~= "string" then
        return invalid(index, "has no bytes: a string is needed, got " .. text.show(bytes))
    end
    return check(config, index, { bytes = bytes }, bytes:sub(1, image_signature.size), #bytes)
end

--- An image of flux2 passes its URL while that is alive, else its bytes or its file.
local function read_image(config, index, image)
    local is_fresh = image.url and core.now() - image._born < IMAGE_LIFETIME
    if is_fresh then return { url = image.url } end
    if image:_is_in_memory() then
        local bytes, err = image:bytes()
        if not bytes then return nil, err end
        return read_bytes(config, index, bytes)
    end
    if image.path then return read_file(config, index, image.path) end
    return { url = image.url }
end

local function read(config, index, given)
    if type(given) == "string" then
        if given:find "^[hH][tT][tT][pP][sS]?://" then return { url = given } end
        return read_file(config, index, given)
    end
    if getmetatable(given) == Image then return read_image(config, index, given) end
    if type(given) == "table" then return read_bytes(config, index, given.bytes) end
    return invalid(index, "must be the path of a file, an image or { bytes = string }, got " .. text.show(given))
end

-- Uploading -----------------------------------------------------------------------------------------------------------

--- The digest of an image, for the cache of uploads.
local function digest(bytes)
    return core.digest(bytes) .. "-" .. #bytes
end

--- Publishes an image by the option `upload`.
local function call_upload(config, index, file, hash)
    if config.uploads[hash] then return config.uploads[hash] end
    local address, reason = config.upload(file)
    if type(address) ~= "string" then
        return invalid(index, "was not uploaded: " .. tostring(reason or "upload gave no URL"), "io")
    end
    local ok, why = url.check(address)
    if not ok then
        return invalid(index, "was not uploaded: upload gave " .. text.show(address) .. ": " .. why, "io")
    end
    config.uploads[hash] = address
    return address
end

--- Returns the upload of an image with this content: one that goes on or whose URL is alive, or a new one.
local function find_upload(config, hash, bytes, timeout)
    local known = config.uploads[hash]
    if known and core.now() < known.until_ then return known end
    local upload, err = transport.upload(config, bytes, timeout)
    if not upload then return nil, err end
    upload.until_ = core.now() + config.provider.upload.seconds
    config.uploads[hash] = upload
    return upload
end

--- Uploads an image to the service.
local function upload_to_service(config, index, bytes, hash, timeout)
    local event
    local upload, err = find_upload(config, hash, bytes, timeout)
    if upload then event, err = transport.uploaded(upload) end
    local image = event and event.images and event.images[1]
    if image and image.url then return image.url end
    if event then
        if config.uploads[hash] == upload then config.uploads[hash] = nil end
        err = event.error and error_mapping.of(event, transport.context(config))
            or errors.new("protocol", "the response contains no URL")
    end
    err.message = "input_images[" .. index .. "] was not uploaded: " .. err.message
    err.field, err.index = "input_images", index
    return nil, err
end

--- Returns the URL of a local image. An image with the same content is uploaded once.
local function upload(config, index, entry, timeout)
    local bytes, reason = entry.bytes, nil
    if entry.path then bytes, reason = core.read_file(entry.path, config.max_image_bytes) end
    if not bytes then return invalid(index, "cannot be read: " .. reason, "io") end
    local hash = digest(bytes)
    if not config.upload then return upload_to_service(config, index, bytes, hash, timeout) end
    return call_upload(config, index, { bytes = bytes, content_type = entry.content_type, path = entry.path }, hash)
end

--- Makes an entry usable by the provider.
local function adapt(config, field, index, entry, timeout)
    if entry.url or field.base64 then return entry end
    if config.upload or config.uploader then
        local err
        entry.url, err = upload(config, index, entry, timeout)
        return entry.url and entry, err
    end
    local name = config.provider.name
    return invalid(index, "is a local image, but provider " .. name .. " takes URLs only: publish it and give its " ..
        "URL, let flux2.new { upload = function(file) return url end } do that, or use a gateway: flux2 serve")
end

-- Placing -------------------------------------------------------------------------------------------------------------

---@class flux2.InputImages The local images of one request.
---@field entries table<string, table> marker or URL of the upload -> { path or bytes, content_type, size }
---@field markers string[] in the order of the images
local InputImages = {}
InputImages.__index = InputImages

--- Returns a message about a value that is not a list of local images, and the index concerned; nil if it is one.
local function check_list(config, field, list)
    if not field then
        return "input_images is not available: provider " .. config.provider.name .. " takes no images"
    end
    if type(list) ~= "table" or getmetatable(list) == Image then
        local got = type(list) == "table" and "one image: write input_images = { image }" or text.show(list)
        return "input_images must be a list of files and images, got " .. got
    end
    local length, message, index = validate.array("input_images", "files and images", list)
    if length == 0 then return "input_images is empty: give files and images, or leave it out" end
    return message, index
end

--- Replaces `input_images` of a request by values in the provider's field of URLs. A local image has a marker there.
---@param config table the client's
---@param given table a request with `input_images`
---@param timeout number seconds for each upload
---@return table? request a copy without `input_images`
---@return flux2.InputImages|flux2.Error images or, after nil, the error
function input_images.place(config, given, timeout)
    local field, list = input_images.field_of(config.provider), given.input_images
    local concerned, message, index = "input_images", check_list(config, field, list)
    local others = field and given[field.name]
    if not message and others ~= nil then
        concerned, message, index = field.name, request.check(field, others)
    end
    if message then return nil, errors.new("invalid_request", message, { field = concerned, index = index }) end
    local copy, urls = request.copy(config.provider, given), tables.merge({}, others)
    local images = setmetatable({ entries = {}, markers = {} }, InputImages)
    local token = core.token()
    for i = 1, #list do
        local entry, err = read(config, i, list[i])
        if entry then entry, err = adapt(config, field, i, entry, timeout) end
        if not entry then return nil, err end
        local value = entry.url or ("https://flux2-input.invalid/%s/%d"):format(token, i)
        urls[#urls + 1] = value
        if not entry.url then images.markers[#images.markers + 1] = value end
        if entry.size then images.entries[value] = entry end
    end
    copy.input_images, copy[field.name] = nil, urls
    return copy, images
end

--- Splits a body at the markers.
---@param body string JSON
---@param limit number bytes of a file
---@return string? body the text before the first image
---@return table[]|flux2.Error? parts for the engine: path or bytes, limit, and the text after the image; nil: no image
---@return integer? size bytes of the body with the images
function InputImages:split(body, limit)
    local found, size = {}, #body
    for i, marker in ipairs(self.markers) do
        local encoded = assert(json.encode(marker, "a marker")):sub(2, -2)
        local from, to = body:find(encoded, 1, true)
        if not from then
            return nil, errors.new("invalid_request", "provider.body must keep the values of input images",
                { field = "input_images" })
        end
        local entry = self.entries[marker]
        found[i] = { from = from, to = to, path = transport.absolute(entry.path), bytes = entry.bytes, limit = limit }
        size = size - #encoded + math.ceil(entry.size / 3) * 4
    end
    if #found == 0 then return body end
    table.sort(found, function(a, b) return a.from < b.from end)
    for i, part in ipairs(found) do
        part.after = body:sub(part.to + 1, (found[i + 1] and found[i + 1].from or #body + 1) - 1)
    end
    return body:sub(1, found[1].from - 1), found, size
end

--- Replaces the markers and the URLs of uploads in a request by texts for people, which are the same in a later run:
--- the name of a file, or the number of bytes.
---@param payload table is changed
---@return table payload
function InputImages:describe(payload)
    for name, value in pairs(payload) do
        local entry = type(value) == "string" and self.entries[value]
        if type(value) == "table" then self:describe(value) end
        if entry then
            payload[name] = entry.path and text.utf8(entry.path)
                or ("(%s, %s bytes)"):format(entry.content_type, text.number(entry.size))
        end
    end
    return payload
end

return input_images
