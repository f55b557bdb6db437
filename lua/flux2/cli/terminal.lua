--- Output of the command line: results on stdout, everything else on stderr, including one status line.
-- Escape codes are written to terminals only; colours not with NO_COLOR or TERM=dumb, unless `set_color` is called.

local core = require "flux2.core"
local text = require "flux2.text"

---@class flux2.Terminal
---@field quiet boolean print only results and errors
---@field json boolean results and errors are JSON
---@field live boolean stderr is a terminal that can redraw a line
---@field shows boolean stdout is a terminal
---@field unicode boolean the terminal uses UTF-8
---@field unwritten? string reason of the first write error on stdout
local Terminal = {}
Terminal.__index = Terminal

local terminal = {}

local STYLES = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", cyan = "36" }
local DEFAULT_COLUMNS = 80
local LABEL = "flux2: " -- of an error
local LINE_INTERVAL = 0.1 -- seconds between two drawings of the status line

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

--- Creates the terminal of this process.
---@param system? { out: file*, err: file*, getenv: function, is_terminal: function, columns: function } replaces that
---  of the process
---@return flux2.Terminal
function terminal.new(system)
    local is_windows = not system and package.config:sub(1, 1) == "\\" -- core.interrupts told the console
    system = system or {
        out = io.stdout, err = io.stderr, getenv = os.getenv, is_terminal = core.is_terminal, columns = core.columns,
    }
    local getenv = system.getenv
    local capable = getenv "TERM" ~= "dumb"
    local out = setmetatable({
        _system = system, _drawn = false, _drawn_at = -1, _capable = capable, json = false, quiet = false,
        live = system.is_terminal(2) and capable, shows = system.is_terminal(1),
        unicode = is_windows or speaks_utf8(getenv),
    }, Terminal)
    out:set_color(is_set(getenv "NO_COLOR") and "never" or "auto")
    return out
end

--- Turns styles on or off.
---@param mode "auto"|"always"|"never" auto: on a terminal that has them
function Terminal:set_color(mode)
    local auto = mode == "auto" and self._capable
    self._colour_out = mode == "always" or auto and self.shows
    self._colour_err = mode == "always" or auto and self.live
end

--- Whether stdout shows images: a terminal with styles.
---@return boolean
function Terminal:shows_images()
    return self.shows and self._capable and self._colour_out
end

-- Widths --------------------------------------------------------------------------------------------------------------

-- Ranges of code points that take two columns, and of those that take none.
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

--- Measures a line of UTF-8, and cuts it to a number of columns.
---@param line string without escape codes
---@param columns? integer
---@return integer width of the returned text
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

--- Wraps a text at words. A word that is longer than a line keeps a line of its own.
---@param s string without escape codes
---@param columns integer
---@return string[] lines at least one
-- Example: `terminal.wrap("a red fox", 5)` is { "a red", "fox" }
function terminal.wrap(s, columns)
    local lines, line = {}, nil
    for word in s:gmatch "%S+" do
        local longer = line and line .. " " .. word or word
        if line and terminal.fit(longer) > columns then
            lines[#lines + 1], line = line, word
        else
            line = longer
        end
    end
    lines[#lines + 1] = line or ""
    return lines
end

-- Writing -------------------------------------------------------------------------------------------------------------

local STYLE_CODES = { ["0"] = true }
for _, code in pairs(STYLES) do STYLE_CODES[code] = true end

--- Removes control sequences except line ends, tabs and the styles of this file. Callers clean untrusted text as well.
local function printable(s)
    s = s:gsub("[%z\1-\8\11-\26\28-\31\127]", "?"):gsub("\194[\128-\159]", "?")
    s = s:gsub("\27%[(%d+)m", function(code) return STYLE_CODES[code] and "\1[" .. code .. "m" or nil end)
    return (s:gsub("\27", "?"):gsub("\1", "\27"))
end

local function styled(colours, style, s)
    if not colours or not STYLES[style] then return s end
    return "\27[" .. STYLES[style] .. "m" .. s .. "\27[0m"
end

--- Adds a style, if stderr shows styles.
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

--- Columns of the terminal; 80 if unknown.
---@return integer
function Terminal:columns()
    return self._system.columns(2) or self._system.columns(1) or DEFAULT_COLUMNS
end

--- Removes the status line.
function Terminal:clear()
    if not self._drawn then return end
    self._drawn, self._drawn_at = false, -1
    self._system.err:write "\r\27[K"
end

--- Draws the status line, at most ten times per second, if stderr can redraw it.
---@param line string|fun(columns: integer): string without escape codes, or a function that returns a line with them
---  that fits the columns
function Terminal:draw(line)
    if not self.live or self.quiet then return end
    local now = core.now()
    if now - self._drawn_at < LINE_INTERVAL then return end
    -- Some terminals wrap when the last column is filled.
    local columns = self:columns() - 1
    if type(line) == "function" then
        line = line(columns)
    else
        line = select(2, terminal.fit(line, columns))
    end
    self._drawn, self._drawn_at = true, now
    self._system.err:write("\r" .. printable(line) .. "\27[K") -- several writes would flicker
end

--- Prints a message on stderr, unless quiet, or with --json when stderr is not a terminal.
---@param line string
function Terminal:say(line)
    if self.quiet or self.json and not self.live then return end
    self:warn(line)
end

--- Prints a warning on stderr, even when quiet.
---@param line string
function Terminal:warn(line)
    self:clear()
    self._system.err:write(printable(line), "\n")
end

--- Wraps a line for stderr at words, if it is a terminal.
local function wrapped(self, line)
    return self.live and terminal.wrap(line, self:columns()) or { line }
end

--- Prints an error on stderr: "flux2: " and the message.
---@param message string without escape codes
function Terminal:error(message)
    for i, part in ipairs(wrapped(self, LABEL .. message)) do
        self:warn(i == 1 and self:style("red", "flux2:") .. part:sub(#LABEL) or part)
    end
end

--- Prints a hint below an error.
---@param line string without escape codes
function Terminal:hint(line)
    for _, part in ipairs(wrapped(self, line)) do self:warn(self:style("dim", part)) end
end

--- Prints a result on stdout. A write error is kept in `unwritten`.
---@param line string
function Terminal:result(line)
    self:clear()
    local out = self._system.out
    -- A file or a pipe gets the bytes unchanged.
    local _, reason = out:write(self.shows and printable(line) or line, "\n")
    if not reason then _, reason = out:flush() end
    self.unwritten = self.unwritten or reason
end

--- Quotes an untrusted value, cut to a number of columns.
---@param s any
---@param columns integer
---@return string
-- Example: `terminal.quote("a very long prompt", 10)` is '"a very..."'
function terminal.quote(s, columns)
    s = text.clean(tostring(s), 4 * columns)
    local width = terminal.fit(s)
    if width <= columns - 2 then return '"' .. s .. '"' end
    return '"' .. select(2, terminal.fit(s, columns - 5)) .. '..."'
end

return terminal
