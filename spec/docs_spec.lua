-- The documentation checker, tools/docs, with a small project that is broken in different ways.

package.path = "tools/?.lua;" .. package.path

local comments = require "docs.comments"
local exports = require "docs.exports"
local kinds = require "docs.kinds"
local names = require "docs.names"
local service = require "support.service"
local site = require "docs.site"
local tree = require "docs.tree"
local types = require "docs.types"

local MODULE = [==[
--- A shop of lamps.
-- Owns the lamps.

local lamps = {}

---@class shop.Lamp A lamp.
---@field watts number how bright it is; 40 percent of that at night
---@field lit boolean whether it is lit
---@field name? string what it is called
local Lamp = {}
Lamp.__index = Lamp

---@class shop.Settings What a lamp is made with.
---@field watts? number its price in credits, for want of another unit; default 2 KiB
---@field name? string what it is called

--- Lights it.
---@param seconds? number seconds after which it goes out
---@return boolean lit
-- Example: `lamp:light(10)`
function Lamp:light(seconds)
    self.lit = seconds ~= 0
    return self.lit
end

--- Makes a lamp.
---@param opts? { watts: number?, name: string? } watts: how many; name is what it is called
---@return shop.Lamp? lamp
---@return flux2.Error? err kind "dark" at night
-- Example: `local lamp = assert(shop.new { watts = 40 })`, which is bright
function lamps.new(opts)
    return setmetatable({ watts = opts and opts.watts or 40, lit = false }, Lamp)
end

--- Used by nobody else.
---@private
function lamps.wire(volts) return volts end

--- The shapes that there are.
lamps.shapes = { "round", "square" }

lamps._Lamp = Lamp
return lamps
]==]

