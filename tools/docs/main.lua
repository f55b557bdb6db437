--- tools/docs - checks the documentation and prepares the site.
--
--     lua tools/docs/main.lua check      compares exports, comments, README and guides
--     lua tools/docs/main.lua site DIR   the same, and writes the sources of the site into DIR
--     lua tools/docs/main.lua kinds      rewrites the table of docs/errors.md
--
-- LUA_PATH and LUA_CPATH contain flux2 and its core; the working directory is the project folder.

package.path = "tools/?.lua;" .. package.path

local errors = require "flux2.errors"
local exports = require "docs.exports"
local json = require "cjson"
local kinds = require "docs.kinds"
local lines_of = require("files").lines
local names = require "docs.names"
local surface = require "docs.surface"
local tree = require "docs.tree"

local MARKDOWN = { "README.md", "CONTRIBUTING.md", "bench/README.md" }
local TABLE, GUIDES = "docs/errors.md", "docs/guides.json"

-- Exports -------------------------------------------------------------------------------------------------------------

local function check_exports()
    local files = lines_of "find lua -name '*.lua' | LC_ALL=C sort"
    local check = exports.new("", errors.kinds, surface.options())
    for _, file in ipairs(files) do check:read(file) end
    local pages = { modules = {}, classes = {} }
    for _, module in ipairs(surface.modules()) do
        local file = package.searchpath(module.name, "lua/?.lua;lua/?/init.lua")
        pages.modules[#pages.modules + 1] = check:check_module(module.name, module.value, file)
    end
    local directory = lines_of("mktemp -d")[1]
    local classes, close = surface.classes(directory)
    for _, class in ipairs(classes) do
        pages.classes[#pages.classes + 1] = check:check_class(class.name, class.methods, class.objects)
    end
    close()
    os.execute("rm -rf '" .. directory .. "'")
    for _, name in ipairs(surface.tables) do
        pages.classes[#pages.classes + 1] = check:check_options(name, surface.defaults[name])
    end
    check:check_files(files)
    return check, pages
end

-- Names --------------------------------------------------------------------------------------------------------------

local function add(members, page)
    for _, list in ipairs { page.functions, page.values, page.class and page.class.fields or {} } do
        for _, one in ipairs(list) do members[one.name] = true end
    end
    return members
end

--- Returns the documented names by the variable names of the guides.
local function known_names(check, pages)
    local known = tree.read "./"
    known.kinds, known.types, known.modules, known.classes = errors.kinds, check.classes, {}, { host = {} }
    for _, page in ipairs(pages.modules) do
        known.modules[page.name] = add({ _VERSION = page.name == "flux2" or nil }, page)
        if page.name:find "^flux2%.host%." then add(known.classes.host, page) end
    end
    for _, page in ipairs(pages.classes) do
        local variable = surface.variables[page.name]
        if variable then known.classes[variable] = add({}, page) end
    end
    -- `emulator` is the module in some guides and an object in others.
    known.classes.emulator = setmetatable(known.modules["flux2.emulator"], { __index = known.classes.emu })
    known.modules["flux2.core"] = {} -- messages name it
    return known
end

local function check_names(check, pages)
    local known = known_names(check, pages)
    local named = names.new(known)
    local listed = { ["docs/index.md"] = true }
    for _, group in ipairs(json.decode(known.read(GUIDES))) do
        for _, name in ipairs(group.items) do listed["docs/" .. name .. ".md"] = true end
    end
    for _, file in ipairs(lines_of "LC_ALL=C ls docs/*.md") do
        if not listed[file] then named:problem(file, 1, "this guide is not in " .. GUIDES) end
        listed[file] = nil
        named:check_markdown(file, known.read(file))
    end
    for file in pairs(listed) do
        named:problem(GUIDES, 1, "lists " .. file .. ", which is not there")
    end
    for _, file in ipairs(MARKDOWN) do named:check_markdown(file, known.read(file)) end
    for _, example in ipairs(check.examples) do named:check_code(example.file, example.line, example.code) end
    local line = kinds.differs(known.read(TABLE), errors)
    if line then named:problem(TABLE, line, "the table of kinds is not that of lua/flux2/errors.lua: see above it") end
    return named.problems
end

-- --------------------------------------------------------------------------------------------------------------------

local function report(problems)
    for _, problem in ipairs(problems) do
        io.stderr:write(("%s:%d: %s\n"):format(problem.file, problem.line, problem.message))
    end
    return #problems
end

if arg[1] == "kinds" then
    kinds.write(TABLE, errors)
    return
end

local check, pages = check_exports()
local found = report(check.problems)
-- Names are looked up in the documentation, so they are checked only if it is complete.
if found == 0 then found = report(check_names(check, pages)) end
if found > 0 then os.exit(1) end
if arg[1] == "site" then
    local guides = lines_of "LC_ALL=C ls docs/*.md | grep -v /index.md"
    require("docs.site").write(arg[2], pages, guides, require("flux2")._VERSION)
end
