-- The shape of OpenAI's Images API over the client: what its fields become, what its answer looks like, what is refused.
local base64 = require "flux2.base64"
local bound = require "support.bound"
local cjson = require "cjson"
local flux2 = require "flux2"
local openai = require "flux2.openai"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

describe("flux2.openai", function()
    local emu, client, ai
    before_each(function()
        emu = service.start()
        client = service.client(emu)
        ai = assert(openai.new(client))
    end)
    after_each(service.stop_all)

    --- What the service was sent last.
    local function sent()
        local ledger = emu:ledger()
        return cjson.decode(ledger[#ledger].body)
    end

    local function generate(fields, opts)
        local request = { prompt = "a red fox" }
        for name, value in pairs(fields or {}) do request[name] = value end
        return ai.images:generate(request, opts)
    end

    it("answers in OpenAI's shape, with links", function()
        local before = os.time()
        local answer = assert(generate { model = "flux-2", n = 1, user = "somebody" })
        assert.is_true(answer.created >= before and answer.created <= os.time())
        assert.same({ created = answer.created, data = { { url = answer.images[1].url } } }, answer)
        assert.matches("^" .. emu.url:gsub("%p", "%%%0") .. "/images/", answer.data[1].url)
        assert.same({ emu:ledger()[1].task_id }, answer.task_ids)
        assert.equal(10, answer.credits)
        assert.same({ model = "flux-2", prompt = "a red fox" }, sent())
        -- Any encoder takes it, and finds what OpenAI would have sent.
        assert.same({ created = answer.created, data = answer.data }, cjson.decode(cjson.encode(answer)))
        assert.equal(0, emu:stats().downloads)
    end)

    it("answers with the pictures themselves, as Base64", function()
        local answer = assert(generate { response_format = "b64_json", n = 2 })
        assert.equal(2, #answer.data)
        for i, entry in ipairs(answer.data) do
            local bytes = assert(base64.decode(entry.b64_json))
            assert.equal(PNG, bytes:sub(1, 8))
            assert.equal(600, #bytes)
            assert.equal(bytes, answer.images[i]:bytes())
            assert.is_nil(entry.url)
        end
        assert.equal(2, emu:stats().downloads)
    end)

    it("makes n tasks at once, and keeps their order", function()
        emu:set { duration = 60 }
        local handle = flux2.spawn(function() return generate { n = 6 } end)
        service.pump_until(function() return #emu:ledger() == 6 end) -- while not one of them has ended
        local ledger, known = emu:ledger(), {}
        for i = 6, 1, -1 do emu:finish(ledger[i].task_id) end
        local answer = assert(handle:join(bound(20)))
        assert.equal(6, #answer.data)
        for _, entry in ipairs(ledger) do known[entry.task_id] = true end
        for i, id in ipairs(answer.task_ids) do
            assert.is_true(known[id])
            assert.truthy(answer.data[i].url:find(id, 1, true))
        end
        assert.equal(60, answer.credits)
    end)

    it("turns a size into a ratio and a resolution", function()
        for size, fields in pairs {
            auto = {}, ["1024x1024"] = { "1:1", "1K" }, ["1792x1024"] = { "16:9", "1K" }, ["1024x1792"] = { "9:16", "1K" },
            ["1536x1024"] = { "3:2", "1K" }, ["1024x1536"] = { "2:3", "1K" }, ["2048x2048"] = { "1:1", "2K" },
        } do
            assert(generate { size = size })
            assert.same({ model = "flux-2", prompt = "a red fox", aspect_ratio = fields[1], resolution = fields[2] }, sent())
        end
    end)

    it("turns a quality into a type", function()
        for quality, type_ in pairs {
            auto = false, hd = "pro", high = "pro", standard = "flex", medium = "flex", low = "flex",
        } do
            assert(generate { quality = quality })
            assert.equal(type_ or nil, sent().type, quality)
        end
    end)

    it("passes on what is ours, and takes null for what is not there", function()
        assert(generate { n = cjson.null, style = cjson.null, stream = false, background = "auto", partial_images = 0,
            input_urls = { "https://example.com/fox.jpg" }, aspect_ratio = "21:9", extra = { seed = 7 } })
        assert.same({ model = "flux-2", prompt = "a red fox", aspect_ratio = "21:9", seed = 7,
            input_urls = { "https://example.com/fox.jpg" } }, sent())
        assert(ai.images:generate "only a prompt")
        assert.equal("only a prompt", sent().prompt)
    end)

    describe("refuses, before anything is sent,", function()
        for name, row in pairs {
            ["a style"] = { { style = "vivid" }, "style", "say it in the prompt" },
            ["a background"] = { { background = "transparent" }, "background", "no backgrounds" },
            ["a stream"] = { { stream = true }, "stream", "not streamed" },
            ["parts of pictures"] = { { partial_images = 2 }, "partial_images", "whole" },
            ["a kind of file"] = { { output_format = "webp" }, "output_format", "the service decides" },
            ["a mask"] = { { mask = "..." }, "mask", "no masks" },
            ["a picture"] = { { image = "..." }, "image", "input_urls" },
            ["a size that it cannot map"] = { { size = "512x512" }, "size", "'1024x1024'" },
            ["a size that is no string"] = { { size = 1024 }, "size", "1024" },
            ["a quality"] = { { quality = "best" }, "quality", "'hd'" },
            ["a size and a ratio"] = { { size = "1024x1024", aspect_ratio = "1:1" }, "size", "say the same" },
            ["a quality and a type"] = { { quality = "hd", type = "flex" }, "quality", "say the same" },
            ["a format"] = { { response_format = "png" }, "response_format", "'b64_json'" },
            ["none at all"] = { { n = 0 }, "n", "from 1 to 10" },
            ["too many"] = { { n = 11 }, "n", "from 1 to 10" },
            ["half a picture"] = { { n = 1.5 }, "n", "from 1 to 10" },
            ["a number in words"] = { { n = "2" }, "n", "from 1 to 10" },
            ["a user that is no string"] = { { user = 7 }, "user", "a string" },
            ["a slip of the finger"] = { { respons_format = "url" }, "respons_format", "did you mean response_format?" },
            ["a field of nobody's"] = { { hello = 1 }, "hello", "extra" },
            ["a model of OpenAI's"] = { { model = "dall-e-3" }, "model", "'flux-2'" },
            ["a prompt that is too short"] = { { prompt = "x" }, "prompt", "3 to 5000" },
        } do
            it(name .. ", and says why", function()
                row[1].n = row[1].n or 3
                local answer, err = generate(row[1])
                assert.is_nil(answer)
                assert.is_nil(err.message:find(" of 3", 1, true), err.message)
                assert.equal("invalid_request", err.kind)
                assert.equal(row[2], err.field)
                assert.truthy(err.message:find(row[3], 1, true), err.message)
                assert.equal(0, emu:stats().requests)
            end)
        end

        it("what OpenAI has beside generate", function()
            for _, verb in ipairs { "edit", "create_variation", "createVariation" } do
                local answer, err = ai.images[verb](ai.images, { prompt = "a fox" })
                assert.is_nil(answer)
                assert.equal("invalid_request", err.kind)
                assert.matches("input_urls", err.message)
            end
            assert.error_matches(function() return ai.chat.completions end, "images only")
            assert.is_nil(ai.anything_else)
        end)

        it("what no program should ask, at the caller's line", function()
            for pattern, fn in pairs {
                ["a request"] = function() return (ai.images:generate(7)) end,
                ["with a colon"] = function() return (ai.images.generate { prompt = "as in JavaScript" }) end,
                ["unknown option"] = function() return (ai.images:generate({}, { tiemout = 3 })) end,
                ["tiemout"] = function() return (openai.new { tiemout = 3 }) end,
            } do
                local ok, message = pcall(fn)
                assert.is_false(ok)
                assert.matches("openai_spec.lua:%d+: .*" .. pattern, message)
            end
        end)

        it("n pictures of which the budget has room for some only", function()
            ai = assert(openai.new { api_key = emu.api_key, base_url = emu.url, budget = 25, poll = { interval = 0.02 } })
            local answer, err = generate { n = 3 }
            assert.is_nil(answer)
            assert.equal("budget", err.kind)
            assert.equal(0, emu:stats().requests)
            assert.equal(2, #assert(generate { n = 2 }).data)
            assert.equal(20, ai.client:spent())
            assert.equal("budget", select(2, generate { size = "2048x2048", quality = "low" }).kind)
            assert(generate({ size = "2048x2048", quality = "low" }, { price = 5 }))
        end)
    end)

    describe("of n pictures some of which fail", function()
        it("gives what is there, and every task that was accepted", function()
            emu:set { duration = 0.2 }
            emu:fail_next(1, "out of paint")
            local answer, err = generate { n = 3, response_format = "b64_json" }
            assert.is_nil(answer)
            assert.equal("task_failed", err.kind)
            assert.matches("2 of 3 pictures are here.*out of paint", tostring(err))
            assert.equal(2, #err.data)
            for i, entry in ipairs(err.data) do
                assert.equal(PNG, base64.decode(entry.b64_json):sub(1, 8))
                assert.truthy(err.images[i]:bytes())
            end
            local ledger = emu:ledger()
            assert.equal(3, #ledger)
            local ids = {}
            for i, entry in ipairs(ledger) do ids[i] = entry.task_id end
            table.sort(ids)
            table.sort(err.task_ids)
            assert.same(ids, err.task_ids)
            assert.equal(1, #err.errors)
        end)

        it("says so of a picture that cannot be fetched, whose link is still good", function()
            local one = assert(openai.new(service.client(emu, { max_retries = 0 })))
            emu:fault { method = "GET", path = "/images/*", nth = 1, status = 500 }
            local answer, err = one.images:generate { prompt = "a red fox", n = 2, response_format = "b64_json" }
            assert.is_nil(answer)
            assert.equal("server", err.kind)
            assert.equal(1, #err.data)
            assert.equal(2, #err.images)
            assert.equal(2, #err.task_ids)
            for _, image in ipairs(err.images) do assert.equal(PNG, assert(image:bytes()):sub(1, 8)) end
        end)

        it("names the tasks that go on when the time is up", function()
            emu:set { duration = 60 }
            local answer, err = generate({ n = 2 }, { timeout = bound(1) })
            assert.is_nil(answer)
            assert.equal("timeout", err.kind)
            assert.equal(2, #err.task_ids)
            emu:finish()
            for _, id in ipairs(err.task_ids) do assert(assert(client:task(id)):wait()) end
            assert.equal(2, #emu:ledger())
        end)

        it("tells the errors of a single one as they are", function()
            local _, err = generate { prompt = "this will [moderate]" }
            assert.equal("moderated", err.kind)
            assert.is_nil(err.message:find("of 1", 1, true))
            assert.same({}, err.data)
            assert.equal(1, #err.task_ids)
            emu:set { credits = 0 }
            _, err = generate()
            assert.equal("credits", err.kind)
            assert.same({}, err.task_ids)
            _, err = assert(openai.new(service.client(emu, { api_key = "aio_wrong" }))).images:generate "a fox"
            assert.equal("auth", err.kind)
            assert.equal(401, err.status)
        end)
    end)

    it("yields in coroutines, and ends with the one that is cancelled", function()
        emu:set { duration = 0.2 }
        local turns = 0
        local handle = flux2.spawn(function() return generate { n = 2, response_format = "b64_json" } end)
        flux2.spawn(function()
            while handle.state == "running" do
                flux2.sleep(0.01)
                turns = turns + 1
            end
        end)
        assert.equal(2, #assert(handle:join(bound(10))).data)
        service.pump_until(function() return turns >= 5 end)

        emu:set { duration = 60 }
        local seen
        handle = flux2.spawn(function() seen = { generate { n = 2 } } end)
        service.pump_until(function() return #emu:ledger() == 4 end)
        handle:cancel()
        service.pump_until(function() return seen and flux2.pending() == 0 end)
        assert.is_nil(seen[1])
        assert.equal("cancelled", seen[2].kind)
    end)

    it("keeps pictures in the spool until they are collected", function()
        local dir = service.directory()
        finally(function() service.remove(dir) end)
        ai = assert(openai.new(service.client(emu, { spool = dir })))
        local function records()
            local n = 0
            for _, name in ipairs(service.list(dir)) do n = n + (name:find "%.json$" and 1 or 0) end
            return n
        end
        local answer = assert(generate { n = 2 })
        assert.equal(2, records())
        for i, image in ipairs(answer.images) do assert(image:save(dir .. "/" .. i .. ".png")) end
        assert.equal(0, records())
        assert(generate { n = 2, response_format = "b64_json" })
        assert.equal(0, records())
    end)

    for _, way in ipairs { "url", "b64_json" } do
        it("works on a service that speaks OpenAI's shape itself: " .. way, function()
            emu:set { dialect = "openai", sync = way }
            local answer = assert(generate { n = 2 })
            assert.equal(2, #answer.data)
            assert.equal("string", type(answer.data[1][way]))
            answer = assert(generate { n = 2, response_format = "b64_json" })
            assert.equal(PNG, base64.decode(answer.data[2].b64_json):sub(1, 8))
            assert.equal(0, emu:stats().polls)
        end)
    end

    it("gives all pictures of a task that brings several", function()
        emu:set { images_per_task = 3, shape = "images" }
        assert.equal(6, #assert(generate { n = 2 }).data)
    end)

    it("is made from options, the environment or a client, and without a key says how to give one", function()
        assert.equal(client, ai.client)
        local none, err = openai.new { base_url = emu.url }
        assert.is_nil(none)
        assert.equal("auth", err.kind)
    end)
end)
