-- The tester as its page uses it, without a browser: what it does. What it refuses is in tester_guard_spec.lua, what the
-- page makes of it in spec/browser/.
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

--- A tester on EMU that polls often.
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
        list[i] = event.kind == "exchange" and ("%s %s"):format(event.what, tostring(event.http_status or event.failure):gsub("%.0$", "")) or event.kind
    end
    return table.concat(list, ", ")
end

describe("the tester", function()
    after_each(stop_all)

    it("makes a picture while the program that started it does nothing at all", function()
        local emu = service.start { duration = 0.05 }
        local url = emu.tester_url -- from here on nothing is pumped: curl blocks this program
        assert.equal(url, emu.tester_url)
        local id = page.submit(url, { prompt = "a red fox", type = "flex", aspect_ratio = "16:9" })
        local task, events = page.finish(url, id)
        assert.equal("succeeded", task.state)
        assert.equal(6, task.credits)
        assert.equal("submitted", events[1].kind)
        local bytes = page.get(url, "pictures/1/1")
        assert.equal("image/png", bytes.headers["content-type"])
        assert.equal(curl.request(curl.image_url(emu, task.task_id)).body, bytes.body)
        local ledger = emu:ledger()
        assert.equal(1, #ledger)
        assert.equal("16:9", ledger[1].aspect_ratio)
        assert.equal(0, flux2.pending(), "all of it went through the tester's own engine")
    end)

    it("tells every exchange: a 429 and a bad poll that it got over", function()
        local emu = service.start { duration = 0.05 }
        emu:fault { method = "POST", nth = 1, retry_after = 0 }
        emu:fault { method = "GET", path = "/api/v1/tasks/*", nth = 1, status = 503 }
        local url = start(emu).url
        local task, events = page.finish(url, page.submit(url, { prompt = "a red fox" }))
        assert.equal("succeeded", task.state)
        assert.matches("^submitted, submission 429, submission 200, status, poll 503, .-poll 200, status, progress, ended, " ..
            "picture, fetched$", kinds(events))
        assert.equal(0, events[2].retry_after)
        assert.matches('"code":200', events[3].body)
        for i = 2, #events do assert.is_true(events[i].at >= events[i - 1].at) end
    end)

    it("tells how a task fails: kind, message, meaning and what to do", function()
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

    it("tells what the module says of a request, without sending anything", function()
        local emu = service.start()
        local url = start(emu).url
        local rows = {
            { { prompt = "ab" }, "prompt", "3 to 5000" }, { {}, "prompt", "missing" },
            { { prompt = ("x"):rep(5001) }, "prompt", "has 5001" },
            { { prompt = "a fox", aspect_ratio = "16x9" }, "aspect_ratio", "did you mean '16:9'" },
            { { prompt = "a fox", type = "best" }, "type", "'pro' or 'flex'" },
            { { prompt = "a fox", resolution = "4K" }, "resolution", "'1K' or '2K'" },
            { { prompt = "a fox", input_urls = { "https://a.example/1.png", "ftp://b" } }, "input_urls", "input_urls%[2%]", 2 },
        }
        for _, row in ipairs(rows) do
            local said = json.decode(page.post(url, "check", { request = row[1] }).body)
            assert.equal("invalid_request", said.error.kind)
            assert.equal(row[2], said.error.field)
            assert.matches(row[3], said.error.message)
            assert.equal(row[4], said.error.index)
            assert.is_nil(said.code)
            local refused = page.post(url, "tasks", { request = row[1] })
            assert.equal(422, refused.status)
            assert.equal(row[2], json.decode(refused.body).error.field)
        end
        assert.equal(0, emu:stats().requests)
    end)

    it("names the price, and none where none is published", function()
        local url = start(service.start()).url
        local function price(kind, resolution)
            local request = { prompt = "a fox", type = kind, resolution = resolution }
            local said = json.decode(page.post(url, "check", { request = request }).body)
            return said.price or said.unpublished
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

    it("cancels a task, and takes one up again that was given up", function()
        local emu = service.start { duration = 60 }
        local url = start(emu, { timeout = bound(0.5) }).url
        local first = page.submit(url, { prompt = "a red fox" })
        local task = page.finish(url, first)
        assert.equal("timeout", task.error.kind)
        assert.is_true(task.resumable)
        emu:finish()
        assert.equal(200, page.post(url, ("tasks/%d/resume"):format(first)).status)
        task = page.follow(url, first, function(one) return one.state == "succeeded" and not one.fetching end)
        assert.equal(1, #task.pictures)
        assert.equal(1, #emu:ledger(), "it was not bought again")
        assert.equal(422, page.post(url, ("tasks/%d/resume"):format(first)).status)

        local second = page.submit(url, { prompt = "a heron" })
        page.follow(url, second, function(one) return one.state == "running" end)
        assert.equal(200, page.post(url, ("tasks/%d/cancel"):format(second)).status)
        assert.equal("cancelled", page.finish(url, second).state)
        assert.equal(404, page.post(url, "tasks/99/cancel").status)
    end)

    it("has several tasks at once, and one answer holds the news of all", function()
        local emu = service.start { duration = 0.1 }
        local url = start(emu).url
        local ids = {}
        for i = 1, 12 do ids[i] = page.submit(url, { prompt = "picture " .. i }) end
        for _, id in ipairs(ids) do assert.equal("succeeded", page.finish(url, id).state) end
        assert.equal(12, #emu:ledger())
        assert.equal(120, json.decode(page.get(url, "news?after=0").body).spent)
    end)

    it("keeps to the budget", function()
        local url = start(service.start(), { budget = 15 }).url
        page.submit(url, { prompt = "a fox" })
        local refused = page.post(url, "tasks", { request = { prompt = "another" } })
        assert.equal(422, refused.status)
        assert.equal("budget", json.decode(refused.body).error.kind)
    end)
end)

describe("the same request", function()
    after_each(stop_all)

    -- Everything that quoting could break.
    local ODD = 'a "red" fox, it\'s $HOME `date` \\n \\" ]] %d\nsecond line\tü — 雪 \1 \r\127 end'

    local function code(url, request)
        return json.decode(page.post(url, "check", { request = request }).body).code
    end

    it("as curl does the same", function()
        local emu = service.start()
        local request = { prompt = ODD, type = "flex", input_urls = { emu.url .. "/images/a'b.png", emu.url .. "/b.png" } }
        local snippet = code(start(emu).url, request).curl
        assert.is_nil(snippet:find(emu.api_key, 1, true))
        local file = os.tmpname()
        service.write(file, snippet)
        local _, answer = shell.run(("FLUX2_API_KEY=%s sh '%s' -s"):format(emu.api_key, file))
        os.remove(file)
        local sent = assert(emu:ledger()[1], answer)
        assert.equal(ODD, sent.prompt)
        assert.equal("flex", sent.type)
        assert.same(request.input_urls, sent.input_urls)
    end)

    it("as Lua does the same", function()
        local emu = service.start()
        local snippet = code(start(emu).url, { prompt = ODD, aspect_ratio = "3:2", input_urls = { emu.url .. "/b.png" } }).lua
        assert.is_nil(snippet:find(emu.api_key, 1, true))
        local dir = service.directory()
        -- The snippet writes picture.png where it is run, and this checkout is found by absolute paths only there.
        local status, printed = service.run_lua(snippet:gsub('"picture.png"', function() return ("%q"):format(dir .. "/picture.png") end),
            nil, "FLUX2_API_KEY=" .. emu.api_key)
        assert.equal(0, status, printed)
        assert.matches("^\137PNG", service.read(dir .. "/picture.png"))
        service.remove(dir)
        assert.equal(ODD, emu:ledger()[1].prompt)
        assert.equal("3:2", emu:ledger()[1].aspect_ratio)
    end)

    it("as JSON is what is sent", function()
        local emu = service.start()
        local request = { prompt = ODD, resolution = "2K" }
        local url = start(emu).url
        local text = code(url, request).json
        page.finish(url, page.submit(url, request))
        local sent = json.decode(emu:ledger()[1].body)
        assert.same(sent, json.decode(text))
    end)
end)

describe("a view of an input image", function()
    after_each(stop_all)

    it("comes through the tester, without the key", function()
        local emu = service.start()
        local url = start(emu).url
        local id = curl.accepted(emu)
        emu:finish()
        local address = curl.image_url(emu, id) .. "?a=b&c=d%20e"
        local seen = page.get(url, "thumbnail?url=" .. address:gsub("%W", function(c) return ("%%%02X"):format(c:byte()) end))
        assert.equal(200, seen.status)
        assert.equal("image/png", seen.headers["content-type"])
        assert.matches("^\137PNG", seen.body)
        local requests = emu:requests()
        assert.matches("^/images/.*%?a=b&c=d%%20e$", requests[#requests].path)
        assert.is_nil(requests[#requests].headers.authorization)
    end)

    it("is an image or nothing", function()
        local emu = service.start()
        local url = start(emu).url
        emu:fault { path = "/images/*", times = 9, body = "<svg onload=alert(1)>", headers = { ["Content-Type"] = "image/svg+xml" } }
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

    it("says what it cannot use", function()
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
        assert.matches("127%.0%.0%.1:" .. emu.port, err.message)
    end)

    it("takes the port that it is given, and says what it talks to", function()
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
        assert.is_true(json.decode(page.get(emu.tester_url, "about").body).emulator)
    end)

    it("is reached at the emulator's tester_url for as long as that runs", function()
        local emu = assert(emulator.start { port = 0 })
        local url = emu.tester_url
        assert.equal(200, page.get(url).status)
        emu:stop()
        assert.equal(7, page.get(url).exit, "curl: could not connect")
        emu:stop()
    end)
end)
