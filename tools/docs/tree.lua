--- Lists what exists in the project folder: files, make targets, headings, environment variables.

local files = require "files"

local tree = {}

local function set(words)
    local members = {}
    for word in words:gmatch "%S+" do members[word] = true end
    return members
end

--- Converts a path to a Lua pattern; `*` matches anything except a slash.
local function pattern_of(path)
    return "^" .. path:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", "[^/]*") .. "/?$"
end

local function finder(paths)
    return function(path)
        path = path:gsub("/$", "")
        if paths[path] then return true end
        if not path:find("*", 1, true) then return false end
        local pattern = pattern_of(path)
        for other in pairs(paths) do
            if other:find(pattern) then return true end
        end
        return false
    end
end

--- Returns the anchor of a heading as GitHub generates it.
local function place_of(heading)
    return (heading:lower():gsub("`", ""):gsub("[^%w%s_%-\128-\255]", ""):gsub("%s", "-"))
end

--- Lists a folder.
---@param root string with a slash at its end
---@return table known files, targets, environment, folders, has_file, has_name, has_place, read
function tree.read(root)
    local paths, names, folders = {}, {}, {}
    local listing = "cd '%s' && find . \\( -name .git -o -path ./build -o -path ./demo \\) -prune -o -print"
    local found = files.lines(listing:format(root))
    for _, path in ipairs(found) do
        path = path:gsub("^%./", "")
        paths[path], names[path:match "[^/]+$"] = true, true
        local folder = path:match "^([^/]+)/"
        if folder then folders[folder] = true end
    end
    local known = {
        folders = folders, has_file = finder(paths), has_name = finder(names), targets = {}, environment = {},
        extensions = set "c h html json jsonl lua love md mjs pem png sh so svg txt",
        source_extensions = set "c h lua md mjs",
    }
    function known.read(path) return files.read(root .. path) end
    local makefile = "\n" .. (known.read "Makefile" or "")
    for target in makefile:gmatch "\n([%l][%w%-]*):[^=]" do known.targets[target] = true end
    local variables = ("cd '%s' && grep -rhoE --include='*.lua' --include='*.c' --include='*.sh' --include=Makefile " ..
        "--exclude-dir=.git --exclude-dir=build 'FLUX2_[A-Z0-9_]+' . | sort -u"):format(root)
    for _, name in ipairs(files.lines(variables)) do known.environment[name] = true end
    function known.has_place(path, place)
        for line in ((known.read(path) or "") .. "\n"):gmatch "(.-)\r?\n" do
            local heading = line:match "^#+%s+(.-)%s*$"
            if heading and place_of(heading) == place then return true end
        end
        return false
    end
    return known
end

return tree
