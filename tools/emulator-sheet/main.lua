-- Draws docs/emulator-sheet.png: images of the emulator with several aspect ratios.
--
--     love tools/emulator-sheet FILE

local root = love.filesystem.getSource() .. "/../.."
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/5.1/?.so;" .. package.cpath

local flux2 = require "flux2"
local host = require "flux2.host.love"

local ROWS = {
    {
        { prompt = "A lighthouse in a storm, long exposure", aspect_ratio = "16:9" },
        { prompt = "A red fox in the snow, watercolour", aspect_ratio = "1:1" },
        { prompt = "Northern lights over a frozen lake", aspect_ratio = "9:16" },
    },
    {
        { prompt = "Poppies in June, minimalist poster", aspect_ratio = "2:3" },
        { prompt = "A paper boat in a gutter", aspect_ratio = "4:3" },
        { prompt = "Mist in a mountain valley at dawn, ink", aspect_ratio = "16:9" },
    },
}
local WIDTH, GAP = 960, 10

local function fetch_all(client)
    for _, row in ipairs(ROWS) do
        for _, request in ipairs(row) do
            request.texture = assert(host.generate(client, {
                prompt = request.prompt, aspect_ratio = request.aspect_ratio,
            }, { size = WIDTH / 2 })) -- averaged downscaling keeps captions legible
            request.ratio = request.texture:getWidth() / request.texture:getHeight()
        end
    end
end

--- Returns the height at which the row fills the width.
local function height_of(row)
    local ratios = 0
    for _, request in ipairs(row) do ratios = ratios + request.ratio end
    return math.floor((WIDTH - GAP * (#row - 1)) / ratios)
end

local function draw_row(row, y)
    local x, height = 0, height_of(row)
    for _, request in ipairs(row) do
        local scale = height / request.texture:getHeight()
        request.texture:setFilter("linear", "linear")
        love.graphics.draw(request.texture, math.floor(x), y, 0, scale, scale)
        x = x + height * request.ratio + GAP
    end
    return y + height + GAP
end

local function draw_sheet()
    local height = -GAP
    for _, row in ipairs(ROWS) do height = height + height_of(row) + GAP end
    local canvas = love.graphics.newCanvas(WIDTH, height, { dpiscale = 1 })
    love.graphics.setCanvas(canvas)
    love.graphics.clear(1, 1, 1, 1)
    local y = 0
    for _, row in ipairs(ROWS) do y = draw_row(row, y) end
    love.graphics.setCanvas()
    return canvas:newImageData():encode "png"
end

function love.load(arguments)
    local path = assert(arguments[1], "usage: love tools/emulator-sheet FILE")
    local emulator = assert(require("flux2.emulator").start { duration = 0 })
    local client = assert(flux2.new { base_url = emulator.url, api_key = emulator.api_key })
    fetch_all(client)
    emulator:stop()
    local file = assert(io.open(path, "wb"))
    assert(file:write(draw_sheet():getString()))
    assert(file:close())
    print(path)
    love.event.quit()
end
