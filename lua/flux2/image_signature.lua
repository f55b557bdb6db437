--- The accepted image formats, by their first bytes: data for the engine's profiles, and a check in Lua.

local image_signature = {}

--- First bytes of the images that are accepted; "?" stands for any byte.
---@type { pattern: string, content_type: string, extension: string }[]
image_signature.list = {
    { pattern = "\137PNG\r\n\26\n", content_type = "image/png", extension = "png" },
    { pattern = "\255\216\255", content_type = "image/jpeg", extension = "jpg" },
    { pattern = "RIFF????WEBP", content_type = "image/webp", extension = "webp" },
    { pattern = "GIF87a", content_type = "image/gif", extension = "gif" },
    { pattern = "GIF89a", content_type = "image/gif", extension = "gif" },
    { pattern = "????ftypavif", content_type = "image/avif", extension = "avif" },
    { pattern = "????ftypavis", content_type = "image/avif", extension = "avif" },
    -- The general brand of still images in this container; encoders write it for AVIF too.
    { pattern = "????ftypmif1", content_type = "image/avif", extension = "avif" },
}

--- The end of a message about other data: "fox.png is ...".
image_signature.NONE = "not an image (PNG, JPEG, WEBP, GIF or AVIF by its first bytes)"

--- The number of bytes that determine the type of an image.
image_signature.size = 12

local function begins_with(bytes, pattern)
    if #bytes < #pattern then return false end
    for i = 1, #pattern do
        local wanted = pattern:byte(i)
        if wanted ~= 63 and wanted ~= bytes:byte(i) then return false end
    end
    return true
end

--- Returns the type of an image by its first bytes.
---@param bytes string
---@return string? content_type nil unless it is PNG, JPEG, WEBP, GIF or AVIF
---@return string? extension without a dot
-- Example: `image_signature.type "GIF89a..."` is "image/gif", "gif".
function image_signature.type(bytes)
    for _, signature in ipairs(image_signature.list) do
        if begins_with(bytes, signature.pattern) then return signature.content_type, signature.extension end
    end
    return nil
end

return image_signature
