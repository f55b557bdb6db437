--- Reads what an image says about itself, from its file or from the one beside it. Any program may have written both:
-- only the beginning of a file is read, nothing is decompressed, and only texts of the expected form are returned.

local core = require "flux2.core"
local errors = require "flux2.errors"
local image_signature = require "flux2.image_signature"
local json = require "flux2.json"
local metadata = require "flux2.metadata"
local text = require "flux2.text"

local image_metadata = {}

local MOST = 4 * 2 ^ 20 -- bytes that are read: flux2 writes metadata near the beginning
local XMP_NAME = "http://ns.adobe.com/xap/1.0/\0"
local SIGNATURE_SIZE, JPEG_START = 8, 2

---@class flux2.cli.ImageMetadata
---@field request table the public part of the request; `prompt` is a string or nil
---@field provider string
---@field software string
---@field task_id? string
---@field time? string
---@field input_images? number
---@field sidecar? string the file beside the image that says it

-- XMP -----------------------------------------------------------------------------------------------------------------

local ENTITIES = { amp = "&", lt = "<", gt = ">", quot = "\"", apos = "'" }

--- Resolves the references of XML to ASCII characters; others cannot stand for a part of JSON's syntax.
local function unescape(s)
    s = s:gsub("&#x(%x+);", function(digits) return "&#" .. text.number(tonumber(digits, 16)) .. ";" end)
    s = s:gsub("&#(%d+);", function(digits)
        local code = tonumber(digits)
        return code < 128 and string.char(code) or nil
    end)
    return (s:gsub("&(%l+);", ENTITIES))
end

--- Returns the text between two words. A pattern would search for the second one after each occurrence of the first.
local function between(packet, before, after)
    local _, from = packet:find(before, 1, true)
    local to = from and packet:find(after, from + 1, true)
    return to and packet:sub(from + 1, to - 1)
end

--- Returns the JSON in an XMP packet. Other programs may have rewritten the element as an attribute.
local function in_packet(packet)
    local name = metadata.element
    local encoded = between(packet, "<" .. name .. ">", "</" .. name .. ">")
        or packet:match(name .. "%s*=%s*\"(.-)\"") or packet:match(name .. "%s*=%s*'(.-)'")
    return encoded and unescape(encoded)
end

-- Containers ----------------------------------------------------------------------------------------------------------

local function big_endian(bytes, first, last)
    local n = 0
    for i = first, last do n = n * 256 + bytes:byte(i) end
    return n
end

--- Returns the text of a chunk iTXt with a keyword; nil if it is compressed.
local function international_text(data, keyword)
    if data:sub(1, #keyword + 2) ~= keyword .. "\0\0" then return nil end
    return data:match("^.[^%z]*%z[^%z]*%z(.*)$", #keyword + 3)
end

local function in_png(head)
    local packet
    local at = SIGNATURE_SIZE + 1
    while at + 11 <= #head do
        local size = big_endian(head, at, at + 3)
        if head:sub(at + 4, at + 7) == "iTXt" then
            local data = head:sub(at + 8, at + 7 + size)
            local found = international_text(data, "flux2")
            if found then return found end
            packet = packet or international_text(data, "XML:com.adobe.xmp")
        end
        at = at + 12 + size
    end
    return packet and in_packet(packet)
end

local function in_jpeg(head)
    local at = JPEG_START + 1
    while at + 3 <= #head and head:byte(at) == 255 do
        local code, size = head:byte(at + 1), big_endian(head, at + 2, at + 3)
        if code == 0xda or size < 2 then return nil end -- the pixels follow
        local data = code == 0xe1 and head:sub(at + 4, at + 1 + size) or ""
        if data:sub(1, #XMP_NAME) == XMP_NAME then return in_packet(data:sub(#XMP_NAME + 1)) end
        at = at + (code == 255 and 1 or 2 + size) -- 255: a fill byte
    end
end

local READERS = { ["image/png"] = in_png, ["image/jpeg"] = in_jpeg }

-- Reading -------------------------------------------------------------------------------------------------------------

local function invalid(path, words)
    return nil, errors.new("invalid_request", text.show(path) .. " " .. words)
end

local function read_head(path)
    local head, reason, why = core.file_head(path, MOST)
    if not head then
        return nil, errors.new("io", "cannot read " .. text.show(path) .. ": " .. reason,
            { advice = why == "missing" and "Check the path." })
    end
    local content_type = image_signature.type(head)
    if content_type then return head, content_type end
    return nil, errors.new("not_an_image", text.show(path) .. " is " .. image_signature.NONE, { advice = false })
end

--- Checks the types of what was decoded. Returns nil if another program has written it.
local function check(said)
    if type(said) ~= "table" or type(said.request) ~= "table" or type(said.provider) ~= "string" then return nil end
    if type(said.software) ~= "string" or not said.software:find "^flux2 " then return nil end
    local prompt = said.request.prompt
    if prompt ~= nil and type(prompt) ~= "string" then return nil end
    return {
        request = said.request, provider = said.provider, software = said.software,
        task_id = type(said.task_id) == "string" and said.task_id ~= "" and said.task_id or nil,
        time = type(said.time) == "string" and said.time or nil,
        input_images = type(said.input_images) == "number" and said.input_images or nil,
    }
end

--- Reads what an image says about itself.
---@param path string
---@return flux2.cli.ImageMetadata? said
---@return flux2.Error? err kind "io" if the file cannot be read, "not_an_image", or "invalid_request" if it says
---  nothing
-- Example: `print(image_metadata.read("fox.png").request.prompt)`
function image_metadata.read(path)
    local head, content_type = read_head(path)
    if not head then return nil, content_type end
    local read_container, sidecar = READERS[content_type], nil
    local encoded = read_container and read_container(head)
    if not encoded then
        sidecar = path .. metadata.sidecar_extension
        encoded = core.read_file(sidecar, MOST)
    end
    if not encoded then return invalid(path, "does not say how it was made: it has no metadata of flux2") end
    local decoded, reason = json.decode(encoded)
    if decoded == nil then return invalid(sidecar or path, "has damaged metadata: " .. reason) end
    local said = check(decoded)
    if not said then return invalid(sidecar or path, "has metadata of another program") end
    said.sidecar = sidecar
    return said
end

return image_metadata
