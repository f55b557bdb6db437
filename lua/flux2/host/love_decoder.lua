--- Makes textures of LÖVE: decodes images in a thread, uploads them in the main thread.
-- Owns the thread, its two channels and the unfinished jobs.

local errors = require "flux2.errors"
local text = require "flux2.text"
local can_yield = require "flux2.can_yield"
local waits = require "flux2.waits"

local love = rawget(_G, "love") or error("flux2.host.love: this is not LÖVE", 0)
require "love.thread"

local IDLE = 5 -- seconds without a job after which the thread ends
local SLICE = 0.02 -- seconds of one blocking wait for the thread

-- The code of the thread. A job contains the path or the bytes of a file.
local DECODER = [[
local jobs, results, idle = ...
require "love.data"; require "love.filesystem"; require "love.image"
local has_ffi, ffi = pcall(require, "ffi")

-- Decoding must not delay frames on a machine with few cores. SDL is a part of LÖVE.
pcall(function()
    ffi.cdef("int SDL_SetThreadPriority(int priority);")
    ffi.C.SDL_SetThreadPriority(0) -- low
end)

local function read_file(path)
    local file, reason = io.open(path, "rb")
    if not file then return nil, reason end
    local bytes = file:read("*a")
    file:close()
    return bytes or ""
end
local remove = os.remove

-- On Windows the path may contain a user name, and Lua's io does not accept UTF-8 paths.
if package.config:sub(1, 1) == "\\" then
    local core = require "flux2.core"
    read_file, remove = function(path) return core.read_file(path, 2 ^ 30) end, core.remove
end

local function read(job)
    if job.data then return job.data end
    local bytes, reason = read_file(job.path)
    if not bytes then error({ kind = "io", message = reason }) end
    if job.temporary then remove(job.path) end
    return love.filesystem.newFileData(bytes, "image")
end

-- Halves width and height: each pixel is the mean of four.
local function halve(from)
    local width, height = math.floor(from:getWidth() / 2), math.floor(from:getHeight() / 2)
    local to, stride = love.image.newImageData(width, height), from:getWidth() * 4
    local source = ffi.cast("const uint8_t *", from:getFFIPointer())
    local target = ffi.cast("uint8_t *", to:getFFIPointer())
    for y = 0, height - 1 do
        local a, out = source + 2 * y * stride, target + y * width * 4
        for x = 0, width - 1 do
            local i, o = x * 8, x * 4
            for c = 0, 3 do
                out[o + c] = (a[i + c] + a[i + c + 4] + a[i + c + stride] + a[i + c + stride + 4] + 2) / 4
            end
        end
    end
    from:release()
    return to
end

local function shrink(pixels, size)
    while size and has_ffi and pixels.getFFIPointer and pixels:getFormat() == "rgba8"
        and math.floor(math.max(pixels:getDimensions()) / 2) >= size
        and math.min(pixels:getDimensions()) >= 2 do
        pixels = halve(pixels)
    end
    return pixels
end

local function work(job)
    local data = read(job)
    local ok, pixels = pcall(love.image.newImageData, data)
    data:release()
    if not ok then error({ kind = "not_an_image", message = tostring(pixels) }) end
    return shrink(pixels, job.size)
end

while true do
    local job = jobs:demand(idle)
    if not job then return end
    local ok, out = pcall(work, job)
    if ok then
        results:push({ id = job.id, pixels = out })
    else
        if type(out) ~= "table" then out = { kind = "io", message = tostring(out) } end
        results:push({ id = job.id, kind = out.kind, message = out.message })
    end
    job, out = nil, nil
    collectgarbage()
end
]]

local decoder = {}

local jobs, results, thread -- created at the first use
local entries = {} -- job id -> unfinished job
local count, last = 0, 0 -- the number of unfinished jobs; the last id

--- An error that ended the thread, such as a failed allocation, belongs to its current job, the oldest.
local function fail_oldest(reason)
    local oldest = math.huge
    for id in pairs(entries) do oldest = math.min(oldest, id) end
    results:push({ id = oldest, kind = "io", message = reason })
end

--- Starts the thread if it has ended. Called when there is no result.
local function ensure_thread()
    if thread and thread:isRunning() then return end
    local reason = thread and thread:getError()
    thread = love.thread.newThread(DECODER)
    thread:start(jobs, results, IDLE)
    if reason then fail_oldest(reason) end
end

--- Starts the decoding of an image.
---@param job { path: string?, data: love.FileData?, temporary: boolean?, size: number? } a file, which is removed if
---  temporary, or bytes; size as in host.texture
---@return table entry for `await`
function decoder.start(job)
    if not jobs then jobs, results = love.thread.newChannel(), love.thread.newChannel() end
    last, count = last + 1, count + 1
    job.id = last
    local entry = { latch = waits.latch(), path = job.path }
    entries[job.id] = entry
    jobs:push(job)
    ensure_thread()
    return entry
end

--- Makes a texture of pixels, which only the main thread can do.
local function upload(pixels)
    local max = love.graphics.getSystemLimits().texturesize
    local width, height = pixels:getDimensions()
    if width > max or height > max then
        local message = ("an image of %d x %d is larger than this GPU's textures (%d): use the option size")
        return nil, errors.new("too_large", message:format(width, height, max))
    end
    local ok, texture = pcall(love.graphics.newImage, pixels)
    if ok then return texture end
    return nil, errors.new("io", "the texture could not be made: " .. text.clean(tostring(texture), 300))
end

local function error_of(result, entry)
    local what = entry.path and text.show(entry.path) or "the image"
    local verb = result.kind == "io" and "cannot read " or "LÖVE cannot decode "
    return errors.new(result.kind, verb .. what .. ": " .. text.clean(result.message, 300))
end

--- Handles a result of the thread, and opens the latch of its job.
local function take(result)
    local entry = entries[result.id]
    if not entry then return end
    entries[result.id] = nil
    count = count - 1
    if not result.pixels then
        entry.err = error_of(result, entry)
    elseif not entry.dropped then
        entry.texture, entry.err = upload(result.pixels)
    end
    -- Lua's collector does not know the size of the pixels, so it would run too late.
    if result.pixels then result.pixels:release() end
    waits.open(entry.latch)
end

--- Waits for a job. Without a coroutine it waits for the results of the thread itself.
---@param entry table
---@return love.Image? texture
---@return flux2.Error? err
function decoder.await(entry)
    if can_yield.check(coroutine.running()) then
        if not waits.await(entry.latch) then
            entry.dropped = true
            return nil, errors.new("cancelled", "the coroutine was cancelled before the texture was made")
        end
    else
        while not entry.latch.open do
            local result = results:demand(SLICE)
            if result then take(result) else ensure_thread() end
        end
    end
    return entry.texture, entry.err
end

--- Handles at most one result: an upload may take milliseconds. Called in each frame.
function decoder.update()
    if count == 0 then return end
    local result = results:pop()
    if result then take(result) else ensure_thread() end
end

return decoder
