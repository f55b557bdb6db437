--- The picture itself, in the terminal: chafa draws it, where it is installed and somebody is looking.

local shell = require "flux2.cli.shell"

local preview = {}

local MOST_COLUMNS, MOST_ROWS = 72, 22

--- Draws a picture on stdout; does nothing where it cannot.
---@param terminal flux2.Terminal
---@param path string
function preview.show(terminal, path)
    if not terminal.shows or terminal.quiet or terminal.json or not shell.has "chafa" then return end
    terminal:clear()
    local columns = math.min(MOST_COLUMNS, terminal:columns() - 1)
    local colours = terminal:styles_results() and "" or "--colors none "
    if path:sub(1, 1) == "-" then path = "./" .. path end
    shell.run(("chafa --size %dx%d --animate off %s%s 2>/dev/null"):format(columns, MOST_ROWS, colours,
        shell.quote(path)))
end

return preview
