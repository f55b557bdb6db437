-- What people get: the version in one place, the tarball, the game in one file, and a `require` that costs nothing. That the
-- rocks install and run is shown by `make rock`.

local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(120) -- seconds: longer is a hang

local function run(command) return shell.run(("timeout -k 5 %d sh -c %s"):format(BOUND, shell.quote(command))) end

local function must(command)
    local code, printed = run(command)
    assert.equal(0, code, printed)
    return (printed:gsub("%s+$", ""))
end

-- Nothing of it depends on the Lua that runs it.
local describe_once = _VERSION == "Lua 5.4" and not (os.getenv "FLUX2_BUILD" or ""):find "san$" and describe
    or function() end

describe_once("the tarball", function()
    local dir, tarball, copy
    setup(function()
        dir = service.directory()
        tarball = must("tools/dist " .. dir)
        copy = dir .. "/copy"
        -- By somebody whose files nobody else may read.
        must(("umask 077 && mkdir %s && tar xzf %s -C %s --strip-components=1 --no-same-permissions"):format(copy, tarball, copy))
    end)
    teardown(function() service.remove(dir) end)

    it("is the same bytes, whoever packs it and when", function()
        local bytes = service.read(tarball)
        assert.equal("flux2-" .. require("flux2")._VERSION .. ".tar.gz", tarball:match "[^/]+$")
        local other = must(("umask 077; TZ=Asia/Tokyo LC_ALL=C.UTF-8 tools/dist %s/again"):format(dir))
        assert.is_true(bytes == service.read(other))
        -- Also from the tarball itself, where nobody knows what git knew, and something was built since.
        must(("mkdir -p %s/build && echo x >%s/build/x && echo y >%s/flux2.rock"):format(copy, copy, copy))
        assert.is_true(bytes == service.read(must(("cd %s && tools/dist %s/inner"):format(copy, dir))))
        -- And it is not so because nothing ever changes it.
        local changed = must(("cd %s && echo >>README.md && tools/dist %s/changed"):format(copy, dir))
        assert.is_false(bytes == service.read(changed))
        local later = must(("SOURCE_DATE_EPOCH=1700000000 tools/dist %s/later"):format(dir))
        assert.is_false(bytes == service.read(later))
    end)

    it("holds what there is, and nothing that was built", function()
        local list = must("tar tzf " .. tarball)
        for _, name in ipairs { "Makefile", "csrc/engine.c", "lua/flux2/init.lua", "rockspec/flux2-scm-1.rockspec", "LICENSE" } do
            assert.truthy(list:find(name .. "\n", 1, true), name)
        end
        assert.is_nil(list:find("/build/", 1, true))
        assert.is_nil(list:find("%.rock\n"))
        assert.is_nil(must("tar tvzf " .. tarball):find("\n[^\n]*rw%-rw"), "modes of the one who packed it")
    end)

    it("says one version: whatever else names it and differs is found", function()
        assert.equal(0, (run(("cd %s && tools/version --check"):format(copy))))
        local version = require("flux2")._VERSION
        local function found(change, where)
            must(("rm -rf %s/broken && cp -R %s %s/broken"):format(dir, copy, dir))
            must(("cd %s/broken && %s"):format(dir, change))
            local code, printed = run(("cd %s/broken && tools/version --check"):format(dir))
            assert.equal(1, code, printed)
            assert.truthy(printed:find(where, 1, true), printed)
        end
        local rockspec = "rockspec/flux2-" .. version .. "-1.rockspec"
        found("sed -i 's/^M._VERSION.*/M._VERSION = \"9.9.9\"/' lua/flux2/version.lua", "says 9.9.9, but")
        found("sed -i 's/^version = .*/version = \"9.9.9-1\"/' " .. rockspec, rockspec .. " says 9.9.9-1")
        found("mv " .. rockspec .. " rockspec/flux2-9.9.9-1.rockspec", "is not called after")
        found("rm " .. rockspec, "no rockspec of a release")
        found("sed -i 's/flux2-" .. version .. ".tar.gz/flux2-9.9.9.tar.gz/' " .. rockspec, "takes another source")
        found("sed -i 's/lua-cjson >= 2.1/lua-cjson >= 2.2/' " .. rockspec, "differ in more than")
        found("echo 'static const char agent[] = \"flux2-lua/1.2.3\";' >>csrc/core.c", "csrc/core.c")
        found("sed -i 's/" .. version:gsub("%.", "[.]") .. "/the one/' CHANGELOG.md", "CHANGELOG.md")
    end)
end)

