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

--- A file with the end of a PNG and `content` in a chunk: 32 bytes more than `content`.
function png.holding(content)
    local n = #content
    local size = string.char(math.floor(n / 2 ^ 24), math.floor(n / 2 ^ 16) % 256, math.floor(n / 2 ^ 8) % 256, n % 256)
    return SIGNATURE .. size .. "teSt" .. content .. "\0\0\0\0" .. "\0\0\0\0IEND\174B`\130"
end

return png
