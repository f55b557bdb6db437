--- The tokens of a gateway: who may generate images, and within which limits.
-- A token is "f2gw_<id>_<secret>". The database holds the hash of the secret only.

local core = require "flux2.gateway.core"
local json = require "flux2.json"
local providers = require "flux2.provider"
local secrets = require "flux2.gateway.secrets"

local tokens = {}

---@class flux2.gateway.Token
---@field id string
---@field name string
---@field budget? number credits
---@field per_minute? number submissions
---@field concurrent? number unfinished tasks
---@field allowed table<string, string[]> the allowed values of fields of a request
---@field expires? number seconds since 1970
---@field revoked? number seconds since 1970
---@field created number seconds since 1970

---@class flux2.gateway.Refusal why a request is not taken
---@field status integer of the response
---@field type string
---@field message string
---@field retry_after? number seconds

--- The beginning of each token.
tokens.prefix = providers.resolve("gateway").key_prefix

local PATTERN = "^f2gw_(%x+)_([%w_-]+)$"
local NOBODY = ("0"):rep(64) -- the hash that an unknown token is compared with, so that it takes as long

local function read(row)
    row.allowed = row.allowed and json.decode(row.allowed) or {}
    return row
end

--- Creates a token.
---@param db flux2.gateway.Database
---@param given { name: string, budget: number?, per_minute: number?, concurrent: number?, expires: number?,
---  allowed: table<string, string[]>? }
---@return string? token the only copy of the secret
---@return string? reason
function tokens.create(db, given)
    local id, secret = secrets.hex(6), secrets.name(32)
    local done, reason = db:transaction(function()
        if db:first("SELECT id FROM tokens WHERE name = ?", given.name) then return "exists" end
        db:execute("INSERT INTO tokens (id, name, hash, budget, per_minute, concurrent, allowed, expires, created) " ..
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", id, given.name, secrets.hash(secret), given.budget, given.per_minute,
            given.concurrent, given.allowed and next(given.allowed) and json.write(given.allowed) or nil,
            given.expires, db:now())
    end)
    if not done then return nil, reason end
    if reason then return nil, "there is a token of this name; revoked ones keep theirs" end
    return tokens.prefix .. id .. "_" .. secret
end

--- Returns all tokens, with what they have spent.
---@param db flux2.gateway.Database
---@return flux2.gateway.Token[] list with `spent`, credits, and `tasks`, their number; in the order of creation
function tokens.list(db)
    local list = db:query("SELECT t.*, COALESCE(SUM(CASE WHEN k.counted = 1 THEN k.price END), 0) AS spent, " ..
        "COUNT(k.id) AS tasks FROM tokens t LEFT JOIN tasks k ON k.token = t.id GROUP BY t.id ORDER BY " ..
        "t.created, t.name")
    for _, row in ipairs(list) do
        read(row).hash = nil
    end
    return list
end

--- Revokes a token: its next request is refused. Tasks that it submitted go on.
---@param db flux2.gateway.Database
---@param name string
---@return boolean revoked false if there is none of this name that is not revoked
function tokens.revoke(db, name)
    return db:execute("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL", db:now(), name) == 1
end

--- Whether a token may be used now.
local function is_valid(token, now)
    return token.revoked == nil and (token.expires == nil or token.expires > now)
end

--- Makes the result of a request that is not taken.
---@param status integer
---@param kind string
---@param message string
---@param retry_after? number seconds
---@return { refusal: flux2.gateway.Refusal }
function tokens.refusal(status, kind, message, retry_after)
    return { refusal = { status = status, type = kind, message = message, retry_after = retry_after } }
end

--- Locks the row of a token until the end of the transaction, so that no other request spends what is left of its
--- limits.
---@param db flux2.gateway.Database
---@param id string
---@return table? row of a valid token
---@return { refusal: flux2.gateway.Refusal }? refused
function tokens.lock(db, id)
    local row = db:first("SELECT * FROM tokens WHERE id = ?" .. db.lock_row, id)
    if row and is_valid(row, db:now()) then return row end
    return nil, tokens.refusal(401, "authentication_error", "the token is not valid")
end

--- Finds the token of a request.
---@param db flux2.gateway.Database
---@param authorization? string the header
---@return flux2.gateway.Token? token valid
function tokens.find(db, authorization)
    local given = (authorization or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$" or ""
    local id, secret = given:match(PATTERN)
    local row = id and db:first("SELECT * FROM tokens WHERE id = ?", id)
    local is_same = core.same(secrets.hash(secret or ""), row and row.hash or NOBODY)
    if not row or not is_same or not is_valid(row, db:now()) then return nil end
    row.hash = nil
    return read(row)
end

return tokens
