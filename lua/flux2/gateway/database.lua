--- The database of a gateway, through LuaDBI: SQLite in a file, or PostgreSQL for several gateways.
-- Owns the differences between the two. Statements are prepared once. A failed statement raises a table; `transaction`
-- returns it as a reason.

local core = require "flux2.core"
local tables = require "flux2.tables"
local text = require "flux2.text"
local url = require "flux2.url"

local database = {}

---@class flux2.gateway.Database
---@field is_shared boolean whether other gateways may use it at the same time
---@field lock_row string the end of a SELECT that locks its rows until the end of the transaction
---@field skip_locked string the same, without the rows that others have locked
local Database = {}
Database.__index = Database
Database.__name = "flux2.gateway.Database"

local CLOCK_SECONDS = 30 -- between two questions for the time
local RETRIES = 5 -- of a transaction that lost against another gateway

-- What PostgreSQL says about a transaction that may be repeated, and about a lost connection.
local CONFLICTS = { "deadlock detected", "could not serialize", "duplicate key" }
local LOST = { "server closed the connection", "no connection", "terminating connection", "connection not open",
    "connection to server", "could not receive data", "could not send data", "SSL connection", "SSL SYSCALL",
    "SSL error" }

local Failure = { __name = "flux2.gateway.Failure" }
function Failure.__tostring(failure) return failure.message end

local function fail(message)
    error(setmetatable({ message = text.clean(tostring(message), 300) }, Failure), 0)
end

--- Whether a raised value is the failure of a statement.
---@param x any
---@return boolean
function database.is_failure(x)
    return type(x) == "table" and getmetatable(x) == Failure
end

local function contains(message, list)
    for _, words in ipairs(list) do
        if message:find(words, 1, true) then return true end
    end
    return false
end

-- Connecting ----------------------------------------------------------------------------------------------------------

--- Splits "postgres://user:password@host:port/name".
local function parse(target)
    local authority, name = target:match "^postgres%w*://([^/]*)/([^?]+)$"
    if not authority then return nil, "a database is named postgres://USER:PASSWORD@HOST:PORT/NAME" end
    local account, place = authority:match "^(.*)@([^@]*)$"
    account, place = account or "", place or authority
    local user, password = account:match "^([^:]*):?(.*)$"
    local host, port = place:match "^%[?([^%]]-)%]?:(%d+)$"
    return {
        name = url.unescape(name), user = url.unescape(user), password = url.unescape(password),
        host = url.unescape(host or place), port = tonumber(port or 5432),
    }
end

local function connect(self)
    local DBI, p = self.dbi, self.parts
    if not p then return DBI.Connect("SQLite3", self.path) end
    local function given(value) return value ~= "" and value or nil end
    return DBI.Connect("PostgreSQL", p.name, given(p.user), given(p.password), given(p.host), p.port)
end

local function open(self)
    local connection, reason = connect(self)
    if not connection then return nil, text.clean(tostring(reason), 300) end
    connection:autocommit(true)
    self.connection, self.statements = connection, {}
    if self.parts then
        self:query "SET client_min_messages = warning" -- libpq prints the others
    else
        -- A commit that was reported is on the disk.
        self:query "PRAGMA busy_timeout=10000"
        self:query "PRAGMA journal_mode=WAL"
        self:query "PRAGMA synchronous=FULL"
    end
    return true
end

--- Opens a database.
---@param target string the path of a file, or postgres://USER:PASSWORD@HOST:PORT/NAME
---@return flux2.gateway.Database? database
---@return string? reason
function database.open(target)
    local is_shared = target:find "^postgres%w*://" ~= nil
    local module = is_shared and "postgresql" or "sqlite3"
    local there, dbi = pcall(require, "DBI")
    if not there or not pcall(require, "dbd." .. module) then
        return nil, ("LuaDBI is missing. Install it: apt-get install lua-dbi-%s, or luarocks install luadbi-%s"):format(
            module, module)
    end
    local parts, reason
    if is_shared then
        parts, reason = parse(target)
        if not parts then return nil, reason end
    end
    local self = setmetatable({
        dbi = dbi, parts = parts, path = target, is_shared = is_shared, clock = { offset = 0, until_ = 0 },
        lock_row = is_shared and " FOR UPDATE" or "", skip_locked = is_shared and " FOR UPDATE SKIP LOCKED" or "",
    }, Database)
    local ran, ok, why = pcall(open, self)
    if not ran then return nil, tostring(ok) end
    if not ok then return nil, why end
    return self
