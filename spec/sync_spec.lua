-- Services that respond to a submission with the image itself, as OpenAI's Images API does: no task, no id, no poll.
-- Every function for tasks works there too, and paid images are as safe.
local core = require "flux2.core"
local cjson = require "cjson"
local flux2 = require "flux2"
local png = require "support.png"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

for _, way in ipairs { "url", "b64_json" } do
    for _, dialect in ipairs { "flux2", "openai" } do
        describe("an image embedded in the response, as " .. way .. " in the dialect " .. dialect, function()
            local emu, client, dir, spool
            before_each(function()
                emu = service.start { sync = way, dialect = dialect, image_bytes = 3000 }
                dir = service.directory()
                spool = dir .. "/spool"
                client = service.client(emu, { spool = spool, budget = 100 })
            end)
            after_each(function()
                assert.equal(0, emu:stats().polls)
                service.stop_all()
                service.remove(dir)
            end)

            local function records()
                local found = {}
                for _, name in ipairs(service.list(spool)) do
                    if name:find "%.json$" then found[#found + 1] = cjson.decode(service.read(spool .. "/" .. name)) end
                end
                return found
            end

            it("is returned by generate, in memory and as a file", function()
                local image = assert(client:generate "at once")
                assert.equal(PNG, assert(image:bytes()):sub(1, 8))
                assert.equal("image/png", image.content_type)
                assert.equal(10, image.result.credits)
                assert(client:generate("into a file", { save = dir .. "/a.png" }))
                assert.equal(3000, #service.read(dir .. "/a.png"))
                assert.same({}, records())
                assert.same({ 20, 0 }, { client:spent() })
            end)

            it("ends a task like any other result", function()
                local reported = {}
                local task = assert(client:submit("a task",
                    { on_done = function(t) reported[#reported + 1] = t.state end }))
                assert.equal("submitting", task.state)
                local result = assert(task:wait())
                assert.equal(result, task:wait())
                assert.same({ "succeeded" }, reported)
                assert.equal("succeeded", task.state)
                assert.equal(1, task.progress)
                assert.is_nil(task.id)
                assert.equal("number", type(result.raw.created))
                assert.matches("succeeded", tostring(task))
                task:cancel()
                assert.equal("succeeded", task.state)
                local both = assert(flux2.all { client:submit "one of two", client:submit "two of two" })
                assert.equal(PNG, both[2].images[1]:bytes():sub(1, 8))
                assert.truthy((flux2.any { client:submit "the first" }))
                local handle = flux2.spawn(function() return client:generate "in a coroutine" end)
                assert.truthy(assert(handle:join()):bytes())
            end)

            it("is returned by map, ordered and unordered", function()
                for _, ordered in ipairs { true, false } do
                    local seen = 0
                    for i, image, err in client:map({ "map one", "map two", "map three" }, { ordered = ordered }) do
                        assert(image, tostring(err))
                        if ordered then assert.equal(seen + 1, i) end
                        assert.equal(PNG, image:bytes():sub(1, 8))
                        seen = seen + 1
                    end
                    assert.equal(3, seen)
                end
                assert.same({}, records())
            end)

            it("is available as Base64", function()
                local image = assert(assert(client:submit "as Base64"):wait()).images[1]
                local text = assert(image:base64())
                assert.equal(text, image:base64())
                local bytes = assert(image:bytes())
                assert.equal(bytes, core.unbase64(text))
                assert.equal(text, image:base64())
                assert.equal(3000, #bytes)
                assert.same({}, records())
            end)

            it("stays in the spool until it is collected, and survives a crash of the program #signals", function()
                -- Killed before the response is dispatched: the engine's thread has written it to the disk.
                local code, printed = service.run_lua([[
                    local core = require "flux2.core"
                    local flux2 = require "flux2"
                    local client = assert(flux2.new { base_url = arg[1], api_key = arg[2], spool = arg[3] })
                    local task = assert(client:submit { prompt = "killed {answer} {id}", type = "flex" })
                    local give_up = core.now() + require "support.bound"(30)
                    local function answered()
                        for _, name in ipairs(core.list(arg[3])) do
                            local file = name:find "%.json$" and name:find "^task" and io.open(arg[3] .. "/" .. name)
                            local text = file and file:read "*a" or ""
                            if file then file:close() end
                            if text:find '"answer": "' then return true end
                        end
                    end
                    while not answered() do if core.now() > give_up then os.exit(9) end end
                    assert(task.state == "submitting")
                    local self = assert(io.open "/proc/self/stat"):read "*n"
                    os.execute(("kill -9 %d"):format(self))
                ]], ("'%s' '%s' '%s'"):format(emu.url, emu.api_key, spool))
                assert.equal(137, code, printed)
                assert.equal(1, #emu:ledger())
                local record = records()[1]
                assert.equal("", record.task_id)
                assert.equal("killed {answer} {id}", record.request.prompt)
                assert.is_nil(service.read(spool .. "/" .. service.list(spool)[2]):find(emu.api_key, 1, true))

                local posts = emu:stats().submissions
                local tasks, unknown, damaged = assert(client:recover())
                assert.same({ {}, {} }, { unknown, damaged })
                assert.equal(1, #tasks)
                assert.equal("flex", tasks[1].request.type)
                local ends = {}
                tasks[1]:on("done", function(_, result) ends[#ends + 1] = result end)
                local result = assert(tasks[1]:wait())
                assert.same({ result }, ends)
                assert.equal(6, result.credits)
                assert.equal(1, #records())
                assert(result.images[1]:save(dir .. "/recovered.png"))
                assert.equal(3000, #service.read(dir .. "/recovered.png"))
                assert.same({}, records())
                assert.equal(posts, emu:stats().submissions)
            end)

            it("returns an error and keeps no record when the service refuses or the task fails", function()
                for prompt, kind in pairs {
                    ["this will [reject]"] = "rejected", ["this will [moderate]"] = "moderated", ["will [fail]"] = true,
                } do
                    local image, err = client:generate(prompt)
                    assert.is_nil(image)
                    if kind ~= true then assert.equal(kind, err.kind, tostring(err)) end
                    assert.same({}, records())
                end
                emu:set { credits = 3 }
                assert.equal("credits", select(2, client:generate "too dear").kind)
                assert.equal("auth", select(2, service.client(emu, { api_key = "aio_wrong" }):generate "a fox").kind)
                assert.same({}, records())
                assert.same({ 0, 0 }, { client:spent() })
            end)

            it("has an unknown outcome when the response is truncated", function()
                emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 1, cut = 30 }
                local _, err = client:generate "half an answer"
                assert.equal("unknown_outcome", err.kind)
                assert.equal(1, #records())
                assert.equal(cjson.null, records()[1].answer)
                local mine = service.client(emu, { spool = spool })
                assert.same({}, (assert(mine:recover())))
            end)
        end)
    end
end

describe("a record with a response", function()
    local emu, dir, client
    before_each(function()
        emu = service.start()
        dir = service.directory()
        client = service.client(emu, { spool = dir })
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    --- ANSWER is the body of a response; RAW replaces the encoded string.
    local function leave_behind(response, id, raw)
        response = raw and response or cjson.encode(response)
        service.write(dir .. "/task-00000000000000aa-0001.json",
            ([[{"task_id":"%s","answer":%s,"submitted":"2026-01-31T12:00:00Z","base_url":"%s","request":{}}]])
                :format(id or "", response, emu.url))
    end

    it("has an unknown outcome without an image", function()
        local function is_unknown(response, raw)
            leave_behind(response, nil, raw)
            local tasks, unknown, damaged = assert(client:recover())
            assert.same({ 0, 1, 0 }, { #tasks, #unknown, #damaged }, response)
            unknown[1]:discard()
        end
        for _, response in ipairs {
            "null", "{}", "[]", "7", '"text"', '{"data":[{}]}',
            '{"code":500,"data":[{"url":"http://127.0.0.1/a.png"}]}',
            '{"data":[{"url":"nowhere"}]}',
        } do
            is_unknown(response, false)
            is_unknown(response, true)
        end
        is_unknown("", false)
        is_unknown("<html>", false)
    end)

    it("needs no poll although there is an id", function()
        local image = assert(client:generate "somewhere else")
        leave_behind(('{"id":"img-7","data":[{"url":%s}]}'):format(cjson.encode(image.url)), "img-7")
        local before = emu:stats().polls
        local task = assert(client:recover())[1]
        assert.equal("img-7", task.id)
        assert.equal(PNG, assert(task:wait()).images[1]:bytes():sub(1, 8))
        assert.equal(before, emu:stats().polls)
    end)

    it("is read leniently, like the response itself", function()
        local bytes = png.holding "the rest"
        local kept = assert(core.base64(bytes))
        leave_behind(('\239\187\191{"x":NaN,"y":"\\ud800\255","data":[{"b64_json":"%s"}]} trailing'):format(kept))
        local tasks, unknown, damaged = assert(client:recover())
        assert.same({ 1, 0, 0 }, { #tasks, #unknown, #damaged })
        local image = assert(tasks[1]:wait()).images[1]
        assert.equal(bytes, image:bytes())
        assert.equal("image/png", image.content_type)
    end)

    it("that is removed while a program waits is reported", function()
        leave_behind '{"data":[{"url":"http://127.0.0.1:1/a.png"}]}'
        local task = assert(client:recover())[1]
        for _, name in ipairs(service.list(dir)) do
            if name:find "^task" then os.remove(dir .. "/" .. name) end
        end
        local _, err = task:wait()
        assert.equal("io", err.kind)
        assert.matches("it was removed", err.message)
    end)

    it("is written without the response when the disk is full, and that is reported", function()
        local reported = {}
        flux2.on_error = function(message) reported[#reported + 1] = message end
        finally(function() flux2.on_error = nil end)
        emu:set { sync = "url" }
        local result
        -- With a longer delay if the directory was moved after the response.
        service.with_enough_time(0.5, function(seconds)
            emu:clear_faults()
            emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 1, delay = seconds }
            local began = core.now()
            local task = assert(client:submit "the disk goes away")
            service.pump_until(function() return emu:faults()[1].fired == 1 end)
            os.execute(("mv '%s' '%s.away'"):format(dir, dir))
            local is_in_time = core.now() - began < seconds
            result = assert(task:wait())
            os.execute(("mv '%s.away' '%s'"):format(dir, dir))
            if not is_in_time then reported = {} end
            return is_in_time
        end)
        assert.equal(1, #reported)
        assert.matches("the response could not be recorded", reported[1])
        assert(result.images[1]:bytes())
    end)
end)
