--- The state directory of a gateway, and the database of a command.
--
--     gateway.lock     locked while a gateway runs; so is ledger.sqlite.lock
--     gateway.id       its id in the ledger: a restart continues its own work at once
--     ledger.sqlite    the database, unless another one is given
--     images/          see flux2.gateway.store

local core = require "flux2.core"
local database = require "flux2.gateway.database"
local schema = require "flux2.gateway.schema"
local secrets = require "flux2.gateway.secrets"

local place = {}

local PATIENCE = 2 -- seconds for a lock

--- The file of an SQLite database, or a URL.
local function database_of(directory, target) return target or directory .. "/ledger.sqlite" end

local function is_url(target) return target:find "^postgres%w*://" ~= nil end

--- Opens and migrates the database.
---@param directory string the state directory
---@param target? string path or URL of another database
---@return flux2.gateway.Database?
---@return string? reason
function place.database(directory, target)
    local ok, reason = secrets.available()
    if not ok then return nil, reason end
    local path = database_of(directory, target)
    if not is_url(path) then
        ok, reason = core.make_private(path)
        if not ok then return nil, path .. ": " .. reason end
    end
    local db
    db, reason = database.open(path)
    if not db then return nil, reason end
    ok, reason = schema.migrate(db)
    if ok then return db end
    db:close()
    return nil, reason
end

--- Waits for a moment: a gateway that was killed holds its locks until all its threads have ended.
local function lock_file(path)
    local until_ = core.now() + PATIENCE
    while true do
        local lock, reason, why = core.lock(path, "keep")
        if lock then return lock end
        if why ~= "busy" then return nil, path .. ": " .. reason end
        if core.now() > until_ then return nil, "another gateway runs with " .. path end
        core.pause(0.05)
    end
end

--- Locks the directory, and the file of an SQLite database: one gateway at a time uses them.
---@param directory string
---@param target? string
---@return table? locks to be kept
---@return string? reason
function place.lock(directory, target)
    local locks = {}
    local paths, database_path = { directory .. "/gateway.lock" }, database_of(directory, target)
    if not is_url(database_path) then paths[2] = database_path .. ".lock" end
    for i, path in ipairs(paths) do
        local lock, reason = lock_file(path)
        if not lock then return nil, reason end
        locks[i] = lock
    end
    return locks
end

--- Returns the id of the gateway of this directory.
---@param directory string
---@return string? id
---@return string? reason
function place.id(directory)
    local path = directory .. "/gateway.id"
    local id = core.read_file(path, 100)
    if id and id:find "^%x+$" then return id end
    id = secrets.hex(8)
    local ok, reason = core.write_file(path, id, true, true)
    if not ok then return nil, path .. ": " .. reason end
    return id
end

return place
