-- Engine jobs and their responses: which failures count, when the count is reset, the pause before the next attempt,
-- the chained download, and the contents of events.
local bound = require "support.bound"
local core = require "flux2.core"
local jobs = require "support.jobs"
local service = require "support.service"

local SCHEMA = core.response_schema {
    task_id = { "id" }, status = { "status" }, progress = { "progress" }, running = { "running", "queued" },
    succeeded = { "done" }, failed = { "failed" },
    image_places = { "output" }, image_keys = { "url" }, refused = { "error" },
}
local RUNNING, DONE, BAD = '{"status":"running"}', '{"status":"done","output":"http://a/1.png"}', "<html>"

local unpack = table.unpack or unpack -- luacheck: ignore

local function profile(options)
    local p = { max_attempts = 3, response = SCHEMA, poll_interval = 0.002 }
    for name, value in pairs(options or {}) do p[name] = value end
    return core.profile(p)
end

local emu
before_each(function() emu = service.start() end)
after_each(function()
    service.stop_all()
    local stats = jobs.engine:stats()
    assert.same({ 0, 0 }, { stats.jobs, stats.in_flight })
end)

--- Request number n to PATH gets response number n of LIST: a body, a status, or a fault. The last one repeats.
local function script(path, list)
    for i, entry in ipairs(list) do
        local fault = { path = path, nth = i < #list and i or { i, 1000000 } }
        if type(entry) == "table" then
            for name, value in pairs(entry) do fault[name] = value end
        elseif type(entry) == "number" then
            fault.status, fault.body = entry, "status " .. entry
        else
            fault.body = entry
        end
        emu:fault(fault)
    end
end

--- A task of this kind ends with the first poll.
local function teach(kind)
    script("/open", { '{"id":"x"}' })
    script("/task", { DONE })
    -- Until it ends at once: what a busy machine delays is learned as a longer duration.
    for _ = 1, 20 do
        local began = core.now()
        jobs.join(jobs.poll(profile(), { url = emu.url .. "/task", submission = emu.url .. "/open", durations = kind }))
        if core.now() - began < bound(0.1) then return end
    end
end

local function count_requests(path)
    local n = 0
    for _, request in ipairs(emu:requests()) do
        if request.path == path then n = n + 1 end
    end
    return n
end

describe("a poll that fails", function()
    local function poll(options, list, spec)
        script("/task", list)
        spec = spec or {}
        spec.url, spec.observe = emu.url .. "/task", true
        local id = jobs.poll(profile(options), spec)
        return jobs.join(id, 50), jobs.events(id, "request"), id -- up to 63 requests
    end

    it("counts failures only until the next good response, running or not", function()
        local list = {}
        for _ = 1, 4 do for _, entry in ipairs { BAD, 500, { body = "12345678", cut = 3 }, RUNNING,
            RUNNING } do list[#list + 1] = entry end end
        list[#list + 1] = DONE
        local ended, requests = poll({ patience = bound(60) }, list)
        assert.is_nil(ended.failure)
        assert.equal(DONE, ended.body)
        assert.equal(21, #requests)
        for i, request in ipairs(requests) do
            assert.equal(i, request.polls)
            assert.equal(({ 1, 2, 3, 4, 1 })[(i - 1) % 5 + 1], request.attempts, "attempts of poll " .. i)
        end
    end)
    for _, patience in ipairs { 0, 0.03, 0.5 } do
        it(("ends with the last response after failing for patience, %g s #speed"):format(patience), function()
            local most = 0
            -- A busy machine may be late for the second failure, but not every time.
            for _ = 1, 5 do
                emu:clear_faults()
                local ended, requests = poll({ patience = patience }, { RUNNING, 502 })
                local n = #requests
                assert.same({ 502, "status 502", n - 1 }, { ended.http_status, ended.body, ended.attempts })
                assert.equal(-1, requests[n].pause or -1)
                assert.is_number(requests[1].pause)
                local first = requests[2].elapsed
                assert.is_true(requests[n].elapsed - first > patience - 0.0011)
                assert.is_true(n == 2 or requests[n - 1].elapsed - first < patience)
                most = math.max(most, n)
                if patience < 0.5 or most > 2 then break end
            end
            assert.is_true(patience < 0.5 or most > 2)
        end)
    end
    it("once does not end, however long ago the last good response was", function()
        local ended, requests = poll({ poll_interval = 0.05, patience = 0.04 }, { RUNNING, 502, DONE })
        assert.same({ DONE, 3 }, { ended.body, #requests })
    end)
    it("with text that has no status ends after patience", function()
        local ended, requests = poll({ patience = 0.03 }, { BAD })
        assert.is_nil(ended.failure)
        assert.same({ #requests, 200, BAD }, { ended.attempts, ended.http_status, ended.body })
    end)
    it("with 429 is delayed, and the failure does not count", function()
        local list = {}
        for i = 1, 10 do list[i] = { status = 429, body = "slow down", retry_after = i % 2 == 0 and 0 or nil } end
        list[11] = DONE
        local ended, requests = poll({ patience = 0 }, list)
        assert.equal(DONE, ended.body)
        assert.equal(11, #requests)
    end)
    it("with a response that does not concern the task does not end", function()
        local odd = {
            BAD, "", "[]", '{"error":"no"}', '{"error":{"code":429}}', '{"status":"done"}',
            '{"status":"done","output":"no link"}',
            { body = ("x"):rep(200) }, { cut = 3, body = "0123456789" }, { garbage = "x\r\n\r\n" },
            { redirect = "http://127.0.0.1:1/" },
            { endless_headers = true },
        }
        for _, status in ipairs { 204, 300, 303, 400, 401, 402, 403, 404, 405, 409, 410, 418, 422, 455, 499, 500, 501,
            505, 599 } do
            odd[#odd + 1] = status
        end
        local list = {}
        for _, entry in ipairs(odd) do
            list[#list + 1] = entry
            list[#list + 1] = RUNNING
        end
        list[#list + 1] = DONE
        local ended, requests = poll({ patience = bound(60), max_body = 100, max_headers = 2000 }, list)
        assert.same({ #list, DONE }, { #requests, ended.body })
    end)
    it("with any response ends after patience", function()
        local lasting = { { 403, "auth" }, { 404, "not_found" }, { 400, "invalid_request" },
            { '{"status":"done"}', "protocol" } }
        for _, case in ipairs(lasting) do
            emu:clear_faults()
            local ended, requests = poll({ patience = 0.03 }, { RUNNING, case[1] })
            assert.equal(case[2], ended.error)
            assert.is_true(requests[#requests].elapsed - requests[1].elapsed > 0.0289)
        end
    end)
    it("with the status of a failed task ends", function()
        local ended, requests = poll({ patience = 10 }, { RUNNING, '{"status":"failed"}' })
        assert.same({ 2, "task_failed" }, { #requests, ended.error })
    end)
    it("for an unknown task ends soon if the error is not retryable, but not if it is", function()
        local ended, requests = poll({ patience = 1000, poll_interval = 0.2 }, { 404 })
        assert.equal("not_found", ended.error)
        assert.is_true(requests[#requests].elapsed >= 3 and #requests >= 2)
    end)

    -- The service may not yet know a task that it has just accepted.
    local function open_and_poll(list, options)
        emu:fault { path = "/open", times = 1000, body = '{"id":"x","status":"queued"}' }
        script("/task/x", list)
        local id = jobs.poll(profile(options or { patience = 10 }),
            { url = emu.url .. "/task/{id}", submission = emu.url .. "/open", body = "{}", observe = true })
        return jobs.join(id), jobs.events(id, "request"), id
    end
    it("with 404 right after the submission does not end within patience", function()
        local ended, requests = open_and_poll({ 404, 404, 404, 404, 404, RUNNING, 404, 404, 404, 404, DONE },
            { patience = bound(60) })
        assert.same({ 12, DONE }, { #requests, ended.body })
        emu:clear_faults()
        ended, requests = open_and_poll({ 404, 404, DONE }, { patience = 0 })
        assert.same({ 2, 404 }, { #requests, ended.http_status })
    end)
end)

describe("the pause before the next poll", function()
    -- The first pause decides: the job is cancelled then.
    local function pause_after(options, response)
        emu:clear_faults()
        script("/task", { response })
        local id = jobs.poll(profile(options), { url = emu.url .. "/task", observe = true })
        jobs.wait_until(function() return #jobs.events(id, "request") > 0 end)
        local request = jobs.events(id, "request")[1]
        jobs.cancel_all { id }
        return request.pause
    end
    local function good(retry_after, headers)
        return { status = 200, body = RUNNING, retry_after = retry_after, headers = headers }
    end

    for _, case in ipairs {
        -- interval, Retry-After of a good response, pause
        { 0.25, nil, 0.25 }, { 0.25, "0", 0.25 }, { 0.25, "0.2", 0.25 }, { 0.25, "0.3", 0.3 }, { 0.25, "29.5", 29.5 },
        { 0.25, "30", 30 }, { 0.25, "30.5", 30 }, { 0.25, "1000000000", 30 },
        { 0.25, "99999999999999999999999999", 30 }, { 0.25, "1e9", 0.25 }, { 0.25, "-1", 0.25 },
        { 0.25, "-1000000000", 0.25 }, { 0.25, "nan", 0.25 }, { 0.25, "inf", 0.25 }, { 0.25, "soon", 0.25 },
        { 0.25, "", 0.25 }, { 0.25, "Fri, 31 Dec 9999 23:59:59 GMT", 30 },
        { 0.25, "Thu, 01 Jan 1970 00:00:00 GMT", 0.25 }, { 40, "35", 40 }, { 40, nil, 40 },
    } do
        it(("interval %s, Retry-After %s: %s s"):format(case[1], tostring(case[2]), case[3]), function()
            assert.near(case[3], pause_after({ poll_interval = case[1] }, good(case[2])), 1e-6)
        end)
    end
    it("reads a date relative to the server's clock", function()
        local headers = { Date = "Sun, 06 Nov 1994 08:49:37 GMT" }
        local options = { poll_interval = 0.25 }
        assert.near(10, pause_after(options, good("Sun, 06 Nov 1994 08:49:47 GMT", headers)), 1e-6)
    end)
    it("is the Retry-After without a fixed interval, longer or shorter, up to 30 s", function()
        local options = { poll_interval = 0 }
        for retry_after, pause in pairs { ["0.01"] = 0.01, ["4"] = 4, ["7"] = 7, ["31"] = 30 } do
            assert.near(pause, pause_after(options, good(retry_after)), 1e-6)
        end
        for _, retry_after in ipairs { "0", "-4", "later" } do
            local pause = pause_after(options, good(retry_after))
            assert.is_true(pause > 0.88 and pause < 1.12, pause)
        end
    end)
    it("is measured from the submission", function()
        -- The first pause right after the submission is at most a second; later it would be several seconds.
        emu:fault { path = "/open", delay = 0.1, body = '{"id":"x"}' }
        local id = jobs.poll(profile { poll_interval = 0 }, {
            url = emu.url .. "/task", submission = emu.url .. "/open", observe = true, durations = "a kind of its own",
        })
        jobs.wait_until(function() return #jobs.events(id, "request") >= 1 end)
        local opened = jobs.events(id, "request")[1]
        jobs.cancel_all { id }
        assert.is_true(opened.elapsed >= 0.1)
        assert.is_true(opened.pause > 0.89 and opened.pause <= 1, opened.pause)
    end)
    for _, status in ipairs { 429, 503 } do
        it(("after %d is Retry-After plus jitter, up to 30 s"):format(status), function()
            local options = { poll_interval = 100 }
            for retry_after, least in pairs { ["0"] = 0, ["3"] = 3, ["30"] = 30, ["31"] = 30, ["1000000000"] = 30 } do
                local pause = pause_after(options, { status = status, body = "x", retry_after = retry_after })
                assert.is_true(pause >= least - 1e-6 and pause <= least + 0.125,
                    ("%s: %s s"):format(retry_after, pause))
            end
            for _, retry_after in ipairs { "1e9", "-1", "nan" } do
                local pause = pause_after(options, { status = status, body = "x", retry_after = retry_after })
                assert.is_true(pause >= 0 and pause <= 0.5)
            end
        end)
        it(("after a submission with %d is Retry-After plus jitter"):format(status), function()
            for retry_after, least in pairs { ["0"] = 0, ["3"] = 3, ["1000000000"] = 30 } do
                emu:clear_faults()
                emu:fault { path = "/open", times = 10, status = status, body = "x", retry_after = retry_after }
                local id = jobs.poll(profile { poll_interval = 100 }, {
                    url = emu.url .. "/task", observe = true, submission = emu.url .. "/open", body = "{}",
                })
                jobs.wait_until(function() return #jobs.events(id, "request") >= 1 end)
                local request = jobs.events(id, "request")[1]
                jobs.cancel_all { id }
                assert.is_true(request.submission)
                assert.is_true(request.pause >= least - 1e-6 and request.pause <= least + 0.125, request.pause)
                assert.equal(tonumber(retry_after), request.retry_after)
            end
        end)
    end
    it("doubles with each failure in a row, and is reset by a good poll", function()
        -- Jitter ranges from none to all of the pause, so sums of many pauses are compared.
        local options = { poll_interval = 0.0001, patience = bound(60) }
        local sums = {}
        local list = {}
        for _ = 1, 12 do for _, entry in ipairs { 500, 500, 500, 500, 500, RUNNING } do list[#list + 1] = entry end end
        list[#list + 1] = DONE
        script("/task", list)
        local id = jobs.poll(profile(options), { url = emu.url .. "/task", observe = true })
        jobs.join(id)
        for i, request in ipairs(jobs.events(id, "request")) do
            local place = (i - 1) % 6 + 1
            sums[place] = (sums[place] or 0) + (request.pause or 0)
            if place < 6 and request.pause then assert.is_true(request.pause <= 0.0001 * 2 ^ (place - 1) + 1e-9) end
        end
        assert.is_true(sums[5] > sums[1], "no growth")
    end)
    it("depends on the reported progress", function()
        -- 40, 41, 42, 43 % at an even pace: the end is far away. Without progress the next poll would come soon.
        local list = {}
        for i = 1, 8 do list[i] = ('{"status":"running","progress":%d}'):format(39 + i) end
        list[9] = DONE
        local function most(told)
            emu:clear_faults()
            teach "tasks that end at once"
            emu:clear_faults()
            script("/task", list)
            local id = jobs.poll(core.profile {
                response = core.response_schema {
                    status = { "status" }, progress = told and { "progress" } or nil, running = { "running" },
                    succeeded = { "done" }, image_places = { "output" },
                },
            }, { url = emu.url .. "/task", observe = true, durations = "tasks that end at once" })
            local pause = 0
            jobs.wait_until(function()
                for _, request in ipairs(jobs.events(id, "request")) do
                    pause = math.max(pause, request.pause or 0)
                end
                return pause > 0.2 or #jobs.events(id, "ended") == 1
            end)
            jobs.cancel_all { id }
            return pause
        end
        assert.is_true(most(true) > 0.2)
        assert.is_true(most(false) < 0.2)
    end)
end)

describe("a transfer", function()
    for _, most in ipairs { 1, 2, 4 } do
        it(("is tried max_attempts times, %d"):format(most), function()
            script("/x", { 500 })
            local ended = jobs.fetch(profile { max_attempts = most }, emu.url .. "/x")
            assert.same({ most, 500, "status 500" }, { ended.attempts, ended.http_status, ended.body })
            assert.equal(most, count_requests "/x")
        end)
    end
    it("is retried until it succeeds; the event has only what a success needs", function()
        script("/x", { 500, { body = "12345678", cut = 3 }, "good" })
        assert.same({ body = "good", url = emu.url .. "/x" }, jobs.fetch(profile(), emu.url .. "/x"))
        assert.equal(3, count_requests "/x")
    end)
    it("that is not idempotent is not retried", function()
        script("/x", { 500 })
        local ended = jobs.fetch(profile(), { url = emu.url .. "/x", body = "once", kind = "submission" })
        assert.same({ 1, 500, true }, { ended.attempts, ended.http_status, ended.sent })
        emu:clear_faults()
        script("/x", { { status = 429, body = "x" }, "good" })
        ended = jobs.fetch(profile(), { url = emu.url .. "/x", body = "once", kind = "submission" })
        assert.same({ 2, "good" }, { ended.attempts, ended.body })
    end)
    it("that is patient is retried after a failure, however long that took", function()
        script("/x", { { delay = 0.2, status = 503, body = "x" }, "good" })
        assert.equal("good", jobs.fetch(profile { patience = 0.1 }, { url = emu.url .. "/x", patient = true }).body)
    end)
    it("with a body is a POST of all bytes, without one a GET, on one connection in any order", function()
        script("/x", { "good" })
        local p = profile { body_headers = { "X-Kind: body" }, headers = { "X-Kind: none" } }
        local large = ("0123456789abcdef"):rep(1250)
        local bodies = { "", "a", false, large, false, false, "b", "{}" }
        for _, body in ipairs(bodies) do jobs.fetch(p, { url = emu.url .. "/x", body = body or nil }) end
        local requests = emu:requests()
        assert.equal(#bodies, #requests)
        for i, body in ipairs(bodies) do
            assert.equal(body and "POST" or "GET", requests[i].method, i)
            assert.equal(body or "", requests[i].body or "", i)
            assert.equal(body and "body" or "none", requests[i].headers["x-kind"], i)
            assert.equal(body and tostring(#body) or nil, requests[i].headers["content-length"], i)
        end
        assert.equal(requests[1].connection, requests[8].connection)
    end)
    it("counts connections, requests and bytes", function()
        script("/x", { "12345", 404 })
        local p, engine = profile(), jobs.engine
        local before = engine:stats()
        jobs.fetch(p, emu.url .. "/x")
        local after = engine:stats()
        assert.same({ 1, 1, 5, 1 }, {
            after.requests - before.requests, after.connections - before.connections,
            after.received - before.received,
            after.ended - before.ended,
        })
        jobs.fetch(p, emu.url .. "/x")
        after = engine:stats()
        assert.same({ 2, 1, 5 + #"status 404", 2 }, {
            after.requests - before.requests, after.connections - before.connections,
            after.received - before.received,
            after.ended - before.ended,
        })
    end)
    it("returns the body of a success as Base64 on request, and that of an error unchanged", function()
        for size = 0, 7 do
            emu:clear_faults()
            script("/x", { ("\255x?"):rep(3):sub(1, size) })
            local ended = jobs.fetch(profile(), { url = emu.url .. "/x", base64 = true })
            assert.equal(core.base64(("\255x?"):rep(3):sub(1, size)), ended.body or "")
        end
        emu:clear_faults()
        script("/x", { 404 })
        assert.equal("status 404", jobs.fetch(profile(), { url = emu.url .. "/x", base64 = true }).body)
    end)
end)

describe("a submission", function()
    local function open(response, more)
        emu:clear_faults()
        script("/open", { response })
        emu:fault { path = "/task*", times = 1000, body = DONE }
        local spec = { url = emu.url .. "/task/{id}/state?q=1", submission = emu.url .. "/open", body = "{}" }
        for name, value in pairs(more or {}) do spec[name] = value end
        local id = jobs.poll(profile(), spec)
        return jobs.join(id), id
    end
    local function polled()
        local requests = emu:requests()
        return requests[#requests].path
    end

    it("passes any id to the polls", function()
        for id, segment in pairs { x = "x", ["a/b"] = "a%2Fb", [".."] = "%2E%2E", ["a b%"] = "a%20b%25",
            ["\195\164"] = "%C3%A4" } do
            local ended, job = open(('{"id":"%s","status":"queued","progress":0.5}'):format(id))
            assert.equal(DONE, ended.body)
            assert.is_nil(ended.submission)
            assert.equal("/task/" .. segment .. "/state?q=1", polled())
            local opened = jobs.events(job, "accepted")
            assert.equal(1, #opened)
            assert.same({ id, "queued" }, { opened[1].id, opened[1].status })
        end
    end)
    it("accepts ids of up to 512 bytes", function()
        for size, fits in pairs { [511] = true, [512] = true, [513] = false } do
            local ended = open(('{"id":"%s"}'):format(("/"):rep(size)))
            assert.equal(fits and DONE or ('{"id":"%s"}'):format(("/"):rep(size)), ended.body)
            if fits then assert.equal("/task/" .. ("%2F"):rep(size) .. "/state?q=1", polled()) end
            assert.equal(not fits or nil, ended.submission)
        end
    end)
    it("polls a URL without an id placeholder unchanged", function()
        open('{"id":"x"}', { url = emu.url .. "/task/fixed" })
        assert.equal("/task/fixed", polled())
    end)
    it("that returns a result, a refusal or no task ends without a poll", function()
        for _, response in ipairs { '{"id":"x","output":"http://a/1.png"}', '{"error":"no","id":"x"}', "{}", BAD } do
            local ended, job = open(response)
            assert.same({ response, true }, { ended.body, ended.submission })
            assert.equal(0, #jobs.events(job, "accepted"))
            assert.equal("/open", polled())
        end
    end)
    it("counts its own attempts without those of the polls", function()
        script("/open", { { status = 429, body = "x" }, '{"id":"x"}' })
        script("/task", { RUNNING, DONE })
        local id = jobs.poll(profile(), { url = emu.url .. "/task", submission = emu.url .. "/open", body = "{}",
            observe = true })
        jobs.join(id)
        local seen = {}
        for i, request in ipairs(jobs.events(id, "request")) do
            seen[i] = { request.submission or false, request.attempts, request.polls }
        end
        assert.same({ { true, 1, 0 }, { true, 2, 0 }, { false, 1, 1 }, { false, 1, 2 } }, seen)
    end)
    it("records the task duration: from the submission to the middle of the last two polls", function()
        script("/open", { '{"id":"x"}' })
        script("/task", { RUNNING, RUNNING, RUNNING, DONE })
        local function start(options)
            return jobs.poll(profile(options), {
                url = emu.url .. "/task", submission = emu.url .. "/open", body = "{}", observe = true,
                durations = "a kind",
            })
        end
        local id = start { poll_interval = 0.3 }
        jobs.join(id)
        local at = {}
        for i, request in ipairs(jobs.events(id, "request")) do at[i] = request.elapsed end
        -- Request 4 found the task running, request 5 ended it; the response to request 3 came before request 4 began.
        local scale, least, most = { poll_interval = 0 }, math.huge, 0
        for _, low in ipairs { at[3], at[4] } do
            local histogram = core._pure.histogram()
            core._pure.learn(histogram, low - at[1], at[5] - at[1])
            for seed = 1, 300 do
                local gap = core._pure.gap(profile(scale), 0, seed * 7919, histogram)
                least, most = math.min(least, gap), math.max(most, gap)
            end
        end
        local function first_pause()
            local next_id = start(scale)
            jobs.wait_until(function() return #jobs.events(next_id, "request") > 0 end)
            jobs.cancel_all { next_id }
            return jobs.events(next_id, "request")[1].pause
        end
        local pause = first_pause()
        assert.is_true(pause > 0.97 * least and pause < 1.03 * most, ("%g, not %g to %g"):format(pause, least, most))
        -- A poll without a submission records no duration.
        for _ = 1, 3 do jobs.join(jobs.poll(profile(), { url = emu.url .. "/task", durations = "a kind" })) end
        pause = first_pause()
        assert.is_true(pause > 0.97 * least and pause < 1.03 * most, ("%g, not %g to %g"):format(pause, least, most))
    end)
end)

describe("the record of a submission", function()
    local dir, path
    before_each(function()
        dir = service.directory()
        path = dir .. "/record"
    end)
    after_each(function() service.remove(dir) end)

    local function open(response, more)
        emu:clear_faults()
        if response then script("/open", { response }) end
        emu:fault { path = "/task*", times = 1000, body = DONE }
        local spec = {
            url = emu.url .. "/task", submission = emu.url .. "/open", body = "{}", record_path = path,
            record_text = '["{id}",{answer},"{id}"]',
        }
        for name, value in pairs(more or {}) do spec[name] = value or nil end
        return jobs.poll(profile { max_attempts = 2 }, spec)
    end

    it("exists before the submission is sent, and holds the id when it is known", function()
        local id = open { hang = true }
        jobs.wait_until(function() return jobs.engine:stats().in_flight == 1 end)
        assert.equal('["",null,"{id}"]', service.read(path))
        jobs.wait_until(function() return emu:stats().faults_fired == 1 end)
        jobs.cancel_all { id }
        -- The request may have arrived.
        assert.equal('["",null,"{id}"]', service.read(path))
        jobs.join(open '{"id":"an-id"}')
        assert.equal('["an-id",null,"{id}"]', service.read(path))
        assert.same({ "record" }, service.list(dir))
    end)
    it("holds any id as JSON string contents", function()
        for text, written in pairs {
            ['\\"'] = '\\"', ["\\\\"] = "\\\\", ["\\u0001"] = "\\u0001", ["\\u001f "] = "\\u001f ",
            ["\\u007f~"] = "\\u007f~",
            ["\195\164{answer}"] = "\195\164{answer}", ["/\\n"] = "/\\u000a",
        } do
            jobs.join(open(('{"id":"%s"}'):format(text)))
            assert.equal(('["%s",null,"{id}"]'):format(written), service.read(path))
        end
        jobs.join(open(('{"id":"%s"}'):format(("\\u0001"):rep(512))))
        assert.equal(('["%s",null,"{id}"]'):format(("\\u0001"):rep(512)), service.read(path))
    end)
    it("holds a final response", function()
        local response = '{"id":"x","output":"http://h/1.png"}'
        jobs.join(open(response))
        -- As a string, for any bytes.
        assert.equal('["x",' .. ("%q"):format(response) .. ',"{id}"]', service.read(path))
        response = '\239\187\191{"output":"http://h/1.png","x":"\1\255"} trailing\0'
        jobs.join(open(response))
        local written = response:gsub('"', '\\"'):gsub("\1", "\\u0001"):gsub("%z", "\\u0000")
        assert.equal('["","' .. written .. '","{id}"]', service.read(path))
        -- A response without information is not kept.
        jobs.join(open "<html>")
        assert.equal('["",null,"{id}"]', service.read(path))
    end)
    it("is removed when nothing was sent, or the service refused the submission", function()
        local function is_gone(id)
            jobs.join(id)
            assert.same({}, service.list(dir))
        end
        is_gone(open({ hang = true }, { submission = "http://127.0.0.1:1/" }))
        is_gone(open { status = 429, body = "x" })
        is_gone(open { status = 503, body = "x", retry_after = 0 })
        -- It does not exist between two attempts either: each attempt writes it again.
        local id = open({ status = 429, body = "x", retry_after = 30 }, { observe = true })
        jobs.wait_until(function() return #jobs.events(id, "request") == 1 end)
        jobs.cancel_all { id }
        assert.same({}, service.list(dir))
    end)
    it("stays when the submission may have been accepted", function()
        for _, response in ipairs { { status = 500, body = "x" }, { status = 400, body = "x" },
            { body = "123456789", cut = 3 } } do
            jobs.join(open(response))
            assert.equal('["",null,"{id}"]', service.read(path))
            os.remove(path)
        end
        assert.is_true(service.with_enough_time(0.3, function(seconds)
            return jobs.join(open({ hang = true }, { deadline = seconds })).sent
        end))
        assert.equal('["",null,"{id}"]', service.read(path))
    end)
    -- A program that exits while its submission is in flight; luasocket provides a server that accepts no connection.
    local PROGRAM = [[
        local core = require "flux2.core"
        local url, record = arg[1], arg[2]
        local silent, waiting = nil, {}
        if url == "silent" then
            local socket = require "socket"
            silent = assert(socket.bind("127.0.0.1", 0, 0))
            local port = select(2, silent:getsockname())
            -- These connections fill the accept backlog.
            for i = 1, 4 do
                waiting[i] = socket.tcp()
                waiting[i]:settimeout(0)
                waiting[i]:connect("127.0.0.1", port)
            end
            url = ("http://127.0.0.1:%d"):format(port)
        end
        local engine = core.engine()
        assert(engine:poll(engine:next_id(), core.profile {}, {
            url = url, submission = url .. "/open", body = "{}", record_path = record, record_text = "{id}",
        }))
        for _ = 1, 4000 do
            if engine:stats().in_flight == 1 and io.open(record) then break end
            engine:wait(0.005)
        end
        engine:wait(0.1)
        io.write(engine:stats().in_flight)
    ]]
    it("stays on exit if the request may have been sent, and is removed if it was not", function()
        emu:fault { path = "/open", times = 100, hang = true }
        -- The program exits quickly; a busy machine may not have sent the request or updated the record by then.
        local function run_until(url, count)
            for _ = 1, 12 do
                local code, printed = service.run_lua(PROGRAM, ("'%s' '%s'"):format(url, path))
                assert.same({ 0, "1" }, { code, printed })
                local found = #service.list(dir)
                os.remove(path)
                if found == count then return end
            end
            error(count .. " records expected of " .. url, 2)
        end
        run_until(emu.url, 1)
        if not pcall(require, "socket") then return end
        run_until("silent", 0)
    end)
    it("that cannot be written prevents the submission", function()
        local ended = jobs.join(open('{"id":"x"}', { record_path = dir .. "/no/such/record" }))
        assert.same({ "io", "No such file or directory", true }, { ended.failure, ended.message, ended.submission })
        assert.is_nil(ended.sent)
        assert.equal(0, emu:stats().requests)
    end)
    it("is not created without a text or a path", function()
        for _, name in ipairs { "record_text", "record_path" } do
            jobs.join(open('{"id":"x"}', { [name] = false }))
            assert.same({}, service.list(dir))
        end
    end)
end)

describe("the events of a poll", function()
    it("report each change once, and only changes", function()
        script("/task", {
            '{"status":"a"}', '{"status":"a","x":1}', '{"status":"b"}', '{"status":"b","progress":5}',
            '{"status":"b","progress":5,"x":2}',
            '{"status":"b","progress":6}', '{"status":"b"}', '{"status":"c","progress":6}', DONE,
        })
        -- With max_queued no poll is sent before the host has taken the last event.
        local id = jobs.poll(profile { max_queued = 1 }, emu.url .. "/task")
        jobs.join(id)
        local seen = {}
        for i, change in ipairs(jobs.events(id, "changed")) do
            seen[i] = change.status .. (change.progress and (" %.0f"):format(change.progress * 100) or "")
        end
        assert.same({ "a", "b", "b 5", "b 6", "c 6" }, seen)
    end)
    it("are merged into the latest one until the host takes it", function()
        local list = {}
        for i = 1, 9 do list[i] = ('{"status":"s%d","progress":%d}'):format(i, i) end
        list[10] = DONE
        script("/task", list)
        local id, other = jobs.poll(profile(), emu.url .. "/task"), jobs.poll(profile(), emu.url .. "/task")
        assert.is_true(emu:wait(bound(60), 11))
        while jobs.engine:stats().jobs > 0 do emu:wait(0.01) end
        jobs.join(id)
        jobs.join(other)
        for _, job in ipairs { id, other } do assert.is_true(#jobs.events(job, "changed") <= 1) end
        -- One of the two got the ninth change, and then only the end.
        local latest = 0
        for _, job in ipairs { id, other } do
            for _, change in ipairs(jobs.events(job, "changed")) do latest = math.max(latest, change.progress) end
        end
        assert.equal(0.09, latest)
    end)
    it("continue with a new event after the host has taken one", function()
        script("/task", { '{"status":"a"}', '{"status":"b"}', '{"status":"c"}', DONE })
        local id = jobs.poll(profile { max_queued = 1 }, emu.url .. "/task")
        jobs.join(id)
        assert.equal(3, #jobs.events(id, "changed"))
    end)
    it("hold at most 16 KiB of a body, and its size", function()
        for _, size in ipairs { 16383, 16384, 16385, 100000 } do
            local body = ('{"status":"failed","x":"%s"}'):format(("y"):rep(size - 26))
            assert.equal(size, #body)
            emu:clear_faults()
            script("/task", { body })
            local id = jobs.poll(profile(), { url = emu.url .. "/task", observe = true })
            local ended = jobs.join(id)
            local request = jobs.events(id, "request")[1]
            assert.equal(body, ended.body)
            assert.equal(size, request.received)
            assert.equal(body:sub(1, 16384), request.body)
            assert.is_nil(request.pause)
            assert.equal("failed", request.status)
        end
    end)
    it("describe each request if requests are observed, and nothing otherwise", function()
        script("/task", {
            { body = '{"status":"a","progress":3}', headers = { ["X-Request-Id"] = "r-1",
                ["Content-Type"] = "text/x" } }, 500,
            { body = "12345678", cut = 3 }, DONE,
        })
        local p = profile { traces = { "x-request-id" }, patience = bound(60) }
        local id = jobs.poll(p, { url = emu.url .. "/task", observe = true })
        jobs.join(id)
        local e = jobs.events(id, "request")
        assert.same({ "a", 0.03, "r-1", 200, 27 }, { e[1].status, e[1].progress, e[1].request_id, e[1].http_status,
            e[1].received })
        assert.same({ "a", 500, 10, "status 500" }, { e[2].status, e[2].http_status, e[2].received, e[2].body })
        assert.same({ "network", true }, { e[3].failure, e[3].sent })
        assert.is_string(e[3].message)
        assert.is_nil(e[4].message)
        for i = 2, 4 do assert.is_true(e[i].elapsed >= e[i - 1].elapsed) end
        script("/other", { DONE })
        id = jobs.poll(p, emu.url .. "/other")
        jobs.join(id)
        assert.equal(0, #jobs.events(id, "request"))
    end)
    it("are not observed when the host is 1,024 events behind", function()
        script("/task", { DONE })
        for waiting, seen in pairs { [1023] = 1, [1024] = 0 } do
            for _ = 1, waiting do jobs.timer(0) end
            while jobs.engine:ready() < waiting do emu:wait(0.005) end
            local id = jobs.poll(profile(), { url = emu.url .. "/task", observe = true })
            while jobs.engine:stats().jobs > 0 do emu:wait(0.005) end
            jobs.join(id)
            assert.equal(seen, #jobs.events(id, "request"))
        end
    end)
end)

describe("the download after a poll that ends with a URL", function()
    local PNG = require "support.png".holding "0123456789"
    local images
    before_each(function()
        images = core.profile { signatures = { "\137PNG\r\n\26\n" }, patience = 0, poll_interval = 0.001,
            request_timeout = 0 }
    end)
    local function response() return ('{"status":"done","output":{"url":"%s/image"}}'):format(emu.url) end
    local function poll(more)
        local spec = { url = emu.url .. "/task", fetch = images, check = true }
        for name, value in pairs(more or {}) do spec[name] = value end
        script("/task", { RUNNING, response() })
        return jobs.join(jobs.poll(profile(), spec))
    end

    it("starts at once, under the id in the final response", function()
        script("/image", { PNG })
        local ended = poll()
        assert.is_nil(ended.failure)
        assert.equal(emu.url .. "/image", ended.images[1].url)
        local fetched = jobs.join(ended.fetch)
        assert.same({ PNG, 1 }, { fetched.buffer:string(), fetched.signature })
        assert.is_nil(fetched.body)
    end)
    it("goes to a file on request", function()
        script("/image", { PNG })
        local dir = service.directory()
        local fetched = jobs.join(poll({ file = dir .. "/a.png" }).fetch)
        assert.is_nil(fetched.failure)
        assert.equal(PNG, service.read(dir .. "/a.png"))
        assert.same({ "a.png" }, service.list(dir))
        service.remove(dir)
    end)
    it("is checked to be an image on request", function()
        script("/image", { "no image at all" })
        assert.equal("signature", jobs.join(poll().fetch).failure)
        emu:clear_faults()
        script("/image", { "no image at all" })
        assert.equal("no image at all", jobs.join(poll({ check = false }).fetch).body)
    end)
    it("gets exactly the remaining time of the deadline", function()
        local is_exact = false
        -- The poll takes two thirds of the time. A busy machine may be late, but not with every length.
        for _, scale in ipairs { 1, 1, 2, 4, 8, 16 } do
            emu:clear_faults()
            script("/image", { { hang = true } })
            script("/task", { { body = response(), delay = 0.2 * scale } })
            local began = core.now()
            local ended = jobs.join(jobs.poll(profile(), { url = emu.url .. "/task", fetch = images,
                deadline = 0.3 * scale }))
            if ended.fetch then
                local fetched = jobs.join(ended.fetch)
                local took = core.now() - began
                assert.same({ "timeout", "the deadline of the whole job passed" }, { fetched.failure, fetched.message })
                assert.is_true(took >= 0.3 * scale, took)
                is_exact = fetched.sent and took < 0.45 * scale
                if is_exact then break end
            end
        end
        assert.is_true(is_exact)
    end)
    it("has no deadline if the poll has none, and can be cancelled", function()
        script("/image", { { hang = true } })
        local ended = poll()
        jobs.settle()
        jobs.join(jobs.timer(0.05))
        jobs.cancel(ended.fetch)
        assert.equal("cancelled", jobs.join(ended.fetch).failure)
    end)
    it("does not start without a URL, without a profile, or for a failed task", function()
        script("/task", { '{"status":"failed"}' })
        assert.is_nil(jobs.join(jobs.poll(profile(), { url = emu.url .. "/task", fetch = images })).fetch)
        emu:clear_faults()
        script("/task", { response() })
        local ended = jobs.join(jobs.poll(profile(), { url = emu.url .. "/task" }))
        assert.equal(1, #ended.images)
        assert.is_nil(ended.fetch)
        emu:clear_faults()
        script("/task", { (response():gsub("done", "failed")) })
        ended = jobs.join(jobs.poll(profile(), { url = emu.url .. "/task", fetch = images }))
        assert.same({}, { ended.fetch, ended.images })
        jobs.settle()
        assert.equal(0, count_requests "/image")
    end)
end)

-- Last in this file: afterwards the engine accepts no further kind.
describe("task kinds", function()
    local function first_pause(kind)
        local id = jobs.poll(profile { poll_interval = 0 }, {
            url = emu.url .. "/task", submission = emu.url .. "/open", observe = true, durations = kind,
        })
        jobs.wait_until(function() return #jobs.events(id, "request") > 0 end)
        jobs.cancel_all { id }
        return jobs.events(id, "request")[1].pause
    end
    -- Durations recorded for a kind shorten the first pause.
    local function is_known(kind)
        emu:clear_faults()
        teach(kind)
        return first_pause(kind) < 0.5
    end

    it("have names of at most 512 bytes", function()
        assert.is_true(is_known(("n"):rep(512)))
        assert.is_false(is_known(("n"):rep(513)))
        assert.is_false(is_known(nil))
    end)
    it("are limited to 256; known kinds stay #speed", function()
        local ids = {}
        for i = 1, 256 do
            ids[i] = jobs.poll(profile { submission_rate = 0.001 }, {
                url = emu.url .. "/task", submission = emu.url .. "/open", durations = "kind " .. i,
            })
        end
        jobs.settle()
        jobs.cancel_all(ids)
        assert.is_true(is_known "kind 1")
        assert.is_false(is_known "one more")
        assert.is_true(is_known(("n"):rep(512)))
    end)
end)
