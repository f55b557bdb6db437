-- What a saved image says about itself: where it stands in the file, what it contains, and which images stay unchanged.
local core = require "flux2.core"
local json = require "flux2.json"
local png = require "support.png"
local service = require "support.service"
local shell = require "support.shell"

local XMP_NAME = "http://ns.adobe.com/xap/1.0/\0"

local function segment(code, content)
    return "\255" .. string.char(code, math.floor((#content + 2) / 256), (#content + 2) % 256) .. content
end

local JFIF, EXIF = segment(0xe0, "JFIF\0\1\1\0\0\1\0\1\0\0"), segment(0xe1, "Exif\0\0II*\0")
local function jpeg(...) -- with these segments
    local leading = "\255\216" .. table.concat { ... }
    return leading .. segment(0xdb, ("q"):rep(65)) .. segment(0xda, "scan") .. "\1\255\0\2\255\217"
end

describe("metadata", function()
    local emu, client, dir
    setup(function()
        emu = service.start()
        client = service.client(emu, { metadata = true })
    end)
    before_each(function()
        emu:clear_faults()
        dir = service.directory()
    end)
    after_each(function() service.remove(dir) end)
    teardown(service.stop_all)

    local function path(name) return dir .. "/" .. name end
    local function read(name) return service.read(path(name)) end

    --- Generates an image in memory; with `bytes` it has these.
    local function generate(request, bytes, c)
        if bytes then emu:fault { method = "GET", path = "/images/*", status = 200, body = bytes } end
        return assert((c or client):generate(request or "a fox"))
    end

    --- The bytes that were inserted at an offset, and the rest.
    local function split(bytes, original, at)
        local size = #bytes - #original
        assert.is_true(size > 0)
        return bytes:sub(at + 1, at + size), bytes:sub(1, at) .. bytes:sub(at + size + 1)
    end

    describe("of a PNG", function()
        it("is two text chunks after the header, with right checksums; every other byte stays", function()
            local image = generate()
            local original = image:bytes()
            assert(image:save(path "a.png"))
            local inserted, rest = split(read "a.png", original, 33)
            assert.equal(original, rest)
            local chunks = png.chunks(inserted)
            assert.equal(2, #chunks)
            for _, chunk in ipairs(chunks) do
                assert.equal("iTXt", chunk.type)
                assert.equal(png.crc(chunk.type .. chunk.data), chunk.crc)
            end
            assert.equal("flux2\0\0\0\0\0{", chunks[1].data:sub(1, 11))
            assert.equal("XML:com.adobe.xmp\0\0\0\0\0<?xpacket", chunks[2].data:sub(1, 31))
            assert.is_true(core.is_whole_image(read "a.png"))
        end)

        it("is the same for a download into a file, also of 3 MB", function()
            local big = service.start { image_bytes = 3e6 }
            local c = service.client(big, { metadata = true })
            local image = assert(c:generate("a fox", { save = path "a.png" }))
            local task = service.client(big):task(png.description(read "a.png").task_id)
            local original = assert(task:wait()).images[1]:bytes()
            assert.equal(3e6, #original)
            local _, rest = split(read "a.png", original, 33)
            assert.is_true(rest == original)
            assert.equal(original, image:bytes(), "the bytes for Lua stay as they are")
            assert.same({ "a.png" }, service.list(dir))
        end)

        it("contains task, provider, time and request", function()
            local before = os.date "!%Y-%m-%dT%H:%M:%SZ"
            local task = assert(client:submit { prompt = "a fox", aspect_ratio = "16:9", extra = { seed = 7 } })
            assert(assert(task:wait()).images[1]:save(path "a.png"))
            local said = png.description(read "a.png")
            assert.is_true(said.time >= before and said.time <= os.date "!%Y-%m-%dT%H:%M:%SZ", said.time)
            said.time = nil
            assert.same({
                task_id = task.id, provider = "apiin", software = "flux2 " .. require "flux2"._VERSION,
                request = { model = "flux-2", prompt = "a fox", aspect_ratio = "16:9", seed = 7 },
            }, said)
        end)

        it("has the id of the task, whatever that and the prompt contain", function()
            local id = 'a"\\<&\1>{id}'
            local body = assert(json.encode({ data = { task_id = id } }, "body"))
            emu:fault { method = "POST", path = "*", status = 200, body = body }
            emu:fault {
                method = "GET", path = "/api/v1/tasks/*", status = 200, times = 9,
                body = '{"data":{"task_id":"x","status":"completed","output":{"image_url":"/images/n41.png"}}}',
            }
            emu:fault { method = "GET", path = "/images/*", status = 200, body = png.with "" }
            assert(client:generate("{id} & {id}", { save = path "a.png" }))
            local said = png.description(read "a.png")
            assert.equal(id, said.task_id)
            assert.equal("{id} & {id}", said.request.prompt)
            local packet = read "a.png":match "<flux2:generation>(.-)</flux2:generation>"
            assert.same(said, json.decode(packet))
            assert.is_nil(packet:find "[<>&]")
        end)

        it("has the id of a task that is polled again after a timeout", function()
            emu:set { duration = 600 }
            local task
            service.with_enough_time(0.5, function(seconds)
                task = assert(client:submit("a fox", { save = path "a.png", timeout = seconds }))
                local result, err = task:wait()
                assert.is_nil(result)
                return task.id and err.kind == "timeout"
            end)
            emu:finish(task.id)
            emu:set { duration = 0.02 }
            task._timeout = 60
            assert(task:wait())
            assert.equal(task.id, png.description(read "a.png").task_id)
        end)

        it("is in a file that was open already, and not in the bytes for Lua", function()
            local image = generate()
            local original = image:bytes()
            local file = assert(io.open(path "a.png", "wb"))
            assert(image:write(file))
            file:close()
            assert(image:save(path "b.png"))
            assert.equal(read "b.png", read "a.png")
            assert.equal(original, image:buffer():string())
            assert.equal(core.base64(original), image:base64())
        end)

        it("is read by exiftool", function()
            if shell.run "command -v exiftool >/dev/null 2>&1" ~= 0 then pending "needs exiftool" end
            assert(generate('a <red> & "blue" fox\1'):save(path "a.png"))
            assert(generate("a fox", jpeg(JFIF, EXIF)):save(path "b.jpg"))
            local pipe = io.popen(("cd '%s' && exiftool -json -validate -XMP:all a.png b.jpg 2>.log"):format(dir))
            local said = assert(json.decode(pipe:read "*a"))
            pipe:close()
            for i, prompt in ipairs { 'a <red> & "blue" fox ', "a fox" } do
                assert.equal("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
                    said[i].DigitalSourceType)
                assert.equal(prompt, said[i].AIPromptInformation)
                assert.equal("Flux 2 (apiin)", said[i].AISystemUsed)
                assert.matches("^flux2 %d", said[i].CreatorTool)
                assert.matches("^%d%d%d%d:%d%d:%d%d %d%d:%d%d:%d%dZ$", said[i].CreateDate)
                assert.is_nil((said[i].Warning or ""):find "XMP", said[i].Warning)
            end
        end)
    end)

    it("of a JPEG is a segment after those of JFIF and Exif; every other byte stays", function()
        for i, leading in ipairs { "", JFIF, EXIF, JFIF .. EXIF } do
            local original = jpeg(leading, segment(0xe2, "ICC"), EXIF)
            for name, save in pairs {
                memory = function(to) return generate("a fox", original):save(to) end,
                stream = function(to)
                    emu:fault {
                        method = "GET", path = "/images/*", status = 200, body = original,
                        trickle = { bytes = 3, interval = 0.001 },
                    }
                    return client:generate("a fox", { save = to })
                end,
            } do
                local file = name .. i .. ".jpg"
                assert(save(path(file)))
                local inserted, rest = split(read(file), original, 2 + #leading)
                assert.equal(original, rest)
                assert.equal("\255\225", inserted:sub(1, 2))
                assert.equal(#inserted - 2, inserted:byte(3) * 256 + inserted:byte(4))
                assert.equal(XMP_NAME .. "<?xpacket", inserted:sub(5, 4 + #XMP_NAME + 9))
                assert.is_true(core.is_whole_image(read(file)))
            end
        end
    end)

    local sealed = {
        ["PNG with a manifest"] = png.with(png.chunk("caBX", "jumb")),
        ["PNG with a manifest after its pixels"] = png.with("", png.chunk("caBX", "jumb")),
        ["PNG with an XMP packet"] = png.with(png.chunk("iTXt", "XML:com.adobe.xmp\0\0\0\0\0<x/>")),
        ["JPEG with a manifest"] = jpeg(JFIF, segment(0xeb, "JP\0\1\0\0\0\1\0\0\0\16jumb")),
        ["JPEG with a manifest after its tables"] = jpeg(JFIF, segment(0xc4, "huffman"), segment(0xeb, "JP")),
        ["JPEG with an XMP packet"] = jpeg(JFIF, segment(0xe1, XMP_NAME .. "<x/>")),
        ["WebP"] = "RIFF\14\0\0\0WEBPVP8 abcdef",
        ["GIF"] = "GIF89a\1\0\1\0\128\0\0rgbrgb\44" .. ("x"):rep(8) .. "\0\2\3;;;\1;\0;",
    }
    for name, original in pairs(sealed) do
        it("is beside a " .. name .. ", which stays as it is", function()
            local image = generate("a fox", original)
            assert(image:save(path "memory"))
            emu:fault { method = "GET", path = "/images/*", status = 200, body = original }
            assert(client:generate("a fox", { save = path "stream" }))
            for _, file in ipairs { "memory", "stream" } do
                assert.equal(original, read(file))
                assert.equal("a fox", json.decode(read(file .. ".json")).request.prompt)
            end
            assert.equal(4, #service.list(dir))
            local file = assert(io.open(path "open", "wb"))
            assert(image:write(file))
            file:close()
            assert.equal(original, read "open")
        end)
    end

    it("is beside a JPEG if it is longer than a segment", function()
        local fits = assert(client:submit { prompt = "a fox", extra = { note = ("x"):rep(64000) } })
        emu:fault { method = "GET", path = "/images/*", status = 200, times = 2, body = jpeg(JFIF) }
        assert(assert(fits:wait()).images[1]:save(path "a.jpg"))
        local long = assert(client:submit { prompt = "a fox", extra = { note = ("x"):rep(65000) } })
        assert(assert(long:wait()).images[1]:save(path "b.jpg"))
        assert.same({ "a.jpg", "b.jpg", "b.jpg.json" }, service.list(dir))
        assert.equal(jpeg(JFIF), read "b.jpg")
        assert.equal(65000, #json.decode(read "b.jpg.json").request.note)
    end)

    it("is left out by default", function()
        local plain = service.client(emu)
        for name, bytes in pairs(sealed) do
            local image = generate("a fox", bytes, plain)
            assert(image:save(path "a"))
            assert.equal(bytes, read "a", name)
        end
        assert(plain:generate("a fox", { save = path "b" }))
        assert.is_nil(read "b":find "iTXt", "the emulator's images carry none")
        assert.same({ "a", "b" }, service.list(dir))
    end)

    it("contains no URL, no input image, no secret and no key", function()
        local key = emu.api_key
        local task = assert(client:submit {
            prompt = "not " .. key .. " but https://a.example", input_urls = { "https://a.example/fox.png?token=7" },
            extra = {
                webhook = "https://b.example", callback = "://b.example", webhook_secret = "sesame",
                deep = { { password = "sesame" } }, note = "x" .. key, seed = 7, list = { 1, 2 },
            },
        })
        assert(assert(task:wait()).images[1]:save(path "a.png"))
        local said = png.description(read "a.png")
        assert.same({ model = "flux-2", prompt = "not [key] but https://a.example", seed = 7, list = { 1, 2 } },
            said.request)
        assert.equal(1, said.input_images)
        for _, word in ipairs { key, "sesame", "b.example", "fox.png" } do
            assert.is_nil(read "a.png":find(word, 1, true), word)
        end
    end)

    it("of a recovered task is that of its record, even a damaged one", function()
        local spool = path "spool"
        local first = service.client(emu, { spool = spool })
        local task = assert(first:submit "a fox")
        assert(task:wait())
        for _, name in ipairs(service.list(spool)) do
            local record = name:find "^task" and service.read(spool .. "/" .. name)
            if record then -- of a program that has ended
                service.write(spool .. "/task-0123456789abcdef-0001.json", (record:gsub("a fox", "a \255 fox")
                    :gsub('"request": ?{', '%0"input_urls":7,')))
            end
        end
        local found = assert(service.client(emu, { spool = spool, metadata = true }):recover())
        assert.equal(1, #found)
        assert(assert(found[1]:wait()).images[1]:save(path "a.png"))
        local said = png.description(read "a.png")
        assert.same({ task.id, found[1].submitted, "a \239\191\189 fox", 1 },
            { said.task_id, said.time, said.request.prompt, said.input_images })
    end)

    it("replaces the file beside an image only if flux2 wrote that", function()
        for _, own in ipairs { '{"title":"holidays"}', "", '{"task_id"' } do
            for _, save in ipairs { function() return generate("a fox", sealed.WebP):save(path "a") end, function()
                emu:fault { method = "GET", path = "/images/*", status = 200, body = sealed.WebP }
                return client:generate("a fox", { save = path "a" })
            end } do
                service.write(path "a.json", own)
                assert(save())
                assert.same({ sealed.WebP, own }, { read "a", read "a.json" })
            end
        end
        os.remove(path "a.json")
        for _, prompt in ipairs { "a fox", "a hare" } do
            assert(generate(prompt, sealed.WebP):save(path "a"))
            assert.equal(prompt, json.decode(read "a.json").request.prompt)
        end
    end)

    it("fails with the image, and leaves nothing, if there is no place beside it", function()
        assert(core.directory(path "a.json", true))
        emu:fault { method = "GET", path = "/images/*", status = 200, body = sealed.WebP }
        local image, err = client:generate("a fox", { save = path "a" })
        assert.is_nil(image)
        assert.equal("io", err.kind)
        local saved
        saved, err = generate("a fox", sealed.WebP):save(path "a")
        assert.is_nil(saved)
        assert.equal("io", err.kind)
        assert.same({ "a.json" }, service.list(dir))
    end)
end)
