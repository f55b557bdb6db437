-- `on_exchange`: every single request that is made for a task, in order, with how it was answered.
local bound = require "support.bound"
local flux2 = require "flux2"
local service = require "support.service"

describe("on_exchange", function()
    after_each(function()
        service.stop_all()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    local function observe(client, request, opts)
        local heard = {}
        opts = opts or {}
        opts.on_exchange = function(task, exchange)
            exchange.task_id = task.id
            heard[#heard + 1] = exchange
        end
        local task = assert(client:submit(request or "a red fox", opts))
        return heard, task
    end

    local function words(heard)
        local list = {}
        for i, e in ipairs(heard) do list[i] = ("%s %d %s"):format(e.kind, e.number, e.http_status or e.failure) end
        return list
    end

    it("hears the submission and each poll, whether or not something changed", function()
        local emu = service.start { duration = 60, progress = "none" }
        local heard, task = observe(service.client(emu, { poll = { interval = 0.01 } }))
        service.pump_until(function() return #heard >= 6 end)
        emu:finish()
        assert(task:wait())
        assert.same({ "submission 1 200", "poll 1 200", "poll 2 200" }, { (table.unpack or unpack)(words(heard), 1, 3) })
        assert.equal(emu:stats().polls, #heard - 1)
        for i, e in ipairs(heard) do
            assert.equal(i < #heard and "IN_PROGRESS" or "SUCCESS", e.status)
            assert.is_true(i == 1 or e.elapsed > heard[i - 1].elapsed)
            assert.equal(i < #heard, e.pause ~= nil, "the last one is followed by none")
            assert.matches('"status":"' .. e.status .. '"', e.body)
            assert.equal(#e.body, e.size)
        end
    end)

    it("hears of them when the host was busy meanwhile", function()
        local emu = service.start { duration = 60, progress = "none" }
        local heard, task = observe(service.client(emu, { poll = { interval = 0.01 } }))
        emu:wait(10, 8) -- without a turn of the pump
        emu:finish()
        assert(task:wait())
        assert.is_true(#heard >= 8)
        assert.equal(emu:stats().polls, #heard - 1)
    end)

    it("hears of what failed and is tried again", function()
        local emu = service.start { duration = 60 }
        emu:fault { method = "POST", nth = 1, retry_after = 0 }
        emu:fault { method = "GET", path = "/api/v1/tasks/*", nth = 1, status = 503 }
        emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 1, garbage = true }
        local heard, task = observe(service.client(emu))
        service.pump_until(function() return #heard >= 5 end)
        emu:finish()
        assert(task:wait())
        local said = words(heard)
        assert.equal("submission 1 429", said[1])
        assert.equal(0, heard[1].retry_after)
        assert.is_number(heard[1].pause)
        assert.equal("submission 2 200", said[2])
        assert.equal("poll 1 503", said[3])
        assert.equal("poll 2 network", said[4])
        assert.is_string(heard[4].message)
        assert.is_nil(heard[4].http_status)
        assert.equal("poll 3 200", said[5])
        assert.equal(1, #emu:ledger())
    end)

    it("hears of the one that ends it", function()
        local emu = service.start { api_key = "aio_other" }
        local heard, task = observe(service.client(emu, { api_key = "aio_wrong" }))
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("auth", err.kind)
        assert.same({ "submission 1 401" }, words(heard))
        assert.is_nil(heard[1].pause)
    end)

    it("keeps the beginning of a long answer, and says how long it was", function()
        local emu = service.start { duration = 0.05, image_bytes = 60000, shape = "openai_b64" }
        local heard, task = observe(service.client(emu))
        assert(task:wait())
        local last = heard[#heard]
        assert.equal(16 * 1024, #last.body)
        assert.is_true(last.size > 60000)
    end)

    it("holds no key, even where the service repeats it", function()
        local emu = service.start { api_key = "odd-key-of-nobody" }
        emu:fault { method = "POST", status = 422, body = '{"error":{"message":"not with odd-key-of-nobody"}}' }
        local heard = select(1, observe(service.client(emu)))
        service.pump_until(function() return #heard == 1 end)
        assert.matches("not with aio_%*%*%*", heard[1].body)
    end)

    it("is told of a task that is taken up, and of one that is waited for again", function()
        local emu = service.start { duration = 60 }
        local client = service.client(emu)
        local task = assert(client:submit "a red fox")
        service.pump_until(function() return task.id end)
        local heard = {}
        local same = assert(client:task(task.id, {
            timeout = bound(0.5), on_exchange = function(_, e) heard[#heard + 1] = e end,
        }))
        assert.is_nil(same:wait())
        local before = #heard
        assert.is_true(before >= 1)
        assert.equal("poll", heard[1].kind)
        emu:finish()
        assert(same:wait())
        assert.is_true(#heard > before)
        assert(task:wait())
    end)

    it("hears nothing more of a task that was cancelled, and of none without it", function()
        local emu = service.start { duration = 60 }
        local heard, task = observe(service.client(emu))
        task:cancel()
        local seen = #heard
        local client = service.client(emu)
        local other = assert(client:submit("a heron", { timeout = 0.2 }))
        assert.is_nil(other:wait())
        assert.equal(seen, #heard)
    end)

    it("hurts nobody with its errors", function()
        local emu = service.start()
        local told
        flux2.on_error = function(message) told = message end
        local task = assert(service.client(emu):submit("a red fox", { on_exchange = function() error "on purpose" end }))
        local result, err = task:wait()
        flux2.on_error = nil
        assert(result, err)
        assert.matches("on purpose", told)
    end)
end)
