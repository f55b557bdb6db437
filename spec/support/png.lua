--- Reads the header of a PNG, and creates files with the structure of one. No dependencies.
local assert = require "luassert"

local SIGNATURE = "\137PNG\r\n\26\n"

local png = {}

--- Width and height.
function png.size(bytes)
    assert.equal(SIGNATURE, bytes:sub(1, 8))
    local b = { bytes:byte(17, 24) }
    return (b[1] * 256 + b[2]) * 65536 + b[3] * 256 + b[4], (b[5] * 256 + b[6]) * 65536 + b[7] * 256 + b[8]
end

local function number(n)
    return string.char(math.floor(n / 2 ^ 24), math.floor(n / 2 ^ 16) % 256, math.floor(n / 2 ^ 8) % 256, n % 256)
end

local END = "\0\0\0\0IEND\174B`\130"

--- A file with the end of a PNG and `content` in a chunk: 32 bytes more than `content`.
function png.holding(content)
    return SIGNATURE .. number(#content) .. "teSt" .. content .. "\0\0\0\0" .. END
end

-- Exclusive or of two numbers below 2^32. Lua 5.1 has no operator for it.
local function xor(a, b)
    local out, bit = 0, 1
    while a > 0 or b > 0 do
        if a % 2 ~= b % 2 then out = out + bit end
        a, b, bit = math.floor(a / 2), math.floor(b / 2), bit * 2
    end
    return out
end

local checksums = {} -- of each byte
for byte = 0, 255 do
    local crc = byte
    for _ = 1, 8 do
        local is_odd = crc % 2 == 1
        crc = math.floor(crc / 2)
        if is_odd then crc = xor(crc, 0xedb88320) end
    end
    checksums[byte] = crc
end

--- The checksum of a chunk's type and data.
function png.crc(bytes)
    local crc = 2 ^ 32 - 1
    for i = 1, #bytes do
        crc = xor(math.floor(crc / 256), checksums[xor(crc % 256, bytes:byte(i))])
    end
    return number(2 ^ 32 - 1 - crc)
end

function png.chunk(kind, data)
    return number(#data) .. kind .. data .. png.crc(kind .. data)
end

--- A PNG with further chunks before its pixels and after them.
function png.with(before, after)
    local header = png.chunk("IHDR", number(1) .. number(1) .. "\8\0\0\0\0")
    return SIGNATURE .. header .. before .. png.chunk("IDAT", "pixels") .. (after or "") .. END
end

--- The chunks in a text, which begins with one: { type, data, crc }.
function png.chunks(bytes)
    local list, at = {}, 1
    while at <= #bytes do
        local a, b, c, d = bytes:byte(at, at + 3)
        local size = ((a * 256 + b) * 256 + c) * 256 + d
        list[#list + 1] = {
            type = bytes:sub(at + 4, at + 7), data = bytes:sub(at + 8, at + 7 + size),
            crc = bytes:sub(at + 8 + size, at + 11 + size), from = at, to = at + 11 + size,
        }
        at = at + size + 12
    end
    return list
end

local JSON_HEAD = "flux2\0\0\0\0\0"

--- What the image says about itself, decoded; nil: nothing.
function png.description(bytes)
    for _, chunk in ipairs(png.chunks(bytes:sub(9))) do
        if chunk.data:sub(1, #JSON_HEAD) == JSON_HEAD then
            return assert(require "flux2.json".decode(chunk.data:sub(#JSON_HEAD + 1)))
        end
    end
end

--- The image without what flux2 has inserted.
function png.without_metadata(bytes)
    local chunks = png.chunks(bytes:sub(9))
    local second = chunks[2]
    if not second or second.data:sub(1, #JSON_HEAD) ~= JSON_HEAD then return bytes end
    return bytes:sub(1, 8 + chunks[1].to) .. bytes:sub(9 + chunks[3].to)
end

return png
