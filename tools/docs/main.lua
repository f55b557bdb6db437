--- tools/docs - the documentation: whether it says what is so, and the site that is made of it.
--
--     lua tools/docs/main.lua check      holds exports, comments, README and guides against what there is
--     lua tools/docs/main.lua site DIR   the same, and writes what LDoc reads into DIR
--     lua tools/docs/main.lua kinds      writes the table of docs/errors.md anew
--
-- LUA_PATH and LUA_CPATH lead to flux2 and its core; the working directory is the project's.

package.path = "tools/?.lua;" .. package.path

local errors = require "flux2.errors"
local exports = require "docs.exports"
local guides = require "docs.guides"
local kinds = require "docs.kinds"
local lines_of = require("docs.file").lines_of
local names = require "docs.names"
local surface = require "docs.surface"
local tree = require "docs.tree"

local MARKDOWN = { "README.md", "CONTRIBUTING.md", "bench/README.md" }
local TABLE = "docs/errors.md"

-- Exports -------------------------------------------------------------------------------------------------------------

local function check_exports()
    local files = lines_of "find lua -name '*.lua' | LC_ALL=C sort"
    local check = exports.new("", errors.kinds, surface.options())
    check:check_lists(files, surface.public, surface.internal)
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

--- What the pages say there is, by the names that the guides use.
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
    -- `emulator` is the module here and an emulator there.
    known.classes.emulator = setmetatable(known.modules["flux2.emulator"], { __index = known.classes.emu })
    function known.is_module(name)
        return package.searchpath(name, package.path) ~= nil or package.searchpath(name, package.cpath) ~= nil
    end
    return known
end

local function check_names(check, pages)
    local known = known_names(check, pages)
    local named = names.new(known)
    local listed = {}
    for _, name in ipairs(guides) do listed["docs/" .. name .. ".md"] = true end
    for _, file in ipairs(lines_of "LC_ALL=C ls docs/*.md") do
        if not listed[file] then named:problem(file, 1, "this guide is not in the list of tools/docs/guides.lua") end
        listed[file] = nil
        named:check_markdown(file, known.read(file))
    end
    for file in pairs(listed) do
        named:problem("tools/docs/guides.lua", 1, "lists " .. file .. ", which is not there")
    end
    for _, file in ipairs(MARKDOWN) do named:check_markdown(file, known.read(file)) end
    for _, example in ipairs(check.examples) do named:check_code(example.file, example.line, example.code) end
    local line = kinds.differs(known.read(TABLE), errors)
    if line then named:problem(TABLE, line, "the table of kinds is not that of lua/flux2/errors.lua: see above it") end
    return named.problems
end

-- --------------------------------------------------------------------------------------------------------------------

local function complain(problems)
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
local found = complain(check.problems)
-- Names are looked up among what is documented: with a hole in that, they would fail for nothing.
if found == 0 then found = complain(check_names(check, pages)) end
if found > 0 then os.exit(1) end
if arg[1] == "site" then
    require("docs.site").write(arg[2], pages, lines_of "LC_ALL=C ls docs/*.md")
end
