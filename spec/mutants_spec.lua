-- The program behind `make mutants`: its mutations in C and in Lua, the code it leaves alone, and a run on a project.

package.path = "tools/?.lua;" .. package.path

local bound = require "support.bound"
local build = require "support.build"
local c_source = require "mutants.c_source"
local lua_source = require "mutants.lua_source"
local operators = require "mutants.operators"
local points = require "mutants.points"
local results = require "mutants.results"
local service = require "support.service"
local shell = require "support.shell"
local tokens = require "mutants.tokens"

local READERS = { c = c_source.read, lua = lua_source.read }

--- All mutants of a source: operator -> list of the changed sources.
local function mutants(source, language)
    local made = {}
    for _, place in ipairs(operators.places(READERS[language](source))) do
        for _, alternative in ipairs(place.alternatives) do
            made[alternative.operator] = made[alternative.operator] or {}
            table.insert(made[alternative.operator], operators.apply(source, alternative.edits))
        end
    end
    return made
end

--- The mutants of the body of a function.
local function c_mutants(body, operator)
    local list = {}
    for i, source in ipairs(mutants("int f(int a)\n{" .. body .. "}\n", "c")[operator] or {}) do
        list[i] = source:match "{(.*)}\n"
    end
    return list
end

local function lua_mutants(source, operator)
    return mutants(source, "lua")[operator] or {}
end

local function words(source, language)
    local list = {}
    for i, token in ipairs(tokens.split(source, language)) do list[i] = token.text end
    return table.concat(list, " ")
end

describe("the tokens of a source", function()
    it("are those of C, without comments and preprocessor lines", function()
        assert.equal([[a ->b += "x\"/*" ; '\'' 0x1fULL 1.5e-3f << >= ...]], (words([[
            /* a > b */ a->b += "x\"/*"; // c
            #define X 1 \
                + 2 /* of
                two lines */
            '\'' 0x1fULL 1.5e-3f << >= ...]], "c"):gsub("%-> b", "->b")))
    end)

    it("are those of Lua, without comments", function()
        assert.equal([==[a = [=[ ]] -- ]=] .. '\'--' ~= 0x1F // 2e+5 ...]==], words([==[#!/usr/bin/lua
            --[=[ a
            b ]=] a = [=[ ]] -- ]=] .. '\'--' -- c
            ~= 0x1F // 2e+5 ...]==], "lua"))
    end)

    it("have line numbers", function()
        local list = tokens.split("a /*\n\n*/ b\n\"c\" d", "c")
        assert.same({ 1, 3, 4, 4 }, { list[1].line, list[2].line, list[3].line, list[4].line })
    end)
end)

describe("mutations in C", function()
    local CASES = {
        { "negate condition", "if (a && *p) g();", "if (!(a && *p)) g();" },
        { "condition always true", "if (a < 1) g();", "if (1) g();" },
        { "condition never true", "if (a < 1) g(); else h();", "if (0) g(); else h();" },
        { "negate condition", "for (i = 0; i < n; i++) g();", "for (i = 0; !(i < n); i++) g();" },
        { "negate condition", "do { g(); } while (a);", "do { g(); } while (!(a));" },
        { "condition never true", "while (a) g();", "while (0) g();" },
        { "condition always true", "while (a) g();" },
        { "negate condition", "while (1) g();" },
        { "move boundary", "return a < b;", "return a <= b;" },
        { "move boundary", "x = a >= b;", "x = a > b;" },
        { "negate comparison", "x = a == b;", "x = a != b;" },
        { "exchange and/or", "x = a || b;", "x = a && b;" },
        { "exchange + and -", "x = -a + b[-c];", "x = -a - b[-c];" },
        { "exchange + and -", "n += 2;", "n -= 2;" },
        { "exchange + and -", "for (;; i++) g();" },
        { "drop call", "g(a, h(b));", ";" },
        { "drop call", "(void)s->g(a);", ";" },
        { "drop call", "x = g(a); int y = h(a);" },
        { "return 0", "return g(a);", "return 0;" },
        { "return 1", "return 0;", "return 1;" },
        { "return false", "return true;", "return false;" },
        { "return the opposite", "return a == b;", "return !(a == b);" },
        { "return 0", "return NULL;" },
        { "return 0", "return;" },
        { "constant + 1", "x = 0x10u;", "x = (0x10u + 1);" },
        { "constant - 1", "x = '\\n';", "x = ('\\n' - 1);" },
        { "exchange true and false", "x = false;", "x = true;" },
        { "empty string", 'g("a\\"b", "");', 'g("", "");' },
        { "swap statements", "g(a);\n  h(b);", "h(b);\n  g(a);" },
        { "swap statements", "x = y; y = z;", "y = z; x = y;" },
        { "swap statements", "if (a) { g(); } h();", "h(); if (a) { g(); }" },
        { "swap statements", "s->a = 1; s->b = 2;" },
        { "swap statements", "free(a); free(b);" },
        { "swap statements", "int x = 1; g(); break; return 1;" },
        { "swap statements", "g();\n#ifdef X\nh();\n#endif\n" },
    }

    for _, case in ipairs(CASES) do
        local operator, before, after = case[1], case[2], case[3]
        it(("%s: %s"):format(operator, before:gsub("\n", " ")), function()
            assert.same({ after }, c_mutants(before, operator))
        end)
    end

    it("apply to blocks of any depth", function()
        assert.same({ "switch (a) { case 1: for (;;) { ; } default: { h(); } }",
            "switch (a) { case 1: for (;;) { g(); } default: { ; } }" },
            c_mutants("switch (a) { case 1: for (;;) { g(); } default: { h(); } }", "drop call"))
        assert.same({ "FOREACH(a, b) { ; }" }, c_mutants("FOREACH(a, b) { g(); }", "drop call"))
    end)

    it("skip pure declarations", function()
        assert.same({}, mutants([[
            #include "a.h"
            struct s { char text[16]; unsigned bit : 1; };
            static char buffer[32];
            int f(int a, char b[4]);
            /* if (a < b) g(); */
        ]], "c"))
    end)

    it("apply to constants in enumerations and in data", function()
        assert.same({ "enum { A, B = (2 + 1) };" }, mutants("enum { A, B = 2 };", "c")["constant + 1"])
        assert.same({ "static const int d[1] = { (7 + 1) };" },
            mutants("static const int d[1] = { 7 };", "c")["constant + 1"])
    end)
end)

