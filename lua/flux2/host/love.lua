--- flux2 in LÖVE: the pump in love.update, events, and textures that cost no frame.
--
--     local host = require "flux2.host.love"
--     function love.keypressed()
--         host.generate(client, "a red fox", function(texture, err) picture, message = texture, err end)
--     end
--
-- Owns the hook in love.update and the events flux2_status, flux2_progress and flux2_done. Never reads, decodes or
-- writes a picture in LÖVE's main thread: the engine streams it into the save directory, and the thread of
-- flux2.host.love_decoder reads it from there.

local core = require "flux2.core"
local decoder = require "flux2.host.love_decoder"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local Image = require "flux2.image"
local options = require "flux2.options"
local response = require "flux2.response"
local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"
local Task = require "flux2.task"
local text = require "flux2.text"
local yielding = require "flux2.yielding"

local love = rawget(_G, "love") or error("flux2.host.love: this is not LÖVE", 0)

local host = {}

--- What the last `host.update` spent, in seconds: `pump` in flux2.update (with the callbacks and coroutines that it
--- called), `upload` in making a texture.
host.spent = { pump = 0, upload = 0 }

local FOLDER = "flux2-incoming" -- in the save directory: pictures between their download and their decoding
local STALE = 3600 -- seconds: what an earlier run left there is removed
local SHARE = 0.00002 -- seconds of a frame after which most events wait for the next: one or two fit in
local EVENTS = { done = "flux2_done", progress = "flux2_progress", status = "flux2_status" }

-- Pictures ----------------------------------------------------------------------------------------------------------

-- Latches of those who go on in a frame of their own. The end of a task is already the longest of all events.
local resting = {}