describe("the documentation checker", function()
    local folder

    before_each(function() folder = service.directory() end)
    after_each(function() service.remove(folder) end)

    local function write(path, text)
        os.execute(("mkdir -p '%s'"):format((folder .. "/" .. path):match "^(.*)/"))
        service.write(folder .. "/" .. path, text)
    end

    --- Returns the module with the first occurrence of `from` replaced. `from` must occur.
    local function with(from, to)
        local at, stop = MODULE:find(from, 1, true)
        assert(at, "the fixture does not hold: " .. from)
        return MODULE:sub(1, at - 1) .. to .. MODULE:sub(stop + 1)
    end

    --- Loads the module and checks it like main.lua. Returns the problems, one per line.
    local function problems_of(text, accepted, object)
        write("lua/shop.lua", text)
        local path = folder .. "/lua/shop.lua"
        local shop = assert(loadfile(path))()
        local check = exports.new(folder .. "/", { dark = "no light" }, accepted or {
            ["shop.new"] = { watts = "seconds", name = "string" },
            ["shop.Settings"] = { watts = "credits", name = "string" },
        })
        check.classes["flux2.Error"] = { name = "flux2.Error", fields = {} }
        check:check_module("shop", shop, path)
        check:check_class("shop.Lamp", shop._Lamp, { object or shop.new() })
        check:check_options("shop.Settings", { watts = 2048 })
        check:check_files { path }
        local list = {}
        for i, problem in ipairs(check.problems) do
            list[i] = ("%s:%d: %s"):format(problem.file, problem.line, problem.message)
        end
        return table.concat(list, "\n")
    end

    it("finds no problem in a documented module", function()
        assert.equal("", problems_of(MODULE))
    end)

    local BROKEN = {
        { "an export without a comment",
            "--- Makes a lamp.\n"
                .. "---@param opts? { watts: number?, name: string? } watts: how many; name is what it is called\n"
            .. "---@return shop.Lamp? lamp\n---@return flux2.Error? err kind \"dark\" at night\n"
            .. "-- Example: `local lamp = assert(shop.new { watts = 40 })`, which is bright\n", "",
            "lua/shop.lua:26: shop.new: exported, but it has no documentation" },
        { "a method without a comment", "-- Example: `lamp:light(10)`\n", "-- Example: `lamp:light(10)`\n\n",
            "shop.Lamp:light: exported, but it has no documentation" },
        { "a value without a comment", "--- The shapes that there are.\n", "",
            "shop.shapes: exported, but it has no documentation" },
        { "a function without a description", "--- Lights it.\n", "---\n", "shop.Lamp:light: it has no description" },
        { "a function without an example", "-- Example: `lamp:light(10)`\n", "", "shop.Lamp:light: it has no example" },
        { "an invalid example", "`lamp:light(10)`", "`lamp:light(10`", "shop.Lamp:light: the example is not Lua" },
        { "a number without a unit", "seconds after which it goes out", "when it goes out",
            "shop.Lamp:light, seconds: no unit" },
        { "an option without a unit", "watts: how many;", "watts;", "shop.new, opts: no unit is given for 'watts'" },
        { "a field without a unit", "how bright it is; 40 percent of that at night", "how bright it is",
            "shop.Lamp.watts: no unit" },
        { "a parameter that does not exist", "---@param seconds? number", "---@param minutes? number",
            "its parameters are (seconds), documented are (minutes)" },
        { "an undocumented parameter", "function Lamp:light(seconds)", "function Lamp:light(seconds, colour)",
            "its parameters are (seconds, colour), documented are (seconds)" },
        { "a parameter without a description", "seconds after which it goes out", "",
            "shop.Lamp:light, seconds: it has no description" },
        { "a type that does not exist", "---@return shop.Lamp? lamp", "---@return shop.Lantern? lamp",
            "there is no type 'shop.Lantern'" },
        { "a malformed type", "---@param seconds? number", "---@param seconds? {number",
            "the end of a list is missing in '{number" },
        { "a kind of error that does not exist", 'kind "dark"', 'kind "gloomy"', "there is no kind of error 'gloomy'" },
        { "an error of no kind", 'err kind "dark" at night', "err at night", "says of no kind when an error has it" },
        { "an undocumented return value", "---@return boolean lit\n", "",
            "shop.Lamp:light: it returns something, and has no @return" },
        { "an annotation that does not exist", "---@private", "---@privat", "unknown annotation @privat" },
        { "a documented field that does not exist", "---@field lit boolean whether it is lit",
            "---@field lit boolean whether it is lit\n---@field dim boolean whether it is dim",
            "shop.Lamp.dim: documented as boolean, but it is not there" },
        { "a field of another type", "---@field lit boolean", "---@field lit string",
            "shop.Lamp.lit: documented as string, but it is a boolean" },
        { "an undocumented field", "---@field lit boolean whether it is lit\n", "",
            "shop.Lamp: its field 'lit' is not documented" },
        { "an option that the code does not accept", "name: string? }", "nome: string? }",
            "documents the option 'nome', which the code does not accept" },
        { "an option of another kind", "watts: number?,", "watts: string?,",
            "the code takes seconds for 'watts', the documentation says otherwise" },
        { "an option missing in a class",
            "---@field name? string what it is called\n\n--- Lights it", "\n--- Lights it",
            "shop.Settings: the option 'name' is not documented" },
        { "a wrong default", "default 2 KiB", "default 2,000,",
            "shop.Settings.watts: the default is 2048, documented is 2000" },
        { "a class without a description", "---@class shop.Lamp A lamp.", "---@class shop.Lamp",
            "shop.Lamp: it has no description" },
        { "a module without a description", "--- A shop of lamps.\n-- Owns the lamps.\n", "\n",
            "shop: the file does not begin with what it is" },
        { "a line break that lua-language-server cannot read", "{ watts: number?, name",
            "{ watts:\n---  number?, name", "a line may end behind a comma only" },
    }
    for _, row in ipairs(BROKEN) do
        it("finds " .. row[1], function()
            local found = problems_of(with(row[2], row[3]))
            assert.truthy(found:find(row[4], 1, true), row[4] .. "\nwas not found in\n" .. found)
        end)
    end

    it("reads the accepted options from the code", function()
        local accepted = {
            ["shop.new"] = { watts = "seconds", name = "string", colour = "string" },
            ["shop.Settings"] = { watts = "credits", name = "string" },
        }
        assert.equal("lua/shop.lua:26: shop.new: the option 'colour' is not documented", problems_of(MODULE, accepted))
        accepted["shop.new"] = nil
        assert.truthy(problems_of(MODULE, accepted):find("surface.lua does not know its options", 1, true))
    end)

    it("includes the options of a parent class", function()
        local text = with("--- Lights it.", "---@class shop.More : shop.Settings What more is made with.\n" ..
            "---@field dim? boolean whether it is dim\n\n--- Lights it.")
        write("lua/shop.lua", text)
        local check = exports.new(folder .. "/", {}, { ["shop.More"] = { watts = "any", name = "any", dim = "any" } })
        check:read(folder .. "/lua/shop.lua")
        check:check_options("shop.More")
        assert.same({}, check.problems)
        check.accepted["shop.More"].name = nil
        check:check_options("shop.More")
        assert.truthy(check.problems[1].message:find("'name', which the code does not accept", 1, true))
    end)
end)

