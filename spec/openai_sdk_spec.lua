-- The emulator asked by OpenAI's own SDK for Node, and the two programs of docs/openai.md side by side: the one that uses
-- the SDK, and the Lua that it becomes. `make openai-sdk` installs the SDK into build/, pinned by a lock file.

local base64 = require "flux2.base64"
local cjson = require "cjson"
local service = require "support.service"

local FOLDER = "build/openai-sdk"
local BOUND = 60 -- seconds: longer is a hang

local function exists(path)
    local file = io.open(path)
    if file then file:close() end
    return file ~= nil
end

local is_installed = exists(FOLDER .. "/node_modules/openai/package.json")

describe("OpenAI's SDK", function()
    local emu, dir, folder
    setup(function()
        -- Runs for several Luas may go on side by side: each has a folder of its own that finds the same SDK.
        folder = os.tmpname()
        os.remove(folder)
        assert(os.execute(("mkdir -p '%s' && ln -s \"$PWD/%s/node_modules\" '%s/node_modules'"):format(folder, FOLDER, folder)))
        assert(os.execute(("cp spec/openai-sdk/ask.mjs '%s/'"):format(folder)))
    end)
    teardown(function() service.remove(folder) end)
    before_each(function()
        emu = service.start { dialect = "openai" }
        dir = service.directory()
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local function it_if_installed(name, fn)
        it(name, function()
            if not is_installed then return pending "the SDK is not installed: make openai-sdk" end
            fn()
        end)
    end

    --- Runs a program in `dir` with both kinds of environment: its exit code and what it printed.
    local function run(command, key)
        local pipe = assert(io.popen(("cd '%s' && OPENAI_API_KEY='%s' OPENAI_BASE_URL='%s/v1' FLUX2_API_KEY='%s' "
            .. "FLUX2_BASE_URL='%s' timeout -k 5 %d %s 2>&1; echo \"exit:$?\""):format(dir, key or emu.api_key, emu.url,
            key or emu.api_key, emu.url, BOUND, command)))
        local printed, code = pipe:read("*a"):match "^(.*)exit:(%d+)%s*$"
        pipe:close()
        return tonumber(code), printed
    end

    local function write(path, text)
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
    end

    --- What the SDK makes of a request: its answer, or nil and its error.
    local function ask(request, options)
        request.model = request.model or "flux-2"
        request.prompt = request.prompt or "a red fox"
        local client = { maxRetries = 0 }
        for name, value in pairs(options or {}) do client[name] = value end
        write(dir .. "/asked.json", cjson.encode { client = client, request = request })
        local code, printed = run(("node '%s/ask.mjs' <asked.json"):format(folder))
        assert.equal(0, code, printed)
        local said = cjson.decode(printed)
        return said.answer, said.error
    end

    --- Width and height of a PNG.
    local function dots(png)
        assert.equal("\137PNG\r\n\26\n", png:sub(1, 8))
        local b = { png:byte(17, 24) }
        return ("%dx%d"):format((b[1] * 256 + b[2]) * 65536 + b[3] * 256 + b[4], (b[5] * 256 + b[6]) * 65536 + b[7] * 256 + b[8])
    end

    it_if_installed("gets links that lead to pictures", function()
        local answer = assert(ask { n = 3, user = "somebody" })
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

    it_if_installed("gets the pictures themselves, in the size that it asked for", function()
        emu:set { image_bytes = 0 }
        local answer = assert(ask { n = 2, size = "1792x1024", quality = "standard", response_format = "b64_json" })
        assert.equal(2, #answer.data)
        for _, entry in ipairs(answer.data) do assert.equal("1792x1024", dots(assert(base64.decode(entry.b64_json)))) end
        assert.is_true(answer.data[1].b64_json ~= answer.data[2].b64_json)
        assert.equal("flex", emu:ledger()[2].type)
    end)

    for class, row in pairs {
        AuthenticationError = { 401, {}, { apiKey = "aio_wrong" }, code = "invalid_api_key" },
        BadRequestError = { 400, { size = "3x3" }, param = "size" },
        NotFoundError = { 404, {}, { baseURL = "/v9" } },
        RateLimitError = { 429, {}, code = "rate_limit_exceeded", limit = true },
        InternalServerError = { 500, {}, fault = { status = 500, body = '{"error":{"message":"out of order"}}' } },
    } do
        it_if_installed("makes a " .. class .. " of what it is answered", function()
            local options = {}
            for name, value in pairs(row[3] or {}) do options[name] = value end
            if options.baseURL then options.baseURL = emu.url .. options.baseURL end
            if row.limit then
                emu:set { rate_limit = { requests = 1, per_seconds = 3600 } }
                assert(ask {})
            end
            if row.fault then emu:fault { path = "/v1/images/generations", status = row.fault.status, body = row.fault.body } end
            local answer, err = ask(row[2], options)
            assert.is_nil(answer)
            assert.equal(class, err.classes[1])
            assert.equal("APIError", err.classes[2])
            assert.equal(row[1], err.status)
            if row.code then assert.equal(row.code, err.code) end
            if row.param then assert.equal(row.param, err.param) end
            assert.truthy(#err.message > 5)
        end)
    end

    it_if_installed("sends again by itself after a 429, when it is told to wait", function()
        emu:set { rate_limit = { requests = 1, per_seconds = 1 } }
        assert(ask {})
        assert(ask({}, { maxRetries = 5 }))
        assert.equal(2, #emu:ledger())
    end)

    it_if_installed("gets other errors for a quota that is spent, moderation, and a failure", function()
        emu:set { credits = 5 }
        assert.equal("insufficient_quota", select(2, ask {}).code)
        emu:set { credits = 100 }
        assert.equal("moderation_blocked", select(2, ask { prompt = "this will [moderate]" }).code)
        assert.equal("image_generation_failed", select(2, ask { prompt = "this will [fail]" }).code)
        assert.matches("could not make", select(2, ask { prompt = "this will [fail]" }).message)
    end)

    describe("and the Lua that takes its place", function()
        local programs = {}
        setup(function()
            local guide = service.read "docs/openai.md"
            for _, language in ipairs { "js", "lua" } do
                programs[language] = assert(guide:match("\n```" .. language .. "\n(.-)\n```\n"), language)
            end
            write(folder .. "/program.mjs", programs.js)
            write(folder .. "/program.lua", programs.lua)
        end)

        local function commands()
            return { ("node '%s/program.mjs'"):format(folder), ("'%s' '%s/program.lua'"):format(
                os.getenv "FLUX2_TEST_LUA" or arg and arg[-1] or "lua", folder) }
        end

        it_if_installed("make two pictures each", function()
            emu:set { image_bytes = 0 }
            for i, command in ipairs(commands()) do
                local code, printed = run(command)
                assert.equal(0, code, printed)
                assert.same({ "fox-1.png", "fox-2.png" }, service.list(dir))
                local one, two = service.read(dir .. "/fox-1.png"), service.read(dir .. "/fox-2.png")
                -- One request for two; the emulator draws the same for two requests that are the same.
                assert.equal(i == 1, one ~= two)
                -- The dialect draws to the dot; the service knows ratios: 16:9 is what the Lua asks for.
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

        it_if_installed("say the same of a bad key and of a limit", function()
            local function both(wanted, key)
                for _, command in ipairs(commands()) do
                    local code, printed = run(command, key)
                    assert.equal(1, code, printed)
                    assert.matches(wanted, printed)
                end
            end
            both("^check the key:", "aio_wrong")
            emu:fault { method = "POST", times = 20, status = 429, body = '{"error":{"message":"too many","type":"requests"}}' }
            both "^slow down:.*too many"
            assert.same({}, emu:ledger())
        end)
    end)
end)
