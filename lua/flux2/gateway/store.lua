--- The images of a gateway: files named after their contents, in a directory. No name comes from a client.
--
--     incoming-<gateway>/<task>-<number>   downloaded or uploaded, not complete yet
--     <2 digits>/<SHA-256>                 an image

local core = require "flux2.core"
local gateway_core = require "flux2.gateway.core"
local image_signature = require "flux2.image_signature"
local secrets = require "flux2.gateway.secrets"

local store = {}

---@class flux2.gateway.Store
---@field directory string
local Store = {}
Store.__index = Store

local MAX_BYTES = 2 ^ 30

--- Opens the directory; creates it if only its last part is missing.
---@param directory string several gateways may share it
---@param gateway string the id of the caller
---@return flux2.gateway.Store?
---@return string? reason
function store.open(directory, gateway)
    local incoming = directory .. "/incoming-" .. gateway
    for _, path in ipairs { directory, incoming } do
        local ok, reason = core.directory(path)
        if not ok then return nil, path .. ": " .. reason end
    end
    local self = setmetatable({ directory = directory, incoming_directory = incoming, unsynced = {} }, Store)
    for _, name in ipairs(core.list(incoming) or {}) do
        core.remove(incoming .. "/" .. name) -- of a gateway that was killed: it is downloaded again
    end
    return self
end

--- The file into which an image is downloaded.
---@param task string or another unique name
---@param number integer
---@return string path
function Store:incoming(task, number)
    return ("%s/%s-%d"):format(self.incoming_directory, task, number)
end

--- The file of an image.
---@param sha256 string
---@return string path
function Store:path(sha256)
    return ("%s/%s/%s"):format(self.directory, sha256:sub(1, 2), sha256)
end

--- Moves a file to the place of its content. Returns the directory of that place.
local function put(self, path, sha256)
    local directory = self.directory .. "/" .. sha256:sub(1, 2)
    local ok, reason = core.directory(directory)
    if ok then ok, reason = core.rename(path, self:path(sha256)) end
    if not ok then return nil, reason end
    return directory
end

--- Moves a downloaded image to its place. It may be lost until the next `sync`.
---@param path string
---@return { name: string, sha256: string, content_type: string }? image with a new name that cannot be guessed
---@return string? reason
function Store:keep(path)
    local bytes, reason = core.read_file(path, MAX_BYTES)
    if not bytes then return nil, reason end
    local sha256 = secrets.hash(bytes)
    local directory, why = put(self, path, sha256)
    if not directory then return nil, why end
    self.unsynced[self:path(sha256)], self.unsynced[directory], self.unsynced[self.directory] = true, true, true
    local content_type = image_signature.type(bytes:sub(1, image_signature.size)) or "application/octet-stream"
    return { name = secrets.name(18), sha256 = sha256, content_type = content_type }
end

--- Stores bytes, so that they survive a power failure.
---@param bytes string
---@param sha256 string of the bytes
---@return boolean? ok
---@return string? reason
function Store:add(bytes, sha256)
    local path = self:incoming("upload-" .. secrets.hex(8), 1)
    local ok, reason = core.write_file(path, bytes)
    local directory = ok
    if ok then directory, reason = put(self, path, sha256) end
    if not directory then return nil, reason end
    return gateway_core.sync { self:path(sha256), directory, self.directory }
end

--- Makes all images that were moved to their places survive a power failure. One wait for the disk serves many.
---@return boolean? ok nil: each of them may be damaged
---@return string? reason
function Store:sync()
    local paths = {}
    for path in pairs(self.unsynced) do paths[#paths + 1] = path end
    self.unsynced = {}
    return gateway_core.sync(paths)
end

--- Reads an image.
---@param sha256 string
---@return string? bytes
---@return string? reason
function Store:read(sha256)
    return core.read_file(self:path(sha256), MAX_BYTES)
end

--- Removes files.
---@param contents string[] SHA-256
function Store:remove(contents)
    for _, sha256 in ipairs(contents) do core.remove(self:path(sha256)) end
end

return store
