-- `on_request`: reports every HTTP request of a task, in order, with its response.
local bound = require "support.bound"
local flux2 = require "flux2"
local service = require "support.service"

describe("on_request", function()
    after_each(function()
        service.stop_all()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    local function observe(client, request, opts)
        local requests = {}
        opts = opts or {}
        opts.on_request = function(task, report)
            report.task_id = task.id
            requests[#requests + 1] = report
        end
        local task = assert(client:submit(request or "a red fox", opts))
        return requests, task
    end

    local function words(requests)
        local list = {}
        for i, e in ipairs(requests) do list[i] = ("%s %d %s"):format(e.kind, e.number, e.http_status or e.failure) end
        return list
    end

    it("reports the submission and each poll, whether or not the status changed", function()
        local emu = service.start { duration = 60, progress = "none" }
        local requests, task = observe(service.client(emu, { poll = { interval = 0.01 } }))
        service.pump_until(function() return #requests >= 6 end)
        emu:finish()
        assert(task:wait())
        assert.same({ "submission 1 200", "poll 1 200", "poll 2 200" },
            { (table.unpack or unpack)(words(requests), 1, 3) })
        assert.equal(emu:stats().polls, #requests - 1)
        for i, e in ipairs(requests) do
            assert.equal(i < #requests and "IN_PROGRESS" or "SUCCESS", e.status)
            assert.is_true(i == 1 or e.elapsed > requests[i - 1].elapsed)
            assert.equal(i < #requests, e.pause ~= nil, "the last one is followed by none")
            assert.matches('"status":"' .. e.status .. '"', e.body)
            assert.equal(#e.body, e.size)
        end
    end)

    it("reports them after the host was busy", function()
        local emu = service.start { duration = 60, progress = "none" }
        local requests, task = observe(service.client(emu, { poll = { interval = 0.01 } }))
        assert.is_true(emu:wait(bound(30), 8)) -- without pumping
        emu:finish()
        assert(task:wait())
        assert.is_true(#requests >= 8)
        assert.equal(emu:stats().polls, #requests - 1)
    end)

    it("reports failed and retried requests", function()
        local emu = service.start { duration = 60 }
        emu:fault { method = "POST", nth = 1, retry_after = 0 }
        emu:fault { method = "GET", path = "/api/v1/tasks/*", nth = 1, status = 503 }
        emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 1, garbage = true }
        local requests, task = observe(service.client(emu, { poll = { interval = 0.02, patience = bound(30) } }))
        service.pump_until(function() return #requests >= 5 end)
        emu:finish()
        assert(task:wait())
        local list = words(requests)
        assert.equal("submission 1 429", list[1])
        assert.equal(0, requests[1].retry_after)
        assert.is_number(requests[1].pause)
        assert.equal("submission 2 200", list[2])
        assert.equal("poll 1 503", list[3])
        assert.equal("poll 2 network", list[4])
        assert.is_string(requests[4].message)
        assert.is_nil(requests[4].http_status)
        assert.equal("poll 3 200", list[5])
        assert.equal(1, #emu:ledger())
    end)

    it("reports the last request of a task", function()
        local emu = service.start { api_key = "aio_other" }
        local requests, task = observe(service.client(emu, { api_key = "aio_wrong" }))
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("auth", err.kind)
        assert.same({ "submission 1 401" }, words(requests))
        assert.is_nil(requests[1].pause)
    end)

    it("truncates a long response, and reports its size", function()
        local emu = service.start { duration = 0.05, image_bytes = 60000, shape = "openai_b64" }
        local requests, task = observe(service.client(emu))
        assert(task:wait())
        local last = requests[#requests]
        assert.equal(16 * 1024, #last.body)
        assert.is_true(last.size > 60000)
    end)

    it("contains no key, even if the service echoes it", function()
        local emu = service.start { api_key = "odd-key-of-nobody" }
        emu:fault { method = "POST", status = 422, body = '{"error":{"message":"not with odd-key-of-nobody"}}' }
        local requests = select(1, observe(service.client(emu)))
        service.pump_until(function() return #requests == 1 end)
        assert.matches("not with %[key%]", requests[1].body)
    end)

    it("reports requests of a resumed task, and of one that is waited for again", function()
        local emu = service.start { duration = 60 }
        local client = service.client(emu)
        local task = assert(client:submit "a red fox")
        service.pump_until(function() return task.id end)
        local requests = {}
        local same = assert(client:task(task.id, {
            timeout = bound(0.5), on_request = function(_, e) requests[#requests + 1] = e end,
        }))
        assert.is_nil(same:wait())
        local before = #requests
        assert.is_true(before >= 1)
        assert.equal("poll", requests[1].kind)
        emu:finish()
        assert(same:wait())
        assert.is_true(#requests > before)
        assert(task:wait())
    end)

    it("stops reporting when the task is cancelled, and is optional", function()
        local emu = service.start { duration = 60 }
        local requests, task = observe(service.client(emu))
        task:cancel()
        local seen = #requests
        local client = service.client(emu)
        local other = assert(client:submit("a heron", { timeout = 0.2 }))
        assert.is_nil(other:wait())
        assert.equal(seen, #requests)
    end)

    it("isolates errors of the callback", function()
        local emu = service.start()
        local reported
        flux2.on_error = function(message) reported = message end
        local task = assert(service.client(emu):submit("a red fox", { on_request = function() error "on purpose" end }))
        local result, err = task:wait()
        flux2.on_error = nil
        assert(result, err)
        assert.matches("on purpose", reported)
    end)
end)
