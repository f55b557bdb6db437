--- Images that clients upload, so that the service can download them as input images: for a short time, under names
-- that cannot be guessed. The bytes are in flux2.gateway.store. All functions run inside a transaction of the caller.

local tokens = require "flux2.gateway.tokens"

local uploads = {}

--- Bytes of one upload.
uploads.MAX_BYTES = 16 * 2 ^ 20

local LIFETIME = 2 * 3600 -- seconds: a task may wait for an hour, and clients use a URL again for up to an hour
local MAX_STORED = 256 * 2 ^ 20 -- bytes of one token
local PER_SUBMISSION = 8 -- uploads that count as one submission: so many input images has a request
local MINUTE = 60

--- Returns a refusal if the token has stored too much, or uploads too fast.
local function check(db, token, size, now)
    local stored = db:first("SELECT COALESCE(SUM(size), 0) AS n FROM uploads WHERE token = ? AND expires > ?",
        token.id, now).n
    if tonumber(stored) + size > MAX_STORED then
        return tokens.refusal(429, "rate_limit_exceeded", "this token has too many uploads, which are kept for two " ..
            "hours", LIFETIME / 2)
    end
    local recent = db:first("SELECT COUNT(*) AS n FROM uploads WHERE token = ? AND created > ?", token.id,
        now - MINUTE).n
    if token.per_minute and tonumber(recent) >= PER_SUBMISSION * token.per_minute then
        return tokens.refusal(429, "rate_limit_exceeded", "this token uploads too many images per minute", MINUTE)
    end
end

--- Takes an upload, before its bytes are stored. The same content of the same token keeps its name.
---@param db flux2.gateway.Database
---@param token_id string
---@param wanted { name: string, sha256: string, content_type: string, size: integer }
---@return { name: string?, refusal: flux2.gateway.Refusal? }
function uploads.take(db, token_id, wanted)
    local now = db:now()
    local token, refused = tokens.lock(db, token_id)
    if not token then return refused end
    local known = db:first("SELECT name FROM uploads WHERE token = ? AND sha256 = ? AND expires > ?", token_id,
        wanted.sha256, now)
    if known then
        db:execute("UPDATE uploads SET expires = ? WHERE name = ?", now + LIFETIME, known.name)
        return { name = known.name }
    end
    refused = check(db, token, wanted.size, now)
    if refused then return refused end
    db:execute("INSERT INTO uploads (name, token, sha256, content_type, size, created, expires) VALUES (?, ?, ?, ?, " ..
        "?, ?, ?)", wanted.name, token_id, wanted.sha256, wanted.content_type, wanted.size, now, now + LIFETIME)
    return { name = wanted.name }
end

--- Returns the content of an upload by its URL. The name in it cannot be guessed, so no other part of the URL counts.
---@param db flux2.gateway.Database
---@param url string
---@return string? sha256 nil if there is none, or it has expired
function uploads.find(db, url)
    local name = url:match "/([%w_-]+)$"
    local row = name and db:first("SELECT sha256 FROM uploads WHERE name = ? AND expires > ?", name, db:now())
    return row and row.sha256
end

return uploads
