-- A submission that may have reached the service is never sent again, neither by flux2 nor by libcurl.
local bound = require "support.bound"
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

    it("is not sent again when the connection closes after the request was read", function()
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

    it("is sent again when a 200 has code 429 in its body, as with status 429", function()
        emu:fault { method = "POST", path = SUBMIT, nth = 1,
            body = '{"code":429,"message":"slow down","retry_after":0.05}' }
        emu:fault { method = "POST", path = SUBMIT, nth = 2, status = 400, body = '{"error":{"code":"429"}}' }
        assert(submit_and_wait())
        assert.same({ 3, 1 }, { posts(), #emu:ledger() })
    end)

    it("is not sent again when the body has another code, or a task id", function()
        for _, body in ipairs {
            '{"code":503,"retry_after":0}', '{"code":500}', '{"code":429,"data":{"task_id":"known"}}',
            '{"error":{"type":"rate_limit"}}',
            '{"code":429,"message":"insufficient_quota"}', '{"code":1429}', '{"status":429}',
        } do
            emu:clear_faults()
            emu:fault { method = "POST", path = SUBMIT, nth = 1, body = body }
            local sent = posts()
            local result, err = submit_and_wait()
            assert.is_nil(result)
            assert.is_string(err.kind)
            assert.equal(sent + 1, posts(), body)
        end
    end)

    it("is not sent again by libcurl when a kept connection closes after the request was read", function()
        -- The first request leaves a connection for the second one to reuse: in that case libcurl retries by itself.
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

    -- What follows complete JSON, of which a longer body was announced.
    for name, fault in pairs {
        ["the connection closes"] = { cut = true },
        ["the connection falls silent"] = { trickle = { interval = 1000 } },
        ["a body without end follows"] = { endless = true },
    } do
        it("is accepted if its response is complete when " .. name, function()
            local json = '{"code":200,"data":{"task_id":"a-task","status":"queued"}}'
            if fault.cut then fault.cut = #json end
            if fault.trickle then fault.trickle.bytes = #json end
            fault.method, fault.path, fault.body = "POST", SUBMIT, json .. (" "):rep(100)
            -- The silence ends with the time-out, which must not come before the response.
            assert.is_true(service.with_enough_time(fault.trickle and 0.5 or 30, function(seconds)
                emu:clear_faults()
                emu:fault(fault)
                local sent = posts()
                local c = service.client(emu, { request_timeout = seconds, max_response_bytes = 2 ^ 17 })
                local task = assert(c:submit "paid for once")
                service.pump_until(function() return task.state ~= "submitting" end, 60)
                local is_accepted = task.state == "running" and task.id == "a-task"
                assert.is_true(posts() <= sent + 1)
                task:cancel()
                return is_accepted
            end))
        end)
    end

    it("is waited for although the connection breaks after the complete response to each poll", function()
        local json = '{"data":{"status":"SUCCESS","output":{"image_url":"' .. emu.url .. '/images/any.png"}}}'
        emu:fault { path = "/api/v1/tasks/*", times = 1000, body = json .. (" "):rep(100), cut = #json }
        assert(submit_and_wait())
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
        it("with response " .. name .. " has an unknown outcome", function()
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

    for name, option in pairs {
        ["without a response in time"] = "request_timeout", ["that reaches the total timeout"] = "timeout",
    } do
        it(name .. " has an unknown outcome", function()
            emu:fault { method = "POST", path = SUBMIT, nth = 1, hang = true }
            local result, err
            service.with_enough_time(0.3, function(seconds)
                result, err = submit_and_wait(service.client(emu, { [option] = seconds, max_retries = 0 }))
                assert.is_nil(result)
                return err.kind ~= "timeout" -- that is one that was not sent
            end)
            assert.equal("unknown_outcome", err.kind)
            service.pump_until(function() return posts() > 0 end) -- a busy emulator reads it later
            assert.equal(1, posts())
        end)
    end

    it("is sent again when the connection was refused, and reports the attempts", function()
        local result, err = submit_and_wait(assert(flux2.new {
            api_key = "aio_k", base_url = "http://127.0.0.1:1", max_retries = 2, timeout = bound(60),
        }))
        assert.is_nil(result)
        assert.equal("network", err.kind)
        assert.is_true(err.retryable)
        assert.equal(3, err.attempts)
    end)

    it("is sent again after 429 and 503 with Retry-After, and not earlier", function()
        for _, status in ipairs { 429, 503 } do
            emu:clear_faults()
            local ledger, sent = #emu:ledger(), posts()
            emu:fault { method = "POST", path = SUBMIT, nth = 1, status = status, retry_after = 0.4,
                body = "slow down" }
            local before = require("flux2.core").now()
            local result, err = submit_and_wait()
            assert(result, err)
            assert.is_true(require("flux2.core").now() - before >= 0.4)
            assert.equal(ledger + 1, #emu:ledger())
            assert.equal(sent + 2, posts())
        end
    end)

    it("fails as rate_limited after max_retries", function()
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
        assert.equal("unknown_outcome", err.kind)
        assert.matches(other.url, tostring(err), nil, true)
        assert.equal(0, other:stats().requests)
        assert.equal(1, posts())
    end)
end)

describe("polls", function()
    local emu, client
    before_each(function()
        emu = service.start { duration = 0.1 }
        client = service.client(emu, { poll = { interval = 0.02, patience = bound(30) } })
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
        ["429 in a 200"] = { status = 200, body = '{"code":429,"message":"slow down","retry_after":0}' },
        ["503 in a 200"] = { status = 200, body = '{"error":{"code":"503"}}' },
        ["500 beside a status"] = { status = 200, body = '{"code":500,"data":{"status":"IN_PROGRESS"}}' },
        ["400"] = { status = 400, body = "what?" },
        ["401"] = { status = 401, body = '{"error":{"code":401,"message":"no"}}' },
        ["402"] = { status = 402, body = "pay" },
        ["403 with a page"] = { status = 403, body = "<html>are you human?</html>" },
        ["a redirect"] = { redirect = "http://127.0.0.1:1/login" },
        ["455"] = { status = 455, body = "odd" },
        ["an error in words in a 200"] = { status = 200, body = '{"error":"try later"}' },
        ["a failed call in a 200"] = { status = 200,
            body = '{"status":"error","code":500,"message":"internal error"}' },
        ["a success without an image yet"] = { status = 200, body = '{"data":{"status":"completed","output":null}}' },
        ["an early 404 in a 200"] = { status = 200, body = '{"code":404,"message":"not yet"}' },
        ["520"] = { status = 520, body = "oops" },
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
            method = "GET", path = tasks, nth = 1, status = 200,
            body = '{"code":200,"data":{"status":"CONTEMPLATING"}}',
        }
        local seen = {}
        -- No poll is sent before the last change was seen.
        local task = assert(service.client(emu, { max_event_bytes = 1 }):submit("worth waiting for",
            { on_status = function(t) seen[t.status] = true end }))
        assert(task:wait())
        assert.is_true(seen.CONTEMPLATING)
    end)

    it("end after poll.patience of refused polls", function()
        emu:fault { method = "GET", path = tasks, times = 1000, status = 401,
            body = '{"error":{"code":401,"message":"no"}}' }
        local strict = service.client(emu, { poll = { interval = 0.02, patience = 0.1 } })
        local task = assert(strict:submit "worth waiting for")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("auth", err.kind)
        assert.equal(task.id, err.task_id)
        emu:clear_faults()
        assert(task:wait(), "and can be taken up again")
    end)

    it("end after poll.patience of unreadable responses, with the last response", function()
        emu:fault { method = "GET", path = tasks, times = 1000, status = 200, body = "<html>gone fishing</html>" }
        local strict = service.client(emu, { poll = { interval = 0.02, patience = 0.15 } })
        local began = require("flux2.core").now()
        local result, err = assert(strict:submit "worth waiting for"):wait()
        assert.is_nil(result)
        assert.equal("protocol", err.kind)
        assert.matches("gone fishing", err.raw)
        assert.is_true(require("flux2.core").now() - began >= 0.15)
    end)

    it("that fail occasionally get the full poll.patience after each success", function()
        emu:fault { method = "GET", path = tasks, every = 2, times = 1e6, status = 500, body = "oops" }
        local result, err
        service.with_enough_time(1, function(patience)
            emu:set { duration = 1.5 * patience }
            local strict = service.client(emu, { poll = { interval = 0.02, patience = patience }, timeout = bound(120) })
            result, err = assert(strict:submit "worth waiting for"):wait()
            return result
        end)
        assert(result, tostring(err))
    end)

    it("report the raw response of a success without an image", function()
        emu:fault { method = "GET", path = tasks, times = 1000, body = '{"code":200,"data":{"status":"SUCCESS"}}' }
        local strict = service.client(emu, { poll = { interval = 0.02, patience = 0.1 } })
        local result, err = assert(strict:submit "worth waiting for"):wait()
        assert.is_nil(result)
        assert.equal("protocol", err.kind)
        assert.matches("SUCCESS", err.raw)
    end)

    for name, fault in pairs {
        ["a 429"] = { status = 429, retry_after = 1, body = "slow down" },
        ["a 429 in a 200"] = { status = 200, body = '{"code":429,"message":"slow down","retry_after":1}' },
    } do it("slow down every task of the client after " .. name, function()
        local n, list = 6, {}
        emu:set { duration = 60 }
        for i = 1, n do list[i] = assert(client:submit "many at once") end
        service.pump_until(function() return #emu:ledger() == n end)
        local copy = { method = "GET", path = tasks, nth = 1 }
        for k, v in pairs(fault) do copy[k] = v end
        emu:fault(copy)
        service.pump_until(function() return emu:stats().faults_fired == 1 end)
        local polls = emu:stats().polls
        service.pump_until(function() return emu:stats().polls > polls + 2 * n end)
        for _, task in ipairs(list) do task:cancel() end
        -- Polls in flight at that moment still arrive, then there are none for about a second.
        local last, longest = nil, 0
        for _, request in ipairs(emu:requests()) do
            if last then longest = math.max(longest, request.at - last) end
            if last or request.fault then last = request.at end
        end
        assert.is_true(longest >= 0.5, longest)
    end) end
end)
