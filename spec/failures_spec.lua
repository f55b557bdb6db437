-- Facts in an error after all attempts: the number of attempts, the last status, and whether a later retry may help.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local service = require "support.service"
local shell = require "support.shell"

local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"

describe("an error has attempts, last status and retryable for", function()
    local emu
    before_each(function() emu = service.start() end)
    after_each(service.stop_all)

    -- path, fault, kind, attempts (nil: for poll.patience), status, retryable
    local cases = {
        { SUBMIT, { status = 429, retry_after = 0, body = "no" }, "rate_limited", 3, 429, true },
        { SUBMIT, { status = 503, retry_after = 0, body = "no" }, "server", 3, 503, true },
        { SUBMIT, { status = 503, body = "no" }, "unknown_outcome", 1, 503, false },
        { SUBMIT, { status = 500, body = "no" }, "unknown_outcome", 1, 500, false },
        { SUBMIT, { status = 402, body = "no" }, "credits", 1, 402, false },
        { SUBMIT, { reset = "after" }, "unknown_outcome", 1, nil, false },
        { TASKS, { status = 401, body = "no" }, "auth", nil, 401, false },
        { TASKS, { status = 404, body = "no" }, "not_found", nil, 404, false },
        { IMAGES, { status = 500, body = "no" }, "server", nil, 500, true },
        { IMAGES, { status = 408, body = "no" }, "timeout", nil, 408, true },
        { IMAGES, { status = 418, body = "no" }, "rejected", nil, 418, false },
        { IMAGES, { status = 404, body = "no" }, "not_found", nil, 404, false },
        { IMAGES, { cut = 50 }, "network", nil, 200, true },
        { IMAGES, { reset = "before" }, "network", nil, nil, true },
    }
    for _, case in ipairs(cases) do
        local path, fault, kind, attempts, status, retryable = case[1], case[2], case[3], case[4], case[5], case[6]
        it(("%s to %s"):format(fault.status or next(fault), path), function()
            local copy = { path = path, times = 1000 }
            for name, value in pairs(fault) do copy[name] = value end
            emu:fault(copy)
            local image, err
            service.with_enough_time(0.1, function(patience)
                local poll = { interval = 0.02, patience = patience }
                image, err = service.client(emu, { max_retries = 2, poll = poll }):generate "a fox"
                assert.is_nil(image)
                return attempts or err.attempts > 1
            end)
            assert.same({ kind, status, retryable }, { err.kind, err.status, err.retryable }, tostring(err))
            local ledger = emu:ledger()
            if path ~= SUBMIT then assert.equal(ledger[#ledger].task_id, err.task_id) end
            if not attempts then return assert.is_true(err.attempts > 1, err.attempts) end
            assert.equal(attempts, err.attempts)
            if attempts > 1 then assert.truthy(tostring(err):find("after 3 attempts", 1, true), tostring(err)) end
        end)
    end

    it("several failures, with the last status", function()
        local err
        service.with_enough_time(0.3, function(patience)
            emu:clear_faults()
            emu:fault { path = IMAGES, nth = 1, status = 500, body = "first" }
            emu:fault { path = IMAGES, nth = 2, status = 502, body = "second" }
            emu:fault { path = IMAGES, times = 1000, status = 504, body = "third" }
            local client = service.client(emu, { poll = { interval = 0.02, patience = patience } })
            err = select(2, client:generate "a fox")
            return err.attempts > 2
        end)
        assert.equal(504, err.status)
        assert.is_true(err.attempts > 2, err.attempts)
    end)

    it("polls that fail for a long time, and can be resumed", function()
        emu:fault { path = TASKS, times = 1000, status = 503, retry_after = 0, body = "no" }
        local task = assert(service.client(emu, { poll = { interval = 0.02, patience = 0.1 } }):submit "a fox")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.same({ "server", 503, true }, { err.kind, err.status, err.retryable }, tostring(err))
        assert.equal(emu:stats().faults_fired, err.attempts)
        emu:clear_faults()
        assert(task:wait())
        assert.equal(1, #emu:ledger())
    end)
end)

describe("moderation and refusal", function()
    after_each(service.stop_all)

    it("have their own error kinds", function()
        local emu = service.start { failure_reason = "the machine is broken" }
        local client = service.client(emu)
        local kinds = {}
        for _, word in ipairs { "moderate", "reject", "fail" } do
            local image, err = client:generate("this will [" .. word .. "]")
            assert.is_nil(image)
            assert.is_false(err.retryable)
            kinds[#kinds + 1] = err.kind
            assert.truthy(flux2.errors.advice[err.kind])
        end
        assert.same({ "moderated", "rejected", "task_failed" }, kinds)
        emu:set { status_words = { running = "r", succeeded = "s", failed = "f", moderated = "Content Moderated" } }
        local task = assert(client:submit "this will [moderate]")
        local _, err = task:wait()
        assert.equal("moderated", err.kind)
        assert.equal(task.id, err.task_id)
    end)
end)

describe("a file that is a link", function()
    after_each(service.stop_all)

    it("remains, and its target is replaced #links", function()
        local emu, dir = service.start(), service.directory()
        local client = service.client(emu)
        for _, way in ipairs { "none", "b64_json" } do
            emu:set { sync = way }
            service.write(dir .. "/old.png", "old")
            os.execute(("ln -sf old.png '%s/fox.png'"):format(dir))
            local image = assert(assert(client:submit "a fox"):wait()).images[1]
            assert(image:save(dir .. "/fox.png"))
            assert.equal("\137PNG", service.read(dir .. "/old.png"):sub(1, 4))
            assert.equal(0, shell.run(("test -L '%s/fox.png'"):format(dir)))
            assert.same({ "fox.png", "old.png" }, service.list(dir))
        end
        service.remove(dir)
    end)
end)

describe("a program that the host starts", function()
    it("inherits no connection #proc", function()
        local emu = service.start()
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local url = arg[1]
            local client = assert(flux2.new {
                api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 },
            })
            assert(client:generate "opens connections, which are kept")
            -- libcurl keeps an internal pair of connected sockets.
            local pipe = assert(io.popen "cat /proc/self/net/tcp; ls -l /proc/self/fd; true")
            local output, inherited = pipe:read "*a", 0
            pipe:close()
            assert(output:find(("0100007F:%04X 01"):format(url:match "%d+$"), 1, true), "there is no connection")
            for inode in output:gmatch "socket:%[(%d+)%]" do
                if output:match "^.-\ntotal":find(" " .. inode .. " ", 1, true) then inherited = inherited + 1 end
            end
            assert(inherited == 0, output)
        ]], emu.url)
        service.stop_all()
        assert.equal(0, code, printed)
    end)
end)

