--- The line that shows how a run of many pictures goes: a bar, what is done, what failed, how long still, what it cost.
-- Pure: numbers in, text out.

local progress = require "flux2.cli.progress"
local terminal = require "flux2.cli.terminal"

local board = {}

local BAR = 24 -- columns; a narrow terminal has a shorter one, or none

---@class flux2.cli.Standing
---@field total integer pictures of this run
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
    parts[#parts + 1] = progress.credits(s.credits)
    return table.concat(parts, "  ")
end

local function plain_width(line)
    return (terminal.fit((line:gsub("\27%[[%d;]*m", ""))))
end

--- The line.
---@param s flux2.cli.Standing
---@param columns integer
---@param screen flux2.Terminal for its styles
---@return string
function board.line(s, columns, screen)
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

return board