end

--- Closes the connection. SQLite keeps one that has open statements.
function Database:close()
    for _, statement in pairs(self.statements) do pcall(statement.close, statement) end
    self.statements = {}
    if self.connection then self.connection:close() end
    self.connection = nil
end

-- Statements ----------------------------------------------------------------------------------------------------------

--- PostgreSQL takes numbers as text, in which 14 digits of a time or "1.0" for an integer would be wrong.
local function convert(self, ...)
    if not self.is_shared then return ... end
    local values = { ... }
    for i = 1, select("#", ...) do
        if type(values[i]) == "number" then
            values[i] = values[i] % 1 == 0 and ("%.0f"):format(values[i]) or ("%.17g"):format(values[i])
        end
    end
    return (table.unpack or unpack)(values, 1, select("#", ...))
end

--- Raises a failure. A connection that was lost is made again by the next statement.
local function refuse(self, reason)
    if contains(tostring(reason), LOST) then self:close() end
    fail(reason)
end

local function run(self, sql, ...)
    if not self.connection then
        local ok, reason = open(self)
        if not ok then fail(reason) end
    end
    local statement = self.statements[sql]
    if not statement then
        local made, why = self.connection:prepare(sql)
        if not made then refuse(self, why) end
        statement, self.statements[sql] = made, made
    end
    local ok, reason = statement:execute(convert(self, ...))
    if not ok then refuse(self, reason) end
    return statement
end

--- Returns the next row. LuaDBI raises an error if the file cannot be read.
local function fetch(self, statement)
    local ok, row = pcall(statement.fetch, statement, true)
    if not ok then refuse(self, row) end
    return row
end

--- Runs a SELECT. Raises a failure.
---@param sql string with `?` for values
---@param ... any the values
---@return table[] rows by name
function Database:query(sql, ...)
    local statement, rows = run(self, sql, ...), {}
    -- To the end: an open cursor of SQLite would keep its snapshot.
    local row = fetch(self, statement)
    while row do
        rows[#rows + 1] = tables.merge({}, row) -- LuaDBI may use one table for all
        row = fetch(self, statement)
    end
    return rows
end

--- Runs a SELECT that has at most one row.
---@param sql string
---@param ... any
---@return table? row
function Database:first(sql, ...)
    return self:query(sql, ...)[1]
end

--- Runs another statement. Raises a failure.
---@param sql string
---@param ... any
---@return integer affected the number of rows
function Database:execute(sql, ...)
    return run(self, sql, ...):affected()
end

local CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"

--- Seconds since 1970, by the clock that all gateways of the database share.
---@return number seconds
function Database:now()
    local now, clock = core.now(), self.clock
    if now > clock.until_ then
        local time = self.is_shared and tonumber(self:first(CLOCK).now) or os.time()
        clock.until_ = now + CLOCK_SECONDS
        -- os.time() has whole seconds: without a change of the clock the time does not go back.
        if math.abs(time - now - clock.offset) > 1 then clock.offset = time - now end
    end
    return now + clock.offset
end

-- Transactions --------------------------------------------------------------------------------------------------------

local function attempt(self, fn)
    self:execute(self.is_shared and "BEGIN" or "BEGIN IMMEDIATE")
    local result = fn(self)
    self:execute "COMMIT"
    return result
end

--- Runs `fn` in a transaction. It may be called again if another gateway was in the way, so it changes the database
--- only.
---@param fn fun(db: flux2.gateway.Database): any
---@return boolean done
---@return any result of fn, or the reason
function Database:transaction(fn)
    local message
    for _ = 1, RETRIES do
        local ok, result = pcall(attempt, self, fn)
        if ok then return true, result end
        if self.connection then pcall(self.execute, self, "ROLLBACK") end
        if not database.is_failure(result) then error(result, 0) end
        message = result.message
        -- A lost connection may have lost the answer to a COMMIT: to repeat that would write twice.
        if not contains(message, CONFLICTS) then break end
    end
    return false, message
end

return database
