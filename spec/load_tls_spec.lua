-- The engine under load over TLS: polls share a few connections, up to the stream limit; submissions have dedicated
-- connections, two at a time. Counters are compared; nginx runs in front of the emulator.
local bound = require "support.bound"
local core = require "flux2.core"
local jobs = require "support.jobs"
local service = require "support.service"
local tls_front = require "support.tls_front"

for _, has_http2 in ipairs { true, false } do
    describe("over TLS with " .. (has_http2 and "HTTP/2" or "HTTP/1.1") .. " #speed", function()
        local emu, front
        setup(function()
            emu = service.start()
            emu:fault { path = "/hang*", times = 100000, hang = true }
            emu:fault { path = "/good*", times = 100000, body = '{"status":"failed"}' }
            emu:fault { path = "/open", times = 100000, body = '{"id":"x"}' }
            emu:fault { path = "/slow", times = 100000, body = '{"id":"x"}', delay = 0.25 }
            front = tls_front.start(emu, { http2 = has_http2 })
        end)
        teardown(function()
            front:stop()
            service.stop_all()
        end)

        local function profile(options)
            local p = {
                max_attempts = 1, poll_interval = 0.001, ca_file = front.ca_file,
                response = core.response_schema { task_id = { "id" }, status = { "status" }, succeeded = { "done" },
                    failed = { "failed" } },
            }
            for name, value in pairs(options or {}) do p[name] = value end
            return core.profile(p)
        end
        local function in_flight() return jobs.engine:stats().in_flight end
        local function settles_at(n)
            jobs.wait_until(function() return in_flight() == n end, 15)
            jobs.join(jobs.timer(0.03))
            jobs.settle()
            assert.equal(n, in_flight())
        end
        local function submissions(p, count, path)
            local ids = {}
            for i = 1, count do
                ids[i] = jobs.poll(p, { url = front.url .. "/good", submission = front.url .. (path or "/hang"),
                    body = "{}" })
            end
            return ids
        end
        local function polls(p, count)
            local ids = {}
            for i = 1, count do ids[i] = jobs.poll(p, front.url .. "/hang") end
            return ids
        end
        local function is_idle()
            jobs.settle()
            local before = jobs.processor_time()
            emu:wait(0.2)
            assert.is_true(jobs.processor_time() - before < bound(0.03), jobs.processor_time() - before)
        end

        it("two submissions run at once until the protocol is known #proc", function()
            local p = profile { max_in_flight = 6 }
            local ids = submissions(p, 5)
            settles_at(2)
            is_idle()
            -- They delay no other request.
            assert.is_nil(jobs.join(jobs.poll(p, front.url .. "/good"), 15).failure)
            settles_at(has_http2 and 2 or 5)
            is_idle()
            -- Each finished one frees a slot, for every outcome.
            jobs.cancel_all { ids[1] }
            settles_at(has_http2 and 2 or 4)
            jobs.cancel_all(ids)
            settles_at(0)
            -- All slots are free again.
            for _ = 1, 2 do
                for _, id in ipairs(submissions(p, 4, "/open")) do assert.is_nil(jobs.join(id).failure) end
                ids = submissions(p, 8)
                settles_at(has_http2 and 2 or 6)
                jobs.cancel_all(ids)
            end
        end)

        for most, streams in pairs { [4] = 48, [48] = 48, [50] = 50 } do
            it(("as many polls run at once as max_in_flight, %d, or a connection allows"):format(most), function()
                local p = profile { max_in_flight = most }
                jobs.join(jobs.poll(p, front.url .. "/good"), 15)
                local before = jobs.engine:stats().connections
                local ids = polls(p, 60)
                settles_at(has_http2 and streams or most)
                jobs.cancel_all { ids[1], ids[2] }
                settles_at(has_http2 and streams or most)
                jobs.cancel_all(ids)
                local opened = jobs.engine:stats().connections - before
                if has_http2 then assert.is_true(opened <= 4, opened .. " connections") end
            end)
        end

        it("a submission without a response times out, though no other event wakes the engine", function()
            local began = core.now()
            local id = submissions(profile { request_timeout = 0.3 }, 1)[1]
            assert.equal("timeout", jobs.join(id).failure)
            assert.is_true(core.now() - began >= 0.29) -- libcurl counts whole milliseconds
        end)

        it("a response to a submission is processed at once, and so are commands in the meantime", function()
            local p = profile()
            local began = core.now()
            local slow = submissions(p, 1, "/slow")[1]
            jobs.settle()
            local hanging = submissions(p, 1)[1]
            jobs.join(jobs.timer(0.01))
            jobs.cancel(hanging)
            assert.equal("cancelled", jobs.join(hanging).failure)
            assert.is_nil(jobs.join(slow).failure)
            assert.is_true(core.now() - began >= 0.25)
        end)
    end)
end

describe("over HTTP/2 with a server that allows one request per connection", function()
    after_each(service.stop_all)

    it("polls open at most four connections at once", function()
        local emu = service.start()
        emu:fault { path = "/hang", times = 1000, hang = true }
        emu:fault { path = "/good", times = 1000, body = '{"status":"failed"}' }
        local front = tls_front.start(emu, { keepalive = 1 })
        local p = core.profile { ca_file = front.ca_file, response = core.response_schema { status = { "status" },
            succeeded = { "done" }, failed = { "failed" } } }
        jobs.join(jobs.poll(p, front.url .. "/good"))
        jobs.wait_until(function() return emu:stats().open_connections == 0 end)
        local ids = {}
        for i = 1, 20 do ids[i] = jobs.poll(p, front.url .. "/hang") end
        jobs.wait_until(function() return emu:stats().open_connections >= 4 end)
        jobs.join(jobs.timer(0.2))
        assert.equal(20, jobs.engine:stats().in_flight)
        assert.equal(4, emu:stats().open_connections)
        jobs.cancel_all(ids)
        front:stop()
    end)
end)
