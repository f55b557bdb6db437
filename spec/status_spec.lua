-- client:status: one request, one result, no task.
local service = require "support.service"

describe("client:status", function()
    local emu, client
    before_each(function()
        emu = service.start { duration = 60 }
        -- No poll of a task that `submit` cancels is on its way.
        client = service.client(emu, { max_retries = 0, poll = { interval = 60 } })
    end)
    after_each(service.stop_all)

    local function submit(prompt)
        local task = assert(client:submit(prompt))
        service.pump_until(function() return task.id end)
        local id = task.id
        task:cancel()
        return id
    end

    it("reports a running, a succeeded and a failed task, each with one request", function()
        local id, bad = submit "a fox", submit "a fox [fail]"
        service.pump_until(function() return require("flux2.scheduler").stats().in_flight == 0 end)
        local function status_of(which)
            local before = emu:stats().requests
            local found = assert(client:status(which))
            assert.equal(before + 1, emu:stats().requests)
            assert.equal(which, found.id)
            return found
        end
        local running = status_of(id)
        assert.same({ "running", "IN_PROGRESS", 0 }, { running.state, running.status, #running.urls })
        assert.is_true(running.progress < 1)
        emu:finish()
        local done = status_of(id)
        assert.same({ "succeeded", 1 }, { done.state, #done.urls })
        assert.truthy(done.urls[1]:find(emu.url, 1, true))
        local failed = status_of(bad)
        assert.same({ "failed", "task_failed" }, { failed.state, failed.error.kind })
    end)

    it("returns an error when the request failed, without the key", function()
        local found, err = client:status "n41none_flux2"
        assert.is_nil(found)
        assert.same({ "not_found", "n41none_flux2" }, { err.kind, err.task_id })
        emu:fault { times = 1, status = 500, body = '{"error":{"message":"' .. emu.api_key .. '"}}' }
        found, err = client:status "n41none_flux2"
        assert.is_nil(found)
        assert.equal("server", err.kind)
        assert.is_nil(tostring(err):find(emu.api_key, 1, true))
        emu:fault { times = 1, hang = true }
        found, err = client:status("n41none_flux2", { timeout = 0.1 })
        assert.is_nil(found)
        assert.equal("timeout", err.kind)
    end)

    it("yields in a coroutine, and rejects an invalid id", function()
        local id = submit "a fox"
        local found = service.in_coroutine(function() return assert(client:status(id)) end)
        assert.equal("running", found.state)
        assert.equal("invalid_request", select(2, client:status "").kind)
        local _, message = pcall(function() client:status(7) end)
        assert.matches("^spec/status_spec.lua:%d+: client:status: a task id is a string, not 7", message)
        _, message = pcall(function() client:status(id, { timeot = 1 }) end)
        assert.matches("^spec/status_spec.lua:%d+: client:status: unknown option 'timeot': did you mean timeout",
            message)
    end)
end)
