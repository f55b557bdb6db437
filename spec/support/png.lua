--- What the header of a PNG says. A leaf.
local assert = require "luassert"

local SIGNATURE = "\137PNG\r\n\26\n"

local png = {}

--- Width and height.
function png.size(bytes)
    assert.equal(SIGNATURE, bytes:sub(1, 8))
    local b = { bytes:byte(17, 24) }
    return (b[1] * 256 + b[2]) * 65536 + b[3] * 256 + b[4], (b[5] * 256 + b[6]) * 65536 + b[7] * 256 + b[8]
end

return png
