--- Random names and hashes of the gateway, by OpenSSL (luaossl).

local core = require "flux2.core"

local secrets = {}

local digest, rand

local function load()
    if digest then return true end
    local has_digest, d = pcall(require, "openssl.digest")
    local has_rand, r = pcall(require, "openssl.rand")
    if not has_digest or not has_rand then
        return nil, "luaossl is missing. Install it: apt-get install lua-luaossl, or luarocks install luaossl"
    end
    digest, rand = d, r
    return true
end

local function to_hex(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Loads OpenSSL.
---@return boolean? ok
---@return string? reason
function secrets.available() return load() end

--- Returns the SHA-256 of bytes, in hexadecimal digits.
---@param bytes string
---@return string
function secrets.hash(bytes)
    assert(load())
    return to_hex(digest.new("sha256"):final(bytes))
end

--- Returns random hexadecimal digits.
---@param bytes integer half their number
---@return string
function secrets.hex(bytes)
    assert(load())
    return to_hex(rand.bytes(bytes))
end

--- Returns a name that cannot be guessed: letters, digits, "-" and "_".
---@param bytes? integer its random bytes, default 16
---@return string
function secrets.name(bytes)
    assert(load())
    return (core.base64(rand.bytes(bytes or 16)):gsub("=", ""):gsub("+", "-"):gsub("/", "_"))
end

return secrets
