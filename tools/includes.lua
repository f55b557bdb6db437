-- includes.lua - checks the includes of the C files: folders are layers that include only lower layers, includes form
-- no cycle, and only csrc/platform includes headers of the operating system.
--
--   lua tools/includes.lua [FOLDER]     (default: csrc)
--
-- Prints a line per finding and exits with status 1 if there is one. A unit is a header with its implementations:
-- clock.h, clock_posix.c and clock_windows.c are platform/clock.

local root = arg[1] or "csrc"

-- `includes`: other folders that a folder may include. `system`: headers in <> besides those of the standard library.
local LAYERS = {
    platform = { includes = {}, system = { "*" } },
    base = { includes = { "platform" }, system = { "lua.h", "lauxlib.h" } },
    http = { includes = { "base", "platform" }, system = { "curl/curl.h", "zlib.h" } },
    engine = { includes = { "http", "base", "platform" }, system = { "curl/curl.h" } },
    lua = { includes = { "engine", "http", "base", "platform" }, system = { "curl/curl.h" } },
    server = { includes = { "base", "platform" }, system = { "microhttpd.h", "jansson.h" } },
    emulator = {
        includes = { "server", "base", "platform" }, system = { "microhttpd.h", "jansson.h", "cairo.h", "zlib.h" },
    },
    gateway = { includes = { "server", "base", "platform" }, system = {} },
    tester = { includes = { "server", "base", "platform" }, system = { "microhttpd.h", "lualib.h" } },
}

local STANDARD = {}
for name in ([[assert ctype errno float inttypes limits math stdalign stdarg stdatomic stdbool stddef stdint stdio
    stdlib string time]]):gmatch "%S+" do STANDARD[name .. ".h"] = true end

local found = 0
local function report(...)
    found = found + 1
    print((...):format(select(2, ...)))
end

local function contains(list, item)
    for _, one in ipairs(list) do
        if one == item or one == "*" then return true end
    end
    return false
end

local function lines_of(command)
    local list, pipe = {}, assert(io.popen(command))
    for line in pipe:lines() do list[#list + 1] = line end
    pipe:close()
    return list
end

--- "engine/job" for csrc/engine/job.c, csrc/engine/job.h and csrc/engine/job_posix.c.
local function unit_of(path)
    return (path:gsub("%.[ch]$", ""):gsub("_posix$", ""):gsub("_windows$", ""))
end

local function check_quoted(at, folder, path)
    local to = path:match "^([^/]+)/"
    if not to or not LAYERS[to] then
        return report('%s: "%s" must be included with its folder', at, path)
    end
    if to ~= folder and not contains(LAYERS[folder].includes, to) then
        report("%s: %s may not include %s (%s)", at, folder, to, path)
    end
end

local function check_system(at, folder, path)
    if STANDARD[path] or contains(LAYERS[folder].system, path) then return end
    report("%s: %s may not include <%s>", at, folder, path)
end

local graph = {} -- unit -> units that it includes

local function read(file)
    local inside = file:sub(#root + 2)
    local folder = inside:match "^([^/]+)/"
    if not folder or not LAYERS[folder] then return report("%s: the folder is not a layer", file) end
    local unit, number = unit_of(inside), 0
    graph[unit] = graph[unit] or {}
    for line in io.lines(file) do
        number = number + 1
        local at = file .. ":" .. number
        local quoted, system = line:match '^%s*#%s*include%s*"([^"]+)"', line:match "^%s*#%s*include%s*<([^>]+)>"
        if quoted then
            check_quoted(at, folder, quoted)
            if unit_of(quoted) ~= unit then graph[unit][unit_of(quoted)] = at end
        elseif system then
            check_system(at, folder, system)
        end
    end
end

local function sorted_keys(t)
    local keys = {}
    for key in pairs(t) do keys[#keys + 1] = key end
    table.sort(keys)
    return keys
end

local state = {} -- unit -> "open" while its includes are followed, "done" afterwards

local function follow(unit, path)
    state[unit] = "open"
    path[#path + 1] = unit
    for _, to in ipairs(sorted_keys(graph[unit] or {})) do
        if state[to] == "open" then
            report("%s: include cycle: %s -> %s", graph[unit][to], table.concat(path, " -> "), to)
        elseif not state[to] then
            follow(to, path)
        end
    end
    path[#path] = nil
    state[unit] = "done"
end

for _, file in ipairs(lines_of(("find '%s' -name '*.[ch]' | sort"):format(root))) do read(file) end
for _, unit in ipairs(sorted_keys(graph)) do
    if not state[unit] then follow(unit, {}) end
end
os.exit(found == 0 and 0 or 1)