describe("mutations in Lua", function()
    local CASES = {
        { "negate condition", "if a and b then g() end", "if not (a and b) then g() end" },
        { "condition always true", "if a then g() elseif b then h() end", "if true then g() elseif b then h() end",
            "if a then g() elseif true then h() end" },
        { "condition never true", "while a do g() end", "while false do g() end" },
        { "negate condition", "repeat g() until a", "repeat g() until not (a)" },
        { "condition never true", "repeat g() until a" },
        { "move boundary", "local x = a <= b", "local x = a < b" },
        { "negate comparison", "local x = a ~= b", "local x = a == b" },
        { "exchange and/or", "local x = a and b", "local x = a or b" },
        { "exchange + and -", "local x = -a - b", "local x = -a + b" },
        { "drop call", "g(a) h(b).x = 1", "do end h(b).x = 1" },
        { "drop call", "a.b:g { 1 }", "do end" },
        { "drop call", "g 'x'", "do end" },
        { "return nil", "return function() return a, b end", "return function() return nil, b end" },
        { "return true", "local function f() return nil end", "local function f() return true end" },
        { "return false", "local function f() return true end", "local function f() return false end" },
        { "return the opposite", "local function f() return a == 1 end", "local function f() return not (a == 1) end" },
        { "return nil", "return a" },
        { "constant + 1", "local x = { 5 }", "local x = { (5 + 1) }" },
        { "exchange true and false", "local x = true", "local x = false" },
        { "empty string", "local x = [[a]]", 'local x = ""' },
        { "empty string", "local x = require 'a' local y = require('b') local z = ''" },
        { "swap statements", "a = b b = c", "b = c a = b" },
        { "swap statements", "g(a)\nif b then h() end", "if b then h() end\ng(a)" },
        { "swap statements", "local a = 1 g(a) return a" },
        { "swap statements", "t.a = 1 t.b = 2" },
    }

    for _, case in ipairs(CASES) do
        it(("%s: %s"):format(case[1], case[2]:gsub("\n", " ")), function()
            assert.same({ case[3], case[4] }, lua_mutants(case[2], case[1]))
        end)
    end

    it("skip comments, names of string methods, and empty code", function()
        assert.same({}, mutants("--- if a < 1 then g() end\n--[[ return 1 ]] local a = ''\n", "lua"))
    end)

    it("produce valid Lua in every file of the project", function()
        for _, path in ipairs { "lua/flux2/init.lua", "lua/flux2/cli/init.lua" } do
            for _, sources in pairs(mutants(service.read(path), "lua")) do
                for _, source in ipairs(sources) do assert((loadstring or load)(source)) end -- luacheck: ignore 113
            end
        end
    end)
end)

