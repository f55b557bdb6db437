-- The archive for Linux of `make dist`: the same bytes each time, and it runs where it is unpacked.

local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(120) -- seconds; exceeding it counts as a hang

local function must(command) return shell.must(command, BOUND) end

describe("the archive for Linux", function()
    if _VERSION ~= "Lua 5.4" or require "support.build".is_sanitized then
        return pending "the same for each Lua: runs on 5.4"
    end

    it("is reproducible, and runs where it is unpacked", function()
        local dir, build = service.directory(), os.getenv "FLUX2_BUILD" or "build"
        local first = must(("tools/linux x64 '%s' strip '%s/one'"):format(build, dir))
        local second = must(("umask 077; TZ=Asia/Tokyo tools/linux x64 '%s' strip '%s/two'"):format(build, dir))
        assert.is_true(service.read(first) == service.read(second))
        must(("tar xzf '%s' -C '%s' --strip-components=1"):format(first, dir))
        -- No module of the checkout is found.
        local flux2 = ("env -u LUA_PATH -u LUA_CPATH -u FLUX2_BUILD '%s' bin/flux2"):format(shell.interpreter())
        must(("cd '%s' && %s emulator -- %s generate 'a fox' -o fox.png"):format(dir, flux2, flux2))
        assert.equal("\137PNG\r\n\26\n", service.read(dir .. "/fox.png"):sub(1, 8))
        -- On a Lua that has a module in the archive, whatever `lua` is.
        must(("cd '%s' && mkdir path && echo 'exit 1' >path/lua && chmod +x path/lua"):format(dir))
        local printed = must(("env -u LUA_PATH -u LUA_CPATH PATH='%s/path':\"$PATH\" '%s/bin/flux2' --version"):format(
            dir, dir))
        assert.equal("flux2 " .. require("flux2")._VERSION, printed:match "^flux2 %S+")
        service.remove(dir)
    end)
end)
