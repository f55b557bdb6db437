--- flux2 in LÖVE: the pump in love.update, events, and textures that do not delay a frame.
--
--     local host = require "flux2.host.love"
--     function love.keypressed()
--         host.generate(client, "a red fox", function(texture, err) image, message = texture, err end)
--     end
--
-- Owns the hook in love.update and the events flux2_status, flux2_progress and flux2_done. LÖVE's main thread never
-- reads, decodes or writes an image: the engine streams it into the save directory, and the thread of
-- flux2.host.love_decoder reads it from there.

local decoder = require "flux2.host.love_decoder"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local core = require "flux2.core"
local jit_off = require "flux2.jit_off"
local Image = require "flux2.image"
local validate = require "flux2.validate"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local Task = require "flux2.task"
local text = require "flux2.text"
local can_yield = require "flux2.can_yield"
local waits = require "flux2.waits"

local love = rawget(_G, "love") or error("flux2.host.love: this is not LÖVE", 0)

local host = {}

--- The durations of the last `host.update`, in seconds: `pump` of flux2.update (including callbacks and coroutines),
--- `upload` of making a texture.
host.spent = { pump = 0, upload = 0 }

local FOLDER = "flux2-incoming" -- in the save directory: images between download and decoding
local STALE = 3600 -- seconds: older files of earlier runs are removed
local SHARE = 0.0001 -- seconds of a frame, after which the other events wait for the next frame
local EVENTS = { done = "flux2_done", progress = "flux2_progress", status = "flux2_status" }

-- Images ------------------------------------------------------------------------------------------------------------

-- Latches of coroutines that continue in another frame, one in each. The end of a task is already the longest event.
local next_frame = {}

