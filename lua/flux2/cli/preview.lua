--- Shows images in the terminal with chafa, if it is installed.

local shell = require "flux2.cli.shell"

local preview = {}

local MOST_COLUMNS, MOST_ROWS = 72, 22

--- Draws an image on stdout, if stdout is a terminal with colours and chafa is installed.
---@param terminal flux2.Terminal
---@param path string
function preview.show(terminal, path)
    if not terminal:shows_images() or terminal.quiet or terminal.json or not shell.has "chafa" then return end
    terminal:clear()
    local columns = math.min(MOST_COLUMNS, terminal:columns() - 1)
    if path:sub(1, 1) == "-" then path = "./" .. path end
    shell.run(("chafa --size %dx%d --animate off %s 2>/dev/null"):format(columns, MOST_ROWS, shell.quote(path)))
end

return preview