describe("mutation points", function()
    local SOURCE = "local function f(a)\n    if a < 1 then g(a) end\n    return a + 2\nend\nreturn f\n"

    local function names(source, seed)
        local list = {}
        for i, point in ipairs(points.shuffle(points.of("x.lua", source, "lua"), seed)) do
            list[i] = points.name(point)
        end
        return list
    end

    it("are the same for the same seed, and different for another", function()
        assert.same(names(SOURCE, 7), names(SOURCE, 7))
        assert.are_not.same(names(SOURCE, 7), names(SOURCE, 8))
    end)

    it("keep their names when lines are inserted or removed before them", function()
        assert.same(names(SOURCE, 7), names("-- new\n\n" .. SOURCE, 7))
    end)

    it("have unique names", function()
        local seen = {}
        for _, place in ipairs(points.of("x.lua", "local a, b = x < 1 or y < 1, x < 1\nlocal c = x < 1\n", "lua")) do
            for _, point in ipairs(place) do
                assert.is_nil(seen[points.name(point)])
                seen[points.name(point)] = true
            end
        end
    end)

    it("record the lines of their statement and of their function", function()
        for _, place in ipairs(points.of("x.lua", "local function f()\n    g()\n    return a\n        + 1\nend\n",
            "lua")) do
            for _, point in ipairs(place) do
                if point.operator == "constant + 1" then
                    assert.same({ 3, 4 }, { point.from_line, point.to_line })
                    assert.same({ first = 1, last = 5 }, point.body)
                end
            end
        end
    end)
end)

describe("results", function()
    local path = os.tmpname()
    teardown(function() os.remove(path) end)

    it("are read back as written, without a truncated line", function()
        local result = { status = "killed", line = "3", spec = "a", test = "t", seconds = "1",
            difference = "-a\\\n+\tb", name = "x.c\ty" }
        results.append(path, result)
        results.append(path, result)
        service.write(path, service.read(path):sub(1, -8))
        assert.same({ result }, (results.read(path)))
    end)
end)

-- A project of one file, with a spec that tests one of its two functions.
describe("a run", function()
    if _VERSION ~= "Lua 5.4" or build.is_instrumented or not os.execute "command -v git >/dev/null" then return end

    local SOURCE = [[
local sum = {}
function sum.add(a, b)
    return a + b
end
function sum.more()
    return 1
end
return sum
]]
    local TEST = "it('adds', function() assert.equal(5, require('flux2.sum').add(2, 3)) end)\n"
    local FILES = {
        ["Makefile"] = "all spec-libraries:\n\t@:\n",
        [".gitignore"] = "build\n",
        ["tools/busted.lua"] = "require 'busted.runner' { standalone = false }\n",
        ["lua/flux2/sum.lua"] = SOURCE,
        ["spec/sum_spec.lua"] = TEST,
        ["spec/other_spec.lua"] = "it('covers nothing', function() end)\n",
    }
    local folder

    local function run(arguments)
        local code, printed = shell.run(("cd '%s' && timeout %d '%s' '%s/tools/mutants/main.lua' %s"):format(folder,
            bound(200),
            shell.interpreter(), os.getenv "PWD", arguments))
        assert.equal(0, code, printed)
        return printed
    end

    setup(function()
        folder = service.directory()
        for path, text in pairs(FILES) do
            assert(os.execute(("mkdir -p \"$(dirname '%s/%s')\""):format(folder, path)))
            service.write(folder .. "/" .. path, text)
        end
        assert(os.execute(("git init -q '%s'"):format(folder)))
    end)

    teardown(function() service.remove(folder) end)

    it("reports killed mutants and survivors", function()
        local printed = run "N=99 SEED=3"
        assert.truthy(printed:find("killed    lua/flux2/sum.lua:3  exchange + and -  spec/sum_spec.lua  ", 1, true),
            printed)
        assert.truthy(printed:find("SURVIVED  lua/flux2/sum.lua:6  ", 1, true), printed)
        assert.truthy(printed:find("    -    return 1\n    +    return ", 1, true), printed)
        assert.truthy(printed:find "\nlua/flux2 +3 +2 +67 %%\n", printed)
        assert.equal(printed:match "\n(3 mutants, seed 3\n.*)$", service.read(folder .. "/build/mutants/report.txt"))
    end)

    it("retries only survivors, with new specs and moved lines", function()
        service.write(folder .. "/lua/flux2/sum.lua", "-- A comment.\n" .. SOURCE)
        service.write(folder .. "/spec/sum_spec.lua",
            TEST .. "it('has more', function() assert.equal(1, require('flux2.sum').more()) end)\n")
        local printed = run "SEED=3 ONLY=survivors"
        assert.truthy(printed:find "seed 3\nkilled    lua/flux2/sum.lua:7  [^\n]+\n\n3 mutants", printed)
        assert.truthy(printed:find "\nlua/flux2 +3 +3 +100 %%\n", printed)
    end)
end)
