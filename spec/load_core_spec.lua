-- A compiled module that cannot be loaded: one line that says why, and what to do.

local service = require "support.service"

-- Each is loaded first in a program. The libraries of the hosts are not needed for that.
local PUBLIC = {
    "flux2", "flux2.errors", "flux2.emulator", "flux2.openai", "flux2.tester", "flux2.host.copas", "flux2.host.cqueues",
    "flux2.host.love", "flux2.host.luv", "flux2.host.nginx",
}
local PROGRAM = [[
package.cpath = %q
for _, name in ipairs { "copas", "cqueues", "cqueues.condition" } do package.preload[name] = function() return {} end end
love = %q == "flux2.host.love" and {} or nil
local ok, message = pcall(require, %q)
print(ok, message)
]]

local VERSION = _VERSION:match "%d%.%d"

local function load(name, cpath)
    local code, printed = service.run_lua(PROGRAM:format(cpath, name, name))
    assert.equal(0, code, printed)
    return printed
end

local ADVICE = "; build flux2 for Lua " .. VERSION .. " with make or luarocks --lua-version=" .. VERSION .. "\n"

describe("a compiled module", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    for _, other in ipairs { "5.1", "5.2", "5.3", "5.4" } do
        local folder = "build/" .. other
        if other ~= VERSION and service.exists(folder .. "/flux2/core.so") then
            it("for Lua " .. other .. " says so, whichever module is loaded first", function()
                local sentence = "it is built for Lua " .. other .. ", but this is " .. _VERSION
                for _, name in ipairs(PUBLIC) do
                    local core = name == "flux2.emulator" and "flux2.emulator.core" or "flux2.core"
                    local printed = load(name, folder .. "/?.so")
                    local start, rest = "false\tflux2: cannot load " .. core .. ": " .. sentence, ADVICE
                    assert.equal(start, printed:sub(1, #start))
                    assert.equal(rest, printed:sub(-#rest))
                    assert.equal(1, select(2, printed:gsub("\n", "")))
                end
            end)
        end
    end

    it("that lacks symbols is named with its file", function()
        assert(os.execute("mkdir -p " .. dir .. "/flux2"))
        local file = dir .. "/flux2/core.so"
        service.write(file, "code it is built for Lua 5.9, but this is %s\0 code")
        assert.equal(("false\tflux2: cannot load flux2.core: it is built for Lua 5.9, but this is %s (%s)%s"):format(
            _VERSION, file, ADVICE), load("flux2", dir .. "/?.so"))
    end)

    it("that has all symbols refuses another Lua itself", function()
        for _, name in ipairs { "flux2.core", "flux2.emulator.core", "flux2.tester.core" } do
            local code, printed = service.run_lua(([[
                _VERSION = "Lua 5.9"
                print(pcall(require "flux2.load_core", %q))
            ]]):format(name))
            assert.equal(0, code)
            assert.equal("false\tflux2: cannot load " .. name .. ": it is built for " .. _VERSION ..
                ", but this is Lua 5.9" .. ADVICE:gsub(VERSION:gsub("%.", "%%."), "5.9"), printed)
        end
    end)

    it("that is missing or damaged is one line", function()
        assert.equal("false\tflux2: cannot load flux2.core: it is not in package.cpath; build it for Lua " .. VERSION ..
            " with make, or install flux2 with luarocks --lua-version=" .. VERSION .. "\n", load("flux2", ""))
        assert(os.execute("mkdir -p " .. dir .. "/flux2"))
        service.write(dir .. "/flux2/core.so", "no code")
        local printed = load("flux2", dir .. "/?.so")
        assert.truthy(printed:find("cannot load flux2.core: error loading module", 1, true), printed)
        assert.equal(1, select(2, printed:gsub("\n", "")))
    end)
end)
