--- Where the command line writes: results on stdout, everything else on stderr, and there one line that lives.
-- Owns the question what may be written where: escape codes reach a terminal only, colours neither one with NO_COLOR
-- nor a dumb one. Knows nothing of pictures and tasks.

local core = require "flux2.core"
local text = require "flux2.text"

---@class flux2.Terminal
---@field quiet boolean nothing but results and errors
---@field json boolean results and errors are JSON
---@field live boolean stderr is a terminal on which a line can be drawn again
---@field shows boolean stdout is a terminal
---@field unicode boolean it understands UTF-8
local Terminal = {}
Terminal.__index = Terminal

local terminal = {}

local STYLES = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", cyan = "36" }
local DEFAULT_COLUMNS = 80
local LINE_INTERVAL = 0.1 -- seconds between two drawings of the living line

local function is_set(value)
    return value ~= nil and value ~= ""
end

local function speaks_utf8(getenv)
    for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
        local value = getenv(name)
        if is_set(value) then return value:lower():find("utf%-?8") ~= nil end
    end
    return false
end

--- The terminal of this process.
---@param system? { out: file*, err: file*, getenv: function, is_terminal: function, columns: function } in the place of
---  the process's own
---@return flux2.Terminal
function terminal.new(system)
    system = system or {
        out = io.stdout, err = io.stderr, getenv = os.getenv, is_terminal = core.is_terminal, columns = core.columns,
    }
    local getenv = system.getenv
    local capable = getenv "TERM" ~= "dumb"
    local colours = capable and not is_set(getenv "NO_COLOR")
    local live = system.is_terminal(2) and capable
    local shows = system.is_terminal(1)
    return setmetatable({
        _system = system, _drawn = false, _drawn_at = -1, json = false, _colour_out = shows and colours,
        _colour_err = live and colours, quiet = false, live = live, shows = shows, unicode = speaks_utf8(getenv),
    }, Terminal)
end

-- Widths --------------------------------------------------------------------------------------------------------------

-- First and last code point of what takes two columns, and of what takes none.
local WIDE = {
    { 0x1100, 0x115F }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF }, { 0xA960, 0xA97F }, { 0xAC00, 0xD7A3 },
    { 0xF900, 0xFAFF }, { 0xFE30, 0xFE6F }, { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x1F300, 0x1F64F },
    { 0x1F680, 0x1F6FF }, { 0x1F900, 0x1FAFF }, { 0x20000, 0x3FFFD },
}
local NARROW = { { 0x0300, 0x036F }, { 0x200B, 0x200F }, { 0x20D0, 0x20FF }, { 0xFE00, 0xFE0F }, { 0xE0100, 0xE01EF } }

local function is_within(ranges, point)
    for i = 1, #ranges do
        if point < ranges[i][1] then return false end
        if point <= ranges[i][2] then return true end
    end
    return false
end

local function code_point(character)
    local a, b, c, d = character:byte(1, 4)
    if d then return ((a % 8 * 64 + b % 64) * 64 + c % 64) * 64 + d % 64 end
    if c then return (a % 16 * 64 + b % 64) * 64 + c % 64 end
    if b then return a % 32 * 64 + b % 64 end
    return a
end

local function width_of(character)
    local point = code_point(character)
    if is_within(NARROW, point) then return 0 end
    return is_within(WIDE, point) and 2 or 1
end

--- How many columns a line of UTF-8 takes, and as much of it as fits.
---@param line string without escape codes
---@param columns? integer
---@return integer width of all of it, or of what fits
---@return string fitting
-- Example: `terminal.fit("a red fox", 5)` is 5, "a red"
function terminal.fit(line, columns)
    local width = 0
    for at, character in line:gmatch "()([%z\1-\127\194-\244][\128-\191]*)" do
        local more = width_of(character)
        if columns and width + more > columns then return width, line:sub(1, at - 1) end
        width = width + more
    end
    return width, line
end

-- Writing -------------------------------------------------------------------------------------------------------------

local function styled(colours, style, s)
    if not colours or not STYLES[style] then return s end
    return "\27[" .. STYLES[style] .. "m" .. s .. "\27[0m"
end

--- Text in a style, where stderr shows styles.
---@param style "bold"|"dim"|"red"|"green"|"yellow"|"cyan"
---@param s string
---@return string
function Terminal:style(style, s)
    return styled(self._colour_err, style, s)
end

--- The same for stdout.
---@param style "bold"|"dim"|"red"|"green"|"yellow"|"cyan"
---@param s string
---@return string
function Terminal:style_result(style, s)
    return styled(self._colour_out, style, s)
end

--- Whether stdout shows styles.
---@return boolean
function Terminal:styles_results()
    return self._colour_out
end

--- Columns of the terminal; 80 where nobody knows.
---@return integer
function Terminal:columns()
    return self._system.columns(2) or self._system.columns(1) or DEFAULT_COLUMNS
end

--- Takes the living line away.
function Terminal:clear()
    if not self._drawn then return end
    self._drawn, self._drawn_at = false, -1
    self._system.err:write "\r\27[K"
end

--- Draws the living line, at most ten times in a second; nothing where no line can live.
---@param line string|fun(columns: integer): string without escape codes, or a function that makes it with them and
---  keeps to the columns itself
function Terminal:draw(line)
    if not self.live or self.quiet then return end
    local now = core.now()
    if now - self._drawn_at < LINE_INTERVAL then return end
    -- The last column stays free: some terminals go to the next line when it is filled.
    local columns = self:columns() - 1
    if type(line) == "function" then
        line = line(columns)
    else
        line = select(2, terminal.fit(line, columns))
    end
    self._drawn, self._drawn_at = true, now
    self._system.err:write("\r" .. line .. "\27[K") -- in one write, or it would flicker
end

--- A line for people, on stderr; not when quiet, nor beside JSON unless somebody is there to read it.
---@param line string
function Terminal:say(line)
    if self.quiet or self.json and not self.live then return end
    self:warn(line)
end

--- A line on stderr that people must see.
---@param line string
function Terminal:warn(line)
    self:clear()
    self._system.err:write(line, "\n")
end

--- A result, on stdout.
---@param line string
function Terminal:result(line)
    self:clear()
    self._system.out:write(line, "\n")
    self._system.out:flush()
end

--- Text of unknown origin on one line of so many columns at most, in quotes.
---@param s string
---@param columns integer
---@return string
-- Example: `terminal.quote("a very long prompt", 10)` is '"a very..."'
function terminal.quote(s, columns)
    s = text.clean(s, 4 * columns)
    local width = terminal.fit(s)
    if width <= columns - 2 then return '"' .. s .. '"' end
    return '"' .. select(2, terminal.fit(s, columns - 5)) .. '..."'
end

return terminal
