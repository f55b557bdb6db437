-- Frame times: a graph in the corner, and a file with all times.

local meter = {}

local KEPT = 180 -- frames in the graph
local TALL = 50 -- milliseconds at the upper edge
local BUDGET = 0.2 -- milliseconds that flux2.update() may take
local WIDTH, HEIGHT = 2 * KEPT, 56

-- Three flat lists in milliseconds, because a table per frame would burden the garbage collector.
local frames, updates, uploads = {}, {}, {}
local worst = 0
local font

--- Records the times of a frame in seconds.
---@param dt number
---@param spent { pump: number, upload: number }
function meter.note(dt, spent)
    local n = #frames + 1
    frames[n], updates[n], uploads[n] = dt * 1000, spent.pump * 1000, spent.upload * 1000
    worst = math.max(worst, updates[n])
end

--- Writes all frames: three columns of milliseconds.
---@param path string
function meter.write(path)
    local file = assert(io.open(path, "w"))
    file:write("frame_ms\tupdate_ms\tupload_ms\n")
    for i = 1, #frames do file:write(("%.3f\t%.4f\t%.3f\n"):format(frames[i], updates[i], uploads[i])) end
    file:close()
end

local function bars(left, top)
    local first = math.max(1, #frames - KEPT + 1)
    local mean = 0
    for i = first, #frames do
        local x = left + WIDTH - (#frames - i + 1) * 2
        local height = math.min(1, frames[i] / TALL) * HEIGHT
        local slow = frames[i] > 1000 / 30
        love.graphics.setColor(slow and 0.86 or 0.36, slow and 0.56 or 0.55, slow and 0.32 or 0.78, 0.85)
        love.graphics.rectangle("fill", x, top + HEIGHT - height, 1.5, height)
        local ours = math.min(1, (updates[i] + uploads[i]) / TALL) * HEIGHT
        if ours > 0.5 then
            love.graphics.setColor(1, 0.62, 0.25)
            love.graphics.rectangle("fill", x, top + HEIGHT - ours, 1.5, ours)
        end
        mean = mean + frames[i]
    end
    return #frames > 0 and mean / (#frames - first + 1) or 0
end

--- Draws the graph with its right upper corner at (right, top).
function meter.draw(right, top)
    font = font or love.graphics.newFont(11)
    local left = right - WIDTH
    love.graphics.setColor(1, 1, 1, 0.04)
    love.graphics.rectangle("fill", left - 10, top - 8, WIDTH + 20, HEIGHT + 34, 8)
    local mean = bars(left, top)
    love.graphics.setColor(1, 1, 1, 0.18)
    -- 16.7 ms
    love.graphics.line(left, top + HEIGHT * 2 / 3, right, top + HEIGHT * 2 / 3)
    love.graphics.setFont(font)
    love.graphics.setColor(0.66, 0.7, 0.78)
    love.graphics.print(("frame %.1f ms"):format(mean), left, top + HEIGHT + 6)
    love.graphics.setColor(worst > BUDGET and { 0.95, 0.5, 0.35 } or { 1, 0.72, 0.42 })
    local now = #frames > 0 and updates[#frames] or 0
    local words = ("flux2.update() %.3f ms, worst %.3f"):format(now, worst)
    love.graphics.printf(words, left, top + HEIGHT + 6, WIDTH, "right")
end

return meter
