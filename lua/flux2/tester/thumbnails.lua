--- Downloads previews of input images for the page, which may not load anything from other hosts.
-- Uses the engine without the API key and with its own limits. Accepts only files with an image signature.

local Client = require "flux2.client"
local errors = require "flux2.errors"
local Image = require "flux2.image"
local url = require "flux2.url"

local MAX_BYTES = 16 * 1024 * 1024
local SECONDS = 15
local ONCE = { patience = 1e-9 } -- one attempt: the page repeats the request on demand
local SHARED = { "ca_file", "connect_timeout", "proxy", "user_agent" }

local Thumbnails = {}
Thumbnails.__index = Thumbnails

--- Creates a downloader with the network options of the client, without the API key.
---@param options table of flux2.new
function Thumbnails.new(options)
    local own = { api_key = "none", base_url = "http://127.0.0.1", max_image_bytes = MAX_BYTES, poll = ONCE }
    for _, name in ipairs(SHARED) do own[name] = options[name] end
    return setmetatable({ settings = assert(Client.new(own, 1))._config }, Thumbnails)
end

--- Downloads an image.
---@param address any
---@return string? bytes
---@return string|flux2.Error content_type
function Thumbnails:get(address)
    local ok, reason = url.check(address)
    if not ok then return nil, errors.new("invalid_request", "invalid image URL: " .. reason) end
    local image = Image.new(self.settings, { url = address })
    local bytes, err = image:bytes(SECONDS)
    if not bytes then return nil, err end
    return bytes, image.content_type
end

return Thumbnails
