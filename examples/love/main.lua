-- A gallery: type a prompt, press Enter, and the image fades in. Run it with:  love examples/love
--
-- With FLUX2_API_KEY it uses the service, which costs credits; otherwise an emulator in this process. With a token of a
-- gateway as the key, FLUX2_BASE_URL is its address, and FLUX2_PROVIDER=gateway.
-- `love examples/love --help` lists the options; scripts control it in the tests.

-- Finds the modules of a checkout. A .love file (make love) contains the Lua modules, and the C modules are next to it.
-- Not needed if flux2 is installed.
local source = love.filesystem.getSource()
if source:find "%.love$" then
    package.cpath = love.filesystem.getSourceBaseDirectory() .. "/?.so;" .. package.cpath
else
    local root = source .. "/../.."
    package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
    package.cpath = root .. "/build/5.1/?.so;" .. package.cpath
end

local flux2 = require "flux2"
local host = require "flux2.host.love"
local driver = require "driver"
local Gallery = require "gallery"
local meter = require "meter"
local options = require "options"
local view = require "view"

local gallery, emulator

-- Seconds per image of the emulator.
local DURATION = { 1.5, 4 }

local function connect(given)
    local settings, name = { ca_file = given["ca-file"], provider = os.getenv "FLUX2_PROVIDER" }, "the service"
    local is_bfl = settings.provider == "bfl" -- Black Forest Labs
    local key = os.getenv(is_bfl and "BFL_API_KEY" or "FLUX2_API_KEY")
    if not key or key == "" then
        local seconds = tonumber(given.duration)
        emulator = assert(require("flux2.emulator").start {
            duration = seconds or DURATION, dialect = is_bfl and "bfl" or nil,
        })
        settings.base_url, settings.api_key, name = emulator.url, emulator.api_key, "the emulator"
        settings.poll = { interval = 0.1 }
    elseif settings.provider == "gateway" then
        name = "a gateway"
    end
    return assert(flux2.new(settings)), name
end

function love.load(arguments)
    local given = options.read(arguments)
    if not given then return love.event.quit(2) end
    love.keyboard.setKeyRepeat(true)
    local width, height = (given.window or ""):match "^(%d+)x(%d+)$"
    if width then love.window.updateMode(tonumber(width), tonumber(height)) end
    local client, name = connect(given)
    gallery = Gallery.new(client, { resolution = given.resolution or "1K" })
    view.load(name)
    driver.start(given, gallery)
end

function love.update(dt)
    meter.note(dt, host.spent)
    gallery:update(dt)
    view.update(gallery, dt)
    driver.update()
end

function love.draw()
    view.draw(gallery)
    meter.draw(love.graphics.getWidth() - 24, 20)
end

function love.textinput(text) gallery:type(text) end

function love.keypressed(key)
    if key == "return" or key == "kpenter" then
        gallery:submit()
    elseif key == "backspace" then
        gallery:erase()
    elseif key == "tab" then
        gallery:suggest()
    elseif key == "v" and love.keyboard.isDown("lctrl", "rctrl", "lgui", "rgui") then
        gallery:type(love.system.getClipboardText())
    elseif key == "escape" and not gallery:close() then
        love.event.quit()
    end
end

function love.mousepressed(x, y, button)
    if gallery:close() then return end
    local card = view.card_at(gallery, x, y)
    if card and button == 1 then gallery:open(card) end
    if card and button == 2 then gallery:cancel(card) end
end

function love.quit()
    driver.finish()
    if emulator then emulator:stop() end
end
