--- The page's own files: read once, so that it does not matter where the program goes afterwards.
-- Owns the list of what there is. Never: reads a name that came from outside.

local files = {}

local TYPES = {
    css = "text/css; charset=utf-8", html = "text/html; charset=utf-8", js = "text/javascript; charset=utf-8",
    svg = "image/svg+xml",
}

local NAMES = {
    "index.html", "style.css", "icon.svg", "main.js", "api.js", "dom.js", "form.js", "ratios.js", "inputs.js",
    "code.js", "life.js", "gallery.js", "failure.js",
}

--- Where they are: in the folder "page" beside this file.
local function folder()
    local source = debug.getinfo(1, "S").source
    return (source:match "^@(.*)files%.lua$" or "") .. "page/"
end

--- Reads them all. Raises if one is missing: then flux2 was not installed whole.
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
