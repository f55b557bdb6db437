--- How far it is, in words and as a bar. Pure functions: they draw nothing.

local text = require "flux2.text"

local progress = {}

--- Seconds that a picture takes, as other services of FLUX.2 publish it: the median and the 95th percentile. This
--- service publishes nothing, and says so by "typically".
progress.typical = { 15, 40 }

local SPINNER = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" }
local PLAIN_SPINNER = { "|", "/", "-", "\\" }

--- A sign that moves, for a line that is drawn again.
---@param seconds number since it began
---@param unicode boolean
---@return string
function progress.spinner(seconds, unicode)
    local signs = unicode and SPINNER or PLAIN_SPINNER
    return signs[math.floor(seconds * 10) % #signs + 1]
end

--- A duration as people say it.
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

--- Credits as people say it.
---@param n number
---@return string
-- Example: `progress.credits(1)` is "1 credit"
function progress.credits(n)
    return text.number(n) .. (n == 1 and " credit" or " credits")
end

--- A number of things.
---@param n integer
---@param one string
---@param many? string
---@return string
-- Example: `progress.count(2, "prompt")` is "2 prompts"
function progress.count(n, one, many)
    return ("%d %s"):format(n, n == 1 and one or many or one .. "s")
end

--- A bar of so many columns.
---@param share number 0 to 1
---@param columns integer
---@param unicode boolean
---@return string full what is done
---@return string rest what is not
function progress.bar(share, columns, unicode)
    local full = math.floor(math.max(0, math.min(1, share)) * columns + 0.5)
    if unicode then return ("━"):rep(full), ("─"):rep(columns - full) end
    return ("#"):rep(full), ("."):rep(columns - full)
end

--- Seconds until the rest is done: by what was seen, or, before the first is done, by what is typical.
---@param left integer how many are not finished
---@param finished integer how many were finished in `elapsed`
---@param elapsed number seconds
---@param at_once integer how many run at the same time
---@return number seconds
function progress.remaining(left, finished, elapsed, at_once)
    if left == 0 then return 0 end
    if finished > 0 then return left * elapsed / finished end
    local rounds = math.ceil(left / math.max(1, at_once))
    return math.max(0, rounds * progress.typical[1] - elapsed)
end

return progress
