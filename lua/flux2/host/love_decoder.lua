--- From the bytes of a picture to a texture of LÖVE: decoding in a thread, uploading in the main one.
-- Owns the thread, its two channels and the orders that it has not answered. Starts no transfer: flux2.host.love says
-- where the picture is.

local errors = require "flux2.errors"
local scheduler = require "flux2.scheduler"
local text = require "flux2.text"
local yielding = require "flux2.yielding"

local love = rawget(_G, "love") or error("flux2.host.love: this is not LÖVE", 0)
require "love.thread"

local IDLE = 5 -- seconds after which the thread ends; it is started again when there is work
local SLICE = 0.02 -- seconds of one blocking wait for the thread

-- Runs in the thread, where nothing of this file is visible. A job names a file, or holds its bytes.
local DECODER = [[
local jobs, results, idle = ...
require "love.data"; require "love.filesystem"; require "love.image"
local has_ffi, ffi = pcall(require, "ffi")

-- On a machine with few cores, decoding must not take its time from the frames. LÖVE brings SDL along.
pcall(function()
    ffi.cdef("int SDL_SetThreadPriority(int priority);")
    ffi.C.SDL_SetThreadPriority(0) -- low
end)

local function read(job)
    if job.data then return job.data end
    local file, reason = io.open(job.path, "rb")
    if not file then error({ kind = "io", message = reason }) end
    local bytes = file:read("*a")
    file:close()
    if job.temporary then os.remove(job.path) end
    return love.filesystem.newFileData(bytes or "", "picture")
end

-- Half as wide and half as high: each pixel is the mean of four.
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

local function shrink(picture, size)
    while size and has_ffi and picture.getFFIPointer and picture:getFormat() == "rgba8"
        and math.floor(math.max(picture:getDimensions()) / 2) >= size
        and math.min(picture:getDimensions()) >= 2 do
        picture = halve(picture)
    end
    return picture
end

local function work(job)
    local data = read(job)
    local ok, picture = pcall(love.image.newImageData, data)
    data:release()
    if not ok then error({ kind = "not_an_image", message = tostring(picture) }) end
    return shrink(picture, job.size)
end

while true do
    local job = jobs:demand(idle)
    if not job then return end
    local ok, out = pcall(work, job)
    if ok then
        results:push({ id = job.id, picture = out })
    else
        if type(out) ~= "table" then out = { kind = "io", message = tostring(out) } end
        results:push({ id = job.id, kind = out.kind, message = out.message })
    end
    job, out = nil, nil
    collectgarbage()
end
]]

local decoder = {}

local jobs, results, thread -- made when they are first needed
local orders = {} -- number -> order that has no answer yet
local count, last = 0, 0 -- how many orders those are; the last number

--- An error that ended the thread (want of memory, say) is the answer to the order that it was at: the oldest.
local function blame(reason)
    local oldest = math.huge
    for id in pairs(orders) do oldest = math.min(oldest, id) end
    results:push({ id = oldest, kind = "io", message = reason })
end

--- Sees to it that a thread is at work while there are orders: it may have ended, idle, in this very moment. Called
--- when no result waits.
local function keep_decoding()
    if thread and thread:isRunning() then return end
    local reason = thread and thread:getError()
    thread = love.thread.newThread(DECODER)
    thread:start(jobs, results, IDLE)
    if reason then blame(reason) end
end

--- Orders the decoding of `job`.
---@param job { path: string?, data: love.FileData?, temporary: boolean?, size: number? } a file, to be removed if it
---  is temporary, or bytes; size as in host.texture
---@return table order for `await`
function decoder.order(job)
    if not jobs then jobs, results = love.thread.newChannel(), love.thread.newChannel() end
    last, count = last + 1, count + 1
    job.id = last
    local entry = { latch = scheduler.latch(), path = job.path }
    orders[job.id] = entry
    jobs:push(job)
    keep_decoding()
    return entry
end

--- From pixels to a texture: the one thing that only the main thread can do.
local function upload(picture)
    local most = love.graphics.getSystemLimits().texturesize
    local width, height = picture:getDimensions()
    if width > most or height > most then
        local message = ("a picture of %d x %d is larger than this GPU's textures (%d): ask for it with a size")
        return nil, errors.new("too_large", message:format(width, height, most))
    end
    local ok, texture = pcall(love.graphics.newImage, picture)
    if ok then return texture end
    return nil, errors.new("io", "the texture could not be made: " .. text.clean(tostring(texture), 300))
end

local function explain(result, entry)
    local what = entry.path and text.show(entry.path) or "the picture"
    local verb = result.kind == "io" and "cannot read " or "LÖVE cannot decode "
    return errors.new(result.kind, verb .. what .. ": " .. text.clean(result.message, 300))
end

--- Takes an answer of the thread, and opens the latch of its order.
local function take(result)
    local entry = orders[result.id]
    if not entry then return end
    orders[result.id] = nil
    count = count - 1
    if not result.picture then
        entry.err = explain(result, entry)
    elseif not entry.dropped then
        entry.texture, entry.err = upload(result.picture)
    end
    -- LÖVE's pixels are invisible to Lua's collector, which would let them pile up.
    if result.picture then result.picture:release() end
    scheduler.open(entry.latch)
end

--- Waits for an order. The thread tells nobody when it is done, so a blocking wait has to ask it.
---@param entry table
---@return love.Image? texture
---@return flux2.Error? err
function decoder.await(entry)
    if yielding.may(coroutine.running()) then
        if not scheduler.await(entry.latch) then
            entry.dropped = true
            return nil, errors.new("cancelled", "the coroutine that waits for a texture was cancelled")
        end
    else
        while not entry.latch.open do
            local result = results:demand(SLICE)
            if result then take(result) else keep_decoding() end
        end
    end
    return entry.texture, entry.err
end

--- Takes up to one answer of the thread: uploading may take milliseconds. Called in each frame.
function decoder.update()
    if count == 0 then return end
    local result = results:pop()
    if result then take(result) else keep_decoding() end
end

return decoder
