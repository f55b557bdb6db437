-- Black Forest Labs: the provider, and the emulator's dialect "bfl". The conformance table has one row for each kind of
-- request; the emulator is tested with curl, and the provider by what arrives at the emulator.

local cjson = require "cjson"
local curl = require "emulator_curl"
local flux2 = require "flux2"
local png = require "support.png"
local providers = require "flux2.provider"
local service = require "support.service"
local shell = require "support.shell"

local URL = "https://a.example/%d.png"

local function urls(n)
    local list = {}
    for i = 1, n do list[i] = URL:format(i) end
    return list
end

describe("Black Forest Labs:", function()
    local emu, client, dir
    service.around_each(before_each, after_each, { dialect = "bfl" }, function(fresh, folder)
        emu, dir = fresh, folder
        client = service.client(emu, { provider = "bfl" })
    end)

    --- Each row: request, path, body as sent, price.
    local SIZE = { width = 1024, height = 1024 }
    local function with(more)
        local out = { prompt = "fox", width = SIZE.width, height = SIZE.height }
        for name, value in pairs(more) do out[name] = value or nil end
        return out
    end
    local REQUESTS = {
        { {}, "flux-2-pro", with {}, 3 },
        { { model = "flux-2", type = "pro", resolution = "1K", aspect_ratio = "1:1" }, "flux-2-pro", with {}, 3 },
        { { type = "flex" }, "flux-2-flex", with {}, 5 }, { { type = "max" }, "flux-2-max", with {}, 7 },
        { { type = "klein-4b" }, "flux-2-klein-4b", with {}, 1.4 },
        { { type = "klein-9b" }, "flux-2-klein-9b", with {}, 1.5 },
        { { resolution = "2K" }, "flux-2-pro", with { width = 2048, height = 2048 }, 7.5 },
        { { resolution = "2K", type = "flex" }, "flux-2-flex", with { width = 2048, height = 2048 }, 20 },
        { { aspect_ratio = "16:9" }, "flux-2-pro", with { width = 1360, height = 768 }, 3 },
        { { aspect_ratio = "9:16" }, "flux-2-pro", with { width = 768, height = 1360 }, 3 },
        { { aspect_ratio = "16:9", resolution = "2K" }, "flux-2-pro", with { width = 2720, height = 1536 }, 7.5 },
        { { width = 1920, height = 1088, type = "max" }, "flux-2-max", with { width = 1920, height = 1088 }, 10 },
        { { width = 64, height = 64 }, "flux-2-pro", with { width = 64, height = 64 }, 3 },
        { { seed = 7, output_format = "png", safety_tolerance = 0 }, "flux-2-pro",
            with { seed = 7, output_format = "png", safety_tolerance = 0 }, 3 },
        { { extra = { steps = 20 }, type = "flex" }, "flux-2-flex", with { steps = 20 }, 5 },
        { { input_urls = urls(1), aspect_ratio = "1:1" }, "flux-2-pro", with { input_image = URL:format(1) } },
        { { input_urls = urls(1), resolution = "2K" }, "flux-2-pro",
            with { input_image = URL:format(1), width = 2048, height = 2048 } },
        -- With input images the default is their ratio.
        { { input_urls = urls(2) }, "flux-2-pro",
            with { input_image = URL:format(1), input_image_2 = URL:format(2), width = false, height = false } },
        { { input_urls = urls(1), aspect_ratio = "auto" }, "flux-2-pro",
            with { input_image = URL:format(1), width = false, height = false } },
    }
    for i, row in ipairs(REQUESTS) do
        it("a request arrives as documented, " .. i .. ": " .. cjson.encode(row[3]), function()
            local given = { prompt = "fox" }
            for name, value in pairs(row[1]) do given[name] = value end
            assert(client:submit(given, { price = row[4] or 1 }):wait())
            local sent = emu:requests()[1]
            assert.same({ "POST", "/v1/" .. row[2], emu.api_key, "application/json" },
                { sent.method, sent.path, sent.headers["x-key"], sent.headers["content-type"] })
            assert.is_nil(sent.headers.authorization)
            assert.same(row[3], cjson.decode(sent.body))
            if row[4] then
                assert.equal(row[4], (client:estimate(given)))
                assert.equal(row[4], emu:ledger()[1].credits)
            else
                assert.same({ nil, "the price depends on the sizes of the input images" }, { client:estimate(given) })
            end
        end)
    end

    it("an image has the requested size", function()
        emu:set { image_bytes = 0 }
        assert(client:generate({ prompt = "fox", width = 128, height = 64 }, { save = dir .. "/fox.png" }))
        assert.same({ 128, 64 }, { png.size(service.read(dir .. "/fox.png")) })
    end)

    --- Each row: request, message, field.
    for i, row in ipairs {
        { { width = 1024 }, "width needs height", "height" }, { { height = 1024 }, "height needs width", "width" },
        { { width = 1000, height = 1024 }, "width must be a multiple of 16 from 64 to 65536, got 1000", "width" },
        { { width = 1024, height = 48 }, "height must be a multiple of 16 from 64 to 65536, got 48", "height" },
        { { width = 2064, height = 2048 }, "width x height is 4227072 pixels, at most 4194304 (4 MP) are allowed",
            "width" },
        { { width = 1024, height = 1024, aspect_ratio = "1:1" }, "give either width and height, or aspect_ratio",
            "aspect_ratio" },
        { { width = 1024, height = 1024, resolution = "1K" }, "give either width and height, or resolution",
            "resolution" },
        { { aspect_ratio = "9999:1" }, "aspect_ratio 9999:1 gives 102384 x 0 pixels, each side must have at least 64",
            "aspect_ratio" },
        { { aspect_ratio = "auto" }, "aspect_ratio 'auto' is the ratio of the input images: it needs input_urls",
            "aspect_ratio" },
        { { type = "klein-4b", input_urls = urls(5) }, "input_urls holds 5 URLs, type 'klein-4b' takes at most 4",
            "input_urls" },
        { { input_urls = urls(9) }, "input_urls holds 9 URLs, at most 8 are allowed", "input_urls" },
        { { type = "klein" }, "type must be 'pro', 'flex', 'max', 'klein-4b' or 'klein-9b', got 'klein'",
            "type" },
        { { seed = -1 }, "seed must be a whole number from 0 to 4294967295, got -1", "seed" },
        { { safety_tolerance = 6 }, "safety_tolerance must be a whole number from 0 to 5, got 6", "safety_tolerance" },
        { { output_format = "gif" }, "output_format must be 'jpeg', 'png' or 'webp', got 'gif'", "output_format" },
        { { negative_prompt = "cat" }, "unknown field 'negative_prompt'", "negative_prompt" },
    } do
        it("a request that breaks a rule is refused with the name of the field, " .. i, function()
            row[1].prompt = "fox"
            local task, err = client:submit(row[1])
            assert.is_nil(task)
            assert.same({ "invalid_request", row[2], row[3] }, { err.kind, err.message:sub(1, #row[2]), err.field })
            assert.equal(0, #emu:requests())
        end)
    end

    --- Each row: prompt, settings, the error's kind and message, or "Ready".
    for i, row in ipairs {
        { "fox", {}, nil },
        { "fox [fail]", {}, "task_failed", "the task ended as 'Error': The model could not generate this image" },
        { "fox [moderate]", {}, "moderated",
            "the service's moderation refused the image: Derivative Works Filter" },
        { "fox [moderate]", { status_words = { running = "Pending", succeeded = "Ready", failed = "Error",
            moderated = "Content Moderated" } }, "moderated",
            "the service's moderation refused the image: Derivative Works Filter" },
        { "fox [reject]", {}, "rejected", "the prompt was rejected" },
        { "fox", { credits = 2 }, "credits", "not enough credits: this costs 3, 2 are left" },
        { "fox", { api_key = "another" }, "auth", "Not authenticated" },
    } do
        it("a response is understood, " .. i .. ": " .. (row[3] or "Ready"), function()
            emu:set(row[2])
            local image, err = client:generate(row[1])
            if not row[3] then return assert.is_truthy(image) end
            assert.same({ row[3], row[4] }, { err.kind, (err.message:sub(1, #row[4])) })
        end)
    end

    it("more than 24 active tasks are refused with 429, which is not an error of the prompt", function()
        emu:set { duration = 60 }
        local eager = service.client(emu, { provider = "bfl", max_retries = 0 })
        local tasks = {}
        for i = 1, 25 do tasks[i] = assert(eager:submit("fox " .. i)) end
        service.pump_until(function() return emu:stats().requests >= 25 end)
        local failed = {}
        service.pump_until(function()
            failed = {}
            for _, task in ipairs(tasks) do if task.state == "failed" then failed[#failed + 1] = task end end
            return #failed == 1
        end)
        local _, err = failed[1]:wait()
        assert.same({ "rate_limited", "Too many concurrent requests: at most 24 active tasks" },
            { err.kind, (err.message:gsub(" %(.*", "")) })
        assert.equal(24, emu:stats().submissions)
    end)

    it("a task is polled at polling_url, which belongs to a region; its links expire", function()
        emu:set { image_ttl = 1e-9, image_expired_status = 403 }
        local task = assert(client:submit "fox")
        local _, err = assert(task:wait()).images[1]:bytes()
        assert.equal("not_found", err.kind)
        assert.equal(emu.url .. "/v1/get_result?id=" .. task.id, task.poll_url)
        local provider = providers.resolve "bfl"
        assert.same({ "https://*.bfl.ai" }, provider.origins)
        assert.is_true(require("flux2.core").is_of_origin("https://api.eu2.bfl.ai/v1/get_result?id=1",
            provider.origins[1]))
    end)

    it("a task that the service does not know ends as not_found", function()
        local status, err = client:status "nothing"
        assert.is_nil(status)
        assert.same({ "not_found", "Task not found" }, { err.kind, err.message })
    end)

    it("the spool collects tasks of an earlier process, from their own URLs", function()
        emu:set { duration = 60 }
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local client = assert(flux2.new { provider = "bfl", base_url = arg[1], api_key = arg[2], spool = arg[3] })
            local task = assert(client:submit "fox")
            while not task.id do task:wait(0.01) end
            os.exit(0)
        ]], ("'%s' '%s' '%s/spool'"):format(emu.url, emu.api_key, dir))
        assert.same({ 0, "" }, { code, printed })
        emu:finish()
        local found = assert(service.client(emu, { provider = "bfl", spool = dir .. "/spool" }):recover())
        assert.equal(1, #found)
        assert.equal(emu.url .. "/v1/get_result?id=" .. found[1].id, found[1].poll_url)
        assert(assert(found[1]:wait()).images[1]:save(dir .. "/fox.png"))
        assert.equal(1, emu:stats().submissions)
    end)

    it("the budget knows its prices", function()
        local poor = service.client(emu, { provider = "bfl", budget = 10 })
        assert(poor:generate { prompt = "fox", type = "max" })
        local _, err = poor:generate { prompt = "fox", type = "flex" }
        assert.equal("budget", err.kind)
        assert.same({ 7, 0 }, { poor:spent() })
        assert.equal(7, emu:ledger()[1].credits)
    end)

    it("the budget counts `cost`, also where there is no estimate", function()
        local task = assert(client:submit { prompt = "fox", input_urls = urls(2) })
        assert.equal(6, assert(task:wait()).credits)
        assert.same({ 6, 0 }, { client:spent() })
    end)

    it("the key is in no error, and words with its prefix are removed", function()
        emu:fault { status = 403, body = '{"detail":"bfl_sk_0123 is not valid"}' }
        local _, err = client:generate "fox"
        assert.equal("[key] is not valid", err.message)
    end)

    it("OpenAI's interface works with it", function()
        local openai = assert(require("flux2.openai").new(client))
        local response = assert(openai.images:generate { prompt = "fox", size = "1792x1024", n = 2 })
        assert.equal(2, #response.data)
        assert.same({ prompt = "fox", width = 1792, height = 1024 }, cjson.decode(emu:requests()[1].body))
    end)

    for i, row in ipairs {
        { { size = "640x480" }, "flux-2-pro", { width = 640, height = 480 } },
        { { size = "1024x1024", quality = "hd" }, "flux-2-max", { width = 1024, height = 1024 } },
        { { size = "auto", quality = "low", seed = 7, output_format = "png" }, "flux-2-klein-9b",
            { width = 1024, height = 1024, seed = 7, output_format = "png" } },
        { { quality = "medium", resolution = "2K" }, "flux-2-pro", { width = 2048, height = 2048 } },
        { { size = "1000x1000" }, nil, "width must be a multiple of 16 from 64 to 65536, got 1000" },
        { { size = "big" }, nil, "size must be '1024x1024', " },
        { { size = "1024x1024", width = 512 }, nil, "size and width say the same: give one of them" },
    } do
        it("OpenAI's interface takes any size, its qualities, and its fields, " .. i, function()
            local openai = assert(require("flux2.openai").new(client))
            row[1].prompt = "fox"
            local _, err = openai.images:generate(row[1])
            if not row[2] then return assert.equal(row[3], err.message:sub(1, #row[3])) end
            row[3].prompt = "fox"
            local sent = emu:requests()[1]
            assert.same({ "/v1/" .. row[2], row[3] }, { sent.path, cjson.decode(sent.body) })
        end)
    end

    it("its API key and base URL have their own variables", function()
        local provider = providers.resolve "bfl"
        assert.same({ api_key = "BFL_API_KEY", base_url = "BFL_BASE_URL" }, provider.environment)
        local _, err = flux2.new { provider = "bfl" }
        assert.matches('set BFL_API_KEY in the environment, or give flux2.new { api_key = "bfl_..." }', err.message, 1,
            true)
    end)
end)

describe("examples/providers.lua", function()
    it("makes the same image with each provider: one word differs #checkout", function()
        local dir = service.directory()
        for provider, credits in pairs { apiin = 10, bfl = 3 } do
            local code, printed = shell.run(shell.join { "env", "-u", "FLUX2_API_KEY", "-u", "BFL_API_KEY",
                shell.interpreter(), "examples/providers.lua", provider, "fox", dir .. "/fox.png" } .. " 2>&1")
            assert.equal(0, code, printed)
            assert.matches(("fox.png\t%d credits"):format(credits), (printed:gsub("%.0 credits", " credits")), 1, true)
            assert.same({ 1360, 768 }, { png.size(service.read(dir .. "/fox.png")) })
        end
        service.remove(dir)
    end)
end)

describe("the emulator in the dialect of Black Forest Labs #emulator", function()
    local emu
    before_each(function() emu = service.start { dialect = "bfl" } end)
    after_each(service.stop_all)

    local function request(method, path, body, key)
        local options = { method = method, body = body, headers = { "Content-Type: application/json",
            "x-key: " .. (key or emu.api_key) } }
        local response = curl.request(emu.url .. path, options)
        return response.status, cjson.decode(response.body)
    end

    it("responds as described", function()
        local status, body = request("POST", "/v1/flux-2-pro", '{"prompt":"fox","width":1920,"height":1088}')
        assert.equal(200, status)
        local id = body.id
        assert.same({ id = id, polling_url = emu.url .. "/v1/get_result?id=" .. id, cost = 4.5, input_mp = 0,
            output_mp = 1.99 }, body)
        emu:finish(id)
        status, body = request("GET", "/v1/get_result?id=" .. id)
        assert.same({ 200, { id = id, status = "Ready", progress = 1,
            result = { sample = ("%s/images/%s/1.png"):format(emu.url, id) } } }, { status, body })
        assert.same({ 200, { id = "x", status = "Task not found", result = cjson.null, progress = cjson.null,
            details = cjson.null } }, { request("GET", "/v1/get_result?id=x") })
        assert.equal(4.5, emu:ledger()[1].credits)
    end)

    it("reports a running, a failed and a moderated task", function()
        emu:set { duration = 60 }
        local _, running = request("POST", "/v1/flux-2-pro", '{"prompt":"fox"}')
        assert.equal("Pending", select(2, request("GET", "/v1/get_result?id=" .. running.id)).status)
        for word, expected in pairs {
            ["[fail]"] = { status = "Error", details = { error = "The model could not generate this image" } },
            ["[moderate]"] = { status = "Request Moderated",
                details = { ["Moderation Reasons"] = { "Derivative Works Filter" } } },
        } do
            local _, body = request("POST", "/v1/flux-2-pro", '{"prompt":"' .. word .. '"}')
            emu:finish(body.id)
            local _, polled = request("GET", "/v1/get_result?id=" .. body.id)
            assert.same({ expected.status, expected.details }, { polled.status, polled.details })
        end
    end)

    local function invalid(field, message)
        return { detail = { { loc = { "body", field }, msg = message, type = "value_error" } } }
    end

    for i, row in ipairs {
        { "{}", 422, invalid("prompt", "Field required") },
        { '{"prompt":7}', 422, invalid("prompt", "Input should be a valid string") },
        { '{"prompt":"fox","width":1000}', 422, invalid("width", "Must be a multiple of 16") },
        { '{"prompt":"fox","width":32}', 422, invalid("width", "Input should be greater than or equal to 64") },
        { '{"prompt":"fox","width":4096,"height":2048}', 422,
            invalid("height", "The total number of pixels exceeds 4MP") },
        { '{"prompt":"fox","seed":"x"}', 422, invalid("seed", "Input should be a valid integer") },
        { '{"prompt":"fox","safety_tolerance":6}', 422, invalid("safety_tolerance", "Input should be from 0 to 5") },
        { '{"prompt":"fox","output_format":"gif"}', 422,
            invalid("output_format", "Input should be 'jpeg', 'png' or 'webp'") },
        { '{"prompt":"fox","input_image":"ftp://a"}', 422,
            invalid("input_image", "Input should be a URL or an image in Base64") },
        { '{"prompt":"fox [reject]"}', 422,
            { error = "content_policy_violation", message = "the prompt was rejected" } },
        { '{"prompt":"fox","width":null,"seed":null,"input_image":"aGk="}', 200 },
    } do
        it("checks a request, " .. i .. ": " .. row[1], function()
            local status, body = request("POST", "/v1/flux-2-max", row[1])
            assert.equal(row[2], status)
            if row[3] then assert.same(row[3], body) end
            assert.equal(status == 200 and 1 or 0, emu:stats().submissions)
        end)
    end

    it("has its own errors for keys, credits, tasks and paths", function()
        assert.same({ 403, { detail = "Not authenticated" } }, { request("POST", "/v1/flux-2-pro", "{}", "no") })
        emu:set { credits = 1, duration = 60 }
        assert.same({ 402, { error = "insufficient_credits",
            message = "not enough credits: this costs 3, 1 are left" } },
            { request("POST", "/v1/flux-2-pro", '{"prompt":"fox"}') })
        emu:set { credits = 100, max_active_tasks = 1 }
        assert.equal(200, (request("POST", "/v1/flux-2-pro", '{"prompt":"fox"}')))
        assert.same({ 429, { error = "rate_limit_exceeded",
            message = "Too many concurrent requests: at most 1 active tasks" } },
            { request("POST", "/v1/flux-2-pro", '{"prompt":"fox"}') })
        assert.equal(404, (request("POST", "/v1/flux-2", '{"prompt":"fox"}')))
        assert.equal(404, (request("POST", "/api/v1/images/generations", '{"prompt":"fox"}')))
        assert.equal(422, (request("POST", "/v1/flux-2-klein-4b", '{"prompt":"fox","input_image_5":"aGk="}')))
    end)
end)