describe("an error", function()
    local emu
    before_each(function() emu = service.start() end)
    after_each(service.stop_all)

    it("of a submission that times out between two attempts reports the last response", function()
        for _, status in ipairs { 429, 503 } do
            local own, err, began
            service.with_enough_time(0.3, function(seconds)
                -- A pause after a 429 applies to a key.
                own, began = service.start { api_key = ("aio_busy_%d_%g"):format(status, seconds) }, core.now()
                own:fault { path = SUBMIT, times = 1000, status = status, retry_after = 30, body = "slow down" }
                err = select(2, service.client(own, { timeout = seconds }):generate "a red fox")
                return err.status == status
            end)
            assert.same({ "timeout", status }, { err.kind, err.status }, tostring(err))
            assert.is_nil(err.paid)
            assert.matches(("^timeout: 127.0.0.1 took too long: last response: HTTP %d, %%d+ s ago; the service asked "
                .. "to wait 30 s %%("):format(status), tostring(err))
            err = select(2, service.client(own, { timeout = 0.05 }):generate "a grey hare")
            assert.matches("^timeout: the submission was not sent before the timeout: the service asked clients with "
                .. "this key to wait, %d+ s more$", tostring(err))
            assert.is_true(err.retry_after > 30 - (core.now() - began) and err.retry_after <= 31, err.retry_after)
        end
    end)

    it("of a task that times out reports the last poll", function()
        for i, case in ipairs {
            { { body = '{"data":{"status":"weird"}}' }, "; status 'weird' is unknown, and counts as running %(task " },
            { { body = '{"data":{"status":"In-Progress"}}' }, "; last status: 'In%-Progress', %d+ s ago %(task " },
            { { status = 429, retry_after = 30, body = "slow down" },
                "; last response: HTTP 429, %d+ s ago; the service asked to wait 30 s %(HTTP 429, " },
            { { body = '{"code":429,"message":"slow down"}' }, "; last response: HTTP 200, code 429, %d+ s ago " },
            { { body = "<title>Just a moment</title>" }, "; last response: HTTP 200 that cannot be read, %d+ s ago " },
            { { body = '{"data":{"status":"SUCCESS"}}' },
                "; last response: HTTP 200 that says it succeeded, without an image, %d+ s ago " },
            { { reset = "before" }, "; service unreachable for [%d.]+ s: the connection to 127.0.0.1 broke " },
        } do
            case[1].path, case[1].times = "/api/v1/tasks/*", 1000
            local err
            service.with_enough_time(0.5, function(seconds)
                -- A pause after a 429 applies to a key.
                local own = service.start { api_key = ("aio_case_%d_%.0f"):format(i, seconds) }
                own:fault(case[1])
                local client = service.client(own, { timeout = seconds, poll = { interval = 0.02, patience = 1000 } })
                local image
                image, err = client:generate "a red fox"
                assert.is_nil(image)
                return tostring(err):find(case[2])
            end)
            assert.same({ "timeout", true, true }, { err.kind, err.paid, err.retryable }, tostring(err))
            local line = tostring(err)
            assert.matches("^timeout: the task was not finished in time; it goes on at the service" .. case[2], line)
        end
        emu:fault { method = "POST", accept = true, body = '{"data":{"task_id":"{task_id}","status":"pending"}}',
            headers = { ["Retry-After"] = 60 } }
        local _, err = service.client(emu, { timeout = bound(1), poll = { interval = 0.02 } }):generate "a red fox"
        assert.matches("; the time was over before the first status check; last status: 'pending'; the service asked "
            .. "to wait 60 s ", tostring(err))
        emu:fault { path = "/api/v1/tasks/*", times = 1000, body = '{"data":{"status":"weird"}}' }
        local task = assert(service.client(emu):submit "a red fox")
        service.pump_until(function() return task.status == "weird" end)
        assert.matches("and can be waited for again; status 'weird' is unknown, and counts as running ",
            tostring(select(2, task:wait(0))))
        task:cancel()
    end)
end)
