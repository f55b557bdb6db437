-- Content-Encoding: compressed bodies are recognized by their bytes, and whatever the header says, the body is read.
local bound = require "support.bound"
local png = require "support.png"
local service = require "support.service"
local shell = require "support.shell"

local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"
local PNG = png.holding(("stored "):rep(50))

local function be16(n) return string.char(math.floor(n / 256), n % 256) end
local function le16(n) return string.char(n % 256, math.floor(n / 256)) end

--- The format of zlib, which HTTP calls deflate: one block that is not compressed.
local function zlib(bytes)
    local a, b = 1, 0
    for i = 1, #bytes do
        a = (a + bytes:byte(i)) % 65521
        b = (b + a) % 65521
    end
    return "\120\1\1" .. le16(#bytes) .. le16(65535 - #bytes) .. bytes .. be16(b) .. be16(a)
end

describe("a response", function()
    local emu, dir
    service.around_each(before_each, after_each, nil, function(e, d) emu, dir = e, d end)

    local function gzip(bytes)
        local path = dir .. "/plain"
        service.write(path, bytes)
        return select(2, shell.run(("gzip -nc '%s'"):format(path)))
    end
    local function as_is(bytes) return bytes end

    local BODIES = {
        [SUBMIT] = '{"code":200,"data":{"task_id":"the-task","status":"queued"}}',
        [TASKS] = '{"code":200,"data":{"status":"SUCCESS","output":{"image_url":"{url}/images/any.png"}}}',
        [IMAGES] = PNG,
    }

    --- Generates an image; all responses of the service are `pack`ed and have the header. Returns the bytes.
    local function generate(pack, header, more)
        for path, body in pairs(BODIES) do
            local fault = { path = path, times = 1000, body = pack((body:gsub("{url}", emu.url))) }
            for name, value in pairs(more or {}) do fault[name] = value end
            fault.headers = header and { ["Content-Encoding"] = header } or nil
            emu:fault(fault)
        end
        local image, err = service.client(emu, { timeout = bound(20) }):generate "a fox"
        return image and image:bytes(), err
    end

    for _, header in ipairs { "UTF-8", "gzip", "deflate", "br", "zstd", "aws-chunked", "none", "identity", "" } do
        it("is read as it is if it is not compressed: Content-Encoding: " .. header, function()
            assert.equal(PNG, assert(generate(as_is, header)))
        end)
    end

    for _, header in ipairs { "gzip", "x-gzip", "UTF-8, gzip", false } do
        it("of gzip is decompressed: Content-Encoding: " .. tostring(header), function()
            assert.equal(PNG, assert(generate(gzip, header)))
        end)
    end

    it("of zlib is decompressed: Content-Encoding: deflate", function()
        assert.equal(PNG, assert(generate(zlib, "deflate")))
    end)

    it("with data after the end of the compressed data is decompressed", function()
        -- In a read of its own.
        local size = #gzip(PNG)
        local bytes = gzip(PNG) .. ("\0"):rep(100)
        emu:fault { path = IMAGES, times = 1000, body = bytes, trickle = { bytes = size, interval = 0.05 } }
        assert.equal(PNG, assert(service.client(emu):generate "a fox"):bytes())
    end)

    it("is decompressed although each byte arrives alone", function()
        assert.equal(PNG, assert(generate(gzip, "gzip", { trickle = { bytes = 1, interval = 0.0005 } })))
        emu:clear_faults()
        assert.equal(PNG, assert(generate(as_is, nil, { trickle = { bytes = 1, interval = 0.0005 } })))
    end)

    it("of one byte is reported", function()
        emu:fault { path = TASKS, times = 1, body = "\31" }
        local bodies = {}
        local client = service.client(emu, { poll = { interval = 0.02, patience = bound(30) } })
        local task = assert(client:submit("a fox", {
            on_request = function(_, info) bodies[info.body or ""] = true end,
        }))
        assert(task:wait())
        assert.is_true(bodies["\31"])
    end)

    it("is limited after decompression", function()
        emu:fault { path = IMAGES, times = 1000, body = gzip(PNG:sub(1, 8) .. ("\0"):rep(2 ^ 23)) }
        local image = assert(assert(service.client(emu, { max_image_bytes = 2 ^ 20 }):submit "a fox"):wait()).images[1]
        local bytes, err = image:bytes()
        assert.is_nil(bytes)
        assert.equal("too_large", err.kind)
        assert.matches("max_image_bytes", tostring(err), nil, true)
    end)

    local function damaged(bytes) return gzip(bytes):sub(1, -9) .. ("\0"):rep(8) end

    it("of gzip with a wrong checksum is read if it is complete JSON", function()
        assert.equal(PNG, assert(generate(function(bytes) return bytes == PNG and PNG or damaged(bytes) end)))
    end)

    -- The body, and the errors if it is that of the submission, the polls, the image. false: it is read, see above.
    local unreadable = {
        { "gzip with a wrong checksum", damaged, false, false, "network" },
        { "invalid gzip", function() return "\31\139\8\0not gzip at all" end,
            "unknown_outcome", "network", "network" },
        { "gzip that is cut", function(bytes) return gzip(bytes):sub(1, 25) end,
            "unknown_outcome", "protocol", "not_an_image" },
        { "one byte", function() return "\31" end, "unknown_outcome", "protocol", "not_an_image" },
        { "zstd", function() return "\40\181\47\253\0\56\64\0\0" end,
            "unknown_outcome", "protocol", "not_an_image" },
    }
    for _, row in ipairs(unreadable) do
        for stage, path in ipairs { SUBMIT, TASKS, IMAGES } do
            local kind = row[2 + stage]
            local function test()
                emu:fault { path = path, times = 1000, body = row[2](BODIES[path]), accept = path == SUBMIT }
                local client = service.client(emu, { max_retries = 1, poll = { interval = 0.02, patience = 0.1 } })
                local _, err = client:generate "a fox"
                assert.equal(kind, err and err.kind, tostring(err))
                assert.equal(1, #emu:ledger())
                if kind == "network" then assert.matches("the compressed body is damaged", tostring(err), nil, true) end
            end
            if kind then it(("of %s is an error of a known kind: %s"):format(row[1], path), test) end
        end
    end
end)
