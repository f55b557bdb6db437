-- Lua runs out of memory at any moment of a generation: nothing crashes, hangs, leaks, or is lost. See
-- support/alloc_host.c, which fails the n-th allocation. ALLOC_STEP=1 (make test-alloc) is for every n.

local service = require "support.service"
local shell = require "support.shell"

local is_jit = rawget(_G, "jit") ~= nil
local step = tonumber(os.getenv "ALLOC_STEP") or (is_jit and 1 or 9)
local build = os.getenv "FLUX2_BUILD" or "build"

describe("a Lua state without memory", function()
    local emu, directory, host

    setup(function()
        local flavour = build:match "build/(%w+)/*$" or ""
        local name = is_jit and "luajit" or _VERSION:match "%d%.%d"
        -- Beside the module that it loads, and instrumented like it.
        host = ("build/%salloc-host-%s"):format(flavour ~= "" and flavour .. "/" or "", name)
        local status, text = shell.run(("env -u MAKEFLAGS ${MAKE:-make} --no-print-directory -s FLAVOUR=%s %s"):format(flavour, host))
        assert(status == 0, text)
        directory = service.directory()
        emu = service.start()
    end)
    teardown(function()
        service.stop_all()
        service.remove(directory)
    end)

    local function fail_each(failures, pace, only)
        local limit = step == 1 and 500 or 150
        local status, text = shell.run(("timeout -k 5 %d %s spec/support/alloc_cycle.lua %d %d 1 %s %s"):format(limit,
            shell.quote(host), failures, pace, shell.join { emu.url, emu.api_key, directory .. "/fox.png" }, only or ""))
        assert.equal(0, status, text)
        local runs, last = text:match "(%d+) runs up to allocation (%d+)"
        -- A generation takes some hundreds of allocations: fewer would mean that nothing was tried. On LuaJIT only those
        -- of the core fail.
        local least = is_jit and (only and 10 or 30) or (only and 80 or 300)
        assert.is_true(tonumber(last) > least and tonumber(runs) >= tonumber(last) / pace - 1, text)
        print("\n" .. text:match "[^\n]*\n*$")
        for _, left in ipairs(service.list(directory)) do assert.equal("fox.png", left) end
    end

    it("goes on or says so, wherever one allocation fails", function() fail_each(1, step) end)
    it("sends nothing that it then does not know of", function() fail_each(_VERSION == "Lua 5.1" and 1 or 2, 1, "submit") end)

    it("leaves nobody waiting", function() fail_each(_VERSION == "Lua 5.1" and 1 or 2, 1, "wait") end)

    -- Lua 5.1 and LuaJIT do not try again.
    if _VERSION ~= "Lua 5.1" then
        it("goes on or says so, wherever an allocation and its repetition fail", function() fail_each(2, step) end)
    end
end)
