-- The tester through the requests of its page, without a browser. Access checks are in tester_guard_spec.lua, the page
-- itself in spec/browser/.
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"
local flux2 = require "flux2"
local json = require "flux2.json"
local bound = require "support.bound"
local page = require "support.tester_page"
local service = require "support.service"
local shell = require "support.shell"
local tester = require "flux2.tester"

local testers = {}

--- A tester on EMU with short poll intervals.
local function start(emu, options)
    local settings = { base_url = emu.url, api_key = emu.api_key, poll = { interval = 0.02 }, max_retries = 2 }
    for name, value in pairs(options or {}) do settings[name] = value end
    local one = assert(tester.start(settings))
    testers[#testers + 1] = one
    return one
end

local function stop_all()
    for i = #testers, 1, -1 do
        testers[i]:stop()
        testers[i] = nil
    end
    service.stop_all()
end

local function kinds(events)
    local list = {}
    for i, event in ipairs(events) do
        list[i] = event.kind == "request" and ("%s %s"):format(event.what,
            tostring(event.http_status or event.failure):gsub("%.0$", "")) or event.kind
    end
    return table.concat(list, ", ")
end

describe("the tester", function()
    after_each(stop_all)

    it("loads the modules of the program that started it, independently of package.path", function()
        local emu, path = service.start(), package.path
        package.path = "/nowhere/?.lua"
        local ok, one = pcall(start, emu)
        package.path = path
        assert(ok, one)
        local task = page.finish(one.url, page.submit(one.url, { prompt = "a red fox" }))
        assert.equal("succeeded", task.state)
    end)

    it("generates an image while the program that started it is blocked", function()
        local emu = service.start { duration = 0.05 }
        local url = emu:tester().url -- from here on nothing is pumped: curl blocks this program
        assert.equal(url, emu:tester().url)
        local id = page.submit(url, { prompt = "a red fox", type = "flex", aspect_ratio = "16:9" })
        local task, events = page.finish(url, id)
        assert.equal("succeeded", task.state)
        assert.equal(6, task.credits)
        assert.equal("submitted", events[1].kind)
        local bytes = page.get(url, "images/1/1")
        assert.equal("image/png", bytes.headers["content-type"])
        assert.equal(curl.request(curl.image_url(emu, task.task_id)).body, bytes.body)
        local ledger = emu:ledger()
        assert.equal(1, #ledger)
        assert.equal("16:9", ledger[1].aspect_ratio)
        assert.equal(0, flux2.pending(), "all of it went through the tester's own engine")
    end)

    it("finds its modules beside the loaded flux2", function()
        local emu, path = service.start(), package.path
        start(emu)
        package.path = ""
        local ok, one = pcall(start, emu)
        package.path = path
        assert(ok, one)
        assert.equal(200, page.get(one.url).status)
    end)

    it("reports every request, including a retried 429 and a failed poll", function()
        local emu = service.start { duration = 0.05 }
        emu:fault { method = "POST", nth = 1, retry_after = 0 }
        emu:fault { method = "GET", path = "/api/v1/tasks/*", nth = 1, status = 503 }
        local url = start(emu).url
        local task, events = page.finish(url, page.submit(url, { prompt = "a red fox" }))
        assert.equal("succeeded", task.state)
        assert.matches("^submitted, submission 429, submission 200, status, poll 503, .-poll 200, status, " ..
            "progress, ended, " ..
            "image, fetched$", kinds(events))
        assert.equal(0, events[2].retry_after)
        assert.matches('"code":200', events[3].body)
        for i = 2, #events do assert.is_true(events[i].at >= events[i - 1].at) end
    end)

    it("reports the kind, message, meaning and advice for a failed task", function()
        local emu = service.start { duration = 0.02, failure_reason = "the fox ran away" }
        local url = start(emu).url
        local task = page.finish(url, page.submit(url, { prompt = "[fail] a fox" }))
        assert.equal("failed", task.state)
        assert.equal("task_failed", task.error.kind)
        assert.matches("the fox ran away$", task.error.message)
        assert.equal(flux2.errors.advice.task_failed, task.error.advice)
        assert.equal(flux2.errors.kinds.task_failed, task.error.meaning)
        assert.is_nil(task.resumable)
    end)

    it("validates a request without sending anything", function()
        local emu = service.start()
        local url = start(emu).url
        local rows = {
            { { prompt = "ab" }, "prompt", "3 to 5000" }, { {}, "prompt", "missing" },
            { { prompt = ("x"):rep(5001) }, "prompt", "has 5001" },
            { { prompt = "a fox", aspect_ratio = "16x9" }, "aspect_ratio", "did you mean '16:9'" },
            { { prompt = "a fox", type = "best" }, "type", "'pro' or 'flex'" },
            { { prompt = "a fox", resolution = "4K" }, "resolution", "'1K' or '2K'" },
            { { prompt = "a fox", input_urls = { "https://a.example/1.png", "ftp://b" } }, "input_urls",
                "input_urls%[2%]", 2 },
        }
        for _, row in ipairs(rows) do
            local result = json.decode(page.post(url, "check", { request = row[1] }).body)
            assert.equal("invalid_request", result.error.kind)
            assert.equal(row[2], result.error.field)
            assert.matches(row[3], result.error.message)
            assert.equal(row[4], result.error.index)
            assert.is_nil(result.code)
            local refused = page.post(url, "tasks", { request = row[1] })
            assert.equal(422, refused.status)
            assert.equal(row[2], json.decode(refused.body).error.field)
        end
        assert.equal(0, emu:stats().requests)
    end)

    it("returns the published price, or none", function()
        local url = start(service.start()).url
        local function price(kind, resolution)
            local request = { prompt = "a fox", type = kind, resolution = resolution }
            local result = json.decode(page.post(url, "check", { request = request }).body)
            return result.price or result.unpublished
        end
        assert.equal(10, price("pro", "1K"))
        assert.equal(20, price("pro", "2K"))
        assert.equal(6, price("flex", "1K"))
        assert.matches("publishes no price", price("flex", "2K"))
        local listed = {}
        for _, one in ipairs(json.decode(page.get(url, "about").body).prices) do
            listed[one.type .. one.resolution] = one.credits or "none"
        end
        assert.same({ pro1K = 10, pro2K = 20, flex1K = 6, flex2K = "none" }, listed)
    end)

    it("cancels a task, and resumes one that timed out", function()
        local emu = service.start { duration = 60 }
        local url, first, task
        service.with_enough_time(1, function(seconds)
            url = start(emu, { timeout = seconds }).url
            first = page.submit(url, { prompt = "a red fox" })
            task = page.finish(url, first)
            return task.resumable
        end)
        assert.equal("timeout", task.error.kind)
        assert.is_true(task.resumable)
        emu:finish()
        local sold = #emu:ledger()
        assert.equal(200, page.post(url, ("tasks/%d/resume"):format(first)).status)
        task = page.follow(url, first, function(one) return one.state == "succeeded" and not one.fetching end)
        assert.equal(1, #task.images)
        assert.equal(sold, #emu:ledger(), "it was not bought again")
        assert.equal(422, page.post(url, ("tasks/%d/resume"):format(first)).status)

        url = start(emu).url
        local second = page.submit(url, { prompt = "a heron" })
        page.follow(url, second, function(one) return one.state == "running" end)
        assert.equal(200, page.post(url, ("tasks/%d/cancel"):format(second)).status)
        assert.equal("cancelled", page.finish(url, second).state)
        assert.equal(404, page.post(url, "tasks/99/cancel").status)
    end)

    it("runs several tasks at once, and one response updates all", function()
        local emu = service.start { duration = 0.1 }
        local url = start(emu).url
        local ids = {}
        for i = 1, 12 do ids[i] = page.submit(url, { prompt = "image " .. i }) end
        for _, id in ipairs(ids) do assert.equal("succeeded", page.finish(url, id).state) end
        assert.equal(12, #emu:ledger())
        assert.equal(120, json.decode(page.get(url, "events?after=0").body).spent)
    end)

    it("enforces the budget", function()
        local url = start(service.start(), { budget = 15 }).url
        page.submit(url, { prompt = "a fox" })
        local refused = page.post(url, "tasks", { request = { prompt = "another" } })
        assert.equal(422, refused.status)
        assert.equal("budget", json.decode(refused.body).error.kind)
    end)
end)

describe("the displayed request", function()
    after_each(stop_all)

    -- Characters that could break quoting.
    local ODD = 'a "red" fox, it\'s $HOME `date` \\n \\" ]] %d\nsecond line\tü — 雪 \1 \r\127 end'

    local function code(url, request)
        return json.decode(page.post(url, "check", { request = request }).body).code
    end

    it("as curl sends the same", function()
        local emu = service.start()
        local request = { prompt = ODD, type = "flex", input_urls = { emu.url .. "/images/a'b.png",
            emu.url .. "/b.png" } }
        local snippet = code(start(emu).url, request).curl
        assert.is_nil(snippet:find(emu.api_key, 1, true))
        local file = os.tmpname()
        service.write(file, snippet)
        local _, response = shell.run(("FLUX2_API_KEY=%s sh '%s' -s"):format(emu.api_key, file))
        os.remove(file)
        local sent = assert(emu:ledger()[1], response)
        assert.equal(ODD, sent.prompt)
        assert.equal("flex", sent.type)
        assert.same(request.input_urls, sent.input_urls)
    end)

    it("of an emulator's own page contain its key, and run as copied", function()
        local emu = service.start { api_key = "odd-key's" }
        local found = code(emu:tester().url, { prompt = "a red fox" })
        local file = os.tmpname()
        service.write(file, found.curl)
        shell.run("env -u FLUX2_API_KEY sh " .. file .. " -s")
        os.remove(file)
        assert.equal(1, #emu:ledger())
        local program = found.lua:gsub('"image.png"', function() return ("%q"):format(file) end)
        local status, printed = service.run_lua(program, nil, "env -u FLUX2_API_KEY")
        assert.equal(0, status, printed)
        assert.equal(2, #emu:ledger())
        os.remove(file)
        -- Of any other service the page shows no key, even if it is called an emulator.
        local other = assert(require("flux2.tester").start {
            base_url = "https://api.example", api_key = "odd-key", emulator = true,
        })
        local result = page.post(other.url, "check", { request = { prompt = "a red fox" } }).body
        other:stop()
        assert.is_nil(result:find("odd-key", 1, true))
        assert.matches("FLUX2_API_KEY", result)
    end)

    it("as Lua sends the same", function()
        local emu = service.start()
        local snippet = code(start(emu).url, { prompt = ODD, aspect_ratio = "3:2",
            input_urls = { emu.url .. "/b.png" } }).lua
        assert.is_nil(snippet:find(emu.api_key, 1, true))
        local dir = service.directory()
        -- The snippet writes image.png to the working directory, and absolute paths find this checkout from there.
        local status, printed = service.run_lua(snippet:gsub('"image.png"',
            function() return ("%q"):format(dir .. "/image.png") end),
            nil, "FLUX2_API_KEY=" .. emu.api_key)
        assert.equal(0, status, printed)
        assert.matches("^\137PNG", service.read(dir .. "/image.png"))
        service.remove(dir)
        assert.equal(ODD, emu:ledger()[1].prompt)
        assert.equal("3:2", emu:ledger()[1].aspect_ratio)
    end)

    it("as JSON is the body", function()
        local emu = service.start()
        local request = { prompt = ODD, resolution = "2K" }
        local url = start(emu).url
        local text = code(url, request).json
        page.finish(url, page.submit(url, request))
        local sent = json.decode(emu:ledger()[1].body)
        assert.same(sent, json.decode(text))
    end)
end)

describe("the preview of an input image", function()
    after_each(stop_all)

    it("is loaded through the tester, without the key", function()
        local emu = service.start()
        local url = start(emu).url
        local id = curl.accepted(emu)
        emu:finish()
        local address = curl.image_url(emu, id) .. "?a=b&c=d%20e"
        local seen = page.get(url, "thumbnail?url=" .. address:gsub("%W",
            function(c) return ("%%%02X"):format(c:byte()) end))
        assert.equal(200, seen.status)
        assert.equal("image/png", seen.headers["content-type"])
        assert.matches("^\137PNG", seen.body)
        local requests = emu:requests()
        assert.matches("^/images/.*%?a=b&c=d%%20e$", requests[#requests].path)
        assert.is_nil(requests[#requests].headers.authorization)
    end)

    it("is requested once: the page repeats the request on demand", function()
        local emu = service.start()
        local url = start(emu).url
        emu:fault { path = "/x.png", times = 9, status = 503, retry_after = 0, body = "later" }
        assert.equal(502, page.get(url, "thumbnail?url=" .. emu.url .. "/x.png").status)
        assert.equal(1, emu:faults()[1].fired)
    end)

    it("must be an image", function()
        local emu = service.start()
        local url = start(emu).url
        emu:fault { path = "/images/*", times = 1000, body = "<svg onload=alert(1)>",
            headers = { ["Content-Type"] = "image/svg+xml" } }
        local refused = page.get(url, "thumbnail?url=" .. emu.url .. "/images/a/1.png")
        assert.equal(502, refused.status)
        assert.equal("not_an_image", json.decode(refused.body).error.kind)
        assert.equal(422, page.get(url, "thumbnail?url=file:///etc/passwd").status)
        assert.equal(422, page.get(url, "thumbnail").status)
        assert.equal(404, page.get(url, "thumbnail?url=" .. emu.url .. "/nothing.png").status)
    end)
end)

describe("flux2.tester.start", function()
    after_each(stop_all)

    it("rejects invalid options", function()
        local none, err = tester.start { base_url = "http://127.0.0.1:1" }
        assert.is_nil(none)
        assert.equal("auth", err.kind)
        none, err = tester.start { api_key = "aio_k", base_url = "http://elsewhere.example" }
        assert.is_nil(none)
        assert.equal("invalid_request", err.kind)
        assert.has_error(function() tester.start { prot = 80 } end,
            "flux2.tester.start: unknown option 'prot': did you mean port?")
        assert.has_error(function() tester.start { api_key = "aio_k", port = 65536 } end,
            "flux2.tester.start: port must be a whole number from 0 to 65535, not 65536")
        local emu = service.start()
        none, err = tester.start { api_key = "aio_k", base_url = emu.url, port = emu.port }
        assert.is_nil(none)
        assert.equal("io", err.kind)
        assert.matches("127%.0%.0%.1, port " .. emu.port, err.message)
    end)

    it("uses the given port, and reports the service", function()
        local emu = service.start()
        local first = start(emu)
        local port = first.port
        first:stop()
        first:stop()
        local second = start(emu, { port = port })
        assert.equal(port, second.port)
        assert.equal(emu.url, second.base_url)
        assert.not_equal(first.url, second.url, "each has a token of its own")
        assert.is_nil(tostring(second):find(second.url, 1, true))
        local about = json.decode(page.get(second.url, "about").body)
        assert.equal(emu.url, about.base_url)
        assert.is_false(about.emulator)
        assert.is_true(json.decode(page.get(emu:tester().url, "about").body).emulator)
    end)

    it("works without the emulator's module, and does not load cairo", function()
        local emu = service.start { duration = 0.02 }
        local code, printed = service.run_lua([[
            package.preload["flux2.emulator.core"] = function() error "the emulator was not built" end
            assert(not pcall(require, "flux2.emulator"))
            local page = require "support.tester_page"
            local one = assert(require("flux2.tester").start { base_url = arg[1], api_key = arg[2],
                poll = { interval = 0.02 } })
            local task = page.finish(one.url, page.submit(one.url, { prompt = "a red fox" }))
            assert(task.state == "succeeded", task.state)
            one:stop()
            local maps = io.open "/proc/self/maps"
            if maps then assert(not maps:read("*a"):find("cairo", 1, true)) end
        ]], ("'%s' '%s'"):format(emu.url, emu.api_key))
        assert.equal(0, code, printed)
    end)

    it("is available as emulator:tester().url while the emulator runs", function()
        local emu = assert(emulator.start { port = 0 })
        local url = emu:tester().url
        assert.equal(200, page.get(url).status)
        emu:stop()
        assert.equal(7, page.get(url).exit, "curl: could not connect")
        emu:stop()
    end)
end)

describe("the tester's session", function()
    local session = require "flux2.tester.session"
    local emu, client, now
    before_each(function()
        emu = service.start()
        client = service.client(emu, { budget = 2000 })
        now = 0
    end)
    after_each(stop_all)

    local function new()
        return session.new(client, function()
            now = now + 0.5
            return now
        end)
    end

    --- All updates after AFTER, until the task ID has ended and its image is loaded.
    local function follow(s, id, after)
        local events, last, version = {}, nil, after or 0
        service.in_coroutine(function()
            repeat
                local update = s:events_after(version, 5)
                version = update.version
                for _, event in ipairs(update.events ~= json.null and update.events or {}) do
                    events[#events + 1] = event
                end
                for _, task in ipairs(update.tasks ~= json.null and update.tasks or {}) do
                    if task.id == id then last = task end
                end
            until last and not last.running and not last.fetching
        end)
        return last, events, version
    end

    it("reports a task in numbered events, and its state", function()
        local s = new()
        local id = assert(s:submit { prompt = "a red fox", type = "flex" })
        assert.equal(1, id)
        local task, events, version = follow(s, id)
        assert.equal("succeeded", task.state)
        assert.same({ 1, 6, 6, "SUCCESS", 1, "flex", false }, { task.id, task.price, task.credits, task.status,
            task.progress, task.request.type, task.running })
        assert.equal(emu:ledger()[1].task_id, task.task_id)
        assert.is_nil(task.fetching)
        assert.is_nil(task.error)
        assert.is_nil(task.resumable)
        assert.is_true(task.elapsed > 0)
        for i, event in ipairs(events) do
            assert.same({ i, 1 }, { event.n, event.task })
            assert.is_true(event.at > 0)
        end
        assert.equal(#events, version)
        assert.matches("^submitted, submission 200, status, .*ended, image, fetched$", kinds(events))
        local ended, image_event = events[#events - 2], events[#events - 1].image
        assert.same({ "succeeded", "SUCCESS" }, { ended.state, ended.status })
        assert.same({ 1, 1, "image/png", 600, 0.5 }, { image_event.task, image_event.index, image_event.content_type,
            image_event.size, image_event.seconds })
        assert.equal(image_event, task.images[1])
        assert.matches("/images/", image_event.url)
        local size = 0
        for _, event in ipairs(events) do size = size + #(event.body or "") end
        assert.equal(size, s.by_id[id].bodies)
        for _, event in ipairs(events) do
            if event.kind == "request" then
                assert.equal("string", type(event.body))
                assert.equal(#event.body, event.size)
                assert.equal("number", type(event.elapsed))
                assert.equal("number", type(event.number))
            end
        end
        local bytes, content_type = s:image(1, 1)
        assert.same({ 600, "image/png" }, { #bytes, content_type })
        assert.is_nil((s:image(1, 2)))
        assert.is_nil((s:image(2, 1)))
    end)

    it("returns the events after a number, or waits for one", function()
        local s = new()
        local _, _, version = follow(s, assert(s:submit "a red fox"))
        local before = require "flux2.core".now()
        local update = s:events_after(version, 0.01)
        assert.is_true(require "flux2.core".now() - before < bound(15))
        assert.same({ version = version, events = json.null, tasks = json.null, spent = 10, reserved = 0 }, update)
        assert.equal(version + 7, s:events_after(version + 7, 0.001).version)
        update = s:events_after(version - 1, 5)
        assert.same({ 1, "fetched", version }, { #update.events, update.events[1].kind, update.version })
        assert.equal(1, #update.tasks)
        -- A new event ends the wait at once.
        local received
        local waits = require "flux2".spawn(function() received = s:events_after(version, 60) end)
        assert.equal("running", waits.state)
        assert(s:submit "a hare")
        assert.equal("done", waits.state)
        assert.same({ "submitted", version + 1, 2 }, { received.events[1].kind, received.version,
            received.tasks[1].id })
        service.pump_until(function() return require "flux2".pending() == 0 end)
    end)

    it("returns at most 200 events at once, and the rest afterwards", function()
        local s = new()
        for i = 1, 80 do assert(s:submit("image " .. i)) end
        service.pump_until(function() return require "flux2".pending() == 0 end)
        local version, total, seen = 0, 0, {}
        repeat
            local update = s:events_after(version, 0.001)
            local events = update.events ~= json.null and update.events or {}
            assert.is_true(#events <= 200)
            if total == 0 then assert.same({ 200, events[200].n }, { #events, update.version }) end
            for _, event in ipairs(events) do
                total = total + 1
                assert.equal(total, event.n)
            end
            for _, task in ipairs(update.tasks ~= json.null and update.tasks or {}) do seen[task.id] = true end
            version = update.version
        until #events == 0
        assert.is_true(total > 400)
        assert.equal(80, #seen)
    end)

    it("keeps 100 tasks: the oldest finished ones are removed first, and running ones stay", function()
        local s = new()
        emu:set { duration = 60 }
        assert(s:submit "lives on")
        service.pump_until(function() return #emu:ledger() == 1 end)
        emu:set { duration = 0 }
        for i = 2, 100 do assert(s:submit("image " .. i)) end
        service.pump_until(function() return require "flux2".pending() == 1 end, 60)
        assert.truthy(s:image(2, 1))
        local kept = s.image_bytes
        assert.equal(99 * 600, kept)
        assert.equal(101, s:submit "one more")
        assert.is_nil((s:image(2, 1)))
        assert.truthy(s:image(3, 1))
        assert.equal(98 * 600, s.image_bytes)
        assert.is_true(s:cancel(1))
        assert.same({ nil, "not_found", "unknown task 2" }, (function()
            local ok, err = s:cancel(2)
            return { ok, err.kind, err.message }
        end)())
        service.pump_until(function() return require "flux2".pending() == 0 end)
    end)

    it("keeps the oldest finished task while its image is still being downloaded", function()
        local s = session.new(service.client(emu, { max_retries = 0 }), require "flux2.core".now)
        emu:fault { path = "/images/*", times = 1, hang = true }
        assert.equal(1, s:submit "its image takes long")
        service.pump_until(function() return s.by_id[1].fetching end)
        for i = 2, 100 do assert(s:submit("image " .. i)) end
        service.pump_until(function() return require "flux2".pending() == 1 end, 60)
        assert(s:submit "one more")
        assert.truthy(s.by_id[1])
        assert.is_nil(s.by_id[2])
        emu:stop()
        service.pump_until(function() return require "flux2".pending() == 0 end)
    end)

    it("keeps exactly 256 MiB of images, and removes the oldest for a new one", function()
        local s = new()
        follow(s, assert(s:submit "the first"))
        s.image_bytes = 256 * 2 ^ 20 - 600 -- simulates large images
        follow(s, assert(s:submit "the second"))
        assert.truthy(s:image(1, 1))
        local _, events = follow(s, assert(s:submit "the third"))
        assert.equal("fetched", events[#events].kind)
        assert.is_nil((s:image(1, 1)))
        assert.truthy(s:image(2, 1) and s:image(3, 1))
        assert.is_true(s.by_id[1].images[1].dropped)
        assert.equal(256 * 2 ^ 20, s.image_bytes)
    end)

    it("lists no task before the event of its submission", function()
        local s = new()
        for i = 1, 60 do assert(s:submit("image " .. i)) end
        service.pump_until(function() return require "flux2".pending() == 0 end)
        assert.equal(61, s:submit "the last")
        local news = s:events_after(0, 0.001)
        assert.equal(200, #news.events)
        for _, task in ipairs(news.tasks) do assert.is_true(task.id < 61) end
        service.pump_until(function() return require "flux2".pending() == 0 end)
    end)

    it("keeps one megabyte of responses per task", function()
        emu:set { duration = 60 }
        -- No poll is sent before the response to the submission was seen.
        client = service.client(emu, { max_event_bytes = 1 })
        local s = new()
        local id = assert(s:submit "a red fox")
        service.pump_until(function() return s.by_id[id].task.id end)
        local entry = s.by_id[id]
        entry.bodies = 1024 * 1024 - 100
        for _, body in ipairs { ("x"):rep(101), ("x"):rep(100), "x" } do
            emu:fault { method = "GET", status = 500, retry_after = 0, body = body }
        end
        emu:finish()
        local _, events = follow(s, id)
        local kept = {}
        for _, event in ipairs(events) do
            if event.kind == "request" and event.what == "poll" then kept[#kept + 1] = event.body and #event.body or "no" end
        end
        assert.same({ "no", 100, "no", "no" }, kept)
        assert.equal(1024 * 1024, entry.bodies)
    end)

    it("reports an error with its meaning and advice, and resumes a task that timed out", function()
        local s = new()
        local none, err = s:submit { prompt = "x" }
        assert.is_nil(none)
        local described = session.describe_error(err)
        assert.same({
            kind = "invalid_request", message = "prompt must have 3 to 5000 characters, has 1", field = "prompt",
            retryable = false,
            meaning = flux2.errors.kinds.invalid_request, advice = flux2.errors.advice.invalid_request,
        }, described)
        local all = { cause = {}, limit = 3 }
        for i, name in ipairs { "status", "code", "type", "task_id", "request_id", "attempts", "retry_after", "index",
            "raw" } do
            all[name] = i
        end
        described = session.describe_error(require "flux2.errors".new("server", "x", all))
        assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9 }, {
            described.status, described.code, described.type, described.task_id, described.request_id,
            described.attempts, described.retry_after, described.index, described.raw,
        })
        assert.is_nil(described.limit)
        assert.is_nil(described.cause)
        emu:set { duration = 60 }
        local hasty = { timeout = bound(2), poll = { interval = 0.02, patience = 0.05 } }
        s = session.new(service.client(emu, hasty), require "flux2.core".now)
        local id = assert(s:submit "a red fox")
        for _, verb in ipairs { "resume" } do
            local ok, refused = s[verb](s, id)
            assert.same({ nil, "invalid_request: task 1 cannot be resumed" }, { ok, tostring(refused) })
            ok, refused = s[verb](s, 9)
            assert.same({ nil, "not_found: unknown task 9" }, { ok, tostring(refused) })
        end
        local task, events, version = follow(s, id)
        assert.same({ "failed", "timeout", true }, { task.state, task.error.kind, task.resumable })
        assert.equal("ended", events[#events].kind)
        emu:finish()
        assert.is_true(s:resume(id))
        task, events = follow(s, id, version)
        assert.same({ "succeeded", "resumed" }, { task.state, events[1].kind })
        assert.equal(1, #task.images)
        emu:fault { path = "/images/*", times = 1000, status = 404, body = "" }
        emu:set { duration = 0 }
        id = assert(s:submit "a lost fox")
        task = follow(s, id, version)
        assert.equal("not_found", task.images[1].error.kind)
        assert.is_nil(task.images[1].size)
        assert.is_nil((s:image(id, 1)))
    end)
end)

describe("the code snippets", function()
    local provider = require("flux2.provider").resolve()
    local snippets = require "flux2.tester.snippets"
    local payload = {
        model = "flux-2", prompt = "it's a \"fox\"/\\\n\1", input_urls = { "https://a/1", "https://a/2" }, seed = 7,
        bold = true, none = json.null,
        share = 0.5,
    }
    it("JSON has the fields in the order of the documentation", function()
        assert.equal([[{
  "model": "flux-2",
  "prompt": "it's a \"fox\"/\\\n\u0001",
  "input_urls": [
    "https://a/1",
    "https://a/2"
  ],
  "bold": true,
  "none": null,
  "seed": 7,
  "share": 0.5
}]], snippets.json(provider, payload))
        assert.equal("{\n  \"model\": \"flux-2\"\n}", snippets.json(provider, { model = "flux-2" }))
    end)
    it("the shell snippet is one line", function()
        assert.equal([[curl -X POST 'http://h/api/v1/images/generations' \
  -H "Authorization: Bearer $FLUX2_API_KEY" \
  -H 'Content-Type: application/json' \
  -d '{
  "prompt": "it'\''s"
}']], snippets.curl(provider, { prompt = "it's" }, "http://h"))
    end)
    it("is Lua", function()
        assert.equal([[local flux2 = require "flux2"

local client = assert(flux2.new { base_url = "http://h" }) -- the API key: FLUX2_API_KEY
local image = assert(client:generate {
    model = "flux-2",
    prompt = "it's a \"fox\"/\\\n\001",
    input_urls = {
        "https://a/1",
        "https://a/2",
    },
    bold = true,
    seed = 7,
    share = 0.5,
})
assert(image:save "image.png")]], (snippets.lua(provider, {
            model = payload.model, prompt = payload.prompt, input_urls = payload.input_urls, seed = 7, bold = true,
            share = 0.5,
        }, "http://h")))
    end)
end)

describe("a URL of the tester", function()
    after_each(stop_all)

    it("has a defined path and method", function()
        local emu = service.start()
        local url = start(emu).url
        for _, case in ipairs {
            { "get", "", 200, "text/html; charset=utf-8" }, { "get", "page/style.css", 200, "text/css; charset=utf-8" },
            { "get", "page/main.js", 200, "text/javascript; charset=utf-8" },
            { "get", "page/icon.svg", 200, "image/svg+xml" },
            { "get", "page/index.html", 200, "text/html; charset=utf-8" },
            { "get", "page/nothing.js", 404, "unknown file" },
            { "get", "nothing", 404, "unknown path" }, { "get", "images/1/1", 404, "the image is no longer available" },
            { "get", "images/x", 404, "the image is no longer available" }, { "get", "check", 404, "unknown path" },
            { "post", "nothing", 404, "unknown path" }, { "post", "tasks/1/nothing", 404, "unknown path" },
            { "post", "tasks/1/check", 404, "unknown path" }, { "post", "cancel", 404, "unknown path" },
            { "post", "tasks/7/cancel", 404, "unknown task 7" }, { "post", "tasks/7/resume", 404, "unknown task 7" },
            { "post", "check", 422, "the body contains no request" },
            { "post", "tasks", 422, "the body contains no request" },
        } do
            local response = page[case[1]](url, case[2])
            assert.equal(case[3], response.status, case[2])
            if case[3] == 200 then
                assert.equal(case[4], response.headers["content-type"])
            else
                assert.equal(case[4], json.decode(response.body).error.message, case[2])
            end
        end
        assert.equal(422, page.post(url, "check", "[]").status)
        assert.equal(422, page.post(url, "check", "no json").status)
        local about = json.decode(page.get(url, "about").body)
        assert.same({ emu.url, false, flux2._VERSION, 6, 4 }, { about.base_url, about.emulator, about.version,
            #about.fields, #about.prices })
        assert.same({ "prompt", "text", true, 3, 5000 }, {
            about.fields[2].name, about.fields[2].type, about.fields[2].required, about.fields[2].min,
            about.fields[2].max,
        })
        for _, after in ipairs { "", "?after=x", "?after=-1", "?after=nan", "?after=0" } do
            if after == "" then page.submit(url, { prompt = "a red fox" }) end
            local update = json.decode(page.get(url, "events" .. after).body)
            assert.equal(1, update.events[1].n, after)
        end
    end)
end)
