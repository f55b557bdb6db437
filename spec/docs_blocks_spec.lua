-- Runs every code block of README and the guides, each in a separate process and directory, with an emulator.
-- spec/support/blocks.lua lists the kinds of fences. Blocks for LÖVE and Neovim run with LuaJIT only. Instrumented
-- builds do not run them, because the blocks test the documentation.
-- Takes about 12 seconds: there are about 50 blocks.

if require "support.build".is_instrumented then
    return describe("the documentation's code", function() pending "needs a build without instrumentation" end)
end

local blocks = require "support.blocks"
local errors = require "flux2.errors"
local service = require "support.service"

local BOUND = require "support.bound"(180) -- seconds until a block counts as hanging
local HOSTED = { ["lua love"] = "love", ["sh love"] = "love", ["lua neovim"] = "nvim" } -- the program that runs them
local is_jit = rawget(_G, "jit") ~= nil
local root = os.getenv "PWD"

local function lines(command)
    local list, pipe = {}, assert(io.popen(command))
    for line in pipe:lines() do list[#list + 1] = line end
    pipe:close()
    return list
end

local function make_targets()
    local targets = {}
    for target in service.read("Makefile"):gmatch "%f[^\n%z]([%w%-]+):[^=]" do targets[target] = true end
    return targets
end

--- Returns true if this Lua has the module. Checked in a separate process: luv keeps the coroutine that loads it.
local function has_module(name)
    return lines(([["$FLUX2_TEST_LUA" -e 'print((pcall(require, "%s")))']]):format(name))[1] == "true"
end

--- Returns the first line of output with an error kind that the block does not mention.
local function unexpected(code, output)
    for line in (output .. "\n"):gmatch "(.-)\n" do
        for kind in pairs(errors.kinds) do
            if line:find("%f[%w_]" .. kind .. "[:\t]") and not code:find(kind, 1, true) then return line end
        end
    end
end

--- Returns the name of a file that the block should save and did not.
local function missing(code, folder)
    for name in code:gmatch 'save%s*=?%s*%(?"([^"]+%.png)"' do
        local bytes = service.read_if_there(folder .. "/" .. name) or ""
        if bytes:sub(1, 4) ~= "\137PNG" then return name end
    end
end

describe("the documentation's code", function()
    local emulator, folder
    local programs = {} -- in the order of their numbers

    --- Creates the directory of a block, with a script that writes its exit status, stdout and stderr there.
    local function prepare(number, block)
        local own = folder .. "/" .. number
        assert(os.execute(("mkdir -p '%s/bin' && cd '%s' && ln -s '%s' flux2 && ln -s flux2/examples examples && "
            .. "ln -s \"$FLUX2_TEST_LUA\" bin/lua"):format(own, own, root)))
        service.write(own .. "/run.sh", table.concat({
            ("export FLUX2_API_KEY='%s' FLUX2_BASE_URL='%s' HOME=\"$PWD\" LC_ALL=C.UTF-8"):format(emulator.api_key,
                emulator.url),
            "unset XDG_DATA_HOME XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME",
            ("export PATH=\"$PWD/bin:%s/bin:$PATH\""):format(root), blocks.make(own, block), "",
        }, "\n"))
    end

    -- The blocks run in parallel because they mostly wait.
    setup(function()
        emulator, folder = service.start { duration = 0, image_bytes = 600 }, service.directory()
        for number, block in ipairs(programs) do prepare(number, block) end
        os.execute(([[cd '%s' && seq %d | xargs -P 8 -I N sh -c \
            'cd N && { timeout -k 5 %d sh run.sh >out.txt 2>err.txt </dev/null; echo $? >status.txt; }']]):format(
            folder, #programs, BOUND))
    end)

    teardown(function()
        service.stop_all()
        service.remove(folder)
    end)

    local function check_program(number, block)
        local own = folder .. "/" .. number
        local output, complaints = service.read(own .. "/out.txt"), service.read(own .. "/err.txt")
        assert.equal("0\n", service.read(own .. "/status.txt"), output .. complaints)
        -- A script may report progress on stderr; its exit status tells whether it failed.
        if not block.kind:find "^sh" then assert.equal("", complaints) end
        assert.is_nil(unexpected(block.code, output))
        assert.is_nil(missing(block.code, own))
    end

    local function declare_program(name, block)
        programs[#programs + 1] = block
        local number = #programs
        it(name, function() check_program(number, block) end)
    end

    local function declare(block)
        local name = ("runs %s:%d (%s)"):format(block.file, block.line, block.kind)
        local module = block.kind:match "^lua (%l+)$"
        if block.kind == "sh setup" then
            it(("is valid setup in %s:%d"):format(block.file, block.line), function()
                assert.is_nil(blocks.check_setup(block.code, root .. "/", make_targets()))
            end)
        elseif block.kind == "js" then
            it(("has its own spec: %s:%d"):format(block.file, block.line), function()
                assert.truthy(lines(("grep -rlF '%s' spec --include=*_spec.lua"):format(block.file))[1],
                    "no spec names " .. block.file)
            end)
        elseif HOSTED[block.kind] then
            local host = HOSTED[block.kind]
            if is_jit and lines("command -v " .. host)[1] then
                declare_program(name, block)
            elseif is_jit then
                pending(name .. ": needs " .. host)
            end
        elseif module and module ~= "server" and not has_module(module) then
            pending(name .. ": needs " .. module .. " for " .. _VERSION)
        else
            declare_program(name, block)
        end
    end

    local found = 0
    for _, file in ipairs(lines "ls README.md docs/*.md") do
        local list, reason = blocks.read(file, service.read(file))
        if not list then it("has a kind in " .. file, function() error(reason, 0) end) end
        for _, block in ipairs(list or {}) do
            found = found + 1
            declare(block)
        end
    end

    it("has more than 30 blocks", function() assert.is_true(found > 30) end)
end)

describe("the reader of blocks", function()
    it("reads the line and kind of each block", function()
        local list = assert(blocks.read("x.md", "text\n\n```lua love\nlocal a = 1\n\n-- b\n```\n\n```sh\nls\n```\n"))
        assert.are.same({
            { file = "x.md", line = 3, kind = "lua love", code = "local a = 1\n\n-- b\n" },
            { file = "x.md", line = 9, kind = "sh", code = "ls\n" },
        }, list)
    end)

    it("puts the nearest program that defines a name before one that uses it", function()
        local function read(...)
            local parts = { ... }
            for i, code in ipairs(parts) do parts[i] = "```lua\n" .. code .. "\n```\n" end
            local list, reason = blocks.read("x.md", table.concat(parts))
            return list and list[#list].code, reason
        end
        local both, own = "local flux2 = 1\nlocal client = 2", "local flux2 = 3"
        assert.equal(both .. "\nclient:submit()\n", (read(both, own, "print(client)", "client:submit()")))
        assert.equal(own .. "\nflux2.new()\n", (read(both, own, "flux2.new()")))
        assert.equal('require "flux2" -- client\n', (read(both, 'require "flux2" -- client')))
        assert.same({ n = 2, nil, "x.md:4: no program above it defines 'client'" },
            { n = 2, read(own, "local task = client:submit()") })
    end)

    it("refuses an unknown kind, and a block without an end", function()
        for _, fence in ipairs { "python", "lua no-run", "" } do
            local list, reason = blocks.read("x.md", "\n```" .. fence .. "\n1\n```\n")
            assert.is_nil(list)
            assert.equal("x.md:2: unknown kind of block: '" .. fence .. "'", reason)
        end
        local list, reason = blocks.read("x.md", "```lua\nlocal a\n")
        assert.is_nil(list)
        assert.equal("x.md:1: the block is not closed", reason)
    end)

    it("checks setup commands against the repository", function()
        local targets = { install = true, demo = true }
        local function check(code) return blocks.check_setup(code, root .. "/", targets) end
        assert.is_nil(check "make && sudo make install PREFIX=/usr   # for each Lua\nmake demo\n")
        assert.is_nil(check "luarocks make --deps-mode=none rockspec/flux2-scm-1.rockspec\n")
        assert.equal("make has no target 'instal'", check "make && sudo make instal\n")
        assert.equal("there is no file rockspec/flux3-scm-1.rockspec",
            check "luarocks make rockspec/flux3-scm-1.rockspec\n")
        assert.equal("unknown command 'curl'", check "curl example.com | sh\n")
    end)
end)
