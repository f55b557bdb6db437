-- The distributed files: version and tarball; `require` has no side effects.
-- `make rock` tests that the rocks install and run.

local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(120) -- seconds; exceeding it counts as a hang

local function run(command) return shell.run(("timeout -k 5 %d sh -c %s"):format(BOUND, shell.quote(command))) end

local function must(command) return shell.must(command, BOUND) end

-- The result does not depend on the Lua version.
local describe_once = _VERSION == "Lua 5.4" and not require "support.build".is_sanitized and describe or function() end

describe_once("the tarball", function()
    local dir, tarball, copy
    setup(function()
        dir = service.directory()
        tarball = must("tools/dist " .. dir)
        copy = dir .. "/copy"
        -- Packed by a user with a restrictive umask.
        must(("umask 077 && mkdir %s && tar xzf %s -C %s --strip-components=1 --no-same-permissions"):format(copy,
            tarball, copy))
    end)
    teardown(function() service.remove(dir) end)

    it("is reproducible by any user at any time", function()
        local bytes = service.read(tarball)
        assert.equal("flux2-" .. require("flux2")._VERSION .. ".tar.gz", tarball:match "[^/]+$")
        local other = must(("umask 077; TZ=Asia/Tokyo LC_ALL=C.UTF-8 tools/dist %s/again"):format(dir))
        assert.is_true(bytes == service.read(other))
        -- Also from the tarball itself, without git and after a build.
        must(("mkdir -p %s/build && echo x >%s/build/x && echo y >%s/flux2.rock"):format(copy, copy, copy))
        assert.is_true(bytes == service.read(must(("cd %s && tools/dist %s/inner"):format(copy, dir))))
        -- Negative control: a change of a file changes the bytes.
        local changed = must(("cd %s && echo >>README.md && tools/dist %s/changed"):format(copy, dir))
        assert.is_false(bytes == service.read(changed))
        local later = must(("SOURCE_DATE_EPOCH=1700000000 tools/dist %s/later"):format(dir))
        assert.is_false(bytes == service.read(later))
    end)

    it("holds the source files, and no build results", function()
        local list = must("tar tzf " .. tarball)
        for _, name in ipairs { "Makefile", "csrc/engine/engine.c", "lua/flux2/init.lua",
            "rockspec/flux2-scm-1.rockspec", "LICENSE" } do
            assert.truthy(list:find(name .. "\n", 1, true), name)
        end
        assert.is_nil(list:find("/build/", 1, true))
        assert.is_nil(list:find("%.rock\n"))
        assert.is_nil(must("tar tvzf " .. tarball):find("\n[^\n]*rw%-rw"), "file modes depend on the umask")
    end)

    it("has one version: every other mention must match", function()
        assert.equal(0, (run(("cd %s && tools/version --check"):format(copy))))
        local version = require("flux2")._VERSION
        local function found(change, where)
            -- What the check reads.
            must(("rm -rf %s/broken && mkdir %s/broken && cd %s && cp -R CHANGELOG.md Makefile csrc lua rockspec tools %s/broken")
                :format(dir, dir, copy, dir))
            must(("cd %s/broken && %s"):format(dir, change))
            local code, printed = run(("cd %s/broken && tools/version --check"):format(dir))
            assert.equal(1, code, printed)
            assert.truthy(printed:find(where, 1, true), printed)
        end
        local rockspec = "rockspec/flux2-" .. version .. "-1.rockspec"
        found("sed -i 's/^M._VERSION.*/M._VERSION = \"9.9.9\"/' lua/flux2/version.lua", "says 9.9.9, but")
        found("sed -i 's/^version = .*/version = \"9.9.9-1\"/' " .. rockspec, rockspec .. " says 9.9.9-1")
        found("mv " .. rockspec .. " rockspec/flux2-9.9.9-1.rockspec", "is not named after")
        found("rm " .. rockspec, "no rockspec of a release")
        found("sed -i 's/flux2-" .. version .. ".tar.gz/flux2-9.9.9.tar.gz/' " .. rockspec, "has another source")
        found("sed -i 's/lua-cjson >= 2.1/lua-cjson >= 2.2/' " .. rockspec, "differ in more than")
        found("echo 'static const char agent[] = \"flux2-lua/1.2.3\";' >>csrc/lua/module.c", "csrc/lua/module.c")
        found("sed -i 's/" .. version:gsub("%.", "[.]") .. "/the one/' CHANGELOG.md", "CHANGELOG.md")
    end)
end)

