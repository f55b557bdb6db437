-- client:generate, and client:submit with `save`, start the download of an image as soon as its task has ended, even
-- while the host does not pump.
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
        local last = core.now() + bound(30)
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

    it("is saved in the directory of the call, also after a chdir #preload", function()
        local code, printed = service.run_lua(([[
            local service = require "support.service"
            local chdir = assert(package.loadlib(arg[1], "change_directory"))
            local client = assert(require("flux2").new { api_key = %q, base_url = %q, poll = { interval = 0.02 } })
            local task = assert(client:submit("a red fox", { save = "fox.png" }))
            service.pump_until(function() return task.id end)
            chdir "/"
            service.pump_until(function() return task.result end)
            assert(task.result.images[1].path == "fox.png")
        ]]):format(emu.api_key, emu.url), "'" .. service.library "process" .. "'", ("cd '%s' && "):format(dir))
        assert.equal(0, code, printed)
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

    it("is downloaded again, from a fresh URL, while the host is asleep", function()
        local lines, path = {}, dir .. "/fox.png"
        local own = service.client(emu, { log = function(line) lines[#lines + 1] = line end,
            poll = { interval = 0.02, patience = bound(30) } })
        emu:fault { path = "/api/v1/tasks/*", nth = 1, status = 200,
            body = ('{"data":{"status":"SUCCESS","url":"%s/images/expired.png"}}'):format(emu.url) }
        emu:fault { method = "GET", path = "/images/*", nth = { 1, 2 }, status = 410, body = "gone" }
        local handle = flux2.spawn(function() return own:generate("a red fox", { save = path }) end)
        sleep_until(function() return service.exists(path) end)
        assert.equal(PNG, service.read(path):sub(1, 8))
        local image = assert(handle:join())
        assert.is_nil(image.url:find("expired", 1, true))
        local ways = {}
        for i, line in ipairs(lines) do ways[i] = line:match "^%u+ %S+:%d+(/%a+)" end
        assert.same({ "/api", "/api", "/images", "/api", "/images", "/api", "/images" }, ways)
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
                    save = dir .. "/fox.png", on_progress = function(task) ended = task.progress == 1 end,
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
        local err
        service.with_enough_time(0.7, function(seconds)
            local image
            image, err = client:generate("a red fox", { save = dir .. "/fox.png", timeout = seconds })
            assert.is_nil(image)
            return err.task_id and is_requested()
        end)
        assert.equal("timeout", err.kind)
        local ledger = emu:ledger()
        assert.equal(ledger[#ledger].task_id, err.task_id)
        assert.same({}, service.list(dir))
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    it("is bounded by that timeout also when its URL is renewed, and the error names the task", function()
        for _, save in ipairs { dir .. "/fox.png", false } do
            local err
            service.with_enough_time(0.7, function(seconds)
                emu:clear_faults()
                emu:fault { method = "GET", path = "/images/*", nth = 1, status = 410, body = "gone" }
                emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
                local before = core.now()
                err = select(2, client:generate("a red fox", { save = save or nil, timeout = seconds }))
                assert.is_true(core.now() - before < seconds + bound(20), "the client's timeout was used")
                return emu:faults()[2].fired > 0
            end)
            assert.equal("timeout", err.kind)
            local ledger = emu:ledger()
            assert.equal(ledger[#ledger].task_id, err.task_id)
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

describe("client:submit with save", function()
    local emu, client, dir, path
    service.around_each(before_each, after_each, nil, function(...)
        emu, dir = ...
        path = dir .. "/fox.png"
        client = service.client(emu, { spool = dir .. "/spool", poll = { interval = 0.02, patience = bound(20) } })
    end)

    local function records()
        local n = 0
        for _, name in ipairs(service.list(dir .. "/spool")) do n = n + (name:find "^task" and 1 or 0) end
        return n
    end

    local function is_saved() return service.exists(path) and service.read(path):sub(1, 8) == PNG end

    it("saves while the host is asleep, and is done when the image is saved", function()
        local states = {}
        local task = assert(client:submit("a red fox", {
            save = path,
            on_progress = function(task) if task.progress == 1 then states[#states + 1] = task.state end end,
            on_done = function(task, result)
                states[#states + 1] = task.state
                states[#states + 1] = result.images[1].path
                states[#states + 1] = is_saved() and records()
            end,
        }))
        local last = core.now() + bound(30)
        while not service.exists(path) do
            assert(core.now() < last)
            scheduler.block(0.01)
        end
        local result = assert(task:wait())
        assert.same({ "running", "succeeded", path, 0 }, states)
        assert.equal("image/png", result.images[1].content_type)
        assert.equal(1, emu:stats().downloads)
        assert.equal(0, flux2.pending())
    end)

    it("reports a path that cannot be written before anything is sent", function()
        local task = assert(client:submit("a red fox", { save = dir .. "/none/fox.png" }))
        local result, err = task:wait()
        assert.is_nil(result)
        assert.same({ "io", "cannot write '" .. dir .. "/none/fox.png': No such file or directory", nil },
            { err.kind, err.message, err.paid })
        assert.same({ 0, 0, 0 }, { emu:stats().requests, records(), (client:spent()) })
        local nothing, why = client:submit("a red fox", { save = "a\0b" })
        assert.is_nil(nothing)
        assert.equal("io", why.kind)
    end)

    it("repeats the download with a fresh URL", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, status = 410, body = "gone" }
        assert(assert(client:submit("a red fox", { save = path })):wait())
        assert.is_true(is_saved())
        assert.equal(0, records())
    end)

    for _, form in ipairs { "url", "b64_json" } do
        it("saves the image of a service without tasks: " .. form, function()
            emu:set { sync = form }
            local result = assert(assert(client:submit("a red fox", { save = path })):wait())
            assert.equal(path, result.images[1].path)
            assert.is_true(is_saved())
            assert.equal(0, records())
        end)
    end

    it("fails when the image cannot be saved, which is paid for, and saves it at the next wait", function()
        emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
        local task, err, sold
        service.with_enough_time(0.7, function(seconds)
            task = assert(client:submit("a red fox", { save = path, timeout = seconds }))
            local result
            result, err = task:wait()
            assert.is_nil(result)
            local is_fetching = task.id and task.progress == 1
            if not is_fetching then task:discard() end
            return is_fetching
        end)
        sold = #emu:ledger()
        assert.same({ "timeout", true, task.id, "failed", 1 }, { err.kind, err.paid, err.task_id, task.state, records() })
        emu:clear_faults()
        task._timeout = bound(60)
        assert(task:wait())
        assert.is_true(is_saved())
        assert.same({ sold, 0 }, { #emu:ledger(), records() })
    end)

    it("can be cancelled during the download, and during its repetition", function()
        local function downloads()
            local n = 0
            for _, request in ipairs(emu:requests()) do n = n + (request.path:find "^/images/" and 1 or 0) end
            return n
        end
        for most, fault in ipairs { { hang = true }, { status = 410 } } do
            emu:clear_faults()
            fault.method, fault.path, fault.times = "GET", "/images/*", 99
            emu:fault(fault)
            local before = downloads()
            local task = assert(client:submit("a red fox", { save = path }))
            service.pump_until(function() return task.progress == 1 and downloads() >= before + most end)
            task:cancel()
            assert.equal("cancelled", select(2, task:wait()).kind)
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            assert.equal(0, flux2.pending())
            assert.is_false(service.exists(path))
        end
    end)
end)
