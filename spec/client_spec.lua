-- From prompt to image, over real sockets.
local bound = require "support.bound"
local core = require "flux2.core"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local service = require "support.service"
local show = require("flux2.text").show

local PNG = "\137PNG\r\n\26\n"

describe("a client", function()
    local emu, client, dir
    setup(function()
        emu = service.start()
        client = service.client(emu)
        dir = service.directory()
    end)
    teardown(function()
        service.stop_all()
        service.remove(dir)
    end)
    before_each(function() emu:clear_faults() end)

    it("generates bytes from a prompt", function()
        local image = assert(client:generate "a red fox in the snow")
        assert.equal(PNG, assert(image:bytes()):sub(1, 8))
        assert.equal("image/png", image.content_type)
        assert.equal("string", type(image.url))
        assert.equal(10, image.result.credits)
        assert.is_true(image.result.elapsed > 0)
    end)

    it("generates a file from a prompt", function()
        local path = dir .. "/fox.png"
        local image = assert(client:generate("a red fox", { save = path }))
        assert.equal(path, image.path)
        assert.equal(PNG, service.read(path):sub(1, 8))
        assert.same({ "fox.png" }, service.list(dir))
    end)

    it("sends the given fields and no others", function()
        assert(client:generate "only a prompt")
        local ledger = emu:ledger()
        assert.same({ model = "flux-2", prompt = "only a prompt" }, require("cjson").decode(ledger[#ledger].body))
        local task = assert(client:submit {
            prompt = "everything", type = "flex", resolution = "1K", aspect_ratio = "16:9",
            input_urls = { "https://example.com/fox.jpg" }, extra = { seed = 7 },
        })
        assert(task:wait())
        ledger = emu:ledger()
        assert.same({
            model = "flux-2", prompt = "everything", type = "flex", resolution = "1K", aspect_ratio = "16:9",
            input_urls = { "https://example.com/fox.jpg" }, seed = 7,
        }, require("cjson").decode(ledger[#ledger].body))
    end)

    it("takes the ratio of the input images", function()
        assert(assert(client:submit {
            prompt = "a fox", aspect_ratio = "auto", input_urls = { "https://example.com/fox.jpg" },
        }):wait())
        local ledger = emu:ledger()
        assert.equal("auto", ledger[#ledger].aspect_ratio)
        local _, err = client:submit { prompt = "a fox", aspect_ratio = "auto" }
        assert.same({ "aspect_ratio", "aspect_ratio 'auto' is the ratio of the input images: it needs input_urls" },
            { err.field, err.message })
    end)

    it("checks the request before anything is sent", function()
        local before = emu:stats().requests
        local task, err = client:submit { prompt = "a fox", aspect_ration = "16:9" }
        assert.is_nil(task)
        assert.equal("invalid_request", err.kind)
        assert.matches("did you mean aspect_ratio", tostring(err))
        assert.equal(before, emu:stats().requests)
    end)

    it("refuses an unwritable target before a credit is spent", function()
        local before, spent = emu:stats().requests, client:spent()
        for path, reason in pairs {
            [dir .. "/missing/fox.png"] = "No such file or directory",
            [dir] = "Is a directory",
            [dir .. "/" .. ("x"):rep(300) .. ".png"] = "File name too long",
            [dir .. "/fox\0.png"] = "a file name must not contain a NUL byte",
        } do
            local image, err = client:generate("a fox", { save = path })
            assert.is_nil(image)
            assert.same({ "io", "cannot write " .. show(path) .. ": " .. reason, nil, nil },
                { err.kind, err.message, err.paid, err.task_id })
        end
        assert.equal(before, emu:stats().requests)
        assert.same({ spent, 0 }, { client:spent() })
    end)

    it("reports an unwritable target although the limits delay submissions", function()
        -- Another key, because the limits belong to a key.
        local slow = service.client(emu, { api_key = "aio_slow", max_submissions_per_second = 0.001 })
        assert(slow:submit "the first"):wait()
        local image, err = slow:generate("a fox", { save = dir .. "/missing/fox.png", timeout = bound(5) })
        assert.is_nil(image)
        assert.equal("io", err.kind)
    end)

    it("checks a directory once for many images, and another directory immediately #names", function()
        local marker, other = service.directory() .. "/marker", service.directory()
        local function is_left_alone()
            assert(core.check_file(dir .. "/a.png"))
            os.execute(("sleep 0.02; touch '%s'; sleep 0.02"):format(marker))
            assert(core.check_file(dir .. "/b.png"))
            local newer = os.execute(("test '%s' -nt '%s'"):format(dir, marker))
            return newer ~= true and newer ~= 0
        end
        local left_alone = false
        -- More than a second may have passed between the two checks.
        for _ = 1, 20 do left_alone = left_alone or is_left_alone() end
        assert.is_true(left_alone)
        assert.is_nil((core.check_file "/proc/a.png"))
        assert(core.check_file(other .. "/a.png"))
        assert.is_nil((core.check_file(other)))
        service.remove(other)
        assert.is_nil((core.check_file(other .. "/a.png")))
        service.remove((marker:gsub("/marker$", "")))
    end)

    it("reports the states of a task", function()
        local seen = {}
        local task = assert(client:submit("a heron", { on_status = function(t) seen[#seen + 1] = t.status end }))
        assert.equal("submitting", task.state)
        assert.is_nil(task.id)
        local done
        task:on("done", function(t, result, err) done = { t, result, err } end)
        local result = assert(task:wait())
        assert.equal("succeeded", task.state)
        assert.equal(result, task.result)
        assert.same({ task, result }, done)
        assert.is_true(#seen >= 2)
        assert.equal(task.status, seen[#seen])
        assert.equal(1, task.progress)
        assert.matches("_flux2$", task.id)
        assert.equal(result, task:wait(), "it can be waited for again")
    end)

    it("resumes an existing task", function()
        local task = assert(client:submit "a bear")
        local id
        service.pump_until(function() id = task.id return id end)
        local again = assert(client:task(id))
        assert.equal(id, again.id)
        assert(again:wait())
        assert.equal(id, again.result.raw.data.task_id)
    end)

    it("reports a task that does not exist", function()
        local result, err = client:task("no such/../task %2f"):wait()
        assert.is_nil(result)
        assert.equal("not_found", err.kind)
        assert.equal(404, err.status)
        assert.equal("no such/../task %2f", err.task_id)
        local requested = {} -- may include later polls of other tests' tasks
        for _, request in ipairs(emu:requests()) do
            requested[request.path:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)] = true
        end
        assert.is_true(requested["/api/v1/tasks/no such/../task %2f"])
    end)

    it("does not cancel a task when a wait times out", function()
        local slow = service.start { duration = 60 }
        local other = service.client(slow)
        local task = assert(other:submit "a slow snail")
        service.pump_until(function() return task.id end)
        local result, err = task:wait(0.01)
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        assert.equal(task.id, err.task_id)
        assert.is_true(err.retryable)
        assert.equal("running", task.state)
        slow:finish()
        assert(task:wait(bound(30)))
        assert.equal(1, #slow:ledger())
    end)

    it("resumes polling after the task's own time-out", function()
        local slow = service.start { duration = 60 }
        local other = service.client(slow)
        local task, result, err
        service.with_enough_time(0.5, function(seconds)
            task = assert(other:submit("a slow snail", { timeout = seconds }))
            result, err = task:wait()
            assert.is_nil(result)
            return task.id
        end)
        assert.equal("timeout", err.kind)
        assert.equal("failed", task.state)
        assert.equal("string", type(err.task_id))
        task._timeout = bound(30)
        slow:finish()
        local sold = #slow:ledger()
        assert(task:wait())
        assert.equal(sold, #slow:ledger(), "and never submits again")
    end)

    it("cancels a task", function()
        local slow = service.start { duration = 30 }
        local other = service.client(slow)
        local task = assert(other:submit "never mind")
        service.pump_until(function() return task.id end)
        assert.equal(task, task:cancel())
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("cancelled", err.kind)
        assert.matches("may still", tostring(err))
        assert.equal("cancelled", task.state)
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        assert.equal(0, flux2.pending())
    end)

    it("returns an error of the matching kind", function()
        for _, case in ipairs {
            { 400, "invalid_request" }, { 401, "auth" }, { 402, "credits" }, { 403, "auth" }, { 422, "rejected" },
            { 500, "unknown_outcome" }, { 502, "unknown_outcome" }, { 504, "unknown_outcome" },
            { 503, "unknown_outcome" },
        } do
            emu:clear_faults()
            emu:fault {
                method = "POST", path = "/api/v1/images/generations", nth = 1, status = case[1],
                body = ('{"error":{"code":%d,"message":"said so","type":"some_type"}}'):format(case[1]),
                headers = { ["Content-Type"] = "application/json", ["X-Request-Id"] = "req-7" },
            }
            local result, err = assert(client:submit "a fox"):wait()
            assert.is_nil(result)
            assert.equal(case[2], err.kind)
            assert.equal(case[1], err.status)
            assert.equal("req-7", err.request_id)
            assert.matches("said so", tostring(err))
        end
    end)

    it("reports a wrong key as auth", function()
        local stranger = service.client(emu, { api_key = "aio_wrong" })
        local result, err = assert(stranger:submit "a fox"):wait()
        assert.is_nil(result)
        assert.equal("auth", err.kind)
        assert.equal(401, err.status)
        assert.is_nil(tostring(err):find("aio_wrong", 1, true))
    end)

    it("trusts an error in the body of a 200", function()
        for body, kind in pairs {
            ['{"code":402,"message":"out of credits"}'] = "credits",
            ['{"error":{"code":401,"message":"bad key","type":"auth"}}'] = "auth",
        } do
            emu:clear_faults()
            emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 1, status = 200, body = body }
            local result, err = assert(client:submit "a fox"):wait()
            assert.is_nil(result)
            assert.equal(kind, err.kind)
        end
    end)

    it("reports an HTML page and an empty body with a readable error", function()
        for body, text in pairs { ["<html><title>Bad gateway</title></html>"] = "Bad gateway", [""] = "502" } do
            emu:clear_faults()
            emu:fault {
                method = "POST", path = "/api/v1/images/generations", nth = 1, status = 502, body = body,
                headers = { ["Content-Type"] = "text/html" },
            }
            local _, err = assert(client:submit "a fox"):wait()
            assert.matches(text, tostring(err))
        end
    end)

    it("returns the reason of a failed task", function()
        local failing = service.start { failure_rate = 1, failure_reason = "the model ran out of paint" }
        local task = assert(service.client(failing):submit "a fox")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("task_failed", err.kind)
        assert.matches("ran out of paint", tostring(err))
        assert.equal(task.id, err.task_id)
        assert.equal("failed", task.state)
        assert.equal(err, select(2, task:wait()), "the service's last word stays")
    end)

    it("raises only for bugs of the caller, at the caller's line", function()
        local here = debug.getinfo(1, "S").short_src
        for _, case in ipairs {
            { function() client:submit(42) end, "prompt" },
            { function() client:submit("a fox", { timeot = 1 }) end, "did you mean timeout" },
            { function() client:submit("a fox", { timeout = -1 }) end, "timeout must be" },
            { function() client:generate("a fox", { save = 1 }) end, "save must be" },
            { function() client:task(42) end, "task id is a string" },
            { function() assert(client:submit "a fox"):wait "long" end, "timeout must be" },
            { function() assert(client:submit "a fox"):on("finished", print) end, "the events are" },
            { function() assert(client:submit "a fox"):on("done", 1) end, "a function is needed" },
            { function() flux2.new { api_kei = "x" } end, "did you mean api_key" },
            { function() flux2.new { timeout = "60" } end, "timeout must be" },
            { function() flux2.new { poll = { intervall = 1 } } end, "did you mean interval" },
            { function() flux2.new(42) end, "options are a table" },
            { function() flux2.estimate(42) end, "prompt" },
            { function() client:map(42) end, "a list or a function" },
            { function() flux2.spawn(42) end, "a function is needed" },
            { function() flux2.sleep "x" end, "a number of seconds" },
            { function() flux2.all { 1 } end, "item 1" },
        } do
            local ok, message = pcall(case[1])
            assert.is_false(ok)
            assert.matches(case[2], message, nil, true)
            assert.equal(1, (message:find(here, 1, true)), message)
        end
        service.pump_until(function() return flux2.pending() == 0 end)
    end)

    it("raises at the caller's line in each function", function()
        local here = debug.getinfo(1, "S").short_src
        local image = assert(assert(client:submit "a fox"):wait()).images[1]
        local task = assert(client:task "some-id")
        for _, case in ipairs {
            { function() client:generate(42) end,
                "flux2: a prompt (string) or a request (table) is needed, got number" },
            { function() client:submit(true) end,
                "flux2: a prompt (string) or a request (table) is needed, got boolean" },
            { function() flux2.estimate(true) end,
                "flux2: a prompt (string) or a request (table) is needed, got boolean" },
            { function() client:generate("a fox", { timeout = 0 }) end,
                "client:generate: timeout must be a number of seconds above 0, not 0" },
            { function() client:generate("a fox", { price = -1 }) end,
                "client:generate: price must be a number of credits, 0 or more, not -1" },
            { function() client:generate("a fox", { save = "" }) end,
                "client:generate: save must be a string that is not empty, not ''" },
            { function() client:generate("a fox", { on_done = 1 }) end,
                "client:generate: on_done must be a function, not 1" },
            { function() client:submit("a fox", { save = 1 }) end,
                "client:submit: save must be a string that is not empty, not 1" },
            { function() client:submit("a fox", { zave = "x" }) end, "client:submit: unknown option 'zave': " },
            { function() client:submit("a fox", { on_request = 1 }) end,
                "client:submit: on_request must be a function, not 1" },
            { function() client:submit("a fox", 7) end, "client:submit: options are a table, not 7" },
            { function() client:task({}) end, "client:task: a task id is a string, not a table" },
            { function() client:task("x", { price = 1 }) end, "client:task: unknown option 'price': " },
            { function() client:status(7) end, "client:status: a task id is a string, not 7" },
            { function() client:status("x", { timeout = "1" }) end,
                "client:status: timeout must be a number of seconds above 0, not '1'" },
            { function() client:status("x", { on_done = print }) end, "client:status: unknown option 'on_done': " },
            { function() client:recover { timeout = -1 } end,
                "client:recover: timeout must be a number of seconds above 0, not -1" },
            { function() client:map({}, { concurrency = 0 }) end,
                "client:map: concurrency must be a whole number, 1 or more, not 0" },
            { function() client:map({}, { concurrency = 1.5 }) end,
                "client:map: concurrency must be a whole number, 1 or more, not 1.5" },
            { function() client:map({}, { ordered = 1 }) end, "client:map: ordered must be true or false, not 1" },
            { function() client:map({}, { save = "x" }) end, "client:map: save must be a function, not 'x'" },
            { function() client:map(nil) end,
                "client:map: a list or a function that returns the next prompt is needed, not nil" },
            { function() task:wait {} end, "task:wait: timeout must be a number of seconds, not a table" },
            { function() task:wait(0 / 0) end, "task:wait: timeout must be a number of seconds, not " },
            { function() task:on("x", print) end, "task:on: the events are 'status', 'progress' and 'done', not 'x'" },
            { function() task:on("done") end, "task:on: a function is needed, not nil" },
            { function() image:bytes "1" end, "image:bytes: timeout must be a number of seconds, not '1'" },
            { function() image:buffer(true) end, "image:buffer: timeout must be a number of seconds, not true" },
            { function() image:base64 {} end, "image:base64: timeout must be a number of seconds, not a table" },
            { function() image:save("x", "1") end, "image:save: timeout must be a number of seconds, not '1'" },
            { function() image:save() end, "image:save: path must be a string that is not empty, not nil" },
            { function() flux2.new { poll = 1 } end, "flux2.new: poll must be a table, not 1" },
            { function() flux2.new { poll = { interval = 0 } } end,
                "flux2.new: poll: interval must be a number of seconds above 0, not 0" },
            { function() flux2.new { insecure_http = 1 } end, "flux2.new: insecure_http must be true or false, not 1" },
            { function() flux2.new { budget = -1 } end,
                "flux2.new: budget must be a number of credits, 0 or more, not -1" },
            { function() flux2.new { max_tasks = 0 } end,
                "flux2.new: max_tasks must be a whole number, 1 or more, not 0" },
            { function() flux2.new { zzzz = 1 } end,
                "flux2.new: unknown option 'zzzz': known are api_key, base_url, budget, ca_file, " },
            { function() flux2.on_error = 1 end, "flux2.on_error: a function is needed" },
        } do
            local line = debug.getinfo(case[1], "S").linedefined
            local ok, message = pcall(case[1])
            assert.is_false(ok, case[2])
            local lead = here .. ":" .. line .. ": " .. case[2]
            assert.equal(lead, tostring(message):sub(1, #lead))
        end
        task:cancel()
        flux2.on_error = nil
        assert.is_nil(flux2.on_error)
    end)

    it("has a readable tostring for tasks, images and results", function()
        local slow = service.start { duration = 60 }
        local task = assert(service.client(slow):submit "a slow snail")
        assert.equal("flux2.Task without an id yet (submitting)", tostring(task))
        service.pump_until(function() return task.id end)
        assert.equal("flux2.Task " .. task.id .. " (running, IN_PROGRESS)", tostring(task))
        assert.is_nil(task.result)
        slow:finish()
        local result = assert(task:wait())
        assert.equal("flux2.Task " .. task.id .. " (succeeded, SUCCESS)", tostring(task))
        local image = result.images[1]
        assert.equal("flux2.Image (" .. image.url .. ")", tostring(image))
        assert(image:save(dir .. "/shown.png"))
        assert.equal("flux2.Image (" .. dir .. "/shown.png)", tostring(image))
        assert.equal(result.raw, result.raw)
        assert.equal("SUCCESS", result.raw.data.status)
        assert.is_nil(result.no_such_thing)
        assert.is_true(result.elapsed > 0 and result.elapsed < bound(60))
        os.remove(dir .. "/shown.png")
    end)

    it("reads at most 64 images of one response, each once, to a depth of six levels", function()
        local function images(body)
            emu:clear_faults()
            emu:fault { path = "/api/v1/tasks/*", times = 1000, body = body }
            local result, err = assert(client:submit "many images"):wait()
            emu:clear_faults()
            return result and #result.images or err.kind, result
        end
        local function finished(output) return '{"data":{"status":"SUCCESS","output":' .. output .. "}}" end
        for _, form in ipairs { '"http://a.example/%d.png"', '{"url":["http://a.example/%d.png"]}',
            '{"b64_json":"iVBO%04d"}' } do
            for _, case in ipairs { { 1, 1 }, { 63, 63 }, { 64, 64 }, { 65, 64 } } do
                local list = {}
                for i = 1, case[1] do list[i] = form:format(i) end
                assert.equal(case[2], (images(finished("[" .. table.concat(list, ",") .. "]"))), form)
            end
        end
        local twice, result, _ = images(finished '["http://a.example/1","http://a.example/2","http://a.example/1"]')
        assert.equal(2, twice)
        assert.same({ "http://a.example/1", "http://a.example/2" }, { result.images[1].url, result.images[2].url })
        for depth, expected in pairs { [5] = 1, [6] = "protocol" } do
            local output = ("["):rep(depth) .. '"http://a.example/1"' .. ("]"):rep(depth)
            assert.equal(expected, (images(finished(output))), depth)
        end
        _, result = images(finished('{"images":[{"url":"http://a.example/1","content_type":"image/WEBP"},'
            .. '{"url":"http://a.example/2","mime_type":"text/html"}]}'))
        assert.same({ "image/webp" }, { result.images[1].content_type, result.images[2].content_type })
    end)

    it("accepts a whole number as a task id", function()
        for body, id in pairs { ["7"] = "7", ["8.0"] = "8", ["9007199254740991"] = "9007199254740991",
            ["1.5"] = false } do
            emu:clear_faults()
            emu:fault { method = "POST", times = 1,
                body = '{"code":200,"data":{"task_id":' .. body .. ',"status":"queued"}}' }
            local task = assert(client:submit "a numbered fox")
            service.pump_until(function() return task.state ~= "submitting" end)
            assert.equal(id or "unknown_outcome",
                id and task.id or task.error and task.error.kind or body .. " gave " .. tostring(task.id))
            task:cancel()
        end
    end)

    it("names its object types for debuggers", function()
        local task = assert(client:submit "a fox")
        local result = assert(task:wait())
        local handle = flux2.spawn(function() end)
        for name, object in pairs {
            Client = client, Task = task, Result = result, Image = result.images[1], Handle = handle,
            Map = (client:map {}), Error = errors.new("io", "x"),
        } do
            assert.equal("flux2." .. name, getmetatable(object).__name)
        end
    end)

    it("calls listeners once per change, in order, and immediately for an end in the past", function()
        local slow = service.start { duration = 60, progress = "percent" }
        local heard = {}
        local task = assert(service.client(slow):submit("a slow snail", {
            on_status = function(t, ...) heard[#heard + 1] = { "status", t.status, select("#", ...) } end,
            on_progress = function(t) heard[#heard + 1] = { "progress", t.progress } end,
            on_done = function(_, result, err) heard[#heard + 1] = { "done", result ~= nil, err } end,
        }))
        service.pump_until(function() return slow:stats().polls >= 3 and task.status end)
        slow:finish()
        local result = assert(task:wait())
        assert.same({ "status", "IN_PROGRESS", 0 }, heard[1])
        local statuses = {}
        for _, entry in ipairs(heard) do if entry[1] == "status" then statuses[#statuses + 1] = entry[2] end end
        assert.same({ "IN_PROGRESS", "SUCCESS" }, statuses)
        assert.same({ { "status", "SUCCESS", 0 }, { "progress", 1 }, { "done", true } },
            { heard[#heard - 2], heard[#heard - 1], heard[#heard] })
        -- Waiters resume after the listeners.
        local order = {}
        local other = assert(service.client(slow):submit("a slow snail",
            { on_done = function() order[#order + 1] = "heard" end }))
        local waits = flux2.spawn(function()
            other:wait()
            order[#order + 1] = "waited"
        end)
        other:cancel()
        assert.equal("done", waits.state)
        assert.same({ "heard", "waited" }, order)
        local late
        assert.equal(task, task:on("done", function(...) late = { n = select("#", ...), ... } end))
        assert.same({ n = 3, task, result, nil }, late)
        task:on("status", function() error "nothing changes any more" end)
    end)

    it("reports how long a wait took and what it waited for, also on the next wait", function()
        local slow = service.start { duration = 60 }
        slow:fault { method = "POST", times = 1, hang = true, accept = false }
        local other = service.client(slow)
        local task = assert(other:submit "not answered")
        for _, seconds in ipairs { 0.01, 0, -1 } do
            local _, err = task:wait(seconds)
            assert.equal(("timeout: waited for %s s; the submission has no response yet, and can be waited for "
                .. "again"):format(
                tostring(seconds)), tostring(err))
            assert.is_true(err.retryable)
        end
        service.pump_until(function() return slow:stats().faults_fired == 1 end)
        task:cancel()
        task = assert(other:submit "runs")
        service.pump_until(function() return task.id end)
        local paid = "; the image is paid for: client:task(err.task_id) fetches it"
        assert.equal("timeout: waited for 0.02 s; the task is still running, and can be waited for again (task "
            .. task.id .. ")" .. paid,
            tostring(select(2, task:wait(0.02))))
        local err
        local waits = flux2.spawn(function() err = select(2, task:wait()) end)
        waits:cancel()
        assert.equal("cancelled: the waiting coroutine was cancelled; the task itself goes on (task " .. task.id
            .. ")" .. paid, tostring(err))
        assert.equal("running", task.state)
        task:cancel()
        assert.equal("cancelled: cancelled here; the service may still generate the image and charge for it (task "
            .. task.id .. ")" .. paid,
            tostring(select(2, task:wait())))
        assert.equal("cancelled", task:cancel().state)
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    it("refuses a task id by its length", function()
        for _, id in ipairs { "", ("x"):rep(513) } do
            for _, method in ipairs { "task", "status" } do
                local found, err = client[method](client, id)
                assert.is_nil(found)
                assert.equal("invalid_request: a task id has 1 to 512 bytes; this one has " .. #id, tostring(err))
            end
        end
        for _, id in ipairs { "x", ("x"):rep(512) } do assert.equal("not_found", select(2, client:status(id)).kind) end
    end)

    it("has a tostring without the key", function()
        assert.is_nil(tostring(client):find(emu.api_key, 1, true))
        assert.matches("flux2.Client", tostring(client), nil, true)
    end)

    it("keeps an image while the main thread sleeps", function()
        service.pump_until(function() return flux2.stats().jobs == 0 and core.engine():ready() == 0 end)
        local task = assert(client:submit "the sleeper")
        local until_ = core.now() + bound(30)
        repeat
            os.execute "sleep 0.1"
            assert.is_true(core.now() < until_)
        until flux2.stats().jobs == 0
        assert.equal("submitting", task.state)
        flux2.update()
        assert.equal("succeeded", task.state)
    end)

    it("estimates prices", function()
        assert.equal(10, flux2.estimate "a fox")
        assert.equal(20, flux2.estimate { prompt = "a fox", resolution = "2K" })
        assert.equal(6, flux2.estimate { prompt = "a fox", type = "flex" })
        local credits, reason = flux2.estimate { prompt = "a fox", type = "flex", resolution = "2K" }
        assert.is_nil(credits)
        assert.matches("no price", reason)
    end)

    it("lists every kind of error with its advice", function()
        for kind in pairs(errors.kinds) do assert.equal("string", type(flux2.errors.advice[kind])) end
    end)
end)

describe("every shape of a finished task", function()
    local emulator = require "flux2.emulator"
    teardown(service.stop_all)
    local names = {}
    for name in pairs(emulator.shapes) do names[#names + 1] = name end
    table.sort(names)
    assert(#names >= 17)
    for _, shape in ipairs(names) do
        it(shape, function()
            local emu = service.start { shape = shape }
            local image, err = service.client(emu):generate "a fox in any shape"
            if shape == "no_image" then
                assert.is_nil(image)
                assert.equal("protocol", err.kind)
            else
                assert(image, tostring(err))
                assert.equal(PNG, image:bytes():sub(1, 8))
            end
            service.stop_all()
        end)
    end
    for name in pairs(emulator.failure_shapes) do
        it("of a failed task: " .. name, function()
            local emu = service.start { failure_rate = 1, failure_shape = name, failure_reason = "out of paint" }
            local result, err = assert(service.client(emu):submit "a fox"):wait()
            assert.is_nil(result)
            assert.equal("task_failed", err.kind)
            if name ~= "no_reason" then assert.matches("out of paint", tostring(err)) end
            service.stop_all()
        end)
    end
    for _, way in ipairs { "url", "b64_json" } do
        it("in the response to the submission: " .. way, function()
            local emu = service.start { sync = way }
            local image, err = service.client(emu):generate "at once"
            assert(image, tostring(err))
            assert.equal(PNG, image:bytes():sub(1, 8))
            assert.equal(0, emu:stats().polls)
            service.stop_all()
        end)
    end
end)

describe("flux2.new", function()
    local getenv = os.getenv
    after_each(function() rawset(os, "getenv", getenv) end)
    local function environment(values)
        rawset(os, "getenv", function(name)
            if name:find "^FLUX2_" then return values[name] end
            return getenv(name)
        end)
    end

    it("needs a key, and reports how to set one", function()
        environment {}
        local client, err = flux2.new()
        assert.is_nil(client)
        assert.equal("auth", err.kind)
        assert.matches("FLUX2_API_KEY", tostring(err), nil, true)
        environment { FLUX2_API_KEY = "" }
        assert.is_nil((flux2.new()))
    end)
    it("reads the environment", function()
        environment { FLUX2_API_KEY = "aio_k", FLUX2_BASE_URL = "https://example.com/" }
        assert.matches("https://example.com)", tostring(assert(flux2.new())), nil, true)
        environment { FLUX2_API_KEY = "aio_k" }
        assert.matches("https://apiin.one)", tostring(assert(flux2.new())), nil, true)
    end)
    for _, bad in ipairs {
        "ftp://example.com", "example.com", "http://", "https://user:pw@example.com", "https://example.com/?q=1",
        "http://example.com", "https://exa mple.com", "https://example.com/\n", "http://127.0.0.1.example.com",
        "http://localhost.example.com", "https://example.com:99999",
    } do
        it(("refuses the base URL %q"):format(bad), function()
            local client, err = flux2.new { api_key = "aio_k", base_url = bad }
            assert.is_nil(client)
            assert.equal("invalid_request", err.kind)
            assert.is_nil(tostring(err):find("pw@", 1, true))
        end)
    end
    for good, base in pairs {
        ["https://example.com"] = "https://example.com", ["https://example.com:443/"] = "https://example.com",
        ["https://EXAMPLE.com:8443/prefix/"] = "https://example.com:8443/prefix",
        ["https://apiin.one/api/v1"] = "https://apiin.one", ["http://127.0.0.1:8080"] = "http://127.0.0.1:8080",
        ["http://localhost:1"] = "http://localhost:1", ["http://[::1]:1"] = "http://[::1]:1",
    } do
        it("accepts the base URL " .. good, function()
            assert.equal("flux2.Client (" .. base .. ")",
                tostring(assert(flux2.new { api_key = "aio_k", base_url = good })))
        end)
    end
    it("reports why a base URL is refused", function()
        environment {}
        for address, why in pairs {
            ["ftp://example.com"] = "it begins with 'ftp:', not with http:// or https://",
            ["example.com"] = "it does not begin with http:// or https://", ["http://"] = "it names no host",
            ["https://example.com/?q=1"] = "it has a query or a fragment",
            ["https://example.com/#x"] = "it has a query or a fragment",
            ["http://example.com"] = "plain http would reveal the API key on the network; use https, or "
                .. "insecure_http = true if you are sure",
            ["https://exa mple.com"] = "it holds a space or a control character (byte 12)",
            ["https://example.com:99999"] = "its port is not one of 1 to 65535",
            ["https://example.com:0"] = "its port is not one of 1 to 65535",
            ["https://example.com:x"] = "its port is not a number", ["https://a\\b"] = "it holds a backslash",
            ["http://[::2]:1"] = "plain http would reveal the API key on the network; use https, or "
                .. "insecure_http = true if you are sure",
            ["http://1270.0.0.1"] = false,
        } do
            for _, opts in ipairs { { api_key = "aio_k", base_url = address },
                { api_key = "aio_k", base_url = address, insecure_http = false } } do
                local client, err = flux2.new(opts)
                assert.is_nil(client, address)
                if why then
                    assert.equal("invalid_request: base_url '" .. address .. "' was refused: " .. why, tostring(err))
                end
            end
        end
        local _, err = flux2.new { api_key = "aio_k", base_url = "https://user:pw@example.com" }
        assert.equal("invalid_request: base_url 'https://***@example.com' was refused: it holds a user name",
            tostring(err))
        environment { FLUX2_API_KEY = "aio_k", FLUX2_BASE_URL = "ftp://x" }
        assert.equal("invalid_request: base_url 'ftp://x' was refused: it begins with 'ftp:', not with http:// or "
            .. "https://",
            tostring(select(2, flux2.new())))
        assert(flux2.new { base_url = "https://given.example" }, "what is given comes before the environment")
        assert.equal("flux2.Client (https://apiin.one)",
            tostring(assert(flux2.new { api_key = "aio_k", base_url = "https://apiin.one/api/v1/" })))
        environment { FLUX2_API_KEY = "aio_k", FLUX2_BASE_URL = "" }
        assert.equal("flux2.Client (https://apiin.one)", tostring(assert(flux2.new {})))
    end)
    it("reports why a key or another text is refused", function()
        environment {}
        assert.equal("auth: no API key: set FLUX2_API_KEY in the environment, or give flux2.new { api_key = "
            .. "\"aio_...\" }",
            tostring(select(2, flux2.new())))
        for _, bad in ipairs { "aio_\127", "aio_ x", "\31" } do
            assert.equal("auth: the API key holds a space, a line break or another character that no key has",
                tostring(select(2, flux2.new { api_key = bad })))
        end
        assert(flux2.new { api_key = "!~" })
        for _, name in ipairs { "user_agent", "proxy", "ca_file", "spool" } do
            for _, bad in ipairs { "a\1b", "a\127", "a\nb" } do
                assert.equal("invalid_request: " .. name .. " holds a control character (byte 2)",
                    tostring(select(2, flux2.new { api_key = "aio_k", [name] = bad })))
            end
            assert.equal("invalid_request: " .. name .. " holds a control character (byte 2): a line break at its end?",
                tostring(select(2, flux2.new { api_key = "aio_k", [name] = "a\r\n" })))
        end
    end)
    it("sends its User-Agent, and applies its options", function()
        environment {}
        local emu = service.start()
        local client = service.client(emu, { user_agent = "mine/1" })
        assert(client:generate "a fox")
        assert(service.client(emu):generate "a fox")
        local agents, accepts = {}, {}
        for _, request in ipairs(emu:requests()) do
            agents[request.headers["user-agent"]] = true
            accepts[request.method .. " " .. request.path:match "^/%a+"] = request.headers.accept .. ", "
                .. tostring(request.headers["content-type"])
                .. ", " .. tostring(request.headers.expect)
        end
        assert.same({ ["mine/1"] = true, ["flux2-lua/" .. flux2._VERSION] = true }, agents)
        assert.same({
            ["POST /api"] = accepts["POST /api"], ["GET /api"] = "application/json, nil, nil",
            ["GET /images"] = "image/*, nil, nil",
        }, accepts)
        assert.matches("application/json, nil$", accepts["POST /api"])
        service.stop_all()
    end)
    it("sends the key over plain http only with insecure_http", function()
        assert(flux2.new { api_key = "aio_k", base_url = "http://example.com", insecure_http = true })
    end)
    for _, bad in ipairs { "aio_\n", "aio_a b", "aio_\0", "aio_\r\nX-Evil: 1", "aio_\195\164" } do
        it(("refuses the key %q"):format(bad):gsub("%c", "?"), function()
            local client, err = flux2.new { api_key = bad }
            assert.is_nil(client)
            assert.equal("auth", err.kind)
            assert.is_nil(tostring(err):find(bad, 1, true))
        end)
    end
    it("starts one thread for all clients, and no connection #proc", function()
        -- ThreadSanitizer starts a thread of its own with the first one.
        local started = require "support.build".flavour == "tsan" and 2 or 1
        local code, printed = service.run_lua("local started = " .. started .. [[

            local function threads()
                local n = 0
                for _ in io.popen("ls /proc/$PPID/task"):lines() do n = n + 1 end
                return n
            end
            local before = threads()
            local flux2 = require "flux2"
            assert(threads() == before, threads())
            for _ = 1, 2 do assert(flux2.new { api_key = "aio_k" }) end
            assert(threads() == before + started, threads())
            assert(flux2.update() == 0 and flux2.pending() == 0)
            local stats = flux2.stats()
            assert(stats.jobs == 0 and stats.requests == 0 and stats.connections == 0)
        ]])
        assert.equal(0, code, printed)
    end)
end)
