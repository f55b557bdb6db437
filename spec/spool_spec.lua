-- The spool in one process: its files, when records are removed, and what recover returns.
local bound = require "support.bound"
local cjson = require "cjson"
local core = require "flux2.core"
local flux2 = require "flux2"
local png = require "support.png"
local service = require "support.service"
local shell = require "support.shell"

local SUBMIT = "/api/v1/images/generations"
local DEAD = "00000000000000aa" -- an owner that never existed

--- The permissions of a file, with GNU or BSD `stat`.
local function mode_of(path)
    local _, printed = shell.run(("stat -c %%a '%s' 2>/dev/null || stat -f %%Lp '%s'"):format(path, path))
    return printed:match "^%d+"
end

describe("the spool", function()
    local emu, dir, client
    before_each(function()
        emu = service.start()
        dir = service.directory() .. "/spool"
        client = service.client(emu, { spool = dir })
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir:gsub("/spool$", ""))
    end)

    local function names(pattern)
        local found = {}
        for _, name in ipairs(service.list(dir)) do
            if name:find(pattern or "%.json$") then found[#found + 1] = name end
        end
        return found
    end

    local function records()
        local found = {}
        for i, name in ipairs(names()) do found[i] = cjson.decode(service.read(dir .. "/" .. name)) end
        return found
    end

    --- The record of a task of a dead owner.
    local function leave_behind(number, fields, owner)
        local record = {
            task_id = "", submitted = "2026-01-31T12:00:0" .. number .. "Z", base_url = emu.url,
            request = { model = "flux-2", prompt = "prompt " .. number },
        }
        for name, value in pairs(fields or {}) do record[name] = value end
        local path = ("%s/task-%s-%04d.json"):format(dir, owner or DEAD, number)
        service.write(path, cjson.encode(record))
        return path
    end

    --- Tasks that an earlier run submitted and left.
    local function accepted_tasks(n)
        local plain, ids = service.client(emu), {}
        for i = 1, n do
            local task = assert(plain:submit("prompt " .. i))
            service.pump_until(function() return task.id end)
            ids[i] = task.id
            leave_behind(i, { task_id = task.id })
            task:cancel()
        end
        return ids
    end

    it("keeps the record of a failed task until the listeners have returned, and permanently if one raises", function()
        local seen, uncaught
        flux2.on_error = function(message) uncaught = tostring(message) end
        finally(function() flux2.on_error = nil end)
        local task = assert(client:submit("a [fail]", { on_done = function() seen = #names() end }))
        assert.equal("task_failed", select(2, task:wait()).kind)
        assert.equal(1, seen)
        assert.same({}, names())
        assert.is_nil(task.error.paid)
        task = assert(client:submit("a [fail]", { on_done = function() error("the disk is full", 0) end }))
        assert.equal("task_failed", select(2, task:wait()).kind)
        assert.matches("the disk is full", uncaught)
        assert.equal(1, #names())
    end)

    local function post_fault(fault)
        fault.method, fault.path, fault.nth = "POST", SUBMIT, 1
        return emu:fault(fault)
    end

    describe("writes", function()
        it("a record before the response, private, readable, and without the key #modes", function()
            post_fault { hang = true, accept = false }
            local prompt = "a key is no prompt: " .. emu.api_key .. " {id} \"quoted\" /"
            local task = assert(client:submit { prompt = prompt, type = "flex",
                extra = { seed = 7, keys = { emu.api_key } } })
            service.pump_until(function() return emu:faults()[1].fired == 1 end)
            assert.equal(1, #names())
            local path = dir .. "/" .. names()[1]
            local text = service.read(path)
            assert.is_nil(text:find(emu.api_key, 1, true))
            local record = cjson.decode(text)
            assert.equal("", record.task_id)
            assert.equal(emu.url, record.base_url)
            assert.equal(6, record.price)
            assert.truthy(record.submitted:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
            assert.equal("a key is no prompt: [key] {id} \"quoted\" /", record.request.prompt)
            assert.equal(7, record.request.seed)
            assert.equal("[key]", record.request.keys[1])
            assert.equal(prompt, task.request.prompt)
            assert.truthy(select(2, text:gsub("\n", "\n")) >= 6, "one member a line: " .. text)
            assert.equal("600", mode_of(path))
            assert.equal("700", mode_of(dir))
            task:cancel()
        end)

        it("no key, at any place in the request: as a name, nested, or encoded", function()
            for _, key in ipairs { emu.api_key, "sk-odd.(key)%1+x" } do
                local own = service.client(emu, { spool = dir, api_key = key })
                emu:set { api_key = key }
                post_fault { hang = true, accept = false }
                local request = {
                    prompt = "a key that is a name",
                    extra = { [key] = 1, outer = { ["x" .. key .. "y"] = { { key .. key } } }, flag = true },
                }
                local task = assert(own:submit(request))
                service.pump_until(function() return emu:faults()[1].fired == 1 end)
                local text = service.read(dir .. "/" .. names()[1])
                assert.is_nil(text:find(key, 1, true), text)
                local said = cjson.decode(text).request
                assert.equal(1, said["[key]"])
                assert.same({ xaio_aaay = { { "[key][key]" } } }, { xaio_aaay = said.outer["x[key]y"] })
                assert.is_true(said.flag)
                assert.equal(1, task.request[key], "what is sent stays as it was given")
                task:cancel():discard()
                service.pump_until(function() return flux2.stats().jobs == 0 end)
                emu:clear_faults()
            end
        end)

        it("the id before it is reported, however busy the host is", function()
            emu:set { duration = 60 }
            local task = assert(client:submit "blocked")
            local until_ = core.now() + bound(20)
            while not (records()[1] and records()[1].task_id ~= "") do assert(core.now() < until_) end
            assert.equal("submitting", task.state)
            assert.is_nil(task.id)
            assert.equal(emu:ledger()[1].task_id, records()[1].task_id)
            service.pump_until(function() return task.id end)
            assert.equal(task.id, records()[1].task_id)
            assert.is_nil(names("%.part$")[1])
            task:cancel()
        end)

        it("the same text each time, with a price if given", function()
            emu:set { duration = 60 }
            for _, case in ipairs { { "pro", '  "price": 10,\n' }, { "flex", "" } } do
                local task = assert(client:submit { prompt = "a/b", type = case[1], resolution = case[1] == "flex"
                    and "2K" or nil })
                service.pump_until(function() return task.id end)
                local text = service.read(dir .. "/" .. names()[1])
                local submitted = text:match '"submitted": "(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ)"'
                local head = '{\n  "task_id": "' .. task.id ..
                    '",\n  "poll_url": null,\n  "answer": null,\n  "submitted": "' .. submitted ..
                        '",\n  "base_url": "' .. emu.url
                    .. '",\n' .. case[2] .. '  "request": {'
                assert.equal(head, text:sub(1, #head))
                assert.truthy(text:find('"prompt":"a/b"', 1, true), text)
                assert.equal("}\n}\n", text:sub(-4))
                assert.matches("^task%-%x+%-000" .. (case[1] == "pro" and 1 or 2) .. "%.json$", names()[1])
                task:cancel():discard()
            end
        end)

        it("ids of any kind so that they are preserved", function()
            for i, id in ipairs { [[a"b\c/../d]], "\227\129\131\1\127 {id} %1", ("9"):rep(15), ("x"):rep(512) } do
                emu:clear_faults()
                post_fault { body = cjson.encode { code = 200, data = { task_id = id, status = "queued" } } }
                emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 1000, hang = true }
                local task = assert(client:submit "any id")
                service.pump_until(function() return task.id end)
                assert.equal(id, task.id)
                assert.equal(id, records()[1].task_id)
                task:cancel():discard()
                assert.equal(0, #names(), i)
            end
        end)

        it("the service, so that a client of another one counts the record", function()
            emu:set { duration = 60 }
            local task = assert(client:submit "a fox")
            service.pump_until(function() return task.id end)
            os.execute("mkdir '" .. dir .. "/copy'")
            service.write(dir .. "/copy/task-00000000000000aa-0001.json", service.read(dir .. "/" .. names()[1]))
            local other = service.client(emu, { spool = dir .. "/copy", base_url = emu.url .. "/elsewhere" })
            local results = { other:recover() }
            assert.same({ {}, {}, {}, { [emu.url] = 1 } }, results)
            results = { service.client(emu, { spool = dir .. "/copy" }):recover() }
            assert.same({ 1, {} }, { #results[1], results[4] })
            service.remove(dir .. "/copy")
            task:cancel():discard()
        end)

        it("any price", function()
            for _, price in ipairs { 0, 0.1, 1e-300, 2 ^ 53, 1e300 } do
                local task = assert(client:submit("a fox", { price = price }))
                assert(task:wait())
                assert.is_true(math.abs(records()[1].price - price) <= price * 1e-13)
                task:discard()
            end
        end)

        it("nothing for a task that is discarded before it is accepted, whatever its end", function()
            for _, fault in ipairs { { delay = 0.05 }, { status = 500, body = "?" }, { status = 400, body = "no" } } do
                for _, is_sent in ipairs { false, true } do
                    emu:clear_faults()
                    post_fault(fault)
                    local requests = emu:stats().requests
                    local task = assert(client:submit "a fox")
                    if is_sent then service.pump_until(function() return emu:stats().requests > requests end) end
                    task:discard()
                    local result = task:wait()
                    assert.same({}, names())
                    if result then assert(result.images[1]:bytes()) end
                    assert.same({}, names())
                end
            end
        end)

        it("nothing for a request that is invalid, and nothing without the option", function()
            assert.is_nil((client:submit { prompt = "" }))
            assert(service.client(emu):generate "no spool")
            assert.equal(0, #names())
        end)
    end)

    describe("removes the record of a task", function()
        it("when its image was saved or returned, and not before", function()
            emu:set { image_bytes = 5000 }
            local result = assert(assert(client:submit "saved"):wait())
            assert.equal(1, #names())
            assert.is_nil((result.images[1]:save(dir .. "/no/such/directory.png")))
            assert.equal(1, #names())
            assert(result.images[1]:save(dir .. "/saved.png"))
            assert.equal(0, #names())
            result = assert(assert(client:submit "handed over"):wait())
            assert.equal(1, #names())
            assert(result.images[1]:bytes())
            assert.equal(0, #names())
            assert(client:generate "both at once")
            assert(client:generate("into a file", { save = dir .. "/generated.png" }))
            assert.equal(0, #names())
        end)

        it("when all its images were", function()
            emu:set { images_per_task = 2, shape = "output_array" }
            local result = assert(assert(client:submit "two"):wait())
            assert.equal(2, #result.images)
            assert(result.images[1]:bytes())
            assert(result.images[1]:bytes())
            assert.equal(1, #names())
            assert(result.images[2]:bytes())
            assert.equal(0, #names())
        end)

        it("when an image embedded in the response was saved, and not when saving failed", function()
            emu:set { sync = "b64_json" }
            local result = assert(assert(client:submit "inside"):wait())
            assert.equal(1, #names())
            assert.is_nil((result.images[1]:save(dir .. "/no/such/directory.png")))
            assert.equal(1, #names())
            assert(result.images[1]:save(dir .. "/inside.png"))
            assert.equal(0, #names())
        end)

        it("not when an image embedded in the response is truncated", function()
            local half = core.base64(png.holding("whole"):sub(1, -2))
            post_fault { body = '{"created":1,"data":[{"b64_json":"' .. half .. '"}]}' }
            local image = assert(assert(client:submit "inside"):wait()).images[1]
            for _ = 1, 2 do
                local bytes, err = image:bytes()
                assert.same({ nil, "not_an_image", true }, { bytes, err.kind, err.paid })
            end
            assert.equal(1, #names())
        end)

        it("when it failed permanently, was refused, or did not reach the service", function()
            for _, prompt in ipairs { "this will [fail]", "this will [moderate]", "this will [reject]" } do
                assert.is_nil((assert(client:submit(prompt)):wait()))
                assert.equal(0, #names(), prompt)
            end
            for _, status in ipairs { 400, 401, 402, 422 } do
                post_fault { status = status, body = "no" }
                assert.is_nil((assert(client:submit "refused"):wait()))
                assert.equal(0, #names(), status)
            end
            client = service.client(emu, { spool = dir, base_url = "http://127.0.0.1:1" })
            local _, err = assert(client:submit "refused connection"):wait()
            assert.equal("network", err.kind)
            assert.equal(0, #names())
        end)

        it("between two attempts, when the service did not accept it", function()
            emu:fault { method = "POST", path = SUBMIT, times = 9, status = 429, retry_after = 1 }
            local task = assert(service.client(emu, { spool = dir, max_retries = 9 }):submit "slowly")
            service.pump_until(function() return emu:faults()[1].fired >= 1 and #names() == 0 end)
            emu:clear_faults()
            assert(task:wait())
            assert.equal(1, #names())
        end)

        it("when it was discarded before it was sent, and cancelled afterwards", function()
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            local one = service.client(emu, { spool = dir, max_connections = 1 })
            emu:fault { method = "POST", path = SUBMIT, times = 2, hang = true, accept = false }
            local first = assert(one:submit "hangs")
            service.pump_until(function() return emu:faults()[1].fired == 1 end)
            local second = assert(one:submit "queues"):discard()
            first:cancel()
            service.pump_until(function() return emu:faults()[1].fired == 2 end)
            second:cancel()
            service.pump_until(function() return flux2.stats().jobs == 0 and #names() == 1 end)
            assert.equal("hangs", records()[1].request.prompt)
        end)

        it("when it was cancelled before it was sent", function()
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            local one = service.client(emu, { spool = dir, max_connections = 1 })
            post_fault { hang = true, accept = false }
            local first = assert(one:submit "hangs")
            service.pump_until(function() return emu:faults()[1].fired == 1 end)
            local second = assert(one:submit "queues")
            second:cancel()
            service.pump_until(function() return flux2.stats().jobs == 1 end)
            assert.equal(1, #names())
            first:cancel()
        end)
    end)

    describe("keeps the record of a task", function()
        it("whose outcome is unknown, that was cancelled, or whose wait timed out", function()
            post_fault { close = "after" }
            local _, err = assert(client:submit "unknown"):wait()
            assert.equal("unknown_outcome", err.kind)
            assert.equal(1, #names())
            assert.equal("", records()[1].task_id)
            emu:set { duration = 60 }
            local task = assert(client:submit "cancelled")
            service.pump_until(function() return task.id end)
            task:cancel()
            assert.equal(2, #names())
            _, err = assert(client:submit("late", { timeout = bound(0.5) })):wait()
            assert.equal("timeout", err.kind)
            assert.equal(3, #names())
        end)

        it("with its id, even if a refusal contains one", function()
            post_fault { body = [[{"code":500,"data":{"task_id":"{task_id}"}}]], accept = true }
            local _, err = assert(client:submit "unknown outcome"):wait()
            assert.equal("unknown_outcome", err.kind)
            assert.equal(emu:ledger()[1].task_id, records()[1].task_id)
        end)

        it("with its id, even if a refusal by status contains one", function()
            for _, fault in ipairs {
                { status = 429, retry_after = 0, body = '{"error":{"code":429},"data":{"task_id":"a"}}' },
                { status = 503, retry_after = 0, body = '{"task_id":"b"}' },
                { status = 400, body = '{"error":"no","data":{"task_id":"c"}}' },
                { status = 303, body = '{"data":{"task_id":"d"}}' },
            } do
                emu:clear_faults()
                post_fault(fault)
                local posts = emu:stats().requests
                local _, err = assert(client:submit "unknown outcome"):wait()
                assert.same({ "unknown_outcome", false }, { err.kind, err.retryable })
                assert.equal(posts + 1, emu:stats().requests, "sent once")
                local kept = records()
                assert.equal(err.task_id, kept[#kept].task_id)
            end
            local ids = {}
            for i, record in ipairs(records()) do ids[i] = record.task_id end
            table.sort(ids)
            assert.same({ "a", "b", "c", "d" }, ids)
        end)

        it("with an id that is not UTF-8", function()
            emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 1000, body = '{"data":{"status":"x"}}' }
            post_fault { body = '{"data":{"task_id":"x\255\192y"}}' }
            local task = assert(client:submit "odd")
            service.pump_until(function() return task.id end)
            task:cancel()
            assert.equal("x\239\191\189y", task.id)
            assert.equal(task.id, records()[1].task_id)
        end)

        it("that the service does not know: the key may be of another account", function()
            emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 100, status = 404 }
            local task = assert(client:submit "lost")
            local _, err = task:wait()
            assert.equal("not_found", err.kind)
            assert.equal(1, #names())
            task:discard()
            assert.equal(0, #names())
        end)
    end)

    describe("recovers", function()
        it("accepted and uncollected tasks, oldest first, and polls them only on a wait", function()
            local ids = accepted_tasks(3)
            leave_behind(4)
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            local before = flux2.stats().requests
            local tasks, unknown, damaged = assert(client:recover())
            assert.equal(3, #tasks)
            for i, task in ipairs(tasks) do
                assert.equal(ids[i], task.id)
                assert.equal("running", task.state)
                assert.equal("prompt " .. i, task.request.prompt)
                -- Reading any field starts no poll.
                for _, name in ipairs { "id", "status", "result", "error", "_latch", "_record", "nothing" } do
                    local _ = task[name]
                end
            end
            assert.equal(1, #unknown)
            assert.equal("prompt 4", unknown[1].request.prompt)
            assert.equal("2026-01-31T12:00:04Z", unknown[1].submitted)
            assert.same({}, damaged)
            assert.equal(0, flux2.pending())
            assert.equal(before, flux2.stats().requests)
            local done
            tasks[2]:on("done", function(_, result) done = result end)
            assert(assert(tasks[1]:wait()).images[1]:bytes())
            service.pump_until(function() return done end)
            assert.equal(2, #assert(flux2.all { tasks[2], tasks[3] }))
            assert(tasks[2].result.images[1]:bytes())
            assert(tasks[3].result.images[1]:save(dir .. "/3.png"))
            assert.equal(1, #names())
            unknown[1]:discard()
            unknown[1]:discard()
            assert.equal(0, #names())
            assert.equal(3, #emu:ledger())
        end)

        it("in the order of their times, then of their names", function()
            local same = "2026-01-31T12:00:00Z"
            leave_behind(3, { task_id = "third", submitted = same })
            leave_behind(1, { task_id = "first", submitted = same })
            leave_behind(2, { task_id = "last", submitted = "2026-01-31T12:00:01Z" })
            leave_behind(4, { task_id = "oldest", submitted = "2025-01-31T12:00:01Z" })
            leave_behind(6, { submitted = same })
            leave_behind(5, { submitted = "2025-01-31T12:00:01Z" })
            local tasks, unknown = assert(client:recover())
            local ids = {}
            for i, task in ipairs(tasks) do ids[i] = task.id end
            assert.same({ "oldest", "first", "third", "last" }, ids)
            assert.same({ "prompt 5", "prompt 6" }, { unknown[1].request.prompt, unknown[2].request.prompt })
            assert.equal("flux2.Record (" .. unknown[1].path .. ")", tostring(unknown[1]))
            assert.is_true(service.exists(unknown[1].path))
            assert.is_nil(unknown[1].id)
            assert.equal("flux2.Task oldest (running)", tostring(tasks[1]))
            assert.same({ "2025-01-31T12:00:01Z" }, { tasks[1].submitted, tasks[1].price })
        end)

        it("no task twice, and none that this client can still collect itself", function()
            accepted_tasks(2)
            local own = assert(client:submit "my own")
            service.pump_until(function() return own.id end)
            local tasks = assert(client:recover())
            assert.equal(2, #tasks)
            assert.equal(0, #assert(client:recover()))
            -- Tasks without a reference are found again.
            tasks = nil
            collectgarbage()
            collectgarbage()
            assert.is_nil(tasks)
            assert.equal(2, #assert(client:recover()))
            assert(own:wait())
        end)

        it("no task of another running client", function()
            accepted_tasks(2)
            local other = service.client(emu, { spool = dir })
            local tasks = assert(client:recover())
            assert.equal(2, #tasks)
            assert.equal(0, #assert(other:recover()))
            assert.equal(2, #names "^owner")
        end)

        it("only tasks of its own service, and leaves the others in place", function()
            local path = leave_behind(1, { task_id = "elsewhere", base_url = "https://elsewhere.example" })
            leave_behind(2, { task_id = "here" })
            local tasks = assert(client:recover())
            assert.equal(1, #tasks)
            assert.equal("here", tasks[1].id)
            assert.is_true(service.exists(path))
        end)

        it("the intact records when one is damaged, and moves that one aside", function()
            leave_behind(1, { task_id = "good" })
            local bad = {
                "", "{", "null", "[]", "\0\255\0", '{"task_id":""}', '{"task_id":7,"request":{}}',
                cjson.encode { task_id = "a", base_url = emu.url, submitted = "x", request = "y" },
                cjson.encode { task_id = "a", base_url = emu.url, submitted = {}, request = {} },
                cjson.encode { task_id = "a", base_url = emu.url, submitted = "x", request = {}, price = "z" },
                cjson.encode { task_id = ("a"):rep(513), base_url = emu.url, submitted = "x", request = {} },
            }
            for i, bytes in ipairs(bad) do service.write(("%s/task-%s-%04d.json"):format(dir, DEAD, 100 + i), bytes) end
            local tasks, unknown, damaged = assert(client:recover())
            assert.equal(1, #tasks)
            assert.equal("good", tasks[1].id)
            assert.same({}, unknown)
            assert.equal(#bad, #damaged)
            for i, entry in ipairs(damaged) do
                assert.equal(bad[i], service.read(entry.path))
                assert.truthy(entry.path:find "%.damaged$")
                assert.truthy(#entry.reason > 0)
            end
            assert.equal(#bad, #(select(3, client:recover())))
            assert.equal(#bad, #names "%.damaged$")
        end)

        it("an id from a file that a crash left unrenamed, and removes the remains", function()
            leave_behind(1)
            local part = leave_behind(1, { task_id = "just in time" }, "bb")
            os.rename(part, ("%s/.task-%s-0001.json.00ff.part"):format(dir, DEAD))
            service.write(("%s/.task-%s-0002.json.00ff.part"):format(dir, DEAD), "{ never se")
            service.write(("%s/owner-%s.lock"):format(dir, DEAD), "")
            local tasks, unknown = assert(client:recover())
            assert.equal(1, #tasks)
            assert.equal("just in time", tasks[1].id)
            assert.same({}, unknown)
            assert.same({}, names "%.part$")
            assert.equal(1, #names "^owner")
        end)

        it("an id from a torn replacement, wherever it is torn, and never a part of another text", function()
            local function layout(id)
                return ('{\n  "task_id": "%s",\n  "poll_url": null,\n  "answer": null,\n  "submitted": "%s",\n'
                    .. '  "base_url": "%s",\n  "request": {"prompt":"a fox","model":"flux-2"}\n}\n'):format(id,
                    "2026-01-31T12:00:00Z", emu.url)
            end
            local id = ("n41"):rep(12)
            local old, new = layout "", layout(id)
            for at = 0, #new do
                service.write(("%s/task-%s-0001.json"):format(dir, DEAD), old)
                service.write(("%s/.task-%s-0001.json.00ff.part"):format(dir, DEAD),
                    new:sub(1, at) .. old:sub(at + 1) .. ("\0"):rep(50))
                local tasks, unknown, damaged = assert(client:recover())
                assert.same({ 1, 0 }, { #tasks + #unknown, #damaged }, at)
                if tasks[1] then assert.equal(id, tasks[1].id, at) end
                if at >= #new / 2 then assert.equal(1, #tasks, at) end
                for _, left in ipairs { tasks[1] or unknown[1] } do left:discard() end
            end
        end)

        it("a response without an id from such a file", function()
            leave_behind(1)
            local part = leave_behind(1, { answer = '{"data":[{"url":"' .. emu.url .. '/images/x.png"}]}' }, "bb")
            os.rename(part, ("%s/.task-%s-0001.json.00ff.part"):format(dir, DEAD))
            local tasks, unknown, damaged = assert(client:recover())
            assert.same({ 1, 0, 0 }, { #tasks, #unknown, #damaged })
            assert.equal(emu.url .. "/images/x.png", assert(tasks[1]:wait()).images[1].url)
            assert.same({}, names "%.part$")
        end)

        it("the rest beside entries that are not regular files, without blocking, and reports those #special", function()
            leave_behind(1, { task_id = "good" })
            leave_behind(2) -- a newer file beside it that cannot be read
            os.execute(("cd '%s' && mkfifo task-%s-0003.json .task-%s-0002.json.00ff.part && mkdir " ..
                "task-%s-0004.json"):format(dir, DEAD, DEAD, DEAD))
            service.write(("%s/task-cc-0005.json"):format(dir), "{}")
            os.execute(("mkfifo '%s/owner-cc.lock'; chmod 0 '%s/owner-cc.lock'; ln -s nowhere '%s/owner-dd.lock'")
                :format(dir, dir, dir))
            os.rename(leave_behind(6, { task_id = "unreadable owner lock" }, "dd"),
                dir .. "/task-dd-0006.json")
            for round = 1, 2 do
                local tasks, unknown, damaged = client:recover()
                assert.same({ round == 1 and 1 or 0, 0 }, { #tasks, #unknown })
                local paths = {}
                for _, item in ipairs(damaged) do
                    paths[#paths + 1] = item.path:match "[^/]+$"
                    assert.is_true(#item.reason > 0)
                end
                table.sort(paths)
                assert.same({ (".task-%s-0002.json.00ff.part"):format(DEAD), ("task-%s-0003.json"):format(DEAD),
                    ("task-%s-0004.json"):format(DEAD),
                    round == 1 and "task-cc-0005.json.damaged" or "task-cc-0005.json.damaged", "task-dd-0006.json" },
                        paths)
                if round == 1 then assert.equal("good", tasks[1].id) end
            end
        end)

        it("the records in a relative directory after a chdir #preload", function()
            local code, printed = service.run_lua(([[
                local service = require "support.service"
                local chdir = assert(package.loadlib(arg[1], "change_directory"))
                local client = assert(require("flux2").new { api_key = %q, base_url = %q, spool = "spool",
                    poll = { interval = 0.02 } })
                chdir "/"
                local task = assert(client:submit "a fox")
                service.pump_until(function() return task.id end)
                task:cancel()
                assert(#assert(client:recover()) == 0)
            ]]):format(emu.api_key, emu.url), "'" .. service.library "process" .. "'",
                ("cd '%s' && "):format(dir:gsub("/spool$", "")))
            assert.equal(0, code, printed)
            assert.same({}, names "%.part$")
            assert.equal(1, #assert(client:recover()))
        end)

        it("no file that a running client has not finished", function()
            local other = service.client(emu, { spool = dir })
            leave_behind(1, { task_id = "of a dead client" }, "bb")
            local parts = {}
            for i, of in ipairs { client, other } do
                local path = leave_behind(i, { task_id = "being written " .. i })
                parts[i] = ("%s/.task-%s-0001.json.00ff.part"):format(dir, of._config.spool.owner)
                os.rename(path, parts[i])
            end
            local tasks, unknown = assert(client:recover())
            assert.same({ "of a dead client", 1, 0 }, { tasks[1].id, #tasks, #unknown })
            for _, path in ipairs(parts) do assert.is_true(service.exists(path), path) end
            assert.equal(2, #names "%.part$")
        end)

        it("a permanently failed task, whose record is then removed", function()
            emu:fail_next()
            accepted_tasks(1)
            local tasks = assert(client:recover())
            local _, err = tasks[1]:wait()
            assert.equal("task_failed", err.kind)
            assert.equal(0, #names())
        end)

        it("nothing without a spool, and returns an error", function()
            local tasks, err = service.client(emu):recover()
            assert.is_nil(tasks)
            assert.equal("invalid_request", err.kind)
            assert.truthy(err.message:find("spool", 1, true))
        end)

        it("tasks that are not polled when one of their fields is read", function()
            accepted_tasks(1)
            local task = assert(client:recover())[1]
            local read = { tostring(task) }
            for _, name in ipairs { "state", "status", "progress", "result", "error", "_latch", "wait",
                "unheard_of" } do
                read[#read + 1] = task[name]
            end
            for _, value in pairs(task) do read[#read + 1] = value end
            assert.is_true(#read > 0)
            assert.equal(0, flux2.pending())
            assert.equal(task, assert(flux2.all { task })[1] and task)
            assert.equal("succeeded", task.state)
        end)

        it("a task that can be cancelled without a poll, and stays", function()
            accepted_tasks(1)
            local tasks = assert(client:recover())
            local _, err = tasks[1]:cancel():wait()
            assert.equal("cancelled", err.kind)
            assert.equal(0, flux2.pending())
            assert.equal(1, #names())
        end)
    end)

    -- The engine's thread is starting at that moment: a child cannot release a lock that a sanitizer's allocator holds.
    local forks = require "support.build".is_sanitized and pending or it
    forks("is shared by a process and its fork, each with its own records and lock #fork", function()
        emu:set { duration = 60 }
        local program = [[
            local fork = assert(package.loadlib(arg[4], "fork_process"))
            local wait = assert(package.loadlib(arg[4], "wait_for_process"))
            local flux2 = require "flux2"
            local settings = { base_url = arg[1], api_key = arg[2], spool = arg[3], poll = { interval = 0.02 } }
            local client = assert(flux2.new(settings))
            local function submit(prompt)
                local task = assert(client:submit(prompt))
                while not task.id do flux2.sleep(0.01) end
            end
            local pid = assert(fork())
            submit(pid == 0 and "in the child" or "in the parent")
            if pid == 0 then os.exit(7, true) end
            assert(wait(pid) == 7)
            local tasks = assert(assert(flux2.new(settings)):recover())
            assert(#tasks == 1 and tasks[1].request.prompt == "in the child", #tasks)
            os.exit(0, true)
        ]]
        local code, printed = service.run_lua(program,
            ("'%s' '%s' '%s' '%s'"):format(emu.url, emu.api_key, dir, service.library "process"))
        assert.equal(0, code, printed)
        assert.equal(2, #names())
        assert.equal(2, #assert(client:recover()))
    end)

    describe("that cannot be written", function()
        it("makes flux2.new return an error", function()
            for _, bad in ipairs { dir .. "/not/there", dir .. "/file" } do
                service.write(dir .. "/file", "")
                local nothing, err = flux2.new { api_key = "aio_k", base_url = emu.url, spool = bad }
                assert.is_nil(nothing)
                assert.equal("io", err.kind)
                assert.truthy(err.message:find("spool", 1, true))
                assert.truthy(err.message:find(bad:match "[^/]+$", 1, true))
            end
        end)

        it("fails the submission before it is sent, and the client works again when the cause is removed", function()
            os.execute(("mv '%s' '%s.away'"):format(dir, dir))
            local task = assert(client:submit "not sent")
            local _, err = task:wait()
            assert.equal("io", err.kind)
            assert.truthy(err.message:find "nothing was sent")
            assert.truthy(err.message:find("No such file", 1, true), err.message)
            assert.equal(0, emu:stats().requests)
            assert.same({ 0, 0 }, { client:spent() })
            os.execute(("mv '%s.away' '%s'"):format(dir, dir))
            assert(client:generate "sent")
            assert.same({}, names())
        end)

        it("because of the file size limit prevents submission #ulimit", function()
            local code, printed = service.run_lua(([[
                local service = require "support.service"
                local client = assert(require("flux2").new { api_key = %q, base_url = %q, spool = %q })
                local _, err = assert(client:submit "not sent"):wait()
                print(err)
                assert(err.kind == "io" and err.message:find("too large", 1, true))
            ]]):format(emu.api_key, emu.url, dir), nil, "trap '' XFSZ; ulimit -f 0;")
            assert.equal(0, code, printed)
            assert.equal(0, emu:stats().requests)
            assert.same({}, names "%.part$")
            assert.same({}, names())
        end)

        it("after the submission was accepted is reported, and the task continues", function()
            local reported = {}
            flux2.on_error = function(message) reported[#reported + 1] = message end
            local task, result
            -- With a longer delay if the directory was moved after the response.
            service.with_enough_time(0.5, function(seconds)
                emu:clear_faults()
                post_fault { delay = seconds }
                local began = core.now()
                task = assert(client:submit "the disk goes away")
                service.pump_until(function() return #names() == 1 end)
                os.execute(("mv '%s' '%s.away'"):format(dir, dir))
                local is_in_time = core.now() - began < seconds
                result = task:wait()
                os.execute(("mv '%s.away' '%s'"):format(dir, dir))
                if not is_in_time then
                    task:discard()
                    reported = {}
                end
                return is_in_time
            end)
            flux2.on_error = nil
            assert.equal("", records()[1].task_id)
            assert.equal(1, #reported)
            assert.truthy(reported[1]:find(task.id, 1, true), reported[1])
            assert.truthy(reported[1]:find("No such file", 1, true), reported[1])
            assert(assert(result).images[1]:bytes())
            assert.same({}, names())
        end)

        local function mount(path)
            return shell.run(("mount -t tmpfs -o size=64k,nr_inodes=5 tmpfs '%s'"):format(path)) == 0
        end

        it("because the disk is full causes no paid submission, and an id still fits on the disk", function()
            if not mount(dir) then return pending "a small file system cannot be mounted by this user" end
            finally(function() os.execute(("umount -l '%s'"):format(dir)) end)
            -- The directory, the lock, the record and its reserve: one more file fits.
            local full = service.client(emu, { spool = dir })
            post_fault { delay = 0.5 }
            local task = assert(full:submit "the last one")
            service.pump_until(function() return emu:faults()[1].seen == 1 end)
            service.write(dir .. "/another", "")
            assert.equal("submitting", task.state)
            service.pump_until(function() return task.id end)
            assert.equal(task.id, records()[1].task_id)
            service.write(dir .. "/one more", "")
            local _, err = assert(full:submit "no room"):wait()
            assert.equal("io", err.kind)
            assert.truthy(err.message:find("No space left", 1, true), err.message)
            assert.equal(1, #emu:ledger())
            os.remove(dir .. "/another")
            os.remove(dir .. "/one more")
            assert(full:generate "room again")
            assert(assert(task:wait()).images[1]:bytes())
            assert.same({}, names())
        end)
    end)
end)