describe("the name checker", function()
    local folder

    setup(function()
        folder = service.directory()
        os.execute(("cd '%s' && mkdir -p lua/flux2 docs spec && touch spec/a_spec.lua docs/a.md lua/flux2/task.lua && " ..
            "printf 'all:\\n\\ttrue\\nbench-all: all\\n' >Makefile && " ..
            "echo 'os.getenv \"FLUX2_API_KEY\"' >lua/flux2/task.lua && " ..
            "printf '# A guide\\n\\n## Two words, `code`\\n' >docs/b.md"):format(folder))
    end)

    teardown(function() service.remove(folder) end)

    local function problems_of(text, file)
        local known = tree.read(folder .. "/")
        known.modules = {
            flux2 = { new = true, errors = true }, ["flux2.errors"] = { kinds = true }, ["flux2.core"] = {},
        }
        known.classes, known.types = { task = { wait = true, id = true } }, { ["flux2.Task"] = true }
        known.kinds = { timeout = "" }
        local check = names.new(known)
        check:check_markdown(file or "README.md", text)
        local list = {}
        for i, problem in ipairs(check.problems) do list[i] = problem.line .. ": " .. problem.message end
        return table.concat(list, "\n")
    end

    it("finds no problem in valid names", function()
        assert.equal("", problems_of(table.concat({
            "`flux2.new`, `flux2.errors.kinds`, `flux2.Task`, `flux2.core`, `task:wait(60)`, `task.id`, `other:thing`",
            "`kind == \"timeout\"`, `FLUX2_API_KEY`, `spec/a_spec.lua`, `spec/*_spec.lua`, `task.lua`, `docs/`",
            "[a](docs/a.md), [b](docs/b.md#two-words-code), [web](https://example.com/x), ![no](docs/a.md)",
            "Not code: flux2.nothing, task:nothing.",
            "```sh", "make && sudo make bench-all PREFIX=x     # for each", "```",
            "    make all                the words behind two blanks are none", "",
        }, "\n")))
    end)

    local MISSING = {
        { "`flux2.nwe`", "there is no flux2.nwe" },
        { "`flux2.errors.kins`", "there is no flux2.errors.kins" },
        { "```lua\nlocal x = flux2.submit()\n```", "there is no flux2.submit" },
        { "`task:wiat(60)`", "there is no task:wiat" },
        { "```lua\nprint(task.ident)\n```", "there is no task.ident" },
        { '`err.kind == "timed_out"`', "there is no kind of error 'timed_out'" },
        { "`FLUX2_KEY`", "nothing reads FLUX2_KEY" },
        { "`spec/b_spec.lua`", "there is no spec/b_spec.lua" },
        { "`spec/x_*_spec.lua`", "there is no spec/x_*_spec.lua" },
        { "`lua spec/b_spec.lua --port 80`", "there is no spec/b_spec.lua" },
        { "`tusk.lua`", "there is no file tusk.lua" },
        { "```sh\nmake bench-al\n```", "make has no target 'bench-al'" },
        { "`make bench-al`", "make has no target 'bench-al'" },
        { "    make tset          runs it", "make has no target 'tset'" },
        { "[c](docs/c.md)", "the link docs/c.md leads nowhere" },
        { "[b](docs/b.md#three-words)", "the link docs/b.md#three-words leads to a heading that is not there" },
    }
    for _, row in ipairs(MISSING) do
        it("finds " .. row[1]:gsub("\n", " "), function()
            local found = problems_of(row[1] .. "\n")
            assert.truthy(found:find(row[2], 1, true), "found: " .. found)
        end)
    end

    it("resolves links relative to the file", function()
        assert.equal("", problems_of("[b](b.md), [readme](../lua/flux2/task.lua)\n", "docs/a.md"))
        assert.equal("1: the link docs/b.md leads nowhere", problems_of("[b](docs/b.md)\n", "docs/a.md"))
    end)

    it("compares and writes the table of error kinds", function()
        local errors = { kinds = { io = "a file" }, advice = { io = "Look at err.cause." } }
        local path = folder .. "/kinds.md"
        local before = "# Errors\n\n| `err.kind` | what it means | what to do |\n|---|---|---|\n"
        service.write(path, before .. "| `oi` | a file | Look. |\n<!-- end -->\nrest\n")
        assert.equal(3, kinds.differs(service.read(path), errors))
        kinds.write(path, errors)
        assert.equal(before .. "| `io` | a file | Look at `err.cause`. |\n<!-- end -->\nrest\n", service.read(path))
        assert.is_nil(kinds.differs(service.read(path), errors))
    end)
end)

