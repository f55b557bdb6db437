-- flux2 inside LÖVE, and the gallery of examples/love: real LÖVE processes on a screen that nobody sees, the emulator in
-- them. LÖVE is a LuaJIT, and takes the build for it: these specs belong to the run with LuaJIT.

if not rawget(_G, "jit") then return end

local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(40) -- seconds: longer is a hang
local HELD_UP = 150 -- milliseconds of flux2.update() in one frame: no noise, something blocks
local PICTURES = 100 -- colours in a grid of points across a card that shows a picture; without one there are 20
local SHARE = 0.2 -- milliseconds of flux2.update() that half of all frames stay below

-- What every game begins with. It ends by leave().
local PRELUDE = [[
local flux2 = require "flux2"
local host, game = nil, {}
local function say(name, ...)
    local words = {}
    for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
    print("@" .. name .. "=" .. table.concat(words, " "))
end
local emulator = assert(require("flux2.emulator").start { duration = 0.3 })
local client = assert(flux2.new { api_key = emulator.api_key, base_url = emulator.url, poll = { interval = 0.05 } })
local function leave() emulator:stop() love.event.quit() end
local function waiting()
    return #love.filesystem.getDirectoryItems "flux2-incoming"
end
]]

local CONF = [[
function love.conf(t)
    t.identity = "flux2-spec"
    t.window.width, t.window.height = 100, 100
    t.modules.audio, t.modules.sound = false, false
end
]]

