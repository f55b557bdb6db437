-- client:look: one question, one answer, and nothing is taken up.
local service = require "support.service"

describe("client:look", function()
    local emu, client
    before_each(function()
        emu = service.start { duration = 60 }
        client = service.client(emu, { max_retries = 0 })
    end)
    after_each(service.stop_all)

    local function submit(prompt)
        local task = assert(client:submit(prompt))
        service.pump_until(function() return task.id end)
        local id = task.id
        task:cancel()
        return id
    end

    it("tells a task that runs, one that succeeded and one that failed, each by one request", function()
        local id, bad = submit "a fox", submit "a fox [fail]"
        service.pump_until(function() return require("flux2.scheduler").stats().in_flight == 0 end)
        local function look(which)
            local before = emu:stats().requests
            local found = assert(client:look(which))
            assert.equal(before + 1, emu:stats().requests)
            assert.equal(which, found.id)
            return found
        end
        local running = look(id)
        assert.same({ "running", "IN_PROGRESS", 0 }, { running.state, running.status, #running.urls })
        assert.is_true(running.progress < 1)
        emu:finish()
        local done = look(id)
        assert.same({ "succeeded", 1 }, { done.state, #done.urls })
        assert.truthy(done.urls[1]:find(emu.url, 1, true))
        local failed = look(bad)
        assert.same({ "failed", "task_failed" }, { failed.state, failed.error.kind })
    end)

    it("gives an error when the question failed, without the key", function()
        local found, err = client:look "n41none_flux2"
        assert.is_nil(found)
        assert.same({ "not_found", "n41none_flux2" }, { err.kind, err.task_id })
        emu:fault { times = 1, status = 500, body = '{"error":{"message":"' .. emu.api_key .. '"}}' }
        found, err = client:look "n41none_flux2"
        assert.is_nil(found)
        assert.equal("server", err.kind)
        assert.is_nil(tostring(err):find(emu.api_key, 1, true))
        emu:fault { times = 1, hang = true }
        found, err = client:look("n41none_flux2", { timeout = 0.1 })
        assert.is_nil(found)
        assert.equal("timeout", err.kind)
    end)

    it("yields in a coroutine, and refuses what is no id", function()
        local id = submit "a fox"
        local found = service.in_coroutine(function() return assert(client:look(id)) end)
        assert.equal("running", found.state)
        assert.equal("invalid_request", select(2, client:look "").kind)
        local _, message = pcall(function() client:look(7) end)
        assert.matches("^spec/look_spec.lua:%d+: client:look: a task id is a string, not 7", message)
        _, message = pcall(function() client:look(id, { timeot = 1 }) end)
        assert.matches("^spec/look_spec.lua:%d+: client:look: unknown option 'timeot': did you mean timeout", message)
    end)
end)
