-- Runs a script that controls the gallery: keys and clicks go through LÖVE's event queue, and screenshots show the
-- window. The script runs in a coroutine outside flux2.update(), whose time is measured.
--
-- A script is a Lua file that returns function(user); see examples/love/scripts for one.

local meter = require "meter"
local view = require "view"

local driver = {}

local SAMPLES = 24 -- sample points per side of a card for counting colours

local given, gallery, report = {}, nil, {}

local User = {}
User.__index = User

function User:type(text) love.event.push("textinput", text) end

function User:key(name) love.event.push("keypressed", name, name, false) end

function User:prompt(text)
    self:type(text)
    self:key "return"
end

--- Waits for some frames.
function User:sleep(seconds)
    local until_ = love.timer.getTime() + seconds
    while love.timer.getTime() < until_ do coroutine.yield() end
end

--- Waits until `condition()`; an error after `seconds`.
function User:wait(what, seconds, condition)
    local until_ = love.timer.getTime() + seconds
    while not condition() do
        if love.timer.getTime() > until_ then error("waited " .. seconds .. " s for " .. what, 2) end
        coroutine.yield()
    end
end

--- Returns the number of cards in the state "working", "image" or "failed".
function User:count(state) return gallery:count(state) end

function User:cards() return #gallery.cards end

--- Returns the reported progress of a card, 0 to 1.
function User:progress(index) return gallery.cards[index] and gallery.cards[index].task.progress or 0 end

--- 0: no image is enlarged; 1: an image is fully enlarged.
function User:enlarged() return view.zoomed() end

--- Waits until `n` images have faded in.
function User:wait_for_images(n, seconds)
    self:wait(n .. " images", seconds, function()
        local there = 0
        for _, card in ipairs(gallery.cards) do
            if card.fade == 1 then there = there + 1 end
        end
        return there >= n
    end)
end

--- Clicks the centre of a card.
function User:click(index, button)
    local x, y, w, h = view.bounds(gallery.cards[index])
    love.event.push("mousepressed", x + w / 2, y + h / 2, button or 1, false, 1)
end

--- Returns the next frame as ImageData.
function User:capture()
    local seen
    love.graphics.captureScreenshot(function(pixels) seen = pixels end)
    self:wait("a screenshot", 10, function() return seen end)
    return seen
end

--- Writes the window to a PNG file.
function User:screenshot(path)
    local file = assert(io.open(path, "wb"))
    file:write(self:capture():encode("png"):getString())
    file:close()
end

--- Returns the number of different colours of a card: one or two without an image.
function User:colours(index, pixels)
    local x, y, w, h = view.bounds(gallery.cards[index])
    local scale = love.graphics.getDPIScale()
    local seen, n = {}, 0
    for i = 1, SAMPLES do
        for j = 1, SAMPLES do
            local r, g, b = pixels:getPixel(math.floor((x + w * i / (SAMPLES + 1)) * scale),
                math.floor((y + h * j / (SAMPLES + 1)) * scale))
            local key = ("%.2f %.2f %.2f"):format(r, g, b)
            if not seen[key] then seen[key], n = true, n + 1 end
        end
    end
    return n
end

--- Adds a line to the report.
function User:note(name, value) report[#report + 1] = name .. "=" .. tostring(value) end

function User:quit(status) love.event.quit(status or 0) end

local function run_script(user)
    local script = assert(loadfile(given.script))()
    script(user)
    user:note("ended", "yes")
    if given.screenshot then user:screenshot(given.screenshot) end
    user:quit(0)
end

local function run_clock(user)
    user:sleep(tonumber(given["quit-after"]))
    if given.screenshot and not given.script then user:screenshot(given.screenshot) end
    user:quit(given.script and 1 or 0)
end

local running = {}

--- Starts the script and the timer of the command line.
---@param options table<string, string>
---@param of table the gallery
function driver.start(options, of)
    given, gallery = options, of
    if given.script then running[1] = coroutine.create(run_script) end
    if given["quit-after"] then running[#running + 1] = coroutine.create(run_clock) end
end

--- Called once per frame.
function driver.update()
    local user = setmetatable({}, User)
    for i = #running, 1, -1 do
        local ok, e = coroutine.resume(running[i], user)
        if not ok then
            user:note("error", e)
            io.stderr:write("script: ", debug.traceback(running[i], tostring(e)), "\n")
            user:quit(1)
        end
        if coroutine.status(running[i]) == "dead" then table.remove(running, i) end
    end
end

--- Writes the requested files. Called when the window closes.
function driver.finish()
    if given["frames-out"] then meter.write(given["frames-out"]) end
    if given.report then
        local file = assert(io.open(given.report, "w"))
        file:write(table.concat(report, "\n"), "\n")
        file:close()
    end
end

return driver
