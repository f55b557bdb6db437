-- A submission that may have reached the service is never sent again: not by us, and not by libcurl.
local flux2 = require "flux2"
local service = require "support.service"

local SUBMIT = "/api/v1/images/generations"

describe("a submission", function()
    local emu, client
    before_each(function()
        emu = service.start()
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    local function posts()
        local n = 0
        for _, request in ipairs(emu:requests()) do
            if request.method == "POST" then n = n + 1 end
        end
        return n
    end

    local function submit_and_wait(c)
        local task = assert((c or client):submit "paid for once")
        local result, err = task:wait()
        return result, err, task
    end

    it("whose connection dies after it was read is not sent again", function()
        for _, fault in ipairs { { reset = "after" }, { close = "after" } } do
            emu:clear_faults()
            fault.method, fault.path, fault.nth = "POST", SUBMIT, 1
            local ledger, sent = #emu:ledger(), posts()
            emu:fault(fault)
            local result, err = submit_and_wait()
            assert.is_nil(result)
            assert.equal("unknown_outcome", err.kind)
            assert.is_false(err.retryable)
            assert.equal(ledger + 1, #emu:ledger())
            assert.equal(sent + 1, posts())
        end
    end)

    it("is not sent again by libcurl on a kept connection that dies after the request was read", function()
        -- The first exchange leaves a connection that the second one reuses: that is when libcurl repeats by itself.
        assert(client:generate "warms the connection up")
        local one = service.client(emu, { max_connections = 1 })
        for _, fault in ipairs { { reset = "after" }, { close = "after" }, { reset = "before" } } do
            emu:clear_faults()
            assert(one:generate "opens the connection")
            local sent, ledger = posts(), #emu:ledger()
            fault.method, fault.path, fault.nth = "POST", SUBMIT, 1
            emu:fault(fault)
            local result, err = submit_and_wait(one)
            assert.is_nil(result)
            assert.equal("unknown_outcome", err.kind)
            assert.equal(sent + 1, posts())
            local requests, seen = emu:requests(), {}
            for i = 1, #requests - 1 do seen[requests[i].connection] = true end
            assert.is_true(seen[requests[#requests].connection], "the connection was a kept one")
            assert.equal(ledger + (fault.reset == "before" and 0 or 1), #emu:ledger())
        end
    end)

    for name, fault in pairs {
        ["a cut answer"] = { cut = 20 },
        ["garbage instead of HTTP"] = { garbage = "this is not HTTP at all\r\n\r\n", accept = true },
        ["a body that is no JSON"] = { status = 200, body = "<html>ok</html>", accept = true },
        ["no task id"] = { status = 200, body = '{"code":200,"data":{}}', accept = true },
        ["a 500"] = { status = 500, body = "oops", accept = true },
        ["a 502"] = { status = 502, body = "oops", accept = true },
        ["a 503 that names no time"] = { status = 503, body = "oops", accept = true },
        ["a 504"] = { status = 504, body = "oops", accept = true },
        ["a 408"] = { status = 408, body = "oops", accept = true },
    } do
        it("answered with " .. name .. " is of unknown outcome", function()
            fault.method, fault.path, fault.nth = "POST", SUBMIT, 1
            emu:fault(fault)
            local result, err, task = submit_and_wait()
            assert.is_nil(result)
            assert.equal("unknown_outcome", err.kind, tostring(err))
            assert.equal("failed", task.state)
            assert.equal(1, posts())
            assert.equal(1, #emu:ledger())
        end)
    end

    it("that is not answered in time is of unknown outcome", function()
        emu:fault { method = "POST", path = SUBMIT, nth = 1, hang = true }
        local result, err = submit_and_wait(service.client(emu, { exchange_timeout = 0.3 }))
        assert.is_nil(result)
        assert.equal("unknown_outcome", err.kind)
        assert.equal(1, posts())
    end)

    it("that the whole time-out ends is of unknown outcome", function()
        emu:fault { method = "POST", path = SUBMIT, nth = 1, hang = true }
        local result, err = submit_and_wait(service.client(emu, { timeout = 0.3 }))
        assert.is_nil(result)
        assert.equal("unknown_outcome", err.kind)
        assert.equal(1, posts())
    end)

    it("is sent again when nobody listened, and says how often", function()
        local address = emu.url
        emu:stop()
        local result, err = submit_and_wait(assert(flux2.new {
            api_key = "aio_k", base_url = address, max_retries = 2, timeout = 10,
        }))
        assert.is_nil(result)
        assert.equal("network", err.kind)
        assert.is_true(err.retryable)
        assert.equal(3, err.attempts)
    end)

    it("is sent again after 429 and 503 with Retry-After, and no sooner", function()
        for _, status in ipairs { 429, 503 } do
            emu:clear_faults()
            local ledger, sent = #emu:ledger(), posts()
            emu:fault { method = "POST", path = SUBMIT, nth = 1, status = status, retry_after = 1, body = "slow down" }
            local before = require("flux2.core").now()
            local result, err = submit_and_wait()
            assert(result, err)
            assert.is_true(require("flux2.core").now() - before >= 1)
            assert.equal(ledger + 1, #emu:ledger())
            assert.equal(sent + 2, posts())
        end
    end)

    it("gives up after max_retries, as rate_limited", function()
        emu:fault { method = "POST", path = SUBMIT, times = 100, status = 429, retry_after = 0, body = "slow down" }
        local result, err = submit_and_wait(service.client(emu, { max_retries = 1 }))
        assert.is_nil(result)
        assert.equal("rate_limited", err.kind)
        assert.equal(2, err.attempts)
        assert.equal(2, posts())
        assert.equal(0, #emu:ledger())
    end)

    it("follows no redirect", function()
        local other = service.start()
        emu:fault { method = "POST", path = SUBMIT, nth = 1, redirect = other.url .. SUBMIT }
        local result, err = submit_and_wait()
        assert.is_nil(result)
        assert.equal("protocol", err.kind)
        assert.matches(other.url, tostring(err), nil, true)
        assert.equal(0, other:stats().requests)
        assert.equal(1, posts())
    end)
end)

describe("polls", function()
    local emu, client
    before_each(function()
        emu = service.start { duration = 0.1 }
        client = service.client(emu)
    end)
    after_each(service.stop_all)

    local tasks = "/api/v1/tasks/*"
    for name, fault in pairs {
        ["500"] = { status = 500, body = "oops" },
        ["502"] = { status = 502, body = "oops" },
        ["503"] = { status = 503, body = "oops" },
        ["504"] = { status = 504, body = "oops" },
        ["408"] = { status = 408, body = "oops" },
        ["429"] = { status = 429, retry_after = 0, body = "slow down" },
        ["a reset"] = { reset = "after" },
        ["a closed connection"] = { close = "after" },
        ["a cut body"] = { cut = 10 },
        ["garbage on the wire"] = { garbage = "not HTTP\r\n\r\n" },
        ["an HTML page"] = { status = 200, body = "<html>please wait</html>" },
        ["wrong types"] = { status = 200, body = '{"code":200,"data":{"status":7}}' },
        ["nothing"] = { status = 200, body = "" },
        ["an early 404"] = { status = 404, body = '{"error":{"code":404,"message":"not yet"}}' },
    } do
        it("survive " .. name, function()
            for i = 1, 2 do
                local copy = { method = "GET", path = tasks, nth = i }
                for k, v in pairs(fault) do copy[k] = v end
                emu:fault(copy)
            end
            local task = assert(client:submit "worth waiting for")
            local result, err = task:wait()
            assert(result, tostring(err))
            assert.equal(1, #emu:ledger())
        end)
    end

    it("treat an unknown status as running", function()
        emu:fault {
            method = "GET", path = tasks, nth = 1, status = 200, body = '{"code":200,"data":{"status":"CONTEMPLATING"}}',
        }
        local seen = {}
        local task = assert(client:submit("worth waiting for", { on_status = function(t) seen[t.status] = true end }))
        assert(task:wait())
        assert.is_true(seen.CONTEMPLATING)
    end)

    it("end at a status that cannot become better", function()
        emu:fault { method = "GET", path = tasks, nth = 1, status = 401, body = '{"error":{"code":401,"message":"no"}}' }
        local task = assert(client:submit "worth waiting for")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("auth", err.kind)
        assert.equal(task.id, err.task_id)
        assert(task:wait(), "and can be taken up again")
    end)

    it("end at last when nothing readable comes, with what came", function()
        emu:fault { method = "GET", path = tasks, times = 100, status = 200, body = "<html>gone fishing</html>" }
        local hasty = service.client(emu, { max_retries = 0 })
        local result, err = assert(hasty:submit "worth waiting for"):wait()
        assert.is_nil(result)
        assert.equal("protocol", err.kind)
        assert.matches("gone fishing", err.raw)
    end)

    it("carry the raw answer of a success without a picture", function()
        emu:fault { method = "GET", path = tasks, nth = 1, status = 200, body = '{"code":200,"data":{"status":"SUCCESS"}}' }
        local result, err = assert(client:submit "worth waiting for"):wait()
        assert.is_nil(result)
        assert.equal("protocol", err.kind)
        assert.matches("SUCCESS", err.raw)
    end)

    it("slow everybody of the client down after a 429", function()
        local n = 6
        for _ = 1, n do assert(client:submit "many at once") end
        service.pump_until(function() return #emu:ledger() == n end)
        emu:fault { method = "GET", path = tasks, nth = 1, status = 429, retry_after = 1, body = "slow down" }
        local core = require "flux2.core"
        service.pump_until(function() return emu:stats().faults_fired == 1 end)
        local before, polls = core.now(), emu:stats().polls
        service.pump_until(function() return core.now() - before > 0.7 end)
        -- Those under way at that moment still arrive.
        assert.is_true(emu:stats().polls - polls <= n, "polls went on")
        service.pump_until(function() return flux2.pending() == 0 end)
    end)
end)