describe("require", function()
    --- What a program opens and starts while it runs `code`.
    local function watch(code)
        local library = service.library "open_log"
        local status, printed = service.run_lua(([[
            io.stderr:write "@begin\n"
            %s
            io.stderr:write "@end\n"
        ]]):format(code), nil, ("FLUX2_TEST_PRELOAD='%s' LD_PRELOAD='%s'"):format(library, library))
        assert.equal(0, status, printed)
        return assert(printed:match "@begin\n(.*)@end\n", printed)
    end

    local function files(seen)
        local list = {}
        for path in seen:gmatch "@open ([^\n]+)" do list[#list + 1] = path end
        return list
    end

    it("opens no file but its own, starts no thread, makes no socket", function()
        local seen = watch 'assert(require("flux2")._VERSION)'
        assert.is_nil(seen:find("@thread", 1, true))
        assert.is_nil(seen:find("@socket", 1, true))
        local list = files(seen)
        assert.is_true(#list >= 2) -- init.lua and version.lua: the log works
        for _, path in ipairs(list) do assert.matches("/lua/flux2/[%w_]+%.lua$", path) end
        assert.is_true(#list <= 6, "not light any more: " .. seen)
    end)

    it("and the first use of it load the rest, and no file of anybody else's but what libraries of the system read", function()
        local seen = watch 'assert(require("flux2").new and require "flux2.openai")'
        assert.is_nil(seen:find("@thread", 1, true))
        assert.is_nil(seen:find("@socket", 1, true))
        local of_core, others = false, {}
        for _, path in ipairs(files(seen)) do
            of_core = of_core or path:find "/flux2/core%.so$" ~= nil
            local own = path:find "/flux2/[%w_/]+%.lua$" or path:find "/flux2/core%.so$" or path:find "cjson[%w_/.]*%.so$"
            -- libldap, which libcurl brings along, reads its settings when it is loaded.
            if not own and not path:find "^/etc/" then others[#others + 1] = path end
        end
        assert.is_true(of_core)
        assert.same({}, others)
    end)

    it("would be told of what else it did", function()
        local seen = watch [[
            io.open(arg[0]):close()
            local client = assert(require("flux2").new { api_key = "aio_k", base_url = "http://127.0.0.1:1" })
            assert(client:submit "a fox"):cancel()
        ]]
        assert.truthy(seen:find("@open /", 1, true))
        assert.truthy(seen:find("@thread", 1, true))
    end)

    it("leaves no descriptor open", function()
        local code, printed = service.run_lua [[
            local function descriptors()
                -- The child looks only when popen has done what it does with descriptors.
                local list = os.tmpname()
                local pipe = io.popen("read go; ls /proc/$PPID/fd >" .. list, "w")
                pipe:write "go\n"
                pipe:close()
                local file = io.open(list)
                local names = file:read "*a"
                file:close()
                os.remove(list)
                return names
            end
            local before = descriptors()
            local flux2 = require "flux2"
            assert(flux2.new { api_key = "aio_k" })
            assert(descriptors() == before, before .. "then\n" .. descriptors())
            local file = io.open(arg[0])
            assert(descriptors() ~= before) -- it would be seen
            file:close()
        ]]
        assert.equal(0, code, printed)
    end)

    it("gives what there is, whatever is asked for first", function()
        for _, first in ipairs {
            "assert(flux2.new)", "assert(flux2.nothing == nil)", "flux2.on_error = print", "assert(flux2.errors.kinds.auth)",
            "flux2.mine = 7 assert(flux2.mine == 7)", "assert(flux2.on_error == nil)", "assert(flux2.update() == 0)",
        } do
            local code, printed = service.run_lua(([[
                local flux2 = require "flux2"
                %s
                for _, name in ipairs { "all", "any", "estimate", "fileno", "new", "pending", "run", "sleep", "spawn", "stats",
                    "update" } do
                    assert(type(flux2[name]) == "function", name)
                    assert(rawget(flux2, name))
                end
                assert(flux2.update == require("flux2.scheduler").update)
                local ok, message = pcall(function() flux2.on_error = 7 end)
                assert(not ok and message:find ":%%d+: flux2.on_error: a function is needed", message)
            ]]):format(first))
            assert.equal(0, code, printed)
        end
    end)

    it("says what is missing when the compiled half is, again and again", function()
        local code, printed = service.run_lua [[
            package.cpath = ""
            local flux2 = require "flux2"
            for _ = 1, 2 do
                local ok, message = pcall(function() return flux2.new end)
                assert(not ok and message:find("flux2.core", 1, true), message)
            end
        ]]
        assert.equal(0, code, printed)
    end)
end)

-- LÖVE is a LuaJIT.
local describe_love = rawget(_G, "jit") and describe or function() end

describe_love("the game in one file", function()
    local dir
    setup(function()
        dir = service.directory()
        must(("mkdir '%s/made' '%s/elsewhere'"):format(dir, dir))
        must(("tools/love '%s/made'"):format(dir))
    end)
    teardown(function() service.remove(dir) end)

    it("is the same bytes each time", function()
        must(("umask 077; TZ=Asia/Tokyo tools/love '%s/again'"):format(dir))
        assert.is_true(service.read(dir .. "/made/flux2-gallery.love") == service.read(dir .. "/again/flux2-gallery.love"))
        assert.same({ "cjson.so", "flux2", "flux2-gallery.love" }, service.list(dir .. "/made"))
    end)

    it("runs where it was copied to, started from another folder, with nothing else of ours in reach", function()
        must(("mv '%s/made' '%s/a game'"):format(dir, dir))
        service.write(dir .. "/elsewhere/one.lua", [[
            return function(user)
                user:prompt "A red fox in the snow"
                user:wait_for_pictures(1, 60)
                user:note("colours", user:colours(1, user:look()))
            end
        ]])
        local output = must(("cd '%s/elsewhere' && unset LUA_PATH LUA_CPATH && XDG_DATA_HOME='%s' SDL_AUDIODRIVER=dummy "
            .. "LC_ALL=C.UTF-8 xvfb-run -a -s '-screen 0 1280x800x24' love '../a game/flux2-gallery.love' --window 800x600 "
            .. "--duration 0.4 --script one.lua --screenshot shot.png --report report --quit-after 40"):format(dir, dir))
        local report = service.read(dir .. "/elsewhere/report")
        assert.truthy(report:find("ended=yes", 1, true), output .. report)
        assert.is_true(tonumber(report:match "colours=(%d+)") > 100, report) -- without a picture there are 20
        assert.equal("\137PNG\r\n\26\n", service.read(dir .. "/elsewhere/shot.png"):sub(1, 8))
    end)

    it("says what is missing when that does not lie beside it", function()
        must(("mkdir '%s/alone' && cp '%s/a game/flux2-gallery.love' '%s/alone/'"):format(dir, dir, dir))
        -- LÖVE shows an error until somebody presses a key: it is ended as soon as it has said it.
        service.write(dir .. "/alone/run", [[
            stdbuf -oL love flux2-gallery.love >said 2>&1 &
            turns=0
            until grep -q flux2.core said || [ $((turns += 1)) -gt 200 ]; do sleep 0.1; done
            kill $!
            wait $! || true
        ]])
        must(("cd '%s/alone' && unset LUA_PATH LUA_CPATH && XDG_DATA_HOME='%s' SDL_AUDIODRIVER=dummy xvfb-run -a sh run"):format(dir,
            dir))
        local output = service.read(dir .. "/alone/said")
        assert.truthy(output:find("flux2.core", 1, true), output)
    end)
end)
