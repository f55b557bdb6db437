--- The tables of a gateway's database, and how an older database becomes a new one.
-- A migration is never changed after a release; a change is another one.

local schema = {}

local NUMBER, TEXT = "DOUBLE PRECISION", "TEXT"

--- Each one is a list of statements. Times are seconds since 1970, prices credits.
local MIGRATIONS = {
    {
        "CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, budget " .. NUMBER ..
            ", per_minute " .. NUMBER .. ", concurrent " .. NUMBER .. ", allowed " .. TEXT .. ", expires " .. NUMBER ..
            ", revoked " .. NUMBER .. ", created " .. NUMBER .. " NOT NULL)",
        -- counted: 1 while the price counts against the budget: until it is certain that nothing was bought.
        "CREATE TABLE tasks (id TEXT PRIMARY KEY, token TEXT NOT NULL REFERENCES tokens(id), state TEXT NOT NULL, " ..
            "request TEXT NOT NULL, price " .. NUMBER .. ", counted INTEGER NOT NULL, idempotency TEXT, digest TEXT" ..
            ", gateway TEXT, upstream TEXT, poll_url TEXT, attempts INTEGER NOT NULL, not_before " .. NUMBER ..
            " NOT NULL, created " .. NUMBER .. " NOT NULL, submitted " .. NUMBER .. ", ended " .. NUMBER ..
            ", credits " .. NUMBER .. ", error TEXT, UNIQUE (token, idempotency))",
        "CREATE INDEX tasks_by_state ON tasks (state, token, created)",
        "CREATE INDEX tasks_by_spending ON tasks (token, counted, price)",
        "CREATE INDEX tasks_by_time ON tasks (token, created)",
        "CREATE INDEX tasks_by_turn ON tasks (token, submitted)",
        "CREATE INDEX tasks_by_submission ON tasks (submitted)",
        "CREATE INDEX tasks_by_end ON tasks (ended) WHERE request <> ''",
        "CREATE INDEX tasks_by_upstream ON tasks (upstream)",
        "CREATE TABLE images (name TEXT PRIMARY KEY, task TEXT NOT NULL REFERENCES tasks(id), number INTEGER " ..
            "NOT NULL, sha256 TEXT NOT NULL, content_type TEXT NOT NULL, expires " .. NUMBER .. " NOT NULL)",
        "CREATE INDEX images_by_task ON images (task, number)",
        "CREATE INDEX images_by_content ON images (sha256)",
        "CREATE INDEX images_by_expiry ON images (expires)",
        "CREATE TABLE gateways (id TEXT PRIMARY KEY, seen " .. NUMBER .. " NOT NULL)",
    },
    {
        "CREATE TABLE uploads (name TEXT PRIMARY KEY, token TEXT NOT NULL REFERENCES tokens(id), sha256 TEXT " ..
            "NOT NULL, content_type TEXT NOT NULL, size " .. NUMBER .. " NOT NULL, created " .. NUMBER ..
            " NOT NULL, expires " .. NUMBER .. " NOT NULL)",
        "CREATE INDEX uploads_by_token ON uploads (token, sha256)",
        "CREATE INDEX uploads_by_content ON uploads (sha256)",
        "CREATE INDEX uploads_by_expiry ON uploads (expires)",
        "CREATE INDEX tasks_by_key ON tasks (ended) WHERE idempotency IS NOT NULL",
    },
}

--- The newest version.
schema.version = #MIGRATIONS

local function version_of(db)
    db:execute "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"
    local row = db:first "SELECT version FROM schema_version"
    if row then return tonumber(row.version) end
    db:execute "INSERT INTO schema_version (version) VALUES (0)"
    return 0
end

local function migrate(db)
    -- One gateway at a time: concurrent migrations would collide.
    if db.is_shared then db:query "SELECT pg_advisory_xact_lock(709372)" end
    local version = version_of(db)
    if version > #MIGRATIONS then return "the database was written by a newer flux2: its version is " .. version end
    if version == #MIGRATIONS then return nil end
    for i = version + 1, #MIGRATIONS do
        for _, statement in ipairs(MIGRATIONS[i]) do db:execute(statement) end
    end
    db:execute("UPDATE schema_version SET version = ?", #MIGRATIONS)
    return nil
end

--- Creates or updates the tables.
---@param db flux2.gateway.Database
---@return boolean ok
---@return string? reason
function schema.migrate(db)
    local done, reason = db:transaction(migrate)
    return done and reason == nil, reason
end

return schema
