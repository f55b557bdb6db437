-- The emulator implements the service's contract: authorization, request checks, prices, and the states of a task.

local cjson = require "cjson"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"

local unpack = table.unpack or unpack -- luacheck: ignore 143

local function body(fields)
    local request = { model = "flux-2", prompt = "a red fox" }
    for name, value in pairs(fields) do request[name] = value end
    return cjson.encode(request)
end

local function check_error(response, status, kind, message)
    assert.equal(status, response.status, response.body)
    local err = cjson.decode(response.body).error
    assert.equal(status, err.code)
    assert.equal(kind, err.type)
    if message then assert.equal(message, err.message) end
    assert.equal("application/json", response.headers["content-type"])
end

describe("the emulator's contract", function()
    local emu

    local function start(settings)
        emu = assert(emulator.start(settings))
        return emu
    end

    after_each(function()
        if emu then emu:stop() end
        emu = nil
    end)

    describe("submissions", function()
        it("get exactly the response on the service's page", function()
            start { duration = 60 }
            local response = curl.submit(emu)
            local id = emu:ledger()[1].task_id
            assert.equal(200, response.status)
            assert.equal("application/json", response.headers["content-type"])
            assert.equal(
                '{"code":200,"message":"success","data":{"task_id":"' .. id .. '","status":"IN_PROGRESS"}}',
                    response.body)
            assert.truthy(id:find "^n41%w+_flux2$")
        end)

        it("accept the curl command on the service's page", function()
            start { duration = 60 }
            local response = curl.submit(emu, [[{
"model": "flux-2",
"prompt": "A serene Japanese garden with cherry blossoms, koi pond, and wooden bridge, photorealistic",
"aspect_ratio": "16:9",
"type": "pro",
"resolution": "1K"
}]])
            assert.equal(200, response.status)
        end)

        it("are in the ledger as received, with their defaults and price", function()
            start { duration = 60 }
            local text = body { seed = 7, input_urls = { "https://example.com/a.png" } }
            curl.submit(emu, text)
            curl.submit(emu, body { prompt = "a blue fox", type = "flex", aspect_ratio = "9:16" })
            local first, second = unpack(emu:ledger())
            assert.same(
                { "flux-2", "a red fox", "pro", "1K", "1:1", 10, text },
                { first.model, first.prompt, first.type, first.resolution, first.aspect_ratio,
                    first.credits, first.body })
            assert.same({ "https://example.com/a.png" }, first.input_urls)
            assert.same({ "a blue fox", "flex", "9:16", 6 },
                { second.prompt, second.type, second.aspect_ratio, second.credits })
            assert.is_true(first.at >= 0 and second.at >= first.at)
            assert.is_nil(second.input_urls)
        end)

        local eight = {}
        for i = 1, 8 do eight[i] = "http://example.com/" .. i end
        local nine = { "https://example.com/9", unpack(eight) }
        local prompt_rule = "prompt must be 3 to 5000 characters"
        local url_rule = "input_urls must hold http or https URLs only"
        local ratio_rule = "aspect_ratio must be W:H with whole numbers, like 16:9"
        for _, row in ipairs {
            { "model is required", '{"prompt":"a red fox"}' },
            { "model must be a string", body { model = 2 } },
            { 'model must be "flux-2"', body { model = "flux-1" } },
            { "prompt is required", '{"model":"flux-2"}' },
            { "prompt must be a string", body { prompt = { "a" } } },
            { prompt_rule, body { prompt = "ab" } },
            { prompt_rule, body { prompt = "äö" } },
            { prompt_rule, body { prompt = ("x"):rep(5001) } },
            { "type must be a string", body { type = true } },
            { 'type must be "pro" or "flex"', body { type = "max" } },
            { 'resolution must be "1K" or "2K"', body { resolution = "4K" } },
            { "aspect_ratio must be a string", body { aspect_ratio = 1 } },
            { ratio_rule, body { aspect_ratio = "16x9" } },
            { 'aspect_ratio "auto" needs input_urls', body { aspect_ratio = "auto" } },
            { ratio_rule, body { aspect_ratio = "16:" } },
            { ratio_rule, body { aspect_ratio = "0:9" } },
            { ratio_rule, body { aspect_ratio = "16:9:1" } },
            { "input_urls must be an array of URLs", body { input_urls = "http://example.com" } },
            { "input_urls must hold at most 8 URLs", body { input_urls = nine } },
            { "input_urls must hold URLs of at most 8192 bytes",
                body { input_urls = { "http://h/" .. ("x"):rep(8184) } } },
            { url_rule, body { input_urls = { "ftp://example.com/a" } } },
            { url_rule, body { input_urls = { "http://" } } },
            { url_rule, body { input_urls = { 1 } } },
            { "the body must be a JSON object", "[]" },
            { "the body must be a JSON object", "3" },
        } do
            it("are refused: " .. row[1] .. " - " .. row[2]:sub(1, 60), function()
                start {}
                check_error(curl.submit(emu, row[2]), 400, "invalid_request", row[1])
                assert.same({}, emu:ledger())
                assert.equal(1000000, emu:stats().credits_left)
            end)
        end

        for _, row in ipairs {
            { "3 characters of several bytes", { prompt = "äöü" } },
            { "5000 characters of several bytes", { prompt = ("ä"):rep(5000) } },
            { "8 input_urls", { input_urls = eight } },
            { "an input URL of 8192 bytes", { input_urls = { "http://h/" .. ("x"):rep(8183) } } },
            { "an unusual aspect ratio", { aspect_ratio = "21:9" } },
            { "unknown fields", { callback_url = "x", negative_prompt = 3 } },
        } do
            it("may have " .. row[1], function()
                start { duration = 60 }
                local response = curl.submit(emu, body(row[2]))
                assert.equal(200, response.status, response.body)
            end)
        end

        for name, text in pairs { ["a body that is not JSON"] = "hello", ["truncated JSON"] = '{"model":"flu',
            ["invalid UTF-8"] = '{"a":"\255"}' } do
            it("are refused if they have " .. name, function()
                start {}
                local response = curl.submit(emu, text)
                check_error(response, 400, "invalid_request")
                assert.truthy(response.body:find("the body is not JSON", 1, true))
            end)
        end

        it("need Content-Type: application/json", function()
            start { duration = 60 }
            check_error(curl.submit(emu, nil, { content_type = "text/plain" }), 415, "unsupported_media_type")
            check_error(curl.submit(emu, nil, { content_type = "application/jsonl" }), 415, "unsupported_media_type")
            local options = { content_type = "Application/JSON; charset=utf-8" }
            assert.equal(200, curl.submit(emu, nil, options).status)
        end)

        it("are refused with 413 if they are too long", function()
            start { max_body_bytes = 1000 }
            for _, size in ipairs { 1000, 3 * 1024 * 1024 } do
                check_error(curl.submit(emu, body { extra = ("x"):rep(size) }), 413, "payload_too_large",
                    "the body is longer than 1000 bytes")
            end
            assert.same({}, emu:ledger())
        end)

        it("are refused with 422 if the prompt requests it", function()
            start { rejection_word = "gore" }
            check_error(curl.submit(emu, body { prompt = "gore and more" }), 422, "rejected")
            assert.same({}, emu:ledger())
        end)
    end)

    describe("authorization", function()
        for name, line in pairs {
            ["no key"] = "X-Nothing: 1",
            ["a wrong key"] = "Authorization: Bearer aio_emulator_kez",
            ["half a key"] = "Authorization: Bearer aio_emulator",
            ["another scheme"] = "Authorization: Basic aio_emulator_key",
        } do
            it("fails with " .. name .. ", for submissions and polls", function()
                start {}
                local options = { headers = { line, "Content-Type: application/json" },
                    body = body {}, method = "POST" }
                check_error(curl.request(emu.url .. "/api/v1/images/generations", options), 401, "authentication_error")
                options = { headers = { line } }
                check_error(curl.request(emu.url .. "/api/v1/tasks/n41x_flux2", options), 401, "authentication_error")
                assert.same({}, emu:ledger())
            end)
        end

        it("accepts the configured key, set at the start or later", function()
            start { api_key = "aio_mine", duration = 60 }
            assert.equal("aio_mine", emu.api_key)
            assert.equal(200, curl.submit(emu).status)
            emu:set { api_key = "aio_new" }
            assert.equal("aio_new", emu.api_key)
            assert.equal(200, curl.submit(emu).status)
            assert.equal(401, curl.submit({ url = emu.url, api_key = "aio_mine" }).status)
        end)
    end)

    describe("paths and methods", function()
        it("return 404 for an unknown path", function()
            start {}
            for _, path in ipairs { "/", "/api/v1/images/generationsx", "/api/v1/tasks/",
                "/api/v2/tasks/n41x_flux2" } do
                check_error(curl.api(emu, "GET", path), 404, "not_found")
            end
        end)

        it("return 404 for an unknown task", function()
            start { duration = 60 }
            local id = curl.accepted(emu)
            for _, other in ipairs { "n41x_flux2", id:sub(1, -2), id .. "x", "../" .. id, "%2e%2e/" .. id,
                ("x"):rep(5000) } do
                check_error(curl.poll(emu, other), 404, "not_found")
            end
        end)

        it("return 405 with Allow for an unsupported method", function()
            start { duration = 60 }
            local id = curl.accepted(emu)
            for _, row in ipairs {
                { "GET", "/api/v1/images/generations", "POST" },
                { "DELETE", "/api/v1/tasks/" .. id, "GET" },
                { "PUT", "/images/" .. id .. "/1.png", "GET, HEAD" },
            } do
                local response = curl.api(emu, row[1], row[2])
                check_error(response, 405, "method_not_allowed")
                assert.equal(row[3], response.headers.allow)
            end
        end)
    end)

    describe("credits", function()
        for _, row in ipairs {
            { "pro", "1K", 10 }, { "pro", "2K", 20 }, { "flex", "1K", 6 }, { "flex", "2K", 12 },
        } do
            it(("are %d for %s %s"):format(row[3], row[1], row[2]), function()
                start { duration = 60, credits = 100 }
                curl.submit(emu, body { type = row[1], resolution = row[2] })
                assert.equal(100 - row[3], emu:stats().credits_left)
                assert.equal(row[3], emu:ledger()[1].credits)
            end)
        end

        it("for flex 2K are configurable", function()
            start { duration = 60, credits = 100, flex_2k_credits = 17 }
            curl.submit(emu, body { type = "flex", resolution = "2K" })
            assert.equal(83, emu:stats().credits_left)
        end)

        it("run out with 402, and can be added", function()
            start { duration = 60, credits = 25 }
            assert.equal(200, curl.submit(emu).status)
            assert.equal(200, curl.submit(emu).status)
            check_error(curl.submit(emu), 402, "insufficient_credits", "not enough credits: this costs 10, 5 are left")
            assert.equal(2, #emu:ledger())
            assert.equal(5, emu:stats().credits_left)
            emu:set { credits = 10 }
            assert.equal(200, curl.submit(emu).status)
            assert.equal(0, emu:stats().credits_left)
        end)
    end)

    describe("the rate limit", function()
        it("returns 429 with Retry-After in seconds, and charges nothing", function()
            start { duration = 60, rate_limit = { requests = 2, per_seconds = 3600 } }
            local id = curl.accepted(emu)
            assert.equal(200, curl.poll(emu, id).status)
            local response = curl.submit(emu)
            check_error(response, 429, "rate_limit_error")
            local seconds = tonumber(response.headers["retry-after"])
            assert.is_true(seconds > 3500 and seconds <= 3600)
            assert.equal(1, #emu:ledger())
            emu:set { rate_limit = false }
            assert.equal(200, curl.submit(emu).status)
        end)

        it("can send Retry-After as an HTTP date", function()
            start { rate_limit = { requests = 1, per_seconds = 3600 }, retry_after_format = "date" }
            curl.poll(emu, "x")
            local date = curl.poll(emu, "x").headers["retry-after"]
            assert.truthy(date:find "^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", date)
        end)

        it("can apply to submissions only, and resets after its period", function()
            start { duration = 60, rate_limit = { requests = 1, per_seconds = 0.3, submissions_only = true } }
            local id = curl.accepted(emu)
            for _ = 1, 3 do assert.equal(200, curl.poll(emu, id).status) end
            emu:wait(0.31)
            assert.equal(200, curl.submit(emu).status)
        end)
    end)

    describe("a task", function()
        it("runs for its duration and then has an image", function()
            start { duration = 6000 }
            local id = curl.accepted(emu)
            local running = cjson.decode(curl.poll(emu, id).body)
            assert.same({ code = 200, message = "success",
                data = { task_id = id, status = "IN_PROGRESS", progress = 0 } },
                running)
            assert.equal("running", emu:task(id).state)
            assert.equal(1, emu:finish(id))
            assert.equal(0, emu:finish())
            local done = cjson.decode(curl.poll(emu, id).body)
            assert.same({
                task_id = id, status = "SUCCESS", progress = 100,
                output = { image_url = emu.url .. "/images/" .. id .. "/1.png" },
            }, done.data)
            assert.equal("succeeded", emu:task(id).state)
            assert.equal(2, emu:task(id).polls)
        end)

        it("ends without a request", function()
            start { duration = 0.05 }
            local id = curl.accepted(emu)
            emu:wait(0.06)
            assert.truthy(curl.poll(emu, id).body:find('"status":"SUCCESS"', 1, true))
        end)

        it("has a random duration between the bounds, determined by the seed", function()
            local function durations(seed)
                local one = assert(emulator.start { duration = { 5, 9 }, seed = seed })
                for _ = 1, 5 do curl.accepted(one) end
                local list = {}
                for i, task in ipairs(one:ledger()) do
                    assert.is_true(task.duration >= 5 and task.duration <= 9)
                    list[i] = ("%s %.3f"):format(task.task_id, task.duration)
                end
                one:stop()
                return table.concat(list, "\n")
            end
            assert.equal(durations(1), durations(1))
            assert.not_equal(durations(1), durations(2))
            assert.not_equal(durations(nil), durations(nil))
        end)

        for _, row in ipairs {
            { "failure_rate", { failure_rate = 1, failure_reason = "out of paint" }, "a red fox", "out of paint" },
            { "the failure word", {}, "a [fail] fox", "The model could not generate this image" },
            { "the moderation word", {}, "a [moderate] fox", "Request Moderated" },
        } do
            it("fails by " .. row[1], function()
                row[2].duration = 0
                start(row[2])
                local id = curl.accepted(emu, body { prompt = row[3] })
                local data = cjson.decode(curl.poll(emu, id).body).data
                assert.equal("FAILED", data.status)
                assert.equal(row[4], data.error)
                assert.is_nil(data.output)
                assert.equal("failed", emu:task(id).state)
                assert.equal(row[4], emu:task(id).reason)
                assert.equal(404, curl.request(emu.url .. "/images/" .. id .. "/1.png").status)
            end)
        end

        it("fails as many times as fail_next sets", function()
            start { duration = 0 }
            emu:fail_next(2, "bad luck")
            for i = 1, 3 do
                local id = curl.accepted(emu)
                assert.equal(i < 3 and "failed" or "succeeded", emu:task(id).state)
                assert.equal(i < 3 and "bad luck" or nil, emu:task(id).reason)
            end
        end)

        it("can have other status words", function()
            start {
                duration = 60,
                status_words = { running = "queued", succeeded = "Ready", failed = "ERROR",
                    moderated = "Content Moderated" },
            }
            local response = curl.submit(emu)
            assert.truthy(response.body:find('"status":"queued"', 1, true))
            for prompt, word in pairs { ["a fox"] = "Ready", ["[fail] it"] = "ERROR",
                ["[moderate] it"] = "Content Moderated" } do
                local id = curl.accepted(emu, body { prompt = prompt })
                emu:finish()
                assert.equal(word, cjson.decode(curl.poll(emu, id).body).data.status)
            end
        end)

        for kind, expected in pairs { percent = { 0, 100 }, fraction = { 0, 1 },
            string = { "0%", "100%" }, none = {} } do
            it("reports its progress: " .. kind, function()
                start { duration = 6000, progress = kind }
                local id = curl.accepted(emu)
                assert.equal(expected[1], cjson.decode(curl.poll(emu, id).body).data.progress)
                emu:finish()
                assert.equal(expected[2], cjson.decode(curl.poll(emu, id).body).data.progress)
            end)
        end
    end)
end)
