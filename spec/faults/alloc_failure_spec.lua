-- Allocation failures of the Lua state during a generation cause no crash, hang, leak or loss.
-- support/alloc_host.c fails the n-th allocation. ALLOC_STEP=1 (make test-every) tests every n.

local service = require "support.service"
local shell = require "support.shell"

local is_jit = rawget(_G, "jit") ~= nil
local step = tonumber(os.getenv "ALLOC_STEP") or (is_jit and 1 or 9)

describe("a Lua state without memory", function()
    local emu, directory, host

    setup(function()
        local flavour = require "support.build".flavour
        local name = is_jit and "luajit" or _VERSION:match "%d%.%d"
        -- The host is instrumented like the module that it loads.
        host = ("build/%salloc-host-%s"):format(flavour ~= "" and flavour .. "/" or "", name)
        local status, text = shell.run(("env -u MAKEFLAGS ${MAKE:-make} --no-print-directory -s FLAVOUR=%s %s"):format(
            flavour, host))
        assert(status == 0, text)
        directory = service.directory()
        emu = service.start()
    end)
    teardown(function()
        service.stop_all()
        service.remove(directory)
    end)

    local function fail_each(failures, pace, only)
        local limit = step == 1 and 500 or 400
        local status, text = shell.run(("timeout -k 5 %d %s spec/support/alloc_cycle.lua %d %d 1 %s %s"):format(limit,
            shell.quote(host), failures, pace,
                shell.join { emu.url, emu.api_key, directory .. "/fox.png" }, only or ""))
        assert.equal(0, status, text)
        local runs, last = text:match "(%d+) runs up to allocation (%d+)"
        -- A generation makes some hundred allocations; fewer would mean that the test is ineffective. On LuaJIT only
        -- allocations of the core fail.
        local least = is_jit and (only and 7 or 30) or (only and 80 or 300)
        assert.is_true(tonumber(last) > least and tonumber(runs) >= tonumber(last) / pace - 1, text)
        print("\n" .. text:match "[^\n]*\n*$")
        for _, left in ipairs(service.list(directory)) do assert.equal("fox.png", left) end
    end

    it("continues or returns an error after one failed allocation", function() fail_each(1, step) end)
    it("sends no submission without a record of it", function()
        fail_each(_VERSION == "Lua 5.1" and 1 or 2, 1, "submit")
    end)

    it("resumes every waiter", function() fail_each(_VERSION == "Lua 5.1" and 1 or 2, 1, "wait") end)

    -- Lua 5.1 and LuaJIT do not retry an allocation.
    if _VERSION ~= "Lua 5.1" then
        it("continues or returns an error after a failed allocation and retry", function() fail_each(2, step) end)
    end
end)