describe("the site generator", function()
    local folder

    before_each(function()
        folder = service.directory()
        os.execute(("mkdir '%s/modules' '%s/classes'"):format(folder, folder))
    end)

    after_each(function() service.remove(folder) end)

    it("converts comments and guides to pages", function()
        local read = comments.read("shop.lua", MODULE)
        local lamp, new = nil, nil
        for _, class in ipairs(read.classes) do lamp = class.name == "shop.Lamp" and class or lamp end
        for _, block in ipairs(read.blocks) do new = block.code:find "lamps.new" and block or new end
        read.about.text = "A shop.\n\n    shop.new()\n\nSee shop.new, <b> and `x < y`."
        service.write(folder .. "/guide.md",
            "# A guide\n\n`shop.new`, a\n[more](other.md#x), [code](../lua/x.lua)\n\n```lua love\nshop.new()\n```\n\n    a --> b\n\n    c\n\nshop.new\n")
        site.write(folder, {
            modules = { { name = "shop", about = read.about,
                functions = { { name = "new", block = new } }, values = {} } },
            classes = { { name = "shop.Lamp", class = lamp, functions = {}, values = {} } },
        }, { folder .. "/guide.md" }, "1.2.3")

        local page = service.read(folder .. "/modules/shop.md")
        assert.truthy(page:find("# shop\n\nA shop.\n\n```lua\nshop.new()\n\n```\n"
            .. "See [`shop.new`](/modules/shop.md#new), " ..
            "&lt;b&gt; and `x < y`.\n", 1, true), page)
        assert.truthy(page:find("## new(opts?) {#new}\n\nMakes a lamp.\n", 1, true), page)
        assert.truthy(page:find("- **opts** `{ watts: number?, name: string? }`: watts: how many", 1, true), page)
        assert.truthy(page:find("- **lamp** [`shop.Lamp?`](/classes/shop.Lamp.md)\n", 1, true), page)
        assert.truthy(page:find("```lua\nlocal lamp = assert(shop.new { watts = 40 })    -- which is bright\n```", 1,
            true), page)
        local class = service.read(folder .. "/classes/shop.Lamp.md")
        assert.truthy(class:find("# shop.Lamp\n\nA lamp.\n", 1, true), class)
        assert.truthy(class:find("- **lit** `boolean`: whether it is lit\n", 1, true), class)
        assert.equal("# A guide\n\n[`shop.new`](/modules/shop.md#new), a\n[more](other.md#x), code (`lua/x.lua`)\n\n"
            .. "```lua love\nshop.new()\n```\n\n```\na --> b\n\nc\n\n```\n[`shop.new`](/modules/shop.md#new)\n", service.read(folder .. "/guide.md"))
        local index = require("cjson").decode(service.read(folder .. "/api.json"))
        assert.same({ version = "1.2.3", modules = { "shop" }, classes = { "shop.Lamp" } }, index)
    end)
end)

describe("the type parser", function()
    local function fits(text, value)
        local node, reason = types.read(text)
        assert(node, reason)
        return types.fits(node, value)
    end

    it("reads LuaCATS types, and returns the remaining text", function()
        for text, rest in pairs {
            ["string|flux2.Request a prompt"] = "a prompt", ["number[]? seconds"] = "seconds",
            ["{ a: number?, b: (fun(x: any, ...): string)?, c: any }? text"] = "text", ['"pro"|"flex" which'] = "which",
            ["table<string, any> fields"] = "fields", ["(fun(): any)? # note"] = "note", ["flux2.Error."] = ".",
            ["file*? handle"] = "handle",
        } do
            local node, found = types.read(text)
            if text == "flux2.Error." then
                assert.is_nil(node)
            else
                assert.truthy(node, found)
                assert.equal(rest, found)
            end
        end
        for _, text in ipairs { "", "nil, string", "{ a: }", "fun(x", "string|", "number[seconds", "table<string" } do
            assert.is_nil((types.read(text)))
        end
    end)

    it("checks whether a value has a type", function()
        assert.is_true(fits("number?", nil) and fits("integer", 3) and fits("string[]", {}) and fits('"a"|"b"', "b"))
        assert.is_true(fits("flux2.Task", {}) and fits("fun()", print) and fits("string|nil", nil) and fits("any", nil))
        assert.is_false(fits("number", nil) or fits("integer", 3.5) or fits("string", 3) or fits('"a"|"b"', "c"))
    end)

    it("reads whole comments, and none inside a string", function()
        local read = comments.read("x.lua",
            "local a = [[\n--- no comment\n]]\n--- One.\n-- Example: `a`\n-- `b`\nlocal function a() end\n")
        assert.equal(1, #read.blocks)
        assert.are.same({ "`a`\n`b`" }, read.by_line[7].examples)
    end)
end)