--- Lets what comes next be in another frame.
local function rest()
    if not yielding.may(coroutine.running()) then return true end
    local latch = scheduler.latch()
    resting[#resting + 1] = latch
    return scheduler.await(latch)
end

local names = { prefix = nil, last = 0 }

--- A path for a picture on its way, in a folder where the game may write. The first call clears what a run that ended
--- in the middle has left.
local function incoming()
    if not names.prefix then
        if not love.filesystem.createDirectory(FOLDER) then
            return nil, errors.new("io", "cannot make the folder " .. FOLDER .. " in the save directory " ..
                text.show(love.filesystem.getSaveDirectory()))
        end
        for _, name in ipairs(love.filesystem.getDirectoryItems(FOLDER)) do
            local info = love.filesystem.getInfo(FOLDER .. "/" .. name)
            if info and (info.modtime or 0) < os.time() - STALE then love.filesystem.remove(FOLDER .. "/" .. name) end
        end
        -- Two games with one save directory must not meet: the address of a table differs between processes.
        local salt = tostring(names):match "0x(%x+)" or tostring(names):match "(%x+)$"
        names.prefix = ("%s/%s/%x-%s-"):format(love.filesystem.getSaveDirectory(), FOLDER, os.time(), salt)
        rest() -- that was enough for this frame
    end
    names.last = names.last + 1
    return names.prefix .. names.last
end

local function exists(path)
    local file = io.open(path, "rb")
    if file then file:close() end
    return file ~= nil
end

--- Where the decoder finds the picture: in memory, in a file that the game has saved, or in one of ours.
local function job_for(image, opts)
    local job = { size = opts.size }
    if image._bytes or image._buffer or image._b64 then
        local bytes, err = image:bytes()
        if not bytes then return nil, err end
        job.data = love.filesystem.newFileData(bytes, "picture")
        return job
    end
    if image.path and exists(image.path) then
        job.path = image.path
        return job
    end
    local path, err = incoming()
    if not path then return nil, err end
    local saved
    saved, err = image:save(path, opts.timeout)
    image.path = nil -- the file is ours, and is gone as soon as it is read
    if not saved then return nil, err end
    job.path, job.temporary = path, true
    return job
end

--- The picture of whatever the caller has.
local function picture_of(source, opts)
    if Task.is(source) then
        local result, err = source:wait(opts.timeout)
        if not result then return nil, err end
        if not rest() then return nil, errors.new("cancelled", "the coroutine was cancelled before the download") end
        return result.images[1]
    end
    return source.images and source.images[1] or source
end

local function fetch(source, opts)
    local image, err = picture_of(source, opts)
    if not image then return nil, err end
    local job
    job, err = job_for(image, opts)
    if not job then return nil, err end
    rest()
    return decoder.await(decoder.order(job))
end

local function is_source(source)
    if Task.is(source) or getmetatable(source) == Image then return true end
    return type(source) == "table" and type(source.images) == "table" and getmetatable(source.images[1]) == Image
end

local KNOWN = { size = "pixels", timeout = "seconds" }

--- Reads `[opts], [fn]`, at the caller's caller's line.
local function read_options(what, opts, fn)
    if type(opts) == "function" then opts, fn = nil, opts end
    opts = options.check(what, opts, KNOWN, 3)
    if fn ~= nil and type(fn) ~= "function" then error(what .. ": a function is needed, not " .. text.show(fn), 3) end
    if not love.graphics then error(what .. ": love.graphics is switched off in conf.lua", 3) end
    return opts, fn
end

local function run(fn, work, ...)
    if not fn then return work(...) end
    local n, args = select("#", ...), { ... }
    return flux2.spawn(function()
        local texture, err = work(unpack(args, 1, n))
        reports.guard(fn, texture, err)
    end)
end

--- From a task, a result or an image to a texture. The engine downloads, a love.thread decodes; the main thread only
--- uploads, one texture in a frame. With `fn`, returns at once and calls `fn(texture, err)` from love.update; without,
--- yields in a coroutine and blocks outside one.
---@param source flux2.Task|flux2.Result|flux2.Image of a task or a result, its first image
---@param opts? { size: number?, timeout: number? } size: the picture is halved, in the thread, while its longer side
---  keeps that many pixels; timeout in seconds for each of waiting and downloading, by default the client's
---@param fn? fun(texture: love.Image?, err: flux2.Error?) is called once, in the main thread
---@return love.Image|flux2.Handle|nil texture with `fn`, a handle whose `cancel` gives the picture up
---@return flux2.Error? err as of task:wait and image:save; "not_an_image" if LÖVE cannot decode it (it reads PNG and
---  JPEG), "too_large" if the GPU has no such textures
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
    -- Nobody else knows this task.
    if err and err.kind == "cancelled" then task:cancel() end
    return texture, err
end

--- From a prompt to a texture: submits, then as host.texture.
---@param client flux2.Client whose key and limits count
---@param request string|flux2.Request as for client:submit
---@param opts? { size: number?, timeout: number? } as for host.texture: size in pixels; timeout in seconds
---@param fn? fun(texture: love.Image?, err: flux2.Error?) is called once, in the main thread
---@return love.Image|flux2.Handle|nil texture with `fn`, a handle whose `cancel` gives the picture up
---@return flux2.Error? err as of client:submit and host.texture, of any kind
-- Example: `host.generate(client, "a red fox", function(texture, err) picture, message = texture, err end)`
function host.generate(client, request, opts, fn)
    if type(client) ~= "table" or type(client.submit) ~= "function" then
        error("host.generate: a client is needed, not " .. text.show(client), 2)
    end
    opts, fn = read_options("host.generate", opts, fn)
    return run(fn, generate, client, request, opts)
end

-- Events ------------------------------------------------------------------------------------------------------------

local pushed = { tasks = {}, last = 0 } -- tasks: number in the event -> task, until its flux2_done was handled

--- The task that an event of love.event.poll means: its argument is a number, for LÖVE's queue carries no objects.
---@param number integer the number that the event carries
---@return flux2.Task? task nil once its flux2_done was handled
-- Example: `love.handlers.flux2_status = function(number) print(host.task(number)) end`
function host.task(number)
    return pushed.tasks[number]
end

--- LÖVE raises an error for an event without a handler. Ours calls `love.flux2_done` and its like, as LÖVE's do.
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

--- Every task is watched, whichever client makes it.
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

local turn = {} -- functions to be called in the next frame

--- Hands out what has happened and makes at most one texture. Called by itself before love.update; only a love.run of
--- your own that never calls love.update has to call it, once in a frame.
-- Example: `host.update()`
function host.update()
    local spent, began = host.spent, core.now()
    local handed_out, calls = scheduler.update(SHARE), turn
    if calls[1] then
        turn = {}
        for i = 1, #calls do calls[i]() end
    end
    if handed_out == 0 and resting[1] then scheduler.open(table.remove(resting, 1)) end
    local pumped = core.now()
    decoder.update()
    spent.pump, spent.upload = pumped - began, core.now() - pumped
end

--- Puts the pump before love.update, whatever the game defines now or later, and if it defines none. The `love` table
--- has no field `update` of its own from here on: it is looked up and set through a metatable, which sees every new
--- function. Of functions that call each other (libraries wrap love.update) only the outermost pumps.
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

--- Keeps LuaJIT from compiling our own functions. They run a few times in a second, which takes some 20 microseconds
--- interpreted; compiling them in the middle of a frame takes up to ten times that, again and again.
local function interpret(value, seen)
    if value == nil or seen[value] then return end
    seen[value] = true
    if type(value) == "table" then
        for _, member in next, value do interpret(member, seen) end
        interpret(getmetatable(value), seen)
    elseif type(value) == "function" and debug.getinfo(value, "S").source:find "[/\\]flux2[/\\]" then
        jit.off(value, true)
        local i, name, held = 1, debug.getupvalue(value, 1)
        while name do
            interpret(held, seen)
            i = i + 1
            name, held = debug.getupvalue(value, i)
        end
    end
end

local function interpret_all()
    if not rawget(_G, "jit") then return end
    local seen = { [_G] = true, [love] = true }
    interpret({ host, hook }, seen)
    for name, module in pairs(package.loaded) do
        if name:find "^flux2%f[%z.]" then interpret(module, seen) end
    end
end

--- Reads one answer of each kind, so that what is prepared at first use is prepared before the first frame.
local function rehearse()
    local id = [[{"code":200,"data":{"task_id":"rehearsal","status":"IN_PROGRESS"}}]]
    local done = [[{"code":200,"data":{"status":"SUCCESS","output":{"image_url":"https://127.0.0.1/rehearsal"}}}]]
    response.submission(200, id)
    response.task(200, done)
end

-- Nobody calls flux2.run() in a game: an error in a coroutine that is not joined by the next frame is told then.
reports.tell_by(function(fn) turn[#turn + 1] = fn end)
watch_new_tasks()
interpret_all()
rehearse()
hook()

return host