describe("the host for LÖVE", function()
    local folder

    setup(function()
        folder = service.directory()
        assert(os.execute("mkdir '" .. folder .. "/game'"))
        service.write(folder .. "/game/conf.lua", CONF)
    end)

    teardown(function() service.remove(folder) end)

    --- Runs LÖVE to its end: what it wrote, with the lines "@name=value" as a table of lists.
    local function love(arguments)
        local command = ("LUA_PATH='%s' LUA_CPATH='%s' XDG_DATA_HOME='%s' SDL_AUDIODRIVER=dummy LC_ALL=C.UTF-8 "
            .. "xvfb-run -a -s '-screen 0 1280x800x24' timeout -k 5 %d love %s"):format(
            package.path:gsub("%f[^;%z]%.?/?lua/", os.getenv "PWD" .. "/lua/"), package.cpath, folder, BOUND, arguments)
        local status, output = shell.run(command)
        local said = {}
        for name, value in output:gmatch "@(%w+)=([^\n]*)" do
            said[name] = said[name] or {}
            table.insert(said[name], value)
        end
        assert.are.equal(0, status, output)
        return said, output
    end

    local function play(code)
        service.write(folder .. "/game/main.lua", PRELUDE .. code)
        return love("'" .. folder .. "/game'")
    end

    it("pumps before love.update, wherever that comes from, once in a frame", function()
        local said = play [[
            local order, pumps, frames = {}, 0, 0
            function love.update() order[#order + 1] = "early" end
            host = require "flux2.host.love"
            local update = host.update
            host.update = function() pumps = pumps + 1 update() end
            love.update(0)
            say("early", table.concat(order, ","), pumps)

            -- As libraries do it: each calls the one before.
            local inner = love.update
            love.update = function(dt) order[#order + 1] = "library" inner(dt) end
            local library = love.update
            love.update = function(dt) order[#order + 1] = "game" library(dt) end
            order, pumps = {}, 0
            love.update(0)
            say("wrapped", table.concat(order, ","), pumps)

            -- And a game that defines none, from here to the end.
            love.update = nil
            assert(client:submit "without love.update"):on("done", function(_, result, err)
                say("done", result ~= nil, err)
                leave()
            end)
        ]]
        assert.are.same({ "early 1" }, said.early)
        assert.are.same({ "game,library,early 1" }, said.wrapped)
        assert.are.same({ "true nil" }, said.done)
    end)

    it("blocks in LÖVE's own coroutine and yields in the game's, whichever needed flux2 first", function()
        service.write(folder .. "/game/main.lua", [[
            local function wait(name)
                return function()
                    require "flux2".sleep(0.01)
                    print("@" .. name .. "=ended")
                end
            end
            local mine = coroutine.create(wait "mine")
            assert(coroutine.resume(mine))
            print("@mine=" .. coroutine.status(mine))
            -- As LÖVE begins one: 11.4 has none, others have.
            local loves = coroutine.create(assert(loadstring("local wait = ... return (wait())", "=[love \"boot.lua\"]")))
            assert(coroutine.resume(loves, wait "loves"))
            print("@loves=" .. coroutine.status(loves))
            function love.update()
                require "flux2".update()
                if coroutine.status(mine) == "dead" then love.event.quit() end
            end
        ]])
        local said = love("'" .. folder .. "/game'")
        assert.are.same({ "suspended", "ended" }, said.mine)
        assert.are.same({ "ended", "dead" }, said.loves)
    end)

    it("turns tasks, results and images into textures, and leaves no file behind", function()
        local said = play [[
            host = require "flux2.host.love"
            local left = 5
            local function one_less() left = left - 1 if left == 0 then say("files", waiting()) leave() end end
            local function show(name, texture, err)
                say(name, texture and texture:typeOf "Texture" and texture:getWidth(), err and err.kind)
            end
            function love.load()
                show("blocking", host.texture(assert(client:submit "in love.load"), { size = 300 }))
                host.generate(client, "with a function", { size = 512 }, function(...) show("called", ...) one_less() end)
                host.generate(client, "[fail]", function(...) show("failed", ...) one_less() end)
                coroutine.wrap(function() show("own", host.generate(client, "in my own coroutine")) one_less() end)()
                flux2.spawn(function()
                    local image = assert(client:generate "already in memory")
                    show("memory", host.texture(image))
                    local path = love.filesystem.getSaveDirectory() .. "/saved.png"
                    assert(image:save(path))
                    image._bytes = nil
                    show("saved", host.texture(image))
                    local file = io.open(path, "wb")
                    file:write("\137PNG\r\n\26\n and then nothing")
                    file:close()
                    show("broken", host.texture(image))
                    one_less()
                end)
                host.generate(client, "given up", function(...) show("cancelled", ...) one_less() end):cancel()
            end
        ]]
        assert.are.same({ "512 nil" }, said.blocking)
        assert.are.same({ "512 nil" }, said.called)
        assert.are.same({ "nil task_failed" }, said.failed)
        assert.are.same({ "1024 nil" }, said.own)
        assert.are.same({ "1024 nil" }, said.memory)
        assert.are.same({ "1024 nil" }, said.saved)
        assert.are.same({ "nil not_an_image" }, said.broken)
        assert.are.same({ "nil cancelled" }, said.cancelled)
        assert.are.same({ "0" }, said.files)
    end)

    it("pushes events for every task, to love.flux2_* or to handlers of the game's own", function()
        local said = play [[
            host = require "flux2.host.love"
            function love.flux2_status(task) say("status", task.status) end
            function love.handlers.flux2_progress(number) say("progress", host.task(number).progress ~= nil) end
            local left = 2
            function love.flux2_done(task, result, err)
                say("done", task.state, result and #result.images, err and err.kind)
                left = left - 1
                if left == 0 then leave() end
            end
            assert(client:submit "[fail]")
            assert(client:submit "fine")
        ]]
        assert.are.same({ "true" }, { said.progress[1] })
        table.sort(said.done)
        assert.are.same({ "failed nil task_failed", "succeeded 1 nil" }, said.done)
        local statuses = table.concat(said.status, " ")
        assert.truthy(statuses:find "SUCCESS" and statuses:find "FAILED")
    end)

    it("tells of errors in coroutines and functions of the game, and goes on", function()
        local _, output = play [[
            host = require "flux2.host.love"
            flux2.spawn(function() flux2.sleep(0.05) error "wrong in the coroutine" end)
            host.generate(client, "a function that raises", function()
                host.generate(client, "another", function(texture) say("after", texture ~= nil) leave() end)
                error "wrong in the function"
            end)
        ]]
        assert.truthy(output:find("wrong in the function", 1, true), output)
        assert.truthy(output:find("wrong in the coroutine", 1, true), output)
        assert.truthy(output:find("@after=true", 1, true), output)
    end)

    it("refuses what only a mistake can be, at the caller's line", function()
        local said = play [[
            host = require "flux2.host.love"
            say("nothing", pcall(host.texture, nil))
            say("option", pcall(host.generate, client, "a fox", { zise = 3 }))
            say("size", pcall(host.generate, client, "a fox", { size = 0 }))
            say("client", pcall(host.generate, "a fox"))
            say("kind", (select(2, host.generate(client, { prompt = "a fox", type = "none" }))).kind)
            leave()
        ]]
        assert.truthy(said.nothing[1]:find "^false .*a task, a result or an image is needed, not nil")
        assert.truthy(said.option[1]:find "^false .*unknown option .*zise")
        assert.truthy(said.size[1]:find "^false .*size must be a number of pixels above 0")
        assert.truthy(said.client[1]:find "^false .*a client is needed")
        assert.are.same({ "invalid_request" }, said.kind)
    end)

    it("shows pictures in the gallery and holds no frame up", function()
        local shot, frames, report = folder .. "/shot.png", folder .. "/frames.tsv", folder .. "/report"
        local _, output = love(("examples/love --window 800x600 --duration 0.4 --script examples/love/scripts/tour.lua "
            .. "--screenshot '%s' --frames-out '%s' --report '%s' --quit-after %d"):format(shot, frames, report, BOUND - 5))
        local found = { colours = {} }
        for name, value in service.read(report):gmatch "(%w+)=([^\n]*)" do
            if name == "colours" then table.insert(found.colours, tonumber(value)) else found[name] = value end
        end
        assert.are.equal("yes", found.ended, output)
        assert.are.equal("yes", found.enlarged)
        assert.are.equal("0", found.failed)
        assert.is_true(tonumber(found.pictures) >= 5)
        for i = 1, 5 do assert.is_true(found.colours[i] > PICTURES, "card " .. i .. ": " .. found.colours[i]) end
        assert.are.equal("\137PNG\r\n\26\n", service.read(shot):sub(1, 8))

        local updates, worst = {}, 0
        for update in service.read(frames):gmatch "\n[%d.]+\t([%d.]+)" do
            updates[#updates + 1] = tonumber(update)
            worst = math.max(worst, updates[#updates])
        end
        assert.is_true(#updates > 20)
        assert.is_true(worst < HELD_UP, "flux2.update() took " .. worst .. " ms")
        table.sort(updates)
        assert.is_true(updates[math.ceil(#updates / 2)] < SHARE)
    end)
end)
