-- The game in one file that `make love` packs, and the files beside it.

-- LÖVE uses LuaJIT.
if not rawget(_G, "jit") then
    return describe("the game in one file", function() pending "needs LuaJIT" end)
end

local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(120) -- seconds; exceeding it counts as a hang

local function must(command) return shell.must(command, BOUND) end

describe("the game in one file", function()
    local dir
    setup(function()
        dir = service.directory()
        must(("mkdir '%s/made' '%s/elsewhere'"):format(dir, dir))
        must(("tools/love '%s/made'"):format(dir))
    end)
    teardown(function() service.remove(dir) end)

    it("is reproducible", function()
        must(("umask 077; TZ=Asia/Tokyo tools/love '%s/again'"):format(dir))
        assert.is_true(service.read(dir .. "/made/flux2-gallery.love") == service.read(dir ..
            "/again/flux2-gallery.love"))
        assert.same({ "cjson.so", "flux2", "flux2-gallery.love" }, service.list(dir .. "/made"))
    end)

    it("runs from any folder, started from another one, without other files of flux2", function()
        must(("mv '%s/made' '%s/a game'"):format(dir, dir))
        service.write(dir .. "/elsewhere/one.lua", [[
            return function(user)
                user:prompt "A red fox in the snow"
                user:wait_for_images(1, 60)
                user:note("colours", user:colours(1, user:capture()))
            end
        ]])
        local output = must(("cd '%s/elsewhere' && unset LUA_PATH LUA_CPATH && XDG_DATA_HOME='%s' " ..
            "SDL_AUDIODRIVER=dummy "
            .. "LC_ALL=C.UTF-8 xvfb-run -a -s '-screen 0 1280x800x24' love '../a game/flux2-gallery.love' " ..
                "--window 800x600 "
            .. "--duration 0.4 --script one.lua --screenshot shot.png --report report --quit-after 100"):format(dir,
                dir))
        local report = service.read(dir .. "/elsewhere/report")
        assert.truthy(report:find("ended=yes", 1, true), output .. report)
        assert.is_true(tonumber(report:match "colours=(%d+)") > 100, report) -- without an image there are 20
        assert.equal("\137PNG\r\n\26\n", service.read(dir .. "/elsewhere/shot.png"):sub(1, 8))
    end)

    it("reports a missing file beside it", function()
        must(("mkdir '%s/alone' && cp '%s/a game/flux2-gallery.love' '%s/alone/'"):format(dir, dir, dir))
        -- LÖVE shows an error until a key is pressed: the process is ended as soon as the error is printed.
        service.write(dir .. "/alone/run", [[
            stdbuf -oL love flux2-gallery.love >said 2>&1 &
            turns=0
            until grep -q flux2.core said || [ $((turns += 1)) -gt 200 ]; do sleep 0.1; done
            kill $!
            wait $! || true
        ]])
        must(("cd '%s/alone' && unset LUA_PATH LUA_CPATH && XDG_DATA_HOME='%s' SDL_AUDIODRIVER=dummy xvfb-run -a " ..
            "sh run"):format(dir,
            dir))
        local output = service.read(dir .. "/alone/said")
        assert.truthy(output:find("flux2.core", 1, true), output)
    end)
end)
