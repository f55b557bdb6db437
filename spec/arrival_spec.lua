-- A picture that client:generate is to bring is on its way as soon as its task has ended, whatever the host does meanwhile.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

describe("a picture that is generated", function()
    local emu, client, dir
    before_each(function()
        emu = service.start()
        client = service.client(emu)
        dir = service.directory()
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    --- Lets time pass until `condition()` is true, and hands nothing out.
    local function sleep_until(condition)
        local last = core.now() + bound(10)
        while not condition() do
            assert(core.now() < last, "still waiting")
            scheduler.block(0.01)
        end
    end

    local function downloads() return emu:stats().downloads end

    local function was_asked_for()
        for _, request in ipairs(emu:requests()) do
            if request.path:find "^/images/" then return true end
        end
        return false
    end

    it("is saved while the host is asleep", function()
        local path = dir .. "/fox.png"
        local handle = flux2.spawn(function() return client:generate("a red fox", { save = path }) end)
        sleep_until(function() return service.exists(path) end)
        assert.equal(PNG, service.read(path):sub(1, 8))
        local image = assert(handle:join())
        assert.equal(path, image.path)
        assert.equal("image/png", image.content_type)
        assert.equal(1, downloads())
        assert.same({ "fox.png" }, service.list(dir))
    end)

    it("is fetched into memory while the host is asleep", function()
        local handle = flux2.spawn(function() return client:generate "a red fox" end)
        sleep_until(function() return downloads() == 1 end)
        local image = assert(handle:join())
        assert.equal(PNG, assert(image:bytes()):sub(1, 8))
        assert.equal(1, downloads())
        assert.equal(0, flux2.pending())
    end)

    it("is asked for anew where its link has expired", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, status = 410, body = "gone" }
        local path = dir .. "/fox.png"
        assert(client:generate("a red fox", { save = path }))
        assert.equal(PNG, service.read(path):sub(1, 8))
    end)

    it("is not fetched for a task that is only submitted", function()
        assert(assert(client:submit "a red fox"):wait())
        assert.is_false(was_asked_for())
    end)

    for _, heard in ipairs { false, true } do
        it("is given up with the coroutine that generates it, and " .. (heard and "knows" or "does not know") ..
            " that the task has ended", function()
            emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
            local ended = false
            local handle = flux2.spawn(function()
                return client:generate("a red fox", {
                    save = dir .. "/fox.png", on_done = function(_, result) ended = result ~= nil end,
                })
            end)
            if heard then service.pump_until(function() return ended end) end
            sleep_until(was_asked_for)
            handle:cancel()
            local image, err = handle:join()
            assert.is_nil(image)
            assert.equal("cancelled", err.kind)
            assert.equal(heard, ended)
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            assert.equal(0, flux2.pending())
            assert.same({}, service.list(dir))
        end)
    end

    it("keeps to the time that generating may take", function()
        emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
        local image, err = client:generate("a red fox", { save = dir .. "/fox.png", timeout = bound(2) })
        assert.is_nil(image)
        assert.equal("timeout", err.kind)
        assert.equal(emu:ledger()[1].task_id, err.task_id)
        assert.same({}, service.list(dir))
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    it("may be asked for by somebody else, with less patience", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, hang = true }
        local other
        local image = assert(client:generate("a red fox", {
            on_done = function(task)
                sleep_until(was_asked_for) -- or the second request would be the first
                flux2.spawn(function() other = select(2, task.result.images[1]:buffer(0.05)) end)
            end,
        }))
        service.pump_until(function() return other end)
        assert.equal("timeout", other.kind)
        assert.equal(PNG, assert(image:bytes()):sub(1, 8))
    end)
end)
