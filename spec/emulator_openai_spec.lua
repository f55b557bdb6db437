-- The emulator's OpenAI dialect, tested with curl; spec/openai-sdk/sdk_spec.lua tests it with OpenAI's SDK.

local core = require "flux2.core"
local cjson = require "cjson"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"
local png = require "support.png"

local PATH = "/v1/images/generations"

describe("the emulator in OpenAI's dialect", function()
    local emu
    before_each(function() emu = assert(emulator.start { dialect = "openai", duration = 0, image_bytes = 400 }) end)
    after_each(function() emu:stop() end)

    local function generate(fields, path)
        local request = { model = "flux-2", prompt = "a red fox" }
        for name, value in pairs(fields or {}) do request[name] = value end
        local response = curl.api(emu, "POST", path or PATH, { body = cjson.encode(request) })
        return response, cjson.decode(response.body)
    end

    it("has both paths, and only if the dialect is set", function()
        for _, path in ipairs { PATH, "/api" .. PATH } do
            local response, body = generate(nil, path)
            assert.equal(200, response.status)
            assert.equal(200, curl.request(body.data[1].url).status)
        end
        emu:set { dialect = "flux2" }
        local response, body = generate()
        assert.equal(404, response.status)
        assert.equal(404, body.error.code)
        assert.equal("IN_PROGRESS", select(2, generate(nil, "/api" .. PATH)).data.status)
    end)

    it("generates n different images, each as a separate task with its own price", function()
        local _, body = generate { n = 3, response_format = "b64_json" }
        assert.equal(3, #body.data)
        local seen = {}
        for _, entry in ipairs(body.data) do
            png.size(assert(core.unbase64(entry.b64_json)))
            seen[entry.b64_json] = true
        end
        assert.is_nil(seen[select(2, generate { response_format = "b64_json" }).data[2]])
        local n = 0
        for _ in pairs(seen) do n = n + 1 end
        assert.equal(3, n)
        assert.equal(1000000 - 4 * 10, emu:stats().credits_left)
        assert.equal(4, #emu:ledger())
    end)

    it("accepts all n images or none when credits are short", function()
        emu:set { credits = 25 }
        local response, body = generate { n = 3 }
        assert.equal(429, response.status)
        assert.equal("insufficient_quota", body.error.code)
        assert.equal(25, emu:stats().credits_left)
        assert.equal(0, #emu:ledger())
        assert.equal(2, #select(2, generate { n = 2 }).data)
    end)

    it("draws the requested size", function()
        emu:set { image_bytes = 0 }
        for size, ratio in pairs {
            ["256x256"] = "1:1", ["1024x1024"] = "1:1", ["1792x1024"] = "7:4", ["1024x1792"] = "4:7",
            ["1536x1024"] = "3:2",
        } do
            local _, body = generate { size = size, response_format = "b64_json" }
            local width, height = png.size(core.unbase64(body.data[1].b64_json))
            assert.equal(size, ("%dx%d"):format(width, height))
            local ledger = emu:ledger()
            assert.equal(ratio, ledger[#ledger].aspect_ratio)
        end
        local _, body = generate { size = "auto", aspect_ratio = "16:9" }
        assert.same({ 1360, 768 }, { png.size(curl.request(body.data[1].url).body) })
    end)

    it("maps each quality to a type", function()
        for quality, type_ in pairs { low = "flex", standard = "flex", medium = "flex", high = "pro",
            hd = "pro", auto = "pro" } do
            generate { quality = quality }
            local ledger = emu:ledger()
            assert.equal(type_, ledger[#ledger].type, quality)
        end
    end)

    it("treats null as an absent field, and uses `sync` as the default format", function()
        assert.truthy(select(2, generate { size = cjson.null, n = cjson.null,
            response_format = cjson.null }).data[1].url)
        emu:set { sync = "b64_json" }
        assert.truthy(select(2, generate()).data[1].b64_json)
        assert.truthy(select(2, generate { response_format = "url" }).data[1].url)
    end)

    it("responds when the image is ready", function()
        emu:set { duration = 0.3 }
        generate { n = 2 }
        for _, entry in ipairs(emu:ledger()) do assert.equal("succeeded", emu:task(entry.task_id).state) end
    end)

    for name, row in pairs {
        ["an unknown size"] = { { size = "100x100" }, 400, "size" },
        ["a size that is not a string"] = { { size = 7 }, 400, "size" },
        ["an unknown quality"] = { { quality = "best" }, 400, "quality" },
        ["n = 0"] = { { n = 0 }, 400, "n" },
        ["n above 10"] = { { n = 11 }, 400, "n" },
        ["a fractional n"] = { { n = 1.5 }, 400, "n" },
        ["an unknown format"] = { { response_format = "png" }, 400, "response_format" },
        ["an unknown model"] = { { model = "dall-e-3" }, 400, "model" },
        ["no prompt"] = { { prompt = cjson.null }, 400, "prompt" },
        ["a stream"] = { { stream = true }, 400, "stream" },
        ["a user that is not a string"] = { { user = 7 }, 400, "user" },
        ["a size with an aspect ratio"] = { { size = "1024x1024", aspect_ratio = "1:1" }, 400, "size" },
        ["a size with a resolution"] = { { size = "1024x1024", resolution = "2K" }, 400, "resolution" },
        ["an unknown field"] = { { style = "vivid" }, 400, nil },
        ["a rejected prompt"] = { { prompt = "fox [reject]" }, 400, nil, "content_policy_violation" },
        ["a moderated prompt"] = { { prompt = "fox [moderate]" }, 400, nil, "moderation_blocked" },
        ["a failing task"] = { { prompt = "fox [fail]" }, 400, nil, "image_generation_failed" },
    } do
        it("refuses " .. name .. " as OpenAI does", function()
            local response, body = generate(row[1])
            assert.equal(row[2], response.status)
            assert.equal(row[3] or cjson.null, body.error.param)
            assert.equal(row[4] or cjson.null, body.error.code)
            assert.equal("string", type(body.error.message))
            assert.equal("string", type(body.error.type))
        end)
    end

    it("refuses keys, rates and bodies with OpenAI's errors", function()
        local response = curl.request(emu.url .. PATH, { method = "POST", body = "{}" })
        assert.equal(401, response.status)
        assert.equal("invalid_api_key", cjson.decode(response.body).error.code)
        response = curl.api(emu, "POST", PATH, { body = "[1" })
        assert.equal("invalid_request_error", cjson.decode(response.body).error.type)
        assert.equal(405, curl.api(emu, "GET", PATH).status)
        emu:set { rate_limit = { requests = 1, per_seconds = 60 } }
        generate()
        local body
        response, body = generate()
        assert.equal(429, response.status)
        assert.equal("rate_limit_exceeded", body.error.code)
        assert.truthy(tonumber(response.headers["retry-after"]) >= 1)
    end)
end)
