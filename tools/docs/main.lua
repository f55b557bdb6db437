--- tools/docs - the documentation: whether it says what is so, and the site that is made of it.
--
--     lua tools/docs/main.lua check      holds exports, comments, README and guides against each other
--     lua tools/docs/main.lua site DIR   the same, and writes what LDoc reads into DIR
--
-- LUA_PATH and LUA_CPATH lead to flux2 and its core; the working directory is the project's.

package.path = "tools/?.lua;" .. package.path

local exports = require "docs.exports"
local surface = require "docs.surface"

local function files_of(command)
    local list, pipe = {}, assert(io.popen(command))
    for file in pipe:lines() do list[#list + 1] = file end
    pipe:close()
    return list
end

local function scratch()
    local pipe = assert(io.popen "mktemp -d")
    local directory = pipe:read "*l"
    pipe:close()
    return directory
end

--- Every module of the project is either public or internal, and is there.
local function check_lists(check, files)
    local known = {}
    for _, list in ipairs { surface.public, surface.internal } do
        for _, name in ipairs(list) do known[name] = true end
    end
    for _, file in ipairs(files) do
        local name = file:match "^lua/(.-)%.lua$":gsub("/init$", ""):gsub("/", ".")
        if not known[name] then
            check:problem(file, 1, "is '" .. name .. "' public or internal? Say so in tools/docs/surface.lua")
        end
        known[name] = nil
    end
    for name in pairs(known) do
        check:problem("tools/docs/surface.lua", 1, "lists '" .. name .. "', which does not exist")
    end
end

local function check_exports()
    local files = files_of "find lua -name '*.lua' | LC_ALL=C sort"
    local check = exports.new("", require("flux2.errors").kinds, surface.options())
    check_lists(check, files)
    for _, file in ipairs(files) do check:read(file) end
    local pages = { modules = {}, classes = {} }
    for _, module in ipairs(surface.modules()) do
        local file = package.searchpath(module.name, "lua/?.lua;lua/?/init.lua")
        pages.modules[#pages.modules + 1] = check:check_module(module.name, module.value, file)
    end
    local directory = scratch()
    for _, class in ipairs(surface.classes(directory)) do
        pages.classes[#pages.classes + 1] = check:check_class(class.name, class.methods, class.objects)
    end
    os.execute("rm -rf '" .. directory .. "'")
    for _, name in ipairs { "flux2.Options", "flux2.Request", "flux2.EmulatorSettings", "flux2.EmulatorFault" } do
        pages.classes[#pages.classes + 1] = check:check_options(name)
    end
    check:check_files(files)
    return check, pages
end

local check, pages = check_exports()
for _, problem in ipairs(check.problems) do
    io.stderr:write(("%s:%d: %s\n"):format(problem.file, problem.line, problem.message))
end
if #check.problems > 0 then os.exit(1) end
if arg[1] == "site" then require("docs.site").write(arg[2], pages, files_of "ls docs/*.md") end
