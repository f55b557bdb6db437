-- flux2.host.love on Windows, in a folder laid out like LÖVE's: luajit.exe and spec/support/love_stub.lua stand in for
-- love.exe beside lua51.dll. The save directory has a user's name that is in no code page.
if package.config:sub(1, 1) ~= "\\" or not rawget(_G, "jit") then
    return describe("the host for LÖVE", function() pending "needs Windows, and LuaJIT, the Lua of LÖVE" end)
end

local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"

local BUILD = os.getenv "FLUX2_BUILD"

-- docs/love.md, with a quit.
local GAME = [[
local flux2 = require "flux2"
local host = require "flux2.host.love"
local client = assert(flux2.new { poll = { interval = 0.05 } })
local wanted, textures, ended = 5, {}, 0

function love.load()
    for i = 1, wanted do
        host.generate(client, "a red fox " .. i, { size = 512 }, function(texture, err)
            textures[#textures + 1] = assert(texture, err)
        end)
    end
end

function love.flux2_done(_, result, err)
    assert(result, err)
    ended = ended + 1
end

function love.update()
    if #textures < wanted or ended < wanted then return end
    print(#textures .. " textures of " .. table.concat({ textures[1]:getDimensions() }, " x "))
    love.event.quit()
end
]]

describe("the host for LÖVE", function()
    it("makes textures of images in a save directory with any name, and removes its files", function()
        local emu, dir = service.start { duration = 0.2 }, service.directory()
        local save = "J\195\188rgen/\230\151\165\230\156\172/LOVE/game"
        local code, printed = shell.run(([[
            cd '%s' && unzip -q '%s'/../dist/windows/flux2-*-windows-x64-lua51.zip && mkdir -p game '%s' &&
            cp '%s/5.1/luajit.exe' love.exe && cp '%s/5.1/lua51.dll' spec/support/love_stub.lua .
        ]]):format(dir, BUILD, save, BUILD, BUILD):gsub("spec/support", BUILD .. "/../../%0"))
        assert.equal(0, code, printed)
        service.write(dir .. "/game/main.lua", GAME)
        service.write(dir .. "/stub.lua", ("arg = { 'game', %q } dofile 'love_stub.lua'"):format("Z:" .. dir .. "/" .. save))
        code, printed = shell.run(("cd '%s' && env -u LUA_PATH -u LUA_CPATH -u SSL_CERT_FILE FLUX2_BASE_URL=%s " ..
            "FLUX2_API_KEY=%s timeout -k 5 %d wine love.exe stub.lua"):format(dir, emu.url, emu.api_key, bound(30)))
        assert.same({ 0, "5 textures of 8 x 8\n" }, { code, (printed:gsub("\r", "")) })
        assert.same({}, core.list(dir .. "/" .. save .. "/flux2-incoming"))
        service.stop_all()
        service.remove(dir)
    end)
end)
