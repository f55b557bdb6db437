--- What an image says about itself: task and request as JSON, and an XMP packet that also says "made by AI". The engine
-- puts both into the file, or the JSON beside it; the command line reads the JSON back.
-- Owns what is left out, because an image is published: keys, URLs, input images.

local errors = require "flux2.errors"
local json = require "flux2.json"
local text = require "flux2.text"
local version = require "flux2.version"

local metadata = {}

---@class flux2.ImageMetadata
---@field json string
---@field xmp string contains `json`

--- The element of the XMP packet with the JSON.
metadata.element = "flux2:generation"

--- The end of the name of the file beside an image that cannot hold metadata.
metadata.sidecar_extension = ".json"

-- The namespace of the element. Properties: IPTC Photo Metadata 2025.1, XMP part 1.
local NAMESPACE = "urn:flux2:metadata:1.0/"
local MADE_BY_AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

local XMP = [[
<?xpacket begin="$bom" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:flux2="$namespace"
 xmp:CreatorTool="$software"
 xmp:CreateDate="$time"
 Iptc4xmpExt:DigitalSourceType="$source_type"
 Iptc4xmpExt:AISystemUsed="$system">
<$element>$json</$element>$prompt
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>]]

-- What may be published -----------------------------------------------------------------------------------------------

--- Whether a value contains a URL, the key, or a field that is named like a secret.
local function is_private(value, key)
    if type(value) == "string" then return (value:find("://", 1, true) or value:find(key, 1, true)) ~= nil end
    for name, member in next, type(value) == "table" and value or {} do
        if errors.is_secret_name(tostring(name)) or is_private(member, key) then return true end
    end
    return false
end

--- Returns the prompt without the key.
local function public_prompt(config, request)
    return type(request.prompt) == "string" and errors.remove_key(text.utf8(request.prompt), config.get_key()) or nil
end

--- Returns the public part of a request, and the number of its input images.
local function public_request(config, request)
    local out, inputs, key = {}, 0, config.get_key()
    for name, value in next, request do
        local field = config.provider.by_name[name]
        if field and field.type == "urls" then
            inputs = inputs + (type(value) == "table" and #value or 1) -- a damaged record has any value
        elseif name == "prompt" then
            out.prompt = public_prompt(config, request)
        elseif not is_private({ [name] = value }, key) then
            out[name] = value
        end
    end
    return out, inputs > 0 and inputs or nil
end

-- Texts ---------------------------------------------------------------------------------------------------------------

--- Encodes a value so that the JSON is also a text in XML, without references. Returns nil for a value of a damaged
--- record that JSON cannot hold.
local function encode(value)
    local encoded = json.readable(value, "metadata")
    if not encoded then return nil end
    encoded = encoded:gsub("[<>&\127]", function(c) return ("\\u%04x"):format(c:byte()) end)
    return (encoded:gsub("\239\191([\190\191])", function(c) return ("\\uff%02x"):format(c:byte() + 64) end))
end

--- Escapes a text for XML. Characters that XML cannot hold become spaces.
local function escape(s)
    s = s:gsub("[%z\1-\8\11\12\14-\31]", " "):gsub("\239\191[\190\191]", " ")
    return (s:gsub("[&<>\"\r]", function(c) return ("&#%d;"):format(c:byte()) end))
end

local function write_json(config, made, software)
    local request, inputs = public_request(config, made.request or {})
    local parts = {
        -- The id comes first, because the engine replaces the first {id}, and a prompt may contain it.
        '"task_id":' .. (made.task_id and encode(text.utf8(made.task_id)) or '"{id}"'),
        '"provider":' .. encode(config.provider.name),
        '"software":' .. encode(software),
        '"time":' .. encode(text.utf8(made.time)),
        '"request":' .. (next(request) ~= nil and encode(request) or "{}"),
    }
    if inputs then parts[#parts + 1] = '"input_images":' .. text.number(inputs) end
    return "{" .. table.concat(parts, ",") .. "}"
end

local function prompt_element(config, request)
    local prompt = public_prompt(config, request or {})
    if not prompt then return "" end
    return ("\n<Iptc4xmpExt:AIPromptInformation>%s</Iptc4xmpExt:AIPromptInformation>"):format(escape(prompt))
end

--- Returns the texts for an image.
---@param config table the client's: provider, get_key
---@param made { time: string, request: table?, task_id: string? } the request as it was sent, nil: unknown; without
---  `task_id` the texts hold "{id}", which the engine replaces
---@return flux2.ImageMetadata
-- Example: `metadata.of(config, { time = "2026-01-31T12:00:00Z", request = { prompt = "a fox" }, task_id = "n41" })`
function metadata.of(config, made)
    local software = "flux2 " .. version._VERSION
    local encoded = write_json(config, made, software)
    local values = {
        bom = "\239\187\191", namespace = NAMESPACE, software = escape(software), time = escape(text.utf8(made.time)),
        source_type = MADE_BY_AI, system = escape("Flux 2 (" .. config.provider.name .. ")"), json = encoded,
        element = metadata.element, prompt = prompt_element(config, made.request),
    }
    return { json = encoded, xmp = (XMP:gsub("%$([%l_]+)", values)) }
end

return metadata
