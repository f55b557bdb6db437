--- Formats the progress of a run as text and as a bar.

local terminal = require "flux2.cli.terminal"
local text = require "flux2.text"

local progress = {}

--- Median and 95th percentile of the seconds that a task takes, as published by other FLUX.2 services. This service
--- publishes none, so the text says "typically".
progress.typical = { 15, 40 }

local SPINNER = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" }
local PLAIN_SPINNER = { "|", "/", "-", "\\" }
local BAR = 24 -- columns; shorter or absent on a narrow terminal

--- Returns a frame of the spinner.
---@param seconds number since the start
---@param unicode boolean
---@return string
function progress.spinner(seconds, unicode)
    local signs = unicode and SPINNER or PLAIN_SPINNER
    return signs[math.floor(seconds * 10) % #signs + 1]
end

--- Formats a duration.
---@param seconds number
---@return string
-- Example: `progress.duration(75)` is "1:15"; `progress.duration(12.3)` is "12 s"
function progress.duration(seconds)
    local whole = math.floor(seconds + 0.5)
    if whole < 60 then return ("%d s"):format(whole) end
    local minutes = math.floor(whole / 60)
    if minutes < 60 then return ("%d:%02d"):format(minutes, whole % 60) end
    return ("%d:%02d:%02d"):format(math.floor(minutes / 60), minutes % 60, whole % 60)
end

--- Formats a number with its noun.
---@param n integer
---@param one string
---@param many? string
---@return string
-- Example: `progress.count(2, "prompt")` is "2 prompts"
function progress.count(n, one, many)
    return ("%d %s"):format(n, n == 1 and one or many or one .. "s")
end

--- Returns a bar of a given width.
---@param share number 0 to 1
---@param columns integer
---@param unicode boolean
---@return string full the completed part
---@return string rest the remaining part
function progress.bar(share, columns, unicode)
    local full = math.floor(math.max(0, math.min(1, share)) * columns + 0.5)
    if unicode then return ("━"):rep(full), ("─"):rep(columns - full) end
    return ("#"):rep(full), ("."):rep(columns - full)
end

--- Estimates the remaining seconds: from the average so far, or from the typical duration before the first image.
---@param left integer unfinished images
---@param finished integer images finished in `elapsed`
---@param elapsed number seconds
---@param at_once integer concurrent tasks
---@return number seconds
function progress.remaining(left, finished, elapsed, at_once)
    if left == 0 then return 0 end
    if finished > 0 then return left * elapsed / finished end
    local rounds = math.ceil(left / math.max(1, at_once))
    return math.max(0, rounds * progress.typical[1] - elapsed)
end

---@class flux2.cli.Standing
---@field total integer images of this run
---@field finished integer
---@field failed integer
---@field running integer
---@field elapsed number seconds
---@field credits number spent
---@field concurrency integer

local function words(s, screen)
    local left = s.total - s.finished - s.failed
    local parts = { ("%d/%d done"):format(s.finished, s.total) }
    if s.failed > 0 then parts[#parts + 1] = screen:style("red", s.failed .. " failed") end
    parts[#parts + 1] = s.running .. " running"
    if left > 0 then
        local seconds = progress.remaining(left, s.finished + s.failed, s.elapsed, s.concurrency)
        parts[#parts + 1] = "ETA " .. progress.duration(seconds)
    end
    parts[#parts + 1] = text.credits(s.credits)
    return table.concat(parts, "  ")
end

local function plain_width(line)
    return (terminal.fit((line:gsub("\27%[[%d;]*m", ""))))
end

--- Returns the progress line.
---@param s flux2.cli.Standing
---@param columns integer
---@param screen flux2.Terminal for its styles
---@return string
function progress.line(s, columns, screen)
    local said = words(s, screen)
    local room = math.min(BAR, columns - plain_width(said) - 2)
    if room < 5 then
        if plain_width(said) <= columns then return said end
        return (select(2, terminal.fit((said:gsub("\27%[[%d;]*m", "")), columns)))
    end
    local share = s.total > 0 and (s.finished + s.failed) / s.total or 1
    local full, rest = progress.bar(share, room, screen.unicode)
    return screen:style("cyan", full) .. screen:style("dim", rest) .. "  " .. said
end

--- Draws the progress line.
---@param out flux2.Terminal
---@param s flux2.cli.Standing
function progress.draw(out, s)
    out:draw(function(columns) return progress.line(s, columns, out) end)
end

return progress
