-- Image types are detected by the first bytes, in Lua and in the engine.
local core = require "flux2.core"
local image_signature = require "flux2.image_signature"

describe("image_signature.type", function()
    local cases = {
        { "\137PNG\r\n\26\n....", "image/png", "png" }, { "\255\216\255\224", "image/jpeg", "jpg" },
        { "RIFF\0\1\2\3WEBPVP8 ", "image/webp", "webp" }, { "GIF87a", "image/gif", "gif" },
        { "GIF89a..", "image/gif", "gif" },
        { "\0\0\0\32ftypavif", "image/avif", "avif" }, { "\0\0\0\32ftypavis", "image/avif", "avif" },
        { "\0\0\0\32ftypmif1", "image/avif", "avif" },
        { "" }, { "\137PNG" }, { "\255\216" }, { "RIFF\0\0\0\0WAVE" }, { "RIFFWEBP" }, { "GIF88a" }, { "<html>" },
        { "\0\0\0\32ftypmp42" }, { "{\"a\":1}" }, { " \137PNG\r\n\26\n" },
    }
    for i, case in ipairs(cases) do
        it("case " .. i .. ": " .. tostring(case[2]), function()
            local content_type, extension = image_signature.type(case[1])
            assert.equal(case[2], content_type)
            assert.equal(case[3], extension)
            -- This prefix is long enough.
            assert.equal(case[2], (image_signature.type(case[1]:sub(1, image_signature.size))))
        end)
    end
end)

describe("image type detection in the engine", function()
    local patterns = {}
    for i, s in ipairs(image_signature.list) do patterns[i] = s.pattern end
    local p = core.profile { signatures = patterns }
    local function kind(head)
        local i = core._pure.signature(p, head)
        return i and i > 0 and image_signature.list[i].content_type or i
    end
    for _, case in ipairs {
        { "\137PNG\r\n\26\n....", "image/png" }, { "\255\216\255\224", "image/jpeg" },
        { "RIFF\1\2\3\4WEBPVP8 ", "image/webp" }, { "GIF89a..", "image/gif" }, { "\0\0\0\32ftypavif", "image/avif" },
        { "RIFF\1\2\3\4WAVE", nil }, { "<!DOCTYPE html>", nil }, { "\137PNXXXXX", nil },
        { "", 0 }, { "\137PN", 0 }, { "RIFF", 0 }, { "\0\0\0", 0 },
    } do
        it(("%q"):format(case[1]), function() assert.equal(case[2], kind(case[1])) end)
    end
end)

describe("the end of an image", function()
    local png = require "support.png"
    local function box(kind, content) return string.char(0, 0, 0, #content + 8) .. kind .. content end
    local riff = "RIFF\14\0\0\0WEBPVP8 abcdef"
    local images = {
        PNG = png.holding "text",
        JPEG = "\255\216\255\224\0\4xx\255\218\0\3x coded \255\0 data \255\208 more \255\217",
        ["JPEG with a thumbnail"] = "\255\216\255\225\0\12x\255\216x\255\217xxx\255\255\218\0\3x coded \255\217",
        WebP = riff,
        GIF = "GIF89a\1\0\1\0\128\0\0rgbrgb\33\249\4abcd\0\44" .. ("x"):rep(8) .. "\0\2\3;;;\1;\0;",
        AVIF = box("ftyp", "avif....") .. box("meta", "x") .. box("mdat", "data"),
    }
    for name, bytes in pairs(images) do
        it("of type " .. name .. " is where its structure ends", function()
            for _, step in ipairs { 1, 3, 1000 } do
                assert.is_true(core.is_whole_image(bytes, step))
                -- A box may follow the image in AVIF.
                assert.is_true(core.is_whole_image(bytes .. (name == "AVIF" and box("free", "")
                    or "what follows"), step))
                for n = 1, #bytes - 1 do
                    assert.is_false(core.is_whole_image(bytes:sub(1, n), step),
                        ("%s: %d of %d bytes"):format(name, n, #bytes))
                end
            end
        end)
    end
    it("is not searched in other formats", function()
        for _, bytes in ipairs { "a text", ("x"):rep(100) } do assert.is_true(core.is_whole_image(bytes, 7)) end
    end)
    it("of an emulator image is its last byte", function()
        local service = require "support.service"
        local emu = service.start { image_bytes = 3000 }
        local bytes = assert(service.client(emu):generate("a fox"):bytes())
        service.stop_all()
        assert.is_true(core.is_whole_image(bytes, 100))
        assert.is_false(core.is_whole_image(bytes:sub(1, -2), 100))
    end)
end)
