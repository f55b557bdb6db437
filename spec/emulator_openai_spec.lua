-- The emulator in OpenAI's dialect, asked by curl; spec/openai_sdk_spec.lua asks it by OpenAI's own SDK.

local base64 = require "flux2.base64"
local cjson = require "cjson"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"
local png = require "support.png"

local PATH = "/v1/images/generations"

describe("the emulator in OpenAI's dialect", function()
    local emu
    before_each(function() emu = assert(emulator.start { dialect = "openai", duration = 0, image_bytes = 400 }) end)
    after_each(function() emu:stop() end)

    local function ask(fields, path)
        local request = { model = "flux-2", prompt = "a red fox" }
        for name, value in pairs(fields or {}) do request[name] = value end
        local answer = curl.api(emu, "POST", path or PATH, { body = cjson.encode(request) })
        return answer, cjson.decode(answer.body)
    end

    it("answers at both paths, and only when it is asked for", function()
        for _, path in ipairs { PATH, "/api" .. PATH } do
            local answer, said = ask(nil, path)
            assert.equal(200, answer.status)
            assert.equal(200, curl.request(said.data[1].url).status)
        end
        emu:set { dialect = "flux2" }
        local answer, said = ask()
        assert.equal(404, answer.status)
        assert.equal(404, said.error.code)
        assert.equal("IN_PROGRESS", select(2, ask(nil, "/api" .. PATH)).data.status)
    end)

    it("makes n different pictures, each a task with a price of its own", function()
        local _, said = ask { n = 3, response_format = "b64_json" }
        assert.equal(3, #said.data)
        local seen = {}
        for _, entry in ipairs(said.data) do
            png.size(assert(base64.decode(entry.b64_json)))
            seen[entry.b64_json] = true
        end
        assert.is_nil(seen[select(2, ask { response_format = "b64_json" }).data[2]])
        local n = 0
        for _ in pairs(seen) do n = n + 1 end
        assert.equal(3, n)
        assert.equal(1000000 - 4 * 10, emu:stats().credits_left)
        assert.equal(4, #emu:ledger())
    end)

    it("takes all n or none, when credits are short", function()
        emu:set { credits = 25 }
        local answer, said = ask { n = 3 }
        assert.equal(429, answer.status)
        assert.equal("insufficient_quota", said.error.code)
        assert.equal(25, emu:stats().credits_left)
        assert.equal(0, #emu:ledger())
        assert.equal(2, #select(2, ask { n = 2 }).data)
    end)

    it("draws in the size that was asked for", function()
        emu:set { image_bytes = 0 }
        for size, ratio in pairs {
            ["256x256"] = "1:1", ["1024x1024"] = "1:1", ["1792x1024"] = "7:4", ["1024x1792"] = "4:7", ["1536x1024"] = "3:2",
        } do
            local _, said = ask { size = size, response_format = "b64_json" }
            local width, height = png.size(base64.decode(said.data[1].b64_json))
            assert.equal(size, ("%dx%d"):format(width, height))
            local ledger = emu:ledger()
            assert.equal(ratio, ledger[#ledger].aspect_ratio)
        end
        local _, said = ask { size = "auto", aspect_ratio = "16:9" }
        assert.same({ 1360, 768 }, { png.size(curl.request(said.data[1].url).body) })
    end)

    it("has a type for each quality", function()
        for quality, type_ in pairs { low = "flex", standard = "flex", medium = "flex", high = "pro", hd = "pro", auto = "pro" } do
            ask { quality = quality }
            local ledger = emu:ledger()
            assert.equal(type_, ledger[#ledger].type, quality)
        end
    end)

    it("takes null for what is not there, and `sync` for the format that is not named", function()
        assert.truthy(select(2, ask { size = cjson.null, n = cjson.null, response_format = cjson.null }).data[1].url)
        emu:set { sync = "b64_json" }
        assert.truthy(select(2, ask()).data[1].b64_json)
        assert.truthy(select(2, ask { response_format = "url" }).data[1].url)
    end)

    it("answers when the picture is there", function()
        emu:set { duration = 0.3 }
        ask { n = 2 }
        for _, entry in ipairs(emu:ledger()) do assert.equal("succeeded", emu:task(entry.task_id).state) end
    end)

    for name, row in pairs {
        ["a size that it does not know"] = { { size = "100x100" }, 400, "size" },
        ["a size that is no string"] = { { size = 7 }, 400, "size" },
        ["a quality"] = { { quality = "best" }, 400, "quality" },
        ["no picture at all"] = { { n = 0 }, 400, "n" },
        ["more pictures than ten"] = { { n = 11 }, 400, "n" },
        ["half a picture"] = { { n = 1.5 }, 400, "n" },
        ["a format"] = { { response_format = "png" }, 400, "response_format" },
        ["a model"] = { { model = "dall-e-3" }, 400, "model" },
        ["no prompt"] = { { prompt = cjson.null }, 400, "prompt" },
        ["a stream"] = { { stream = true }, 400, "stream" },
        ["a user that is no string"] = { { user = 7 }, 400, "user" },
        ["the same twice"] = { { size = "1024x1024", aspect_ratio = "1:1" }, 400, "size" },
        ["a resolution beside a size"] = { { size = "1024x1024", resolution = "2K" }, 400, "resolution" },
        ["a field that it does not know"] = { { style = "vivid" }, 400, nil },
        ["a prompt that it rejects"] = { { prompt = "fox [reject]" }, 400, nil, "content_policy_violation" },
        ["a prompt that is moderated"] = { { prompt = "fox [moderate]" }, 400, nil, "moderation_blocked" },
        ["a task that fails"] = { { prompt = "fox [fail]" }, 400, nil, "image_generation_failed" },
    } do
        it("refuses " .. name .. " as OpenAI does", function()
            local answer, said = ask(row[1])
            assert.equal(row[2], answer.status)
            assert.equal(row[3] or cjson.null, said.error.param)
            assert.equal(row[4] or cjson.null, said.error.code)
            assert.equal("string", type(said.error.message))
            assert.equal("string", type(said.error.type))
        end)
    end

    it("refuses keys, rates and bodies in OpenAI's words", function()
        local answer = curl.request(emu.url .. PATH, { method = "POST", body = "{}" })
        assert.equal(401, answer.status)
        assert.equal("invalid_api_key", cjson.decode(answer.body).error.code)
        answer = curl.api(emu, "POST", PATH, { body = "[1" })
        assert.equal("invalid_request_error", cjson.decode(answer.body).error.type)
        assert.equal(405, curl.api(emu, "GET", PATH).status)
        emu:set { rate_limit = { requests = 1, per_seconds = 60 } }
        ask()
        local said
        answer, said = ask()
        assert.equal(429, answer.status)
        assert.equal("rate_limit_exceeded", said.error.code)
        assert.truthy(tonumber(answer.headers["retry-after"]) >= 1)
    end)
end)
