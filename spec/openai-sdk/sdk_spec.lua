-- The emulator tested with OpenAI's SDK for Node, and the two programs of docs/openai.md compared: the one with the SDK
-- and the equivalent Lua program. `make openai-sdk` installs the SDK into build/, pinned by a lock file.

local core = require "flux2.core"
local cjson = require "cjson"
local png = require "support.png"
local service = require "support.service"
local shell = require "support.shell"

-- One run is enough: the emulator is C code, and openai_spec.lua runs the guide's Lua code on every Lua.
if _VERSION ~= "Lua 5.4" or require "support.build".is_sanitized then
    return describe("OpenAI's SDK", function() pending "needs Lua 5.4 without instrumentation" end)
end

local FOLDER = "build/openai-sdk"
local BOUND = require "support.bound"(60) -- seconds until a program counts as hanging

local is_installed = service.exists(FOLDER .. "/node_modules/openai/package.json")

describe("OpenAI's SDK", function()
    local emu, dir, folder
    setup(function()
        -- Runs for several Luas may be concurrent: each has its own directory with a link to the SDK.
        folder = service.directory()
        assert(os.execute(("ln -s \"$PWD/%s/node_modules\" '%s/node_modules'"):format(FOLDER, folder)))
        assert(os.execute(("cp spec/openai-sdk/ask.mjs '%s/'"):format(folder)))
    end)
    teardown(function() service.remove(folder) end)
    service.around_each(before_each, after_each, { dialect = "openai" }, function(...) emu, dir = ... end)

    local function it_if_installed(name, fn)
        it(name, function()
            if not is_installed then return pending "the SDK is not installed: make openai-sdk" end
            fn()
        end)
    end

    --- Runs a program in `dir` with both sets of environment variables. Returns its exit code and output.
    local function run(command, key)
        return shell.run(("cd '%s' && OPENAI_API_KEY='%s' OPENAI_BASE_URL='%s/v1' FLUX2_API_KEY='%s' "
            .. "FLUX2_BASE_URL='%s' timeout -k 5 %d %s"):format(dir, key or emu.api_key, emu.url,
            key or emu.api_key, emu.url, BOUND, command))
    end

    --- Sends requests with the SDK in one process. Returns a list of { answer = } or { error = }.
    local function send_all(requests)
        local encoded = {}
        for i, one in ipairs(requests) do
            local client, request = { maxRetries = 0 }, { model = "flux-2", prompt = "a red fox" }
            for name, value in pairs(one.request or {}) do request[name] = value end
            for name, value in pairs(one.client or {}) do client[name] = value end
            encoded[i] = { client = client, request = request }
        end
        service.write(dir .. "/requests.json", cjson.encode(encoded))
        local code, printed = run(("node '%s/ask.mjs' <requests.json"):format(folder))
        assert.equal(0, code, printed)
        return cjson.decode(printed)
    end

    local function send(request)
        local results = send_all { { request = request } }[1]
        return results.answer, results.error
    end

    local function dots(bytes) return ("%dx%d"):format(png.size(bytes)) end

    it_if_installed("receives URLs of images", function()
        local answer = assert(send { n = 3, user = "a user" })
        assert.equal(3, #answer.data)
        assert.is_true(math.abs(answer.created - os.time()) < 3600)
        local ledger = emu:ledger()
        assert.equal(3, #ledger)
        for i, entry in ipairs(answer.data) do
            assert.truthy(entry.url:find(emu.url .. "/images/" .. ledger[i].task_id, 1, true))
        end
        local requests = emu:requests()
        assert.equal("/v1/images/generations", requests[1].path)
        assert.matches("^OpenAI/JS", requests[1].headers["user-agent"])
    end)

    it_if_installed("receives the images in the requested size", function()
        emu:set { image_bytes = 0 }
        local answer = assert(send { n = 2, size = "1792x1024", quality = "standard", response_format = "b64_json" })
        assert.equal(2, #answer.data)
        for _, entry in ipairs(answer.data) do
            assert.equal("1792x1024", dots(assert(core.unbase64(entry.b64_json))))
        end
        assert.is_true(answer.data[1].b64_json ~= answer.data[2].b64_json)
        assert.equal("flex", emu:ledger()[2].type)
    end)

    --- Starts an emulator for one request. Returns the SDK options for it.
    local function elsewhere(settings, fault)
        settings.dialect = "openai"
        local other = service.start(settings)
        if fault then other:fault(fault) end
        return { baseURL = other.url .. "/v1" }
    end

    it_if_installed("maps the emulator's errors to its own classes", function()
        local limit = elsewhere { rate_limit = { requests = 1, per_seconds = 3600 } }
        local broken = elsewhere({}, { path = "/v1/images/generations", status = 500,
            body = '{"error":{"message":"out"}}' })
        local rows = {
            { client = limit },
            { client = limit, class = "RateLimitError", status = 429, code = "rate_limit_exceeded" },
            { client = { apiKey = "aio_wrong" }, class = "AuthenticationError", status = 401,
                code = "invalid_api_key" },
            { request = { size = "3x3" }, class = "BadRequestError", status = 400, param = "size" },
            { client = { baseURL = emu.url .. "/v9" }, class = "NotFoundError", status = 404 },
            { client = broken, class = "InternalServerError", status = 500 },
            { client = elsewhere { credits = 5 }, class = "RateLimitError", status = 429, code = "insufficient_quota" },
            { request = { prompt = "a [moderate]" }, class = "BadRequestError", status = 400,
                code = "moderation_blocked" },
            { request = { prompt = "a [fail]" }, class = "BadRequestError", status = 400,
                code = "image_generation_failed" },
            { request = { prompt = "a [reject]" }, class = "BadRequestError", status = 400,
                code = "content_policy_violation" },
            { client = { baseURL = "http://127.0.0.1:1/v1" }, class = "APIConnectionError" },
        }
        local results = send_all(rows)
        assert.truthy(results[1].answer)
        for i = 2, #rows do
            local row, err = rows[i], assert(results[i].error, i)
            assert.equal(row.class, err.classes[1])
            assert.equal("APIError", err.classes[2])
            for _, name in ipairs { "status", "code", "param" } do
                if row[name] then assert.equal(row[name], err[name]) end
            end
            assert.truthy(#err.message > 2)
        end
    end)

    it_if_installed("repeats a request after a 429 with Retry-After", function()
        emu:set { rate_limit = { requests = 1, per_seconds = 1 } }
        local results = send_all { {}, { client = { maxRetries = 5 } } }
        assert.truthy(results[1].answer and results[2].answer)
        assert.equal(2, #emu:ledger())
    end)

    it_if_installed("does not buy an image again when a gateway reports its failure", function()
        local has_gateway, gateway = pcall(require, "support.gateway")
        if not has_gateway or not gateway.is_available then return pending "needs the gateway" end
        local upstream = service.start()
        local gw = gateway.start(upstream, dir .. "/gateway")
        finally(gateway.stop_all) -- luacheck: ignore 113
        local results = send_all { {
            client = { baseURL = gw.url .. "/v1", apiKey = gw:token "sdk", maxRetries = 2 },
            request = { prompt = "[fail] a fox" },
        } }
        assert.same({ 502, "task_failed" }, { results[1].error.status, results[1].error.type })
        assert.equal(1, #upstream:ledger())
    end)

    describe("and the equivalent Lua program", function()
        local programs = {}
        setup(function()
            local guide = service.read "docs/openai.md"
            for _, language in ipairs { "js", "lua" } do
                programs[language] = assert(guide:match("\n```" .. language .. "\n(.-)\n```\n"), language)
            end
            service.write(folder .. "/program.mjs", programs.js)
            service.write(folder .. "/program.lua", programs.lua)
        end)

        local function commands()
            return { ("node '%s/program.mjs'"):format(folder), ("'%s' '%s/program.lua'"):format(
                shell.interpreter(), folder) }
        end

        it_if_installed("generate two images each", function()
            emu:set { image_bytes = 0 }
            for i, command in ipairs(commands()) do
                local code, printed = run(command)
                assert.equal(0, code, printed)
                assert.same({ "fox-1.png", "fox-2.png" }, service.list(dir))
                local one, two = service.read(dir .. "/fox-1.png"), service.read(dir .. "/fox-2.png")
                -- The SDK sends one request for two images; the emulator draws equal images for equal requests.
                assert.equal(i == 1, one ~= two)
                -- The dialect draws the exact size; the Lua program requests 16:9, because the service takes ratios.
                local size = i == 1 and "1792x1024" or "1360x768"
                assert.same({ size, size }, { dots(one), dots(two) })
                service.remove(dir)
                os.execute(("mkdir -p '%s'"):format(dir))
            end
            local ledger = emu:ledger()
            assert.equal(4, #ledger)
            for _, entry in ipairs(ledger) do
                assert.equal("A red fox in the snow, watercolour", entry.prompt)
                assert.equal("pro", entry.type)
            end
        end)

        it_if_installed("print the same for a wrong key and a rate limit", function()
            local function both(wanted, key)
                for _, command in ipairs(commands()) do
                    local code, printed = run(command, key)
                    assert.equal(1, code, printed)
                    assert.matches(wanted, printed)
                end
            end
            both("^check the key:", "aio_wrong")
            emu:fault { method = "POST", times = 20, status = 429,
                body = '{"error":{"message":"too many","type":"requests"}}' }
            both "^slow down:.*too many"
            assert.same({}, emu:ledger())
        end)
    end)
end)
