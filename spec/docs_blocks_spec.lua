-- Every code block of README and the guides, run as it stands, each in a process and a folder of its own, at the emulator.
-- What a fence may say is in spec/support/blocks.lua. Blocks inside of a LuaJIT host (LÖVE, Neovim) belong to the run with
-- LuaJIT. The blocks are about the documentation: an instrumented core has nothing to add.

if (os.getenv "FLUX2_BUILD" or ""):find "/[at]san$" then return end
if (os.getenv "FLUX2_TEST_LUA" or ""):find "/valgrind/" then return end

local blocks = require "support.blocks"
local errors = require "flux2.errors"
local service = require "support.service"

local BOUND = require "support.bound"(60) -- seconds: longer is a hang
local HOSTED = { ["lua love"] = true, ["lua neovim"] = true }
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

--- Whether the Lua that runs has a module. Asked in a process of its own: luv keeps the coroutine that loads it.
local function has_module(name)
    return lines(([["$FLUX2_TEST_LUA" -e 'print((pcall(require, "%s")))']]):format(name))[1] == "true"
end

--- Errors that a block has printed although it does not speak of them.
local function unexpected(code, output)
    for line in (output .. "\n"):gmatch "(.-)\n" do
        for kind in pairs(errors.kinds) do
            if line:find("%f[%w_]" .. kind .. "[:\t]") and not code:find(kind, 1, true) then return line end
        end
    end
end

--- Files that a block says it saves.
local function missing(code, folder)
    for name in code:gmatch 'save%s*=?%s*%(?"([^"]+%.png)"' do
        local bytes = service.read_if_there(folder .. "/" .. name) or ""
        if bytes:sub(1, 4) ~= "\137PNG" then return name end
    end
end

describe("the documentation's code", function()
    local emulator, folder
    local programs = {} -- blocks that are run, in the order of their numbers

    --- Makes the folder of a block, with a script that leaves status, output and complaints in it.
    local function prepare(number, block)
        local own = folder .. "/" .. number
        assert(os.execute(("mkdir -p '%s/bin' && ln -s '%s/examples' '%s/examples' && ln -s \"$FLUX2_TEST_LUA\" '%s/bin/lua'")
            :format(own, root, own, own)))
        service.write(own .. "/run.sh", table.concat({
            ("export FLUX2_API_KEY='%s' FLUX2_BASE_URL='%s' HOME=\"$PWD\" LC_ALL=C.UTF-8"):format(emulator.api_key, emulator.url),
            "unset XDG_DATA_HOME XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME",
            ("export PATH=\"$PWD/bin:%s/bin:$PATH\""):format(root), blocks.make(own, block), "",
        }, "\n"))
    end

    -- They wait most of the time: side by side.
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
        -- A script's programs may tell on stderr how far they are; its status says whether they failed.
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
            it(("holds true in %s:%d"):format(block.file, block.line), function()
                assert.is_nil(blocks.check_setup(block.code, root .. "/", make_targets()))
            end)
        elseif block.kind == "js" then
            it(("has a spec of its own: %s:%d"):format(block.file, block.line), function()
                assert.truthy(lines(("grep -lF '%s' spec/*_spec.lua"):format(block.file))[1], "no spec names " .. block.file)
            end)
        elseif HOSTED[block.kind] then
            if is_jit then declare_program(name, block) end
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

    it("is found at all", function() assert.is_true(found > 30) end)
end)

describe("the reader of blocks", function()
    it("knows where a block begins, and its kind", function()
        local list = assert(blocks.read("x.md", "text\n\n```lua love\nlocal a = 1\n\n-- b\n```\n\n```sh\nls\n```\n"))
        assert.are.same({
            { file = "x.md", line = 3, kind = "lua love", code = "local a = 1\n\n-- b\n" },
            { file = "x.md", line = 9, kind = "sh", code = "ls\n" },
        }, list)
    end)

    it("refuses a kind that nobody can run, and a block without an end", function()
        for _, fence in ipairs { "python", "lua no-run", "" } do
            local list, reason = blocks.read("x.md", "\n```" .. fence .. "\n1\n```\n")
            assert.is_nil(list)
            assert.equal("x.md:2: nobody knows how to run a block of the kind '" .. fence .. "'", reason)
        end
        local list, reason = blocks.read("x.md", "```lua\nlocal a\n")
        assert.is_nil(list)
        assert.equal("x.md:1: the block has no end", reason)
    end)

    it("holds commands for a machine against what there is", function()
        local targets = { install = true, demo = true }
        local function check(code) return blocks.check_setup(code, root .. "/", targets) end
        assert.is_nil(check "make && sudo make install PREFIX=/usr   # for each Lua\nmake demo\n")
        assert.is_nil(check "luarocks make --deps-mode=none rockspec/flux2-scm-1.rockspec\n")
        assert.equal("make has no target 'instal'", check "make && sudo make instal\n")
        assert.equal("there is no file rockspec/flux3-scm-1.rockspec",
            check "luarocks make rockspec/flux3-scm-1.rockspec\n")
        assert.equal("nobody knows the command 'curl'", check "curl example.com | sh\n")
    end)
end)