--- Waits for another frame.
local function await_frame()
    if not can_yield.check(coroutine.running()) then return true end
    local latch = waits.latch()
    next_frame[#next_frame + 1] = latch
    return waits.await(latch)
end

local names = { prefix = nil, last = 0 }

--- Returns a path for a download, in the save directory. The first call removes the files of earlier runs.
local function new_path()
    if not names.prefix then
        if not love.filesystem.createDirectory(FOLDER) then
            return nil, errors.new("io", "cannot make the folder " .. FOLDER .. " in the save directory " ..
                text.show(love.filesystem.getSaveDirectory()))
        end
        for _, name in ipairs(love.filesystem.getDirectoryItems(FOLDER)) do
            local info = love.filesystem.getInfo(FOLDER .. "/" .. name)
            if info and (info.modtime or 0) < os.time() - STALE then love.filesystem.remove(FOLDER .. "/" .. name) end
        end
        -- Two processes may share the save directory: the address of a table differs between them.
        local salt = tostring(names):match "0x(%x+)" or tostring(names):match "(%x+)$"
        names.prefix = ("%s/%s/%x-%s-"):format(love.filesystem.getSaveDirectory(), FOLDER, os.time(), salt)
        await_frame()
    end
    names.last = names.last + 1
    return names.prefix .. names.last
end

local function exists(path)
    local bytes, _, why = core.read_file(path, 0)
    return bytes ~= nil or why == "large"
end

--- Makes a job for the decoder: from memory, from a file that the game has saved, or from a new download.
local function job_for(image, opts)
    local job = { size = opts.size }
    if image:_is_in_memory() then
        local bytes, err = image:bytes()
        if not bytes then return nil, err end
        job.data = love.filesystem.newFileData(bytes, "image")
        return job
    end
    if image.path and exists(image.path) then
        job.path = image.path
        return job
    end
    local path, err = new_path()
    if not path then return nil, err end
    local saved
    saved, err = image:save(path, opts.timeout)
    image.path = nil -- the decoder removes the file
    if not saved then return nil, err end
    job.path, job.temporary = path, true
    return job
end

--- Returns the first image of a task, result or image.
local function image_of(source, opts)
    if Task.is(source) then
        local result, err = source:wait(opts.timeout)
        if not result then return nil, err end
        if not await_frame() then
            return nil, errors.new("cancelled", "the coroutine was cancelled before the download")
        end
        return result.images[1]
    end
    return source.images and source.images[1] or source
end

local function fetch(source, opts)
    local image, err = image_of(source, opts)
    if not image then return nil, err end
    local job, texture
    job, err = job_for(image, opts)
    if job then
        await_frame()
        texture, err = decoder.await(decoder.start(job))
    end
    if err then image:_paid(err) end
    return texture, err
end

local function is_source(source)
    if Task.is(source) or getmetatable(source) == Image then return true end
    return type(source) == "table" and type(source.images) == "table" and getmetatable(source.images[1]) == Image
end

local KNOWN = { size = "pixels", timeout = "seconds" }

--- Reads `[opts], [fn]`. Raises errors at the caller of the public function.
local function read_options(what, opts, fn)
    if type(opts) == "function" then opts, fn = nil, opts end
    opts = validate.options(what, opts, KNOWN, 3)
    if fn ~= nil and type(fn) ~= "function" then error(what .. ": a function is needed, not " .. text.show(fn), 3) end
    if not love.graphics then error(what .. ": love.graphics is disabled in conf.lua", 3) end
    return opts, fn
end

local function run(fn, work, ...)
    if not fn then return work(...) end
    return flux2.spawn(function(...)
        local texture, err = work(...)
        uncaught.guard(fn, texture, err)
    end, ...)
end

--- Makes a texture. The engine downloads, a love.thread decodes, and the main thread uploads one texture in a frame.
--- With `fn`, returns at once and calls `fn(texture, err)` from love.update. Without `fn`, yields in a coroutine and
--- blocks outside one.
---@param source flux2.Task|flux2.Result|flux2.Image of a task or a result, its first image
---@param opts? { size: number?, timeout: number? } size: the thread halves the image while its longer side keeps that
---  many pixels; timeout in seconds, once for waiting and once for the download, by default the client's
---@param fn? fun(texture: love.Image?, err: flux2.Error?) called once, in the main thread
---@return love.Image|flux2.Handle|nil texture with `fn`, a handle, whose `cancel` stops the wait
---@return flux2.Error? err as of task:wait and image:save; "not_an_image" if LÖVE cannot decode it (it reads PNG and
---  JPEG), "too_large" for the textures of the GPU
-- Example: `host.texture(task, { size = 512 }, function(texture, err) thumbnail = texture end)`
function host.texture(source, opts, fn)
    if not is_source(source) then
        error("host.texture: a task, a result or an image is needed, not " .. text.show(source), 2)
    end
    opts, fn = read_options("host.texture", opts, fn)
    return run(fn, fetch, source, opts)
end

local function generate(client, request, opts)
    local task, err = client:submit(request, { timeout = opts.timeout })
    if not task then return nil, err end
    local texture
    texture, err = fetch(task, opts)
    if err and err.kind == "cancelled" then task:cancel() end -- no other code has a reference to this task
    return texture, err
end

--- Generates an image and makes a texture, as host.texture does.
---@param client flux2.Client the client that submits
---@param request string|flux2.Request as for client:submit
---@param opts? { size: number?, timeout: number? } as for host.texture: size in pixels; timeout in seconds
---@param fn? fun(texture: love.Image?, err: flux2.Error?) called once, in the main thread
---@return love.Image|flux2.Handle|nil texture with `fn`, a handle, whose `cancel` cancels the task
---@return flux2.Error? err as of client:submit and host.texture, of any kind
-- Example: `host.generate(client, "a red fox", function(texture, err) image, message = texture, err end)`
function host.generate(client, request, opts, fn)
    if type(client) ~= "table" or type(client.submit) ~= "function" then
        error("host.generate: a client is needed, not " .. text.show(client), 2)
    end
    opts, fn = read_options("host.generate", opts, fn)
    return run(fn, generate, client, request, opts)
end

-- Events ------------------------------------------------------------------------------------------------------------

local pushed = { tasks = {}, last = 0 } -- tasks: number in the event -> task, until its flux2_done was handled

--- Returns the task of an event of love.event.poll, whose argument is a number: LÖVE's queue carries no tables.
---@param number integer the number in the event
---@return flux2.Task? task nil after its flux2_done was handled
-- Example: `love.handlers.flux2_status = function(number) print(host.task(number)) end`
function host.task(number)
    return pushed.tasks[number]
end

--- Defines a handler, which calls `love.flux2_done` and so on. LÖVE raises an error for an event without a handler.
local function define(name)
    if rawget(love.handlers, name) then return end
    love.handlers[name] = function(number)
        local task = pushed.tasks[number]
        if name == EVENTS.done then pushed.tasks[number] = nil end
        local callback = love[name]
        if task and callback then return callback(task, task.result, task.error) end
    end
end

local function push(name, number, task)
    if not love.event or not love.handlers then return end
    define(name)
    pushed.tasks[number] = task
    love.event.push(name, number)
end

local function watch(task)
    pushed.last = pushed.last + 1
    local number = pushed.last
    for event, name in pairs(EVENTS) do
        task:on(event, function() push(name, number, task) end)
    end
end

--- Watches the tasks of all clients.
local function watch_new_tasks()
    for _, name in ipairs { "adopt", "submit" } do
        local make = Task[name]
        Task[name] = function(...)
            local task, err = make(...)
            if task then watch(task) end
            return task, err
        end
    end
end

-- The pump ----------------------------------------------------------------------------------------------------------

local deferred = {} -- functions for the next frame

--- Delivers events and makes at most one texture. It runs automatically before love.update; only a custom love.run that
--- never calls love.update has to call it, once in a frame.
-- Example: `host.update()`
function host.update()
    local spent, began = host.spent, core.now()
    local delivered, due = scheduler.update(SHARE), deferred
    if due[1] then
        deferred = {}
        for i = 1, #due do due[i]() end
    end
    if delivered == 0 and next_frame[1] then waits.open(table.remove(next_frame, 1)) end
    local pumped = core.now()
    decoder.update()
    spent.pump, spent.upload = pumped - began, core.now() - pumped
end

--- Runs the pump before love.update, even if the game defines it later or not at all. The field `update` of `love`
--- moves into a metatable, which wraps every new function. If libraries wrap love.update, only the outermost function
--- pumps.
local function hook()
    local meta = getmetatable(love) or {}
    local next_index, next_newindex = meta.__index, meta.__newindex
    local current

    local function wrap(fn)
        local wrapped
        wrapped = function(...)
            if wrapped == current then host.update() end
            if fn then return fn(...) end
        end
        return wrapped
    end

    current = wrap(rawget(love, "update"))
    rawset(love, "update", nil)
    meta.__index = function(t, key)
        if key == "update" then return current end
        if type(next_index) == "function" then return next_index(t, key) end
        return next_index and next_index[key]
    end
    meta.__newindex = function(t, key, value)
        if key == "update" then
            if value ~= current then current = wrap(value) end
        elseif type(next_newindex) == "function" then
            next_newindex(t, key, value)
        else
            rawset(next_newindex or t, key, value)
        end
    end
    setmetatable(love, meta)
end

-- A game does not call flux2.run(): the error of a coroutine that is not joined is printed in the next frame.
uncaught.print_by(function(fn) deferred[#deferred + 1] = fn end)
watch_new_tasks()
hook()
jit_off { host, hook, waits }

return host
