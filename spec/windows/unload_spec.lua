-- A Lua state that ends inside a process that continues, and a host that unloads the module: with LuaJIT's FFI.
if package.config:sub(1, 1) ~= "\\" or not rawget(_G, "jit") then
    return describe("the module", function() pending "needs Windows, and LuaJIT's FFI" end)
end

local service = require "support.service"

-- `script` runs in another state, which is closed while its tasks run.
local HEAD = [[
    local ffi = require "ffi"
    ffi.cdef "void *luaL_newstate(void); void luaL_openlibs(void *); void lua_close(void *);"
    ffi.cdef "int luaL_loadstring(void *, const char *); int lua_pcall(void *, int, int, int);"
    ffi.cdef "const char *lua_tolstring(void *, int, size_t *);"
    ffi.cdef "void *GetModuleHandleA(const char *); int FreeLibrary(void *);"
    local C = ffi.C
    local SCRIPT = ("package.path, package.cpath, url = %q, %q, %q "):format(package.path, package.cpath, arg[1]) .. [=[
        local flux2 = require "flux2"
        client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 } })
        for i = 1, 20 do tasks = { tasks, assert(client:submit("task " .. i)) } end
        while flux2.stats().in_flight == 0 do flux2.update() end
    ]=]
    local function is_loaded() return C.GetModuleHandleA "core.dll" ~= nil end
    local function run_and_close()
        local L = C.luaL_newstate()
        C.luaL_openlibs(L)
        if C.luaL_loadstring(L, SCRIPT) ~= 0 or C.lua_pcall(L, 0, 0, 0) ~= 0 then
            error(ffi.string(C.lua_tolstring(L, -1, nil)))
        end
        C.lua_close(L)
    end
]]

describe("the module", function()
    local emu
    before_each(function() emu = service.start { duration = 60 } end)
    after_each(service.stop_all)

    local function succeeds(body)
        local code, printed = service.run_lua(HEAD .. body, emu.url)
        assert.same({ 0, "" }, { code, printed })
    end

    it("stays loaded after lua_close during its tasks, and a second state works", function()
        succeeds [[
            for _ = 1, 3 do
                run_and_close()
                assert(is_loaded())
            end
            local client = assert(require("flux2").new { api_key = "aio_emulator_key", base_url = arg[1] })
            local task, err = assert(client:submit "in the last state"):wait(0.2)
            assert(task == nil and err.kind == "timeout", tostring(err))
        ]]
    end)

    it("stays loaded if the host unloads it during its tasks", function()
        succeeds [[
            assert(load(SCRIPT))()
            for _ = 1, 10 do C.FreeLibrary(C.GetModuleHandleA "core.dll") end
            assert(is_loaded())
            local task = assert(client:submit "after it was unloaded")
            while not task.id do require("flux2").update() end
        ]]
    end)
end)
