--- The files of the page. All are read at start; only the names in NAMES are served.

local files = {}

local TYPES = {
    css = "text/css; charset=utf-8", html = "text/html; charset=utf-8", js = "text/javascript; charset=utf-8",
    svg = "image/svg+xml",
}

local NAMES = {
    "index.html", "style.css", "icon.svg", "main.js", "api.js", "dom.js", "form.js", "ratios.js", "inputs.js",
    "code.js", "task-view.js", "gallery.js", "failure.js",
}

--- The folder "page" next to this file.
local function folder()
    local source = debug.getinfo(1, "S").source
    return (source:match "^@(.*)files%.lua$" or "") .. "page/"
end

--- Reads all files. Raises an error if one is missing (an incomplete installation).
---@return table<string, { type: string, bytes: string }> by name
function files.load()
    local all, home = {}, folder()
    for _, name in ipairs(NAMES) do
        local file = assert(io.open(home .. name, "rb"))
        all[name] = { type = TYPES[name:match "%.(%w+)$"], bytes = file:read "*a" }
        file:close()
    end
    return all
end

return files
