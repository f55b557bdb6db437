-- The emulator's images: valid PNGs of the right size, the same for the same request, with URLs that can expire.
-- Takes about 5 seconds of CPU time: 2K images are drawn.

local cjson = require "cjson"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"
local png = require "support.png"
local service = require "support.service"

--- Returns the chunks of a PNG, and checks their structure.
local function chunks(bytes, has_checksums)
    png.size(bytes)
    local list = png.chunks(bytes:sub(9))
    for _, chunk in ipairs(has_checksums and list or {}) do
        assert.equal(chunk.crc, png.crc(chunk.type .. chunk.data))
    end
    assert.equal(#bytes, 8 + list[#list].to)
    assert.equal("IEND", list[#list].type)
    return list
end

describe("the emulator's images", function()
    local emu

    local function start(settings)
        settings.duration = settings.duration or 0
        emu = assert(emulator.start(settings))
        return emu
    end

    --- Submits a request and downloads the image.
    local function generate(one, fields)
        local request = { model = "flux-2", prompt = "a red fox" }
        for name, value in pairs(fields or {}) do request[name] = value end
        local id = curl.accepted(one, cjson.encode(request))
        return curl.request(curl.image_url(one, id)), id
    end

    after_each(function()
        emu:stop()
    end)

    for _, row in ipairs {
        { "1K", "1:1", 1024, 1024 }, { "2K", "1:1", 2048, 2048 }, { "2K", "16:9", 2720, 1536 },
        { "1K", "9:16", 768, 1360 }, { "1K", "21:9", 1552, 656 }, { "1K", "4:5", 912, 1136 },
        { "1K", "100:1", 2896, 352 },
    } do
        it(("are %dx%d for %s at %s"):format(row[3], row[4], row[2], row[1]), function()
            start {}
            local response = generate(emu, { resolution = row[1], aspect_ratio = row[2] })
            assert.equal(200, response.status)
            assert.equal("image/png", response.headers["content-type"])
            assert.equal(#response.body, tonumber(response.headers["content-length"]))
            assert.truthy(response.headers.date)
            chunks(response.body)
            assert.same({ row[3], row[4] }, { png.size(response.body) })
            assert.equal(0, row[3] % 16 + row[4] % 16)
        end)
    end

    it("are the same for the same request from every emulator", function()
        start { image_cache_bytes = 0 }
        local other = assert(emulator.start { duration = 0 })
        local first = generate(emu).body
        assert.is_true(#first > 20000)
        assert.is_true(first == generate(emu).body)
        assert.is_true(first == generate(other).body)
        assert.is_false(first == generate(other, { prompt = "a red fax" }).body)
        other:stop()
    end)

    it("differ with each part of the request, and with the seed", function()
        start { image_bytes = 400 }
        local seeded = assert(emulator.start { duration = 0, image_bytes = 400, seed = 5 })
        local seen = { [generate(emu).body] = true }
        local function is_new(bytes)
            local new = not seen[bytes]
            seen[bytes] = true
            return new
        end
        assert.is_true(is_new(generate(seeded).body))
        for name, value in pairs {
            prompt = "a red fax", type = "flex", resolution = "2K", aspect_ratio = "1:2",
            input_urls = { "http://a.b/c" },
        } do
            assert.is_true(is_new(generate(emu, { [name] = value }).body), name)
        end
        seeded:stop()
    end)

    for name, prompt in pairs {
        ["of 5000 characters"] = ("wide "):rep(1000), ["without a blank"] = ("x"):rep(5000),
        ["of wide characters"] = ("日本"):rep(1000), ["with control characters"] = "a\1b\n\tc\127d",
        ["of blanks"] = "     ", ["of marks that combine"] = ("e\204\129"):rep(2000),
    } do
        it("are drawn for a prompt " .. name, function()
            start { dialect = "openai" } -- which has small images
            local request = cjson.encode { model = "flux-2", prompt = prompt, size = "256x256" }
            local response = curl.request(cjson.decode(curl.submit(emu, request).body).data[1].url)
            assert.equal(200, response.status)
            chunks(response.body)
            assert.same({ 256, 256 }, { png.size(response.body) })
        end)
    end

    it("are served without a key, with GET and HEAD", function()
        start { image_bytes = 5000 }
        local _, id = generate(emu)
        local url = emu.url .. "/images/" .. id .. "/1.png"
        local head = curl.request(url, { method = "HEAD" })
        assert.equal(200, head.status)
        assert.equal("5000", head.headers["content-length"])
        assert.equal("", head.body)
        assert.is_nil(emu:requests()[4].headers.authorization)
        assert.equal(1, emu:stats().downloads)
    end)

    it("are not available before the task ends, or under another name", function()
        start { duration = 60, image_bytes = 300 }
        local id = curl.accepted(emu)
        local url = emu.url .. "/images/" .. id
        assert.equal(404, curl.request(url .. "/1.png").status)
        emu:finish()
        curl.poll(emu, id)
        assert.equal(200, curl.request(url .. "/1.png").status)
        for _, other in ipairs { "/2.png", "/0.png", "/1.pngx", "/1.jpg", "", "/", "x/1.png" } do
            assert.equal(404, curl.request(url .. other).status, other)
        end
    end)

    describe("of a given size", function()
        for _, size in ipairs { 300, 301, 5000, 1024 * 1024 + 7, 8 * 1024 * 1024 } do
            it("are valid and have exactly " .. size .. " bytes", function()
                start { image_bytes = size }
                local bytes = generate(emu).body
                assert.equal(size, #bytes)
                local list = chunks(bytes, size <= 5000)
                assert.same({ "IHDR", "PLTE", "IDAT", "tEXt", "paDd", "IEND" },
                    { list[1].type, list[2].type, list[3].type, list[4].type, list[5].type, list[6].type })
            end)
        end

        it("have the smallest possible size if the given size is too small", function()
            start { image_bytes = 1 }
            assert.is_true(#generate(emu).body < 300)
        end)

        it("differ only with the request", function()
            start { image_bytes = 400 }
            local one = generate(emu).body
            assert.is_true(one == generate(emu).body)
            assert.is_false(one == generate(emu, { prompt = "a blue fox" }).body)
        end)
    end)

    describe("with URLs that expire", function()
        it("expire on request, and are available under a new URL", function()
            start { image_bytes = 300 }
            local _, id = generate(emu)
            local old = curl.image_url(emu, id)
            assert.equal(200, curl.request(old).status)
            emu:expire_images()
            assert.equal(404, curl.request(old).status)
            local fresh = curl.image_url(emu, id)
            assert.not_equal(old, fresh)
            assert.equal(200, curl.request(fresh).status)
            assert.equal(404, curl.request(old).status)
            assert.equal(fresh, curl.image_url(emu, id))
            emu:set { image_expired_status = 410 }
            local gone = curl.request(old)
            assert.equal(410, gone.status)
            assert.equal("expired", cjson.decode(gone.body).error.type)
        end)

        it("expire after a time", function()
            start { image_bytes = 300, image_ttl = 0.2, image_expired_status = 403 }
            local id = curl.accepted(emu)
            local url = curl.image_url(emu, id)
            emu:wait(0.21)
            assert.equal(403, curl.request(url).status)
            emu:set { image_ttl = 60 }
            assert.equal(200, curl.request(curl.image_url(emu, id)).status)
        end)
    end)

    it("can have another path, host and type", function()
        start { image_bytes = 300, image_path = "/cdn/v1", image_content_type = "application/octet-stream" }
        local response, id = generate(emu)
        assert.equal(200, response.status)
        assert.equal("application/octet-stream", response.headers["content-type"])
        emu:set { image_base_url = "http://localhost:" .. emu.port }
        assert.equal(("http://localhost:%d/cdn/v1/%s/1.png"):format(emu.port, id), curl.image_url(emu, id))
    end)
end)

describe("drawn images", function()
    it("say that they come from an emulator", function()
        local code, printed = service.run_lua([[
            local emulator = assert(require("flux2.emulator").start { duration = 0 })
            local client = assert(require("flux2").new { api_key = emulator.api_key, base_url = emulator.url })
            assert(client:generate { prompt = "a red fox", aspect_ratio = "16:9" })
        ]], nil, service.preload "cairo_text")
        assert.equal(0, code, printed)
        assert.equal("@text EMULATOR\n@text a red fox\n@text pro \194\183 1K \194\183 16:9 \194\183 1360x768\n", printed)
    end)
end)
