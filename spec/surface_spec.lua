-- Rules for every module and every public object: a method called with a dot raises an error at the caller's line, and
-- strict.lua (Penlight's pl.strict, Tarantool's debug builds) reports no undefined global.

package.path = "tools/?.lua;" .. package.path

local comments = require "docs.comments"
local service = require "support.service"
local surface = require "docs.surface"

describe("the methods of", function()
    local directory, close
    directory = service.directory()
    local classes
    classes, close = surface.classes(directory)

    teardown(function()
        close()
        service.remove(directory)
    end)

    local NAMES = { createVariation = "create_variation" }

    --- The public methods of a class, by name.
    local function methods_of(class)
        local methods, files = {}, {}
        local members = type(class.methods.__index) == "table" and class.methods.__index or {}
        for name, fn in pairs(members) do
            local info = type(fn) == "function" and debug.getinfo(fn, "S")
            local file = info and info.what ~= "C" and info.source:sub(2)
            if file then files[file] = files[file] or comments.read(file) end
            local block = file and files[file].by_line[info.linedefined]
            if info and name:sub(1, 1) ~= "_" and not (block and block.private) then methods[name] = fn end
        end
        return methods
    end

    for _, class in ipairs(classes) do
        local variable = surface.variables[class.name]
        for name in pairs(methods_of(class)) do
            it(class.name .. " refuse a dot for a colon: " .. name, function()
                local object, other = class.objects[1], setmetatable({}, {})
                -- Common first arguments: nothing, a prompt, a request, seconds, another object.
                for _, first in ipairs { false, "a red fox", { prompt = "a red fox" }, 5, other } do
                    local ok, message = pcall(function()
                        if first == false then object[name]() else object[name](first, {}) end
                    end)
                    assert.is_false(ok)
                    assert.equal(("call %s:%s(...) with a colon"):format(variable, NAMES[name] or name),
                        (message:gsub("^[^\n]*surface_spec%.lua:%d+: ", "")))
                    assert.matches("^[^\n]*surface_spec%.lua:%d+: ", message)
                end
            end)
        end
    end

    it("every class is covered", function()
        local counts = {}
        for _, class in ipairs(classes) do
            for _ in pairs(methods_of(class)) do counts[class.name] = (counts[class.name] or 0) + 1 end
        end
        for _, name in ipairs { "Buffer", "Client", "Emulator", "Handle", "Image", "Map", "OpenAIImages", "Record",
            "Task", "Tester" } do
            assert.truthy(counts["flux2." .. name], name)
        end
    end)
end)

describe("under strict.lua", function()
    -- Libraries of others are loaded first: they may read undefined globals.
    local STRICT = [[
        for _, name in ipairs { "socket", "copas", "cqueues", "luv", "argparse", "cjson" } do pcall(require, name) end
        setmetatable(_G, {
            __index = function(_, name) error("variable '" .. tostring(name) .. "' is not declared", 2) end,
            __newindex = function(_, name) error("assignment to undeclared variable '" .. tostring(name) .. "'", 2) end,
        })
    ]]

    local function run(code, ...)
        local status, output = service.run_lua(STRICT .. code, ...)
        assert.equal(0, status, output)
        return output
    end

    --- Every module, by its name for `require`.
    local function modules()
        local names = {}
        local pipe = io.popen "find lua -name '*.lua' | LC_ALL=C sort"
        for path in pipe:lines() do
            names[#names + 1] = path:match "^lua/(.*)%.lua$":gsub("/init$", ""):gsub("/", ".")
        end
        pipe:close()
        return names
    end

    -- Hosts that are not running here are loaded inside theirs, in spec/hosts.
    it("every module loads", function()
        local names = {}
        for _, name in ipairs(modules()) do
            local host = name:match "^flux2%.host%.(.*)$"
            if not host or pcall(require, host) then names[#names + 1] = name end
        end
        assert.equal("", run([[
            for _, name in ipairs(arg) do
                local ok, message = pcall(require, name)
                if not ok then print(name .. ": " .. message) end
            end
        ]], table.concat(names, " ")))
    end)

    it("a client, tasks, coroutines, the OpenAI layer and the tester work", function()
        local directory = service.directory()
        assert.equal("the end\n", run([[
            local flux2, folder = require "flux2", ...
            local emu = assert(require("flux2.emulator").start { duration = 0.02, image_bytes = 600 })
            local client = assert(flux2.new {
                api_key = emu.api_key, base_url = emu.url, poll = { interval = 0.02 }, spool = folder .. "/spool",
            })
            assert(client:generate("a red fox", { save = folder .. "/fox.png" }))
            assert(#assert(client:generate "a red fox"):bytes() > 0)
            local task = assert(client:submit "[fail] a fox")
            assert(select(2, task:wait()).kind == "task_failed" and tostring(select(2, task:wait())))
            assert(client:status(task.id))
            flux2.run(function()
                for _, image, err in client:map { "one fox", "two foxes" } do assert(image, err) end
                assert(flux2.all { assert(client:submit "three foxes"), flux2.spawn(flux2.sleep, 0) })
            end)
            assert(client:recover())
            local openai = assert(require("flux2.openai").new(client))
            assert(openai.images:generate { prompt = "a red fox", response_format = "b64_json" })
            emu:tester():stop()
            print "the end"
        ]], directory))
        service.remove(directory)
    end)

    it("bin/flux2 works", function()
        local emu, directory = service.start(), service.directory()
        run(([[
            local argv = { "generate", "a red fox", "--base-url", %q, "--no-spool", "-o", %q }
            local getenv = os.getenv
            os.getenv = function(name) return name == "FLUX2_API_KEY" and %q or getenv(name) end
            assert(require("flux2.cli").main(argv) == 0)
        ]]):format(emu.url, directory .. "/fox.png", emu.api_key))
        assert.is_true(service.exists(directory .. "/fox.png"))
        service.stop_all()
        service.remove(directory)
    end)
end)
