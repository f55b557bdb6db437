-- Every limit of a client: it has a default and an option, it holds against a hostile service and a busy host, and the
-- error names the limit and the option that raises it.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local png = require "support.png"
local service = require "support.service"
local settings = require "flux2.config"

local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"
local PNG = "\137PNG\r\n\26\n"

local function rss()
    return tonumber(service.read("/proc/self/status"):match "VmRSS:%s*(%d+)") * 1024
end

describe("a limit", function()
    local emu
    before_each(function() emu = service.start() end)
    after_each(service.stop_all)

    it("has a default, and an option that validates its value", function()
        for name, default in pairs {
            max_event_bytes = 256 * 2 ^ 20, max_header_bytes = 65536, max_image_bytes = 64 * 2 ^ 20, max_redirects = 5,
            max_response_bytes = 32 * 2 ^ 20, max_retries = 2, max_submissions_per_second = 20, max_tasks = 10000,
            max_connections = 8,
        } do
            assert.equal(default, settings.defaults[name], name)
            for _, bad in ipairs { -1, "8", 0 / 0, 1 / 0 } do
                local ok, message = pcall(flux2.new, { api_key = "aio_k", [name] = bad })
                assert.is_false(ok, name)
                assert.truthy(tostring(message):find(name .. " must be", 1, true), message)
            end
            assert(flux2.new { api_key = "aio_k", [name] = 2 })
        end
        assert(flux2.new { api_key = "aio_k", max_submissions_per_second = 1e300, poll = { per_second = 1e300 } })
        assert(flux2.new { api_key = "aio_k", max_redirects = 2 ^ 52 })
    end)

    local OK, MOVED, LONG = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 302 Found\r\nLocation: /images/x\r\n", ("x"):rep(300000)
    local CHUNKED = OK .. "Transfer-Encoding: chunked\r\n\r\n"

    -- The fault, its path, the option, a value that is exceeded, the error kind, and the message.
    local sizes = {
        { "of a JSON body", { endless = true, body = '{"data":"' }, SUBMIT, "max_response_bytes", 20000,
            "unknown_outcome" },
        { "of a JSON body", { endless = true, body = '{"data":"' }, TASKS, "max_response_bytes", 20000, "too_large" },
        { "once decompressed", { bomb = 2 ^ 26 }, SUBMIT, "max_response_bytes", 30000, "unknown_outcome" },
        { "once decompressed", { bomb = 2 ^ 26 }, TASKS, "max_response_bytes", 30000, "too_large" },
        { "of an image", { endless = true, body = PNG }, IMAGES, "max_image_bytes", 40000, "too_large" },
        { "of all headers", { endless_headers = true }, SUBMIT, "max_header_bytes", 5000, "unknown_outcome" },
        { "of all headers", { endless_headers = true }, TASKS, "max_header_bytes", 5000, "too_large" },
        { "of all headers", { endless_headers = true }, IMAGES, "max_header_bytes", 5000, "too_large" },
        { "of a header line", { garbage = OK .. "X-Long: " .. LONG .. "\r\n\r\n" }, TASKS, "max_header_bytes", 5000,
            "too_large" },
        { "of a header line", { garbage = OK .. "X-Long: " .. LONG .. "\r\n\r\n" }, IMAGES, "max_header_bytes", 5000,
            "too_large" },
        { "of a status line", { garbage = "HTTP/1.1 200 " .. LONG .. "\r\n\r\n" }, TASKS, "max_header_bytes", 5000,
            "too_large" },
        { "of a chunk's extension", { garbage = CHUNKED .. "2;" .. LONG .. "\r\n{}\r\n0\r\n\r\n" }, TASKS,
            "max_header_bytes", 5000, "too_large" },
        { "of a trailer", { garbage = CHUNKED .. "2\r\n{}\r\n0\r\nX-Long: " .. LONG .. "\r\n\r\n" }, TASKS,
            "max_header_bytes", 5000, "too_large" },
        { "of many trailers", { garbage = CHUNKED .. "2\r\n{}\r\n0\r\n" .. ("X-Short: x\r\n"):rep(30000) .. "\r\n" },
            TASKS, "max_header_bytes", 5000, "too_large" },
        { "of a redirect", { garbage = MOVED .. "Content-Length: 300000\r\n\r\n" .. LONG }, IMAGES, "max_image_bytes",
            40000, "too_large" },
        { "of a redirect in chunks",
            { garbage = MOVED .. "Transfer-Encoding: chunked\r\n\r\n" ..
                ("7530\r\n" .. LONG:sub(1, 30000) .. "\r\n"):rep(10) .. "0\r\n\r\n" },
            IMAGES, "max_image_bytes", 40000, "too_large" },
    }
    for _, case in ipairs(sizes) do
        local what, fault, path, option, limit, kind = case[1], case[2], case[3], case[4], case[5], case[6]
        it(("on the size %s from %s: %s"):format(what, path, option), function()
            local copy = { path = path, times = 1000 }
            for name, value in pairs(fault) do copy[name] = value end
            emu:fault(copy)
            local before = rss()
            local image, err = service.client(emu, { [option] = limit }):generate "a fox"
            assert.is_nil(image)
            assert.equal(kind, err.kind, tostring(err))
            assert.truthy(tostring(err):find(option, 1, true), tostring(err))
            assert.truthy(tostring(err):find(("%d"):format(limit), 1, true), tostring(err))
            if path == IMAGES then assert.equal(1, err.attempts, "it would be as large again") end
            assert.is_true(rss() - before < 30 * 2 ^ 20, "grew")
        end)
    end

    it("does not reject a body that arrives in chunks of one byte", function()
        local body = '{"data":{"task_id":"chunked","status":"SUCCESS","output":{"image_url":"' .. emu.url ..
            '/images/x"},"x":"' .. ("x"):rep(20000) .. '"}}'
        emu:fault { path = TASKS, times = 1000, garbage = CHUNKED .. body:gsub(".", "1\r\n%0\r\n") .. "0\r\n\r\n" }
        emu:fault { path = IMAGES, times = 1000, body = png.holding "chunked" }
        assert.equal(png.holding "chunked", assert(service.client(emu,
            { max_header_bytes = 1000 }):generate "a fox"):bytes())
    end)

    it("that is raised accepts the same response", function()
        local client = service.client(emu, { max_header_bytes = 30000 })
        local headers = {}
        for i = 1, 20 do headers["X-Long-" .. i] = ("x"):rep(1000) end
        for _, path in ipairs { SUBMIT, TASKS, IMAGES } do
            emu:fault { path = path, times = 1000, headers = headers }
        end
        assert(client:generate "a fox with many headers")
        local image, err = service.client(emu, { max_header_bytes = 10000 }):generate "a fox with too many"
        assert.is_nil(image)
        assert.equal("unknown_outcome", err.kind)
    end)

    it("on redirects of an image: max_redirects", function()
        local client = service.client(emu, { max_redirects = 3 })
        emu:fault { path = IMAGES, times = 3, redirect = "/images/x" }
        emu:fault { path = IMAGES, times = 1000, body = png.holding "what it was about" }
        assert.equal(png.holding "what it was about", client:generate("three steps"):bytes())
        local requests = emu:stats().requests
        for _, other in ipairs { { 3, 4 }, { 0, 1 } } do
            emu:clear_faults()
            emu:fault { path = IMAGES, times = 1000, redirect = "/images/x" }
            client = service.client(emu, { max_redirects = other[1] })
            local before = emu:stats().downloads
            local image, err = client:generate "one step too many"
            assert.is_nil(image)
            assert.equal("protocol", err.kind)
            assert.truthy(tostring(err):find("max_redirects (" .. other[1] .. ")", 1, true), tostring(err))
            assert.is_true(emu:stats().downloads - before <= other[2])
        end
        assert.is_true(emu:stats().requests > requests)
    end)

    it("on redirects does not apply to requests with the key, and the error suggests no option", function()
        emu:fault { path = TASKS, times = 1000, redirect = "/api/v1/tasks/other" }
        local image, err = service.client(emu):generate "a fox"
        assert.is_nil(image)
        assert.equal("protocol", err.kind)
        assert.is_nil(tostring(err):find("max_redirects", 1, true))
    end)

    it("on running tasks: max_tasks", function()
        emu:set { duration = 60 }
        local client, tasks = service.client(emu, { max_tasks = 3, budget = 100 }), {}
        for i = 1, 3 do tasks[i] = assert(client:submit("one of three " .. i)) end
        service.pump_until(function() return #emu:ledger() == 3 end)
        local spent, reserved = client:spent()
        for _, ask in ipairs {
            function() return client:submit "one too many" end, function() return client:generate "one too many" end,
            function() return client:task "some-id" end,
        } do
            local task, err = ask()
            assert.is_nil(task)
            assert.equal("rate_limited", err.kind)
            assert.is_true(err.retryable)
            assert.equal(3, err.limit)
            assert.truthy(tostring(err):find("max_tasks", 1, true))
        end
        assert.same({ spent, reserved }, { client:spent() })
        -- The limit is per client, and a finished task frees a slot.
        local other = assert(service.client(emu):submit "of another client")
        service.pump_until(function() return other.id end)
        other:cancel()
        tasks[1]:cancel()
        service.pump_until(function() return client._config.tasks == 2 end)
        tasks[4] = assert(client:submit "in its place")
        service.pump_until(function() return tasks[4].id end)
        emu:finish()
        for i = 2, 4 do assert(tasks[i]:wait()) end
        assert.equal(0, client._config.tasks)
        assert.equal(5, #emu:ledger())
    end)

    it("on tasks includes those of the spool: a refused wait can be repeated", function()
        local dir = service.directory()
        local first = service.client(emu, { spool = dir })
        for i = 1, 3 do assert(assert(first:submit("left behind " .. i)):wait()) end
        first = nil
        assert.is_nil(first)
        collectgarbage()
        collectgarbage()
        emu:set { duration = 60 }
        local client = service.client(emu, { spool = dir, max_tasks = 1 })
        local tasks = assert(client:recover())
        assert.equal(3, #tasks)
        local other = assert(client:submit "in between")
        local result, err = tasks[1]:wait()
        assert.is_nil(result)
        assert.equal("rate_limited", err.kind)
        other:cancel()
        service.pump_until(function() return client._config.tasks == 0 end)
        for i = 1, 3 do assert(assert(tasks[i]:wait()).images[1]:bytes()) end
        service.remove(dir)
    end)

    it("on submissions per second: the rest is queued, and all are sent", function()
        local client = service.client(emu, { max_submissions_per_second = 20 })
        local began, tasks = core.now(), {}
        for i = 1, 50 do tasks[i] = assert(client:submit("in turn " .. i)) end
        while #emu:ledger() < 50 do
            flux2.update()
            local n, took = #emu:ledger(), core.now() - began
            -- One second's worth may be sent at once.
            assert.is_true(n <= 20 * (took + 1) + 1, n .. " after " .. took .. " s")
            assert.is_true(took < bound(60))
        end
        assert(flux2.all(tasks))
        assert.equal(50, #emu:ledger())
    end)

    it("on submissions per second does not delay polls, or the renewal of an image URL", function()
        local client = service.client(emu, { max_submissions_per_second = 0.001 })
        local task = assert(client:submit "the first")
        assert(task:wait())
        local behind = {}
        for i = 1, 5 do behind[i] = assert(client:submit("behind it " .. i)) end
        emu:expire_images()
        assert(task.result.images[1]:bytes())
        assert.equal(1, #emu:ledger(), "its link came after what was submitted later")
        for _, late in ipairs(behind) do late:cancel() end
    end)

    it("on submissions per second is per key, for all clients", function()
        local rate = { max_submissions_per_second = 0.001 }
        local first, second = service.client(emu, rate), service.client(emu, rate)
        assert(assert(first:submit "takes what is saved up"):wait())
        local result, err = assert(second:submit("too late", { timeout = 0.1 })):wait()
        assert.is_nil(result)
        assert.truthy(tostring(err):find("the submission was not sent before the timeout", 1, true), tostring(err))
        assert.equal(1, #emu:ledger())
        -- A client with a lower rate slows down only itself.
        local quick = service.client(emu)
        assert(assert(quick:submit "at its own rate"):wait())
        -- Another key and another service have their own rate.
        local other = service.start()
        emu:set { api_key = "another" }
        rate.api_key = "another"
        assert(assert(service.client(emu, rate):submit "by another key"):wait())
        rate.api_key = nil
        assert(assert(service.client(other, rate):submit "at another service"):wait())
    end)

    it("on concurrent requests is per key, and clients share it fairly", function()
        service.pump_until(function() return flux2.stats().jobs == 0 end) -- of other cases
        emu:set { latency = { 0.02, 0.02 } }
        local clients = { service.client(emu, { max_connections = 2 }), service.client(emu, { max_connections = 2 }) }
        -- Two submissions without a response hold the queue until all others are in it.
        emu:fault { method = "POST", nth = { 1, 2 }, hang = true, accept = false }
        local first, tasks = {}, {}
        for i = 1, 2 do first[i] = assert(clients[1]:submit "holds a connection") end
        service.pump_until(function() return emu:stats().faults_fired == 2 end)
        for k, client in ipairs(clients) do
            for _ = 1, 6 do tasks[#tasks + 1] = assert(client:submit("of client " .. k)) end
        end
        for i = 1, 2 do first[i]:cancel() end
        service.pump_until(function()
            assert.is_true(flux2.stats().in_flight <= 2, "more at once than a key may have")
            return #emu:ledger() >= 6
        end)
        for _, task in ipairs(tasks) do task:cancel() end
        local by = { 0, 0 } -- of the first six that were sent
        for i = 1, 6 do
            local k = tonumber(emu:ledger()[i].prompt:match "%d+")
            by[k] = by[k] + 1
        end
        assert.is_true(by[1] >= 1 and by[2] >= 1, by[1] .. " and " .. by[2])
    end)

    it("set by the service with 429 applies to every client of the key", function()
        emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 1, status = 429, retry_after = 20,
            body = "slow down" }
        local first, second = service.client(emu), service.client(emu)
        local refused = assert(first:submit "is refused")
        service.pump_until(function() return emu:stats().faults_fired == 1 and flux2.stats().in_flight == 0 end)
        local result, err = assert(second:submit("waits as well", { timeout = 0.1 })):wait()
        assert.is_nil(result)
        assert.truthy(tostring(err):find("the submission was not sent", 1, true), tostring(err))
        assert.equal(0, #emu:ledger())
        refused:cancel()
    end)

    it("on submissions per second that causes a timeout is reported, and nothing was sent", function()
        local client = service.client(emu, { max_submissions_per_second = 0.001, budget = 1000 })
        local saved_up = {}
        for i = 1, 2 do saved_up[i] = assert(client:submit("takes what is saved up " .. i)) end
        local late = assert(client:submit("too late", { timeout = 0.2 }))
        local result, err = late:wait()
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        assert.truthy(tostring(err):find("max_submissions_per_second (0.001)", 1, true), tostring(err))
        for _, entry in ipairs(emu:ledger()) do assert.is_not.equal("too late", entry.prompt) end
        local spent, reserved = client:spent()
        assert.equal(#emu:ledger() * 10, spent)
        assert.is_true(reserved <= 10)
        for i = 1, 2 do saved_up[i]:cancel() end
    end)

    it("on polls per second that prevents every poll is reported, and the task can be waited for again", function()
        local client = service.client(emu, { poll = { interval = 0.02, per_second = 0.001 } })
        local first = assert(client:submit "takes the poll that is saved up")
        service.pump_until(function() return emu:stats().polls == 1 end)
        local task, result, err
        service.with_enough_time(0.5, function(seconds)
            task = assert(client:submit("not looked at", { timeout = seconds }))
            result, err = task:wait()
            assert.is_nil(result)
            return task.id
        end)
        assert.equal("timeout", err.kind)
        assert.truthy(tostring(err):find("poll.per_second", 1, true), tostring(err))
        assert.equal(task.id, err.task_id)
        assert(assert(service.client(emu):task(task.id)):wait())
        first:cancel()
    end)
end)

describe("the event queue", function()
    local emu
    before_each(function()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        emu = service.start { image_bytes = 2 ^ 18 }
    end)
    after_each(service.stop_all)

    local function spend(seconds)
        local until_ = core.now() + seconds
        while core.now() < until_ do emu:wait(0.02) end
    end

    it("holds at most three events per task while the host is busy", function()
        emu:set { duration = bound(5), progress = "percent", image_bytes = 600 }
        local client, tasks = service.client(emu, { poll = { interval = 0.01 } }), {}
        for i = 1, 30 do tasks[i] = assert(client:submit("busy " .. i)) end
        local engine, most = core.engine(), 0
        local until_ = core.now() + bound(60)
        repeat
            most = math.max(most, engine:ready())
            emu:wait(0.02)
            assert.is_true(core.now() < until_)
            -- Several polls of each task, whose progress changes.
            if emu:stats().polls > 600 then emu:finish() end
        until flux2.stats().jobs == 0
        assert.is_true(engine:ready() >= 60 and most <= 90, most .. " events")
        assert(flux2.all(tasks))
    end)

    it("takes at most max_event_bytes plus the requests in flight, and loses nothing", function()
        local n, at_once, limit = 40, 2, 2 ^ 20
        emu:set { sync = "b64_json" }
        -- Each response is 350 kB: it embeds the image.
        local client = service.client(emu, { max_event_bytes = limit, max_connections = at_once, timeout = bound(600) })
        local plain, tasks = service.client(emu, { timeout = bound(600) }), {}
        assert(plain:generate "what the emulator needs for itself")
        collectgarbage()
        for i = 1, n do tasks[i] = assert(client:submit("heavy " .. i)) end
        local still, until_ = 0, core.now() + bound(60)
        while still < 5 do
            assert.is_true(core.now() < until_)
            spend(0.1)
            -- The engine has run since: its event of a timer is there.
            local engine, ready = core.engine(), core.engine():ready()
            engine:timer(engine:next_id(), 0)
            while engine:ready() == ready do emu:wait(0.005) end
            still = #emu:ledger() >= 3 and flux2.stats().in_flight == 0 and still + 1 or 0
        end
        local served = #emu:ledger()
        assert.is_true(served >= 3 and served <= limit / 2 ^ 18 + 2 * at_once + 1, served .. " were asked for")
        spend(0.5)
        assert.equal(served, #emu:ledger(), "it goes on")
        -- Other clients are not delayed.
        local results = assert(flux2.all(tasks))
        assert.equal(n, #results)
        assert.equal(n + 1, #emu:ledger())
    end)

    it("that is full delays a submission, and the timeout says so", function()
        emu:set { sync = "b64_json" }
        local client = service.client(emu, { max_event_bytes = 1, max_connections = 1 })
        local first = assert(client:submit "fills it")
        while core.engine():ready() == 0 do emu:wait(0.01) end
        local second = assert(client:submit("comes too late", { timeout = bound(0.5) }))
        spend(bound(0.6))
        assert.equal(1, #emu:ledger())
        local _, err = second:wait()
        assert.equal("timeout", err.kind)
        assert.truthy(tostring(err):find("max_event_bytes (1", 1, true), tostring(err))
        assert(first:wait())
        assert(client:generate "and goes on")
    end)
end)
