--- Finds the pictures in a decoded answer, and knows images by their first bytes.
-- Where to look is data of flux2.shapes; downloads nothing.

local base64 = require "flux2.base64"
local json = require "flux2.json"
local shapes = require "flux2.shapes"
local url = require "flux2.url"

local pictures = {}

local MAX_PICTURES, MAX_DEPTH, MAX_LOOKS = 64, 6, 5000

---@class flux2.Picture
---@field url? string
---@field b64? string Base64, without a "data:" prefix
---@field content_type? string as the service names it

--- First bytes of the images that are accepted; "?" stands for any byte.
---@type { pattern: string, content_type: string, extension: string }[]
pictures.signatures = {
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

local function begins_with(bytes, pattern)
    if #bytes < #pattern then return false end
    for i = 1, #pattern do
        local wanted = pattern:byte(i)
        if wanted ~= 63 and wanted ~= bytes:byte(i) then return false end
    end
    return true
end

--- Tells by the first bytes (12 are enough) which kind of image this is.
---@param bytes string
---@return string? content_type nil when it is none of PNG, JPEG, WEBP, GIF, AVIF
---@return string? extension without a dot
-- Example: `pictures.image_type "GIF89a..."` is "image/gif", "gif".
function pictures.image_type(bytes)
    for _, signature in ipairs(pictures.signatures) do
        if begins_with(bytes, signature.pattern) then return signature.content_type, signature.extension end
    end
    return nil
end

--- A "data:" URL taken apart; nil unless it holds an image in Base64.
local function from_data_url(s)
    local head = s:sub(1, 200):match("^[dD][aA][tT][aA]:([^,]*),")
    if not head or not head:lower():find(";base64", 1, true) then return nil end
    local media_type = head:lower():match("^[^;]*")
    if media_type ~= "" and not media_type:find("^image/[%w.+-]+$") then return nil end
    local start = s:find(",", 1, true)
    return { b64 = s:sub(start + 1), content_type = media_type ~= "" and media_type or nil }
end

--- Whether a member that is said to hold Base64 begins like it. Whether all of it is sound shows when it is decoded.
local function looks_like_base64(s)
    local head = s:sub(1, 64):gsub("%s+", "")
    head = head:sub(1, #head - #head % 4)
    return base64.decode(#s < 64 and s or head) ~= nil and s ~= ""
end

local function picture_of(s, is_bytes)
    local picture = from_data_url(s)
    if picture then return picture end
    if is_bytes then return looks_like_base64(s) and { b64 = s } or nil end
    return url.check(s) and { url = s } or nil
end

local function media_type_of(object)
    for _, key in ipairs(shapes.media_type_keys) do
        local found = object[key]
        if type(found) == "string" and found:find("^image/[%w.+-]+$") then return found:lower() end
    end
    return nil
end

local collect

local function collect_member(object, key, found, depth, is_bytes)
    local before = #found
    collect(object[key], found, depth + 1, is_bytes)
    local media_type = #found > before and media_type_of(object)
    for i = before + 1, media_type and #found or before do
        found[i].content_type = found[i].content_type or media_type
    end
    return #found > before
end

local function collect_object(object, found, depth)
    for _, key in ipairs(shapes.picture_keys) do
        if object[key] ~= nil and collect_member(object, key, found, depth, false) then return end
    end
    for _, key in ipairs(shapes.bytes_keys) do
        if object[key] ~= nil and collect_member(object, key, found, depth, true) then return end
    end
end

--- Adds the pictures of `value` to `found`, each once. Bounded in depth, looks and pictures: the answer may be hostile.
function collect(value, found, depth, is_bytes)
    found.looks = found.looks + 1
    if depth > MAX_DEPTH or found.looks > MAX_LOOKS or #found >= MAX_PICTURES then return end
    if type(value) == "string" then
        local picture = picture_of(value, is_bytes)
        local id = picture and (picture.url or picture.b64)
        if id and not found.known[id] then
            found.known[id] = true
            found[#found + 1] = picture
        end
    elseif type(value) == "table" then
        if value[1] == nil then return collect_object(value, found, depth) end
        for _, member in ipairs(value) do collect(member, found, depth + 1, is_bytes) end
    end
end

local function look(value)
    local found = { looks = 0, known = {} }
    collect(value, found, 1, false)
    found.looks, found.known = nil, nil
    return found
end

--- All pictures of an answer, in order, without duplicates.
---@param answer table decoded
---@return flux2.Picture[] list empty when there is none
-- Example: `pictures.find { data = { output = { image_url = "https://a.example/1.png" } } }`
function pictures.find(answer)
    for _, path in ipairs(shapes.packed_places) do
        local packed = json.dig(answer, path)
        local found = type(packed) == "string" and look(json.decode(packed)) or {}
        if #found > 0 then return found end
    end
    for _, path in ipairs(shapes.picture_places) do
        local found = look(json.dig(answer, path))
        if #found > 0 then return found end
    end
    return {}
end

return pictures
