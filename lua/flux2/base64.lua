--- Base64, both ways: the core's, for a picture of several megabytes must not take a frame.
-- A leaf over the core, which it loads at first use: what flux2.response knows can be read where no core is built.

local base64 = {}

--- Decodes standard or URL-safe Base64; blanks and line ends between characters are skipped, padding may be left out.
---@param s string
---@return string? bytes
---@return string? reason what is malformed
-- Example: `base64.decode "Zm94"` is "fox".
function base64.decode(s)
    local bytes, reason = require("flux2.core").unbase64(s)
    return bytes, reason
end

--- Encodes in the standard alphabet, padded, on one line.
---@param bytes string|flux2.Buffer
---@return string text
-- Example: `base64.encode "fox"` is "Zm94".
function base64.encode(bytes)
    local text = require("flux2.core").base64(bytes)
    return text
end

return base64