describe("require", function()
    --- The files opened and threads started by a program while it runs `code`.
    local function watch(code)
        local status, printed = service.run_lua(([[
            io.stderr:write "@begin\n"
            %s
            io.stderr:write "@end\n"
        ]]):format(code), nil, service.preload "open_log")
        assert.equal(0, status, printed)
        return assert(printed:match "@begin\n(.*)@end\n", printed)
    end

    local function files(seen)
        local list = {}
        for path in seen:gmatch "@open ([^\n]+)" do list[#list + 1] = path end
        return list
    end

    it("loads every module: opens only its own files and those of system libraries, no thread, no socket", function()
        local seen = watch 'require "flux2"'
        assert.is_nil(seen:find("@thread", 1, true))
        assert.is_nil(seen:find("@socket", 1, true))
        local of_core, others = false, {}
        for _, path in ipairs(files(seen)) do
            of_core = of_core or path:find "/flux2/core%.so$" ~= nil
            local own = path:find "/flux2/[%w_/]+%.lua$" or path:find "/flux2/core%.so$"
                or path:find "cjson[%w_/.]*%.so$"
            -- libldap, a dependency of libcurl, reads its configuration when loaded.
            if not own and not path:find "^/etc/" then others[#others + 1] = path end
        end
        assert.is_true(of_core)
        assert.same({}, others)
    end)

    it("leaves no module for flux2.new to load, which starts the thread that initializes libcurl", function()
        local seen = watch [[
            local flux2 = require "flux2"
            io.stderr:write "@required\n"
            assert(flux2.new { api_key = "aio_k", ca_file = "/nonexistent" })
        ]]
        local required, made = seen:match "^(.*)@required\n(.*)"
        assert.is_nil(required:find("@thread", 1, true))
        assert.truthy(made:find("@thread", 1, true))
        -- The TLS library reads its configuration.
        for path in made:gmatch "@open ([^\n]+)" do assert.is_nil(path:find "%.lua$" or path:find "%.so[%d.]*$", path) end
    end)

    it("detects other side effects (negative control)", function()
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
                -- The child waits for the end of its input: the pipe's own descriptor is gone then.
                local list = os.tmpname()
                io.popen("cat; ls /proc/$PPID/fd >" .. list, "w"):close()
                local file = io.open(list)
                local names = file:read "*a"
                file:close()
                os.remove(list)
                return names
            end
            local before = descriptors()
            require "flux2"
            local after = descriptors()
            assert(after == before, before .. "then\n" .. after)
            local file = io.open(arg[0])
            assert(descriptors() ~= before) -- negative control
            file:close()
        ]]
        assert.equal(0, code, printed)
    end)

    it("returns a table of functions, and checks on_error", function()
        local flux2 = require "flux2"
        for _, name in ipairs { "all", "any", "estimate", "fileno", "new", "pending", "run", "sleep", "spawn", "stats",
            "update" } do
            assert.is_function(rawget(flux2, name), name)
        end
        assert.is_nil(flux2.nothing)
        local ok, message = pcall(function() flux2.on_error = 7 end)
        assert.is_false(ok)
        assert.matches(":%d+: flux2.on_error: a function is needed", message)
        flux2.on_error = print
        assert.equal(print, flux2.on_error)
        flux2.on_error = nil
        assert.is_nil(flux2.on_error)
    end)

    it("works when reading an undefined global raises, as with strict.lua", function()
        local emu = service.start()
        local code, printed = service.run_lua(([[
            setmetatable(_G, {
                __index = function(_, name) error("variable '" .. name .. "' is not declared", 2) end,
                __newindex = function(_, name) error("variable '" .. name .. "' is assigned", 2) end,
            })
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = %q, base_url = %q })
            flux2.run(function() assert(client:generate "a red fox") end)
            assert(require("flux2.openai").new(client))
        ]]):format(emu.api_key, emu.url))
        service.stop_all()
        assert.equal(0, code, printed)
    end)

    it("reports a missing C module in one line", function()
        local code, printed = service.run_lua [[
            package.cpath = ""
            local ok, message = pcall(require, "flux2")
            assert(not ok and message:find("^flux2: .*flux2%.core") and not message:find "\n", message)
        ]]
        assert.equal(0, code, printed)
    end)
end)
