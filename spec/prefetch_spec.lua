-- client:generate starts the download of an image as soon as its task has ended, even while the host does not pump.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

describe("the image of client:generate", function()
    local emu, client, dir
    service.around_each(before_each, after_each, nil, function(...)
        emu, dir = ...
        client = service.client(emu)
    end)

    --- Waits until `condition()` is true without dispatching events.
    local function sleep_until(condition)
        local last = core.now() + bound(10)
        while not condition() do
            assert(core.now() < last, "still waiting")
            scheduler.block(0.01)
        end
    end

    local function downloads() return emu:stats().downloads end

    local function is_requested()
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

    it("is downloaded to memory while the host is asleep", function()
        local handle = flux2.spawn(function() return client:generate "a red fox" end)
        sleep_until(function() return downloads() == 1 end)
        local image = assert(handle:join())
        assert.equal(PNG, assert(image:bytes()):sub(1, 8))
        assert.equal(1, downloads())
        assert.equal(0, flux2.pending())
    end)

    it("is downloaded again when its URL has expired", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, status = 410, body = "gone" }
        local path = dir .. "/fox.png"
        assert(client:generate("a red fox", { save = path }))
        assert.equal(PNG, service.read(path):sub(1, 8))
    end)

    it("is not downloaded for a task that is only submitted", function()
        assert(assert(client:submit "a red fox"):wait())
        assert.is_false(is_requested())
    end)

    for _, knows_end in ipairs { false, true } do
        it("is cancelled with its coroutine, when the end of the task was " .. (knows_end and "" or "not ") ..
            "dispatched", function()
            emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
            local ended = false
            local handle = flux2.spawn(function()
                return client:generate("a red fox", {
                    save = dir .. "/fox.png", on_done = function(_, result) ended = result ~= nil end,
                })
            end)
            if knows_end then service.pump_until(function() return ended end) end
            sleep_until(is_requested)
            handle:cancel()
            local image, err = handle:join()
            assert.is_nil(image)
            assert.equal("cancelled", err.kind)
            assert.equal(knows_end, ended)
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            assert.equal(0, flux2.pending())
            assert.same({}, service.list(dir))
        end)
    end

    it("is bounded by the timeout of client:generate", function()
        emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
        local image, err = client:generate("a red fox", { save = dir .. "/fox.png", timeout = bound(2) })
        assert.is_nil(image)
        assert.equal("timeout", err.kind)
        assert.equal(emu:ledger()[1].task_id, err.task_id)
        assert.same({}, service.list(dir))
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    it("is bounded by that timeout also when its URL is renewed, and the error names the task", function()
        for _, save in ipairs { dir .. "/fox.png", false } do
            emu:clear_faults()
            emu:fault { method = "GET", path = "/images/*", nth = 1, status = 410, body = "gone" }
            emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
            local before = core.now()
            local image, err = client:generate("a red fox", { save = save or nil, timeout = bound(0.7) })
            assert.is_nil(image)
            assert.equal("timeout", err.kind)
            local ledger = emu:ledger()
            assert.equal(ledger[#ledger].task_id, err.task_id)
            assert.is_true(core.now() - before < bound(20), "the client's timeout was used")
            assert.same({}, service.list(dir))
        end
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    it("may be requested by a second caller with a shorter timeout", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, hang = true }
        local other
        local image = assert(client:generate("a red fox", {
            on_done = function(task)
                sleep_until(is_requested) -- otherwise the second request would be the first
                flux2.spawn(function() other = select(2, task.result.images[1]:buffer(0.05)) end)
            end,
        }))
        service.pump_until(function() return other end)
        assert.equal("timeout", other.kind)
        assert.equal(PNG, assert(image:bytes()):sub(1, 8))
    end)
end)
