-- The OpenAI-compatible layer over the client: translated fields, the response format, and rejected arguments.
local core = require "flux2.core"
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

    --- The body of the last submission.
    local function sent()
        local ledger = emu:ledger()
        return cjson.decode(ledger[#ledger].body)
    end

    local function generate(fields, opts)
        local request = { prompt = "a red fox" }
        for name, value in pairs(fields or {}) do request[name] = value end
        return ai.images:generate(request, opts)
    end

    it("responds in OpenAI's format, with URLs", function()
        local before = os.time()
        local response = assert(generate { model = "flux-2", n = 1, user = "somebody" })
        assert.is_true(response.created >= before and response.created <= os.time())
        assert.same({ created = response.created, data = { { url = response.images[1].url } } }, response)
        assert.matches("^" .. emu.url:gsub("%p", "%%%0") .. "/images/", response.data[1].url)
        assert.same({ emu:ledger()[1].task_id }, response.task_ids)
        assert.equal(10, response.credits)
        assert.same({ model = "flux-2", prompt = "a red fox" }, sent())
        -- The response is encodable by any JSON encoder, and equals that of OpenAI.
        assert.same({ created = response.created, data = response.data }, cjson.decode(cjson.encode(response)))
        assert.equal(0, emu:stats().downloads)
    end)

    it("reads defaults through the caller's __index", function()
        local given = setmetatable({ prompt = "a red fox" }, { __index = { quality = "low", resolution = "1K" } })
        assert.equal(6, assert(ai.images:generate(given)).credits)
        assert.same({ "flex", "1K" }, { sent().type, sent().resolution })
    end)

    it("returns the images as Base64", function()
        local response = assert(generate { response_format = "b64_json", n = 2 })
        assert.equal(2, #response.data)
        for i, entry in ipairs(response.data) do
            local bytes = assert(core.unbase64(entry.b64_json))
            assert.equal(PNG, bytes:sub(1, 8))
            assert.equal(600, #bytes)
            assert.equal(bytes, response.images[i]:bytes())
            assert.is_nil(entry.url)
        end
        assert.equal(2, emu:stats().downloads)
    end)

    it("submits n tasks at once, and keeps their order", function()
        emu:set { duration = 60 }
        local handle = flux2.spawn(function() return generate { n = 6 } end)
        service.pump_until(function() return #emu:ledger() == 6 end) -- while no task has ended
        local ledger, known = emu:ledger(), {}
        for i = 6, 1, -1 do emu:finish(ledger[i].task_id) end
        local response = assert(handle:join(bound(20)))
        assert.equal(6, #response.data)
        for _, entry in ipairs(ledger) do known[entry.task_id] = true end
        for i, id in ipairs(response.task_ids) do
            assert.is_true(known[id])
            assert.truthy(response.data[i].url:find(id, 1, true))
        end
        assert.equal(60, response.credits)
    end)

    it("translates size to an aspect ratio and a resolution", function()
        for size, fields in pairs {
            auto = {}, ["1024x1024"] = { "1:1", "1K" }, ["1792x1024"] = { "16:9", "1K" },
            ["1024x1792"] = { "9:16", "1K" },
            ["1536x1024"] = { "3:2", "1K" }, ["1024x1536"] = { "2:3", "1K" }, ["2048x2048"] = { "1:1", "2K" },
        } do
            assert(generate { size = size })
            assert.same({ model = "flux-2", prompt = "a red fox", aspect_ratio = fields[1], resolution = fields[2] },
                sent())
        end
    end)

    it("translates quality to a type", function()
        for quality, type_ in pairs {
            auto = false, hd = "pro", high = "pro", standard = "flex", medium = "flex", low = "flex",
        } do
            assert(generate { quality = quality })
            assert.equal(type_ or nil, sent().type, quality)
        end
    end)

    it("passes on fields of flux2, and treats null as absent", function()
        assert(generate { n = cjson.null, style = cjson.null, stream = false, background = "auto", partial_images = 0,
            input_urls = { "https://example.com/fox.jpg" }, aspect_ratio = "21:9", extra = { seed = 7 } })
        assert.same({ model = "flux-2", prompt = "a red fox", aspect_ratio = "21:9", seed = 7,
            input_urls = { "https://example.com/fox.jpg" } }, sent())
        assert(ai.images:generate "only a prompt")
        assert.equal("only a prompt", sent().prompt)
    end)

    describe("rejects before submission", function()
        for name, row in pairs {
            ["a style"] = { { style = "vivid" }, "style", "describe it in the prompt" },
            ["a background"] = { { background = "transparent" }, "background", "no such setting: describe it" },
            ["a stream"] = { { stream = true }, "stream", "not streamed" },
            ["partial images"] = { { partial_images = 2 }, "partial_images", "whole" },
            ["a file format"] = { { output_format = "webp" }, "output_format", "the service chooses" },
            ["a mask"] = { { mask = "..." }, "mask", "no masks" },
            ["an input image"] = { { image = "..." }, "image", "input_urls" },
            ["an unsupported size"] = { { size = "512x512" }, "size", "'1024x1024'" },
            ["a size of another type"] = { { size = 1024 }, "size", "1024" },
            ["a quality"] = { { quality = "best" }, "quality", "'hd'" },
            ["a size and a ratio"] = { { size = "1024x1024", aspect_ratio = "1:1" }, "size", "say the same" },
            ["a quality and a type"] = { { quality = "hd", type = "flex" }, "quality", "say the same" },
            ["a format"] = { { response_format = "png" }, "response_format", "'b64_json'" },
            ["n = 0"] = { { n = 0 }, "n", "from 1 to 10" },
            ["n = 11"] = { { n = 11 }, "n", "from 1 to 10" },
            ["a fraction"] = { { n = 1.5 }, "n", "from 1 to 10" },
            ["a number as a string"] = { { n = "2" }, "n", "from 1 to 10" },
            ["a user of another type"] = { { user = 7 }, "user", "a string" },
            ["a misspelt field"] = { { respons_format = "url" }, "respons_format", "did you mean response_format?" },
            ["an unknown field"] = { { hello = 1 }, "hello", "extra" },
            ["a model of OpenAI"] = { { model = "dall-e-3" }, "model", "'flux-2'" },
            ["a short prompt"] = { { prompt = "x" }, "prompt", "3 to 5000" },
        } do
            it(name .. ", with a reason", function()
                row[1].n = row[1].n or 3
                local response, err = generate(row[1])
                assert.is_nil(response)
                assert.is_nil(err.message:find(" of 3", 1, true), err.message)
                assert.equal("invalid_request", err.kind)
                assert.equal(row[2], err.field)
                assert.truthy(err.message:find(row[3], 1, true), err.message)
                assert.equal(0, emu:stats().requests)
            end)
        end

        it("functions of OpenAI other than generate", function()
            for _, verb in ipairs { "edit", "create_variation", "createVariation" } do
                local response, err = ai.images[verb](ai.images, { prompt = "a fox" })
                assert.is_nil(response)
                assert.equal("invalid_request", err.kind)
                assert.matches("input_urls", err.message)
            end
            assert.error_matches(function() return ai.chat.completions end, "images only")
            assert.is_nil(ai.anything_else)
        end)

        it("each unsupported field with this message, but not its neutral value", function()
            local said = {
                background = "the service has no such setting: describe it in the prompt",
                image = "pass the URLs of input images as input_urls",
                input_fidelity = "the service has no such setting", mask = "the service has no masks",
                moderation = "the service has its own moderation",
                output_compression = "the service chooses the compression",
                output_format = "the service chooses the format; see image.content_type",
                partial_images = "the service sends whole images only",
                stream = "responses are not streamed: wait in a coroutine, or use client:submit and task:on",
                style = "the service has no styles: describe it in the prompt",
            }
            for name, why in pairs(said) do
                local response, err = generate { [name] = "anything" }
                assert.is_nil(response)
                assert.equal("invalid_request: " .. name .. " is not available: " .. why, tostring(err))
                assert.equal(name, err.field)
            end
            assert.equal(0, emu:stats().requests)
            assert(generate { background = "auto", moderation = "auto", partial_images = 0, stream = false })
        end)

        it("an invalid value, with the list of valid ones", function()
            local function words(fields) return select(2, generate(fields)).message end
            assert.equal("size must be '1024x1024', '1024x1536', '1024x1792', '1536x1024', '1792x1024', " ..
                "'2048x2048' or 'auto', got '1x1'; "
                .. "other shapes: aspect_ratio and resolution", words { size = "1x1" })
            assert.equal("quality must be 'auto', 'hd', 'high', 'low', 'medium' or 'standard', got 7",
                words { quality = 7 })
            assert.equal("n must be a whole number from 1 to 10, got 11", words { n = 11 })
            assert.equal("response_format must be 'url' or 'b64_json', got 'png'", words { response_format = "png" })
            assert.equal("user must be a string, got 7", words { user = 7 })
            assert.equal("unknown field 'promtp': did you mean prompt?", words { promtp = "x" })
            assert.equal("unknown field 'zzzz'; what must be sent anyway goes in extra = { ... }",
                words { zzzz = 1, zzzzz = 2 })
            assert.equal("unknown field 1; what must be sent anyway goes in extra = { ... }", words { "x" })
            assert.equal("size and resolution say the same: give one of them",
                words { size = "1024x1024", resolution = "1K" })
            for _, n in ipairs { 1, 10 } do assert.equal(n, #assert(generate { n = n }).data) end
        end)

        it("every other namespace of OpenAI, by name", function()
            for _, name in ipairs {
                "audio", "chat", "completions", "embeddings", "files", "models", "moderations", "responses", "videos",
            } do
                local ok, message = pcall(function() return ai[name] end)
                assert.is_false(ok, name)
                assert.matches("^[^\n]*openai_spec%.lua:%d+: flux2%.openai makes images only: there is no '" .. name ..
                    "'$", message)
            end
            local _, err = ai.images:edit()
            assert.equal("images:edit is not available: call images:generate with up to 8 image URLs in " ..
                "input_urls", err.message)
            _, err = ai.images:createVariation()
            assert.equal("variations are not available: call images:generate with an image URL in " ..
                "input_urls", err.message)
        end)

        it("programming errors, at the caller's line", function()
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

        it("n images of which the budget covers only some", function()
            ai = assert(openai.new { api_key = emu.api_key, base_url = emu.url, budget = 25,
                poll = { interval = 0.02 } })
            local response, err = generate { n = 3 }
            assert.is_nil(response)
            assert.equal("budget", err.kind)
            assert.equal(0, emu:stats().requests)
            assert.equal(2, #assert(generate { n = 2 }).data)
            assert.equal(20, ai.client:spent())
            assert.equal("budget", select(2, generate { size = "2048x2048", quality = "low" }).kind)
            assert(generate({ size = "2048x2048", quality = "low" }, { price = 5 }))
        end)
    end)

    describe("with failures among n images", function()
        it("returns the successful images, and every accepted task", function()
            emu:set { duration = 0.2 }
            emu:fail_next(1, "out of paint")
            local response, err = generate { n = 3, response_format = "b64_json" }
            assert.is_nil(response)
            assert.equal("task_failed", err.kind)
            assert.matches("2 of 3 images are in err.data.*out of paint", tostring(err))
            assert.equal(2, #err.data)
            for i, entry in ipairs(err.data) do
                assert.equal(PNG, core.unbase64(entry.b64_json):sub(1, 8))
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

        it("reports an image that cannot be downloaded, with its valid URL", function()
            local strict = service.client(emu, { poll = { interval = 0.02, patience = 1e-9 } })
            local one = assert(openai.new(strict))
            emu:fault { method = "GET", path = "/images/*", nth = 1, status = 500 }
            local response, err = one.images:generate { prompt = "a red fox", n = 2, response_format = "b64_json" }
            assert.is_nil(response)
            assert.equal("server", err.kind)
            assert.equal(1, #err.data)
            assert.equal(2, #err.images)
            assert.equal(2, #err.task_ids)
            for _, image in ipairs(err.images) do assert.equal(PNG, assert(image:bytes()):sub(1, 8)) end
        end)

        it("applies one timeout to all images, downloads included", function()
            emu:fault { method = "GET", path = "/images/*", times = 9, hang = true }
            local err
            service.with_enough_time(0.6, function(seconds)
                local response
                response, err = generate({ n = 2, response_format = "b64_json" }, { timeout = seconds })
                assert.is_nil(response)
                return #err.images == 2
            end)
            assert.equal("timeout", err.kind)
            assert.equal("0 of 2 images are in err.data; first error: ", err.message:sub(1, 44))
            assert.same({ 0, 2, 2, 2 }, { #err.data, #err.images, #err.task_ids, #err.errors })
            for i = 1, 2 do assert.equal(err.task_ids[i], err.errors[i].task_id) end
        end)

        it("reports the cost only if all costs are known", function()
            local response = assert(generate({ n = 2, size = "2048x2048", quality = "low" }, { price = 5 }))
            assert.equal(10, response.credits)
            response = assert(generate { n = 2, size = "2048x2048", quality = "low" })
            assert.is_nil(response.credits)
            assert.equal(6, assert(generate { quality = "low" }).credits)
            assert.equal(2, emu:stats().downloads + 2)
        end)

        it("names the running tasks on timeout", function()
            emu:set { duration = 60 }
            local err
            service.with_enough_time(0.7, function(seconds)
                local response
                response, err = generate({ n = 2 }, { timeout = seconds })
                assert.is_nil(response)
                return #err.task_ids == 2
            end)
            assert.equal("timeout", err.kind)
            assert.equal(2, #err.task_ids)
            emu:finish()
            local sold = #emu:ledger()
            for _, id in ipairs(err.task_ids) do assert(assert(client:task(id)):wait()) end
            assert.equal(sold, #emu:ledger())
        end)

        it("passes on the error of a single task", function()
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

    it("yields in coroutines, and ends when the coroutine is cancelled", function()
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
        service.pump_until(function() return turns >= 1 end)

        emu:set { duration = 60 }
        local seen
        handle = flux2.spawn(function() seen = { generate { n = 2 } } end)
        service.pump_until(function() return #emu:ledger() == 4 end)
        handle:cancel()
        service.pump_until(function() return seen and flux2.pending() == 0 end)
        assert.is_nil(seen[1])
        assert.equal("cancelled", seen[2].kind)
    end)

    it("keeps images in the spool until they are collected", function()
        local dir = service.directory()
        finally(function() service.remove(dir) end)
        ai = assert(openai.new(service.client(emu, { spool = dir })))
        local function records()
            local n = 0
            for _, name in ipairs(service.list(dir)) do n = n + (name:find "%.json$" and 1 or 0) end
            return n
        end
        local response = assert(generate { n = 2 })
        assert.equal(2, records())
        for i, image in ipairs(response.images) do assert(image:save(dir .. "/" .. i .. ".png")) end
        assert.equal(0, records())
        assert(generate { n = 2, response_format = "b64_json" })
        assert.equal(0, records())
    end)

    for _, way in ipairs { "url", "b64_json" } do
        it("works with a service that uses OpenAI's format itself: " .. way, function()
            emu:set { dialect = "openai", sync = way }
            local response = assert(generate { n = 2 })
            assert.equal(2, #response.data)
            assert.equal("string", type(response.data[1][way]))
            response = assert(generate { n = 2, response_format = "b64_json" })
            assert.equal(PNG, core.unbase64(response.data[2].b64_json):sub(1, 8))
            assert.equal(0, emu:stats().polls)
        end)
    end

    it("returns all images of a task", function()
        emu:set { images_per_task = 3, shape = "images" }
        assert.equal(6, #assert(generate { n = 2 }).data)
    end)

    it("is created from options, the environment or a client; the error for a missing key names the remedy", function()
        assert.equal(client, ai.client)
        local none, err = openai.new { base_url = emu.url }
        assert.is_nil(none)
        assert.equal("auth", err.kind)
    end)
end)
