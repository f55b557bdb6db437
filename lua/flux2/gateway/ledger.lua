--- The ledger of a gateway: every task, from the request to its images, and the rules of money.
--
--     queued -> submitting -> accepted -> done | failed
--                    |            (an id at the service)
--                    +-> unknown  (perhaps accepted: never sent again)
--
-- `submitting` is committed before the request leaves. All functions run inside a transaction of the caller; they
-- change the database only, so that the transaction may be repeated. What a token has spent is the sum of its tasks.
-- Times later than now do not count: the clock may have been set back.

local budget = require "flux2.budget"
local json = require "flux2.json"
local tokens = require "flux2.gateway.tokens"

local ledger = {}

---@class flux2.gateway.Task a row of the ledger
---@field id string
---@field token string
---@field state "queued"|"submitting"|"accepted"|"done"|"failed"|"unknown"
---@field request string JSON; empty when it was forgotten after the retention time
---@field price? number credits: the estimate, and at the end what the service says
---@field counted integer 1 if the price counts against the budget
---@field gateway? string which submitted or polls it
---@field upstream? string the id at the service
---@field poll_url? string
---@field attempts integer the number of submissions that the service certainly did not accept
---@field created number seconds since 1970
---@field submitted? number seconds since 1970
---@field ended? number seconds since 1970
---@field credits? number according to the service
---@field error? string JSON: kind, message

local ACTIVE = "('queued', 'submitting', 'accepted')"
local MINUTE = 60
local KEY_LIFETIME = 24 * 3600 -- seconds: a client that was killed sends its submission again with the same key

local refusal = tokens.refusal

-- Reading -------------------------------------------------------------------------------------------------------------

--- Returns a task of a token.
---@param db flux2.gateway.Database
---@param id string
---@param token? string the token's id; nil: of any
---@return flux2.gateway.Task?
function ledger.find(db, id, token)
    if token then return db:first("SELECT * FROM tasks WHERE id = ? AND token = ?", id, token) end
    return db:first("SELECT * FROM tasks WHERE id = ?", id)
end

--- Returns the images of a task that are still there.
---@param db flux2.gateway.Database
---@param task string
---@return { name: string, sha256: string, content_type: string }[]
function ledger.images(db, task)
    return db:query("SELECT * FROM images WHERE task = ? ORDER BY number", task)
end

--- Credits that count against the budget of a token.
---@param db flux2.gateway.Database
---@param token string its id
---@return number credits
function ledger.spent(db, token)
    return tonumber(db:first("SELECT COALESCE(SUM(price), 0) AS n FROM tasks WHERE token = ? AND counted = 1", token).n)
end

--- The number of tasks in each state, and the credits that count.
---@param db flux2.gateway.Database
---@return table<string, integer> counts
---@return number credits
function ledger.totals(db)
    local counts, credits = {}, 0
    for _, row in ipairs(db:query("SELECT state, COUNT(*) AS n, COALESCE(SUM(CASE WHEN counted = 1 THEN price END), " ..
        "0) AS credits FROM tasks GROUP BY state")) do
        counts[row.state] = tonumber(row.n)
        credits = credits + tonumber(row.credits)
    end
    return counts, credits
end

local function count(db, sql, ...)
    return tonumber(db:first("SELECT COUNT(*) AS n FROM tasks WHERE " .. sql, ...).n)
end

-- Taking a request ----------------------------------------------------------------------------------------------------

--- The key of one task of a request.
local function key_of(wanted, i)
    return wanted.key and (i == 1 and wanted.key or wanted.key .. " " .. i)
end

--- Returns the tasks of an earlier request with the same key, or a refusal. Each task forgets its key at a time of its
--- own, so any of them may be missing.
local function repeated(db, token, wanted)
    local found = {}
    for i = 1, wanted.key and wanted.count or 0 do
        found[#found + 1] = db:first("SELECT * FROM tasks WHERE token = ? AND idempotency = ?", token,
            key_of(wanted, i))
    end
    if #found == 0 then return nil end
    if found[1].digest ~= wanted.digest then
        return refusal(409, "idempotency_error", "this Idempotency-Key was used with another request")
    end
    return { tasks = found }
end

local function check_budget(db, token, wanted)
    if not token.budget then return nil end
    if not wanted.price or wanted.has_more then
        return refusal(402, "insufficient_credits", "the price of this request is unknown, so the budget of this " ..
            "token cannot be kept" .. (wanted.has_more and "; extra may change it" or ""))
    end
    if budget.exceeds(ledger.spent(db, token.id) + wanted.count * wanted.price, token.budget) then
        return refusal(402, "insufficient_credits", "the budget of this token is exhausted")
    end
end

local function check_allowed(token, wanted)
    if not token.allowed or not wanted.has_more then return nil end
    return refusal(403, "permission_error", "this token may not use extra, which may change what it is limited to")
end

local function check_rate(db, token, wanted, now)
    if not token.per_minute then return nil end
    local since = now - MINUTE
    local n = count(db, "token = ? AND created > ? AND created <= ?", token.id, since, now)
    if n + wanted.count <= token.per_minute then return nil end
    local first = db:first("SELECT MIN(created) AS at FROM tasks WHERE token = ? AND created > ? AND created <= ?",
        token.id, since, now)
    local wait = first.at and tonumber(first.at) - since or MINUTE
    return refusal(429, "rate_limit_exceeded", "this token may submit " .. ("%d"):format(token.per_minute) ..
        " requests per minute", math.max(wait, 1))
end

local function check_concurrency(db, token, wanted)
    if not token.concurrent then return nil end
    if count(db, "token = ? AND state IN " .. ACTIVE, token.id) + wanted.count <= token.concurrent then return nil end
    return refusal(429, "rate_limit_exceeded", "this token may have " .. ("%d"):format(token.concurrent) ..
        " unfinished tasks", 2)
end

local function check_queue(db, wanted)
    if count(db, "state = 'queued'") + wanted.count <= wanted.max_queued then return nil end
    return refusal(429, "rate_limit_exceeded", "the queue of the gateway is full", 5)
end

local function insert(db, token, wanted, now)
    local list = {}
    for i, id in ipairs(wanted.ids) do
        db:execute("INSERT INTO tasks (id, token, state, request, price, counted, idempotency, digest, attempts, " ..
            "not_before, created) VALUES (?, ?, 'queued', ?, ?, 1, ?, ?, 0, 0, ?)", id, token.id, wanted.request,
            wanted.price, key_of(wanted, i), wanted.digest, now)
        list[i] = { id = id, token = token.id, state = "queued" }
    end
    return { tasks = list }
end

--- Takes a request: reserves its price, and a place within the rates. The token's row is locked, so two gateways cannot
--- both take the last credit.
---@param db flux2.gateway.Database
---@param token_id string
---@param wanted { ids: string[], count: integer, request: string, price: number?, has_more: boolean?, key: string?,
---  digest: string, max_queued: integer } ids of the new tasks, one for each image; request is JSON; price in credits
---  for each, has_more: undocumented fields may change it; key of idempotency, digest of the body
---@return { tasks: flux2.gateway.Task[]?, refusal: flux2.gateway.Refusal? }
function ledger.take(db, token_id, wanted)
    local now = db:now()
    local token, refused = tokens.lock(db, token_id)
    if not token then return refused end
    return repeated(db, token_id, wanted) or check_budget(db, token, wanted) or check_allowed(token, wanted)
        or check_rate(db, token, wanted, now) or check_concurrency(db, token, wanted) or check_queue(db, wanted)
        or insert(db, token, wanted, now)
end

-- Submitting ----------------------------------------------------------------------------------------------------------

--- Returns how many tasks may be claimed now: the rate and the number of active tasks at the service hold for all
--- gateways together.
local function room(db, limits, now)
    -- Two gateways that count at the same time would both fill the same room.
    if db.is_shared then db:query "SELECT pg_advisory_xact_lock(709373)" end
    local n = limits.at_once
    if limits.active then
        n = math.min(n, limits.active - count(db, "state IN ('submitting', 'accepted')"))
    end
    if limits.per_second then
        -- In a longer window for less than one per second.
        local window = math.max(1, 1 / limits.per_second)
        n = math.min(n, math.max(1, math.floor(limits.per_second)) - count(db, "submitted > ? AND submitted <= ?",
            now - window, now))
    end
    return n
end

--- Returns the tokens with queued tasks.
local function queues(db, now)
    local list = {}
    for _, row in ipairs(db:query("SELECT token, COUNT(*) AS n, MIN(created) AS first FROM tasks WHERE state = " ..
        "'queued' AND not_before <= ? GROUP BY token", now)) do
        list[#list + 1] = {
            token = row.token, left = tonumber(row.n), first = tonumber(row.first), taken = 0,
            served = tonumber(db:first("SELECT MAX(submitted) AS at FROM tasks WHERE token = ?", row.token).at or 0),
            active = count(db, "token = ? AND state IN ('submitting', 'accepted')", row.token),
        }
    end
    table.sort(list, function(a, b) return a.first < b.first end)
    return list
end

local function is_before(a, b)
    if a.active ~= b.active then return a.active < b.active end
    if a.served ~= b.served then return a.served < b.served end
    return a.first < b.first
end

--- Distributes N places: each to the token with the fewest active tasks; among these to the one that waits for longest.
local function share(list, n)
    for _ = 1, n do
        local best
        for _, queue in ipairs(list) do
            if queue.left > 0 and (not best or is_before(queue, best)) then best = queue end
        end
        if not best then return end
        best.left, best.taken, best.active, best.served = best.left - 1, best.taken + 1, best.active + 1, math.huge
    end
end

--- Claims queued tasks for submission, fairly among tokens. They are `submitting` when the transaction is committed.
---@param db flux2.gateway.Database
---@param gateway string the id of the caller
---@param limits { active: integer?, per_second: number?, at_once: integer } active: tasks at the service
---@return flux2.gateway.Task[] claimed
function ledger.claim(db, gateway, limits)
    local now, claimed = db:now(), {}
    local n = room(db, limits, now)
    if n < 1 then return claimed end
    local list = queues(db, now)
    share(list, n)
    for _, queue in ipairs(list) do
        local rows = queue.taken > 0 and db:query("SELECT * FROM tasks WHERE state = 'queued' AND token = ? AND " ..
            "not_before <= ? ORDER BY created, id LIMIT " .. ("%d"):format(queue.taken) .. db.skip_locked,
            queue.token, now) or {}
        for _, row in ipairs(rows) do
            db:execute("UPDATE tasks SET state = 'submitting', gateway = ?, submitted = ? WHERE id = ?", gateway, now,
                row.id)
            claimed[#claimed + 1] = row
        end
    end
    return claimed
end

--- The service has accepted a task. Also resolves `unknown`.
---@param db flux2.gateway.Database
---@param id string
---@param gateway string the id of the caller, which polls it
---@param upstream string the id at the service
---@param poll_url? string
function ledger.accepted(db, id, gateway, upstream, poll_url)
    db:execute("UPDATE tasks SET state = 'accepted', gateway = ?, upstream = ?, poll_url = ?, error = NULL, " ..
        "counted = 1, ended = NULL WHERE id = ? AND state IN ('submitting', 'unknown')", gateway, upstream, poll_url,
        id)
end

--- The service certainly did not accept it, but may do so later: it waits in the queue again.
---@param db flux2.gateway.Database
---@param id string
---@param gateway string the id of the caller, which has claimed it
---@param seconds number the pause
function ledger.requeue(db, id, gateway, seconds)
    db:execute("UPDATE tasks SET state = 'queued', gateway = NULL, submitted = NULL, attempts = attempts + 1, " ..
        "not_before = ? WHERE id = ? AND gateway = ? AND state = 'submitting'", db:now() + seconds, id, gateway)
end

--- A task has failed.
---@param db flux2.gateway.Database
---@param id string
---@param problem { kind: string, message: string, code: any }
---@param is_free boolean whether certainly nothing was bought
function ledger.fail(db, id, problem, is_free)
    db:execute("UPDATE tasks SET state = 'failed', error = ?, ended = ?, counted = ? WHERE id = ? AND state <> 'done'",
        json.write(problem), db:now(), is_free and 0 or 1, id)
end

--- The submission may or may not have been accepted. A person decides.
---@param db flux2.gateway.Database
---@param id string
---@param message string
function ledger.unknown(db, id, message)
    db:execute("UPDATE tasks SET state = 'unknown', error = ?, ended = ? WHERE id = ? AND state = 'submitting'",
        json.write { kind = "unknown_outcome", message = message }, db:now(), id)
end

--- A task has its images.
---@param db flux2.gateway.Database
---@param id string
---@param images { name: string, sha256: string, content_type: string }[]
---@param credits? number
---@param retention number seconds
function ledger.done(db, id, images, credits, retention)
    local now = db:now()
    -- What the service says counts, not the estimate.
    local changed = db:execute("UPDATE tasks SET state = 'done', error = NULL, ended = ?, credits = ?, counted = 1, " ..
        "price = COALESCE(?, price) WHERE id = ? AND state IN ('accepted', 'submitting', 'unknown')", now, credits,
        credits, id)
    if changed == 0 then return end -- another gateway was faster
    for i, image in ipairs(images) do
        db:execute("INSERT INTO images (name, task, number, sha256, content_type, expires) VALUES (?, ?, ?, ?, ?, ?)",
            image.name, id, i, image.sha256, image.content_type, now + retention)
    end
end

-- Gateways ------------------------------------------------------------------------------------------------------------

--- Says that a gateway lives.
---@param db flux2.gateway.Database
---@param gateway string its id
---@param seen? number seconds since 1970; 0: it has ended
function ledger.beat(db, gateway, seen)
    seen = seen or db:now()
    if db:execute("UPDATE gateways SET seen = ? WHERE id = ?", seen, gateway) == 0 then
        db:execute("INSERT INTO gateways (id, seen) VALUES (?, ?)", gateway, seen)
    end
end

--- Continues the work of a gateway that has stopped: returns its accepted tasks. Its submissions become `unknown`.
local function inherit(db, stopped, gateway)
    local found = {}
    for _, row in ipairs(db:query("SELECT * FROM tasks WHERE state IN ('submitting', 'accepted') AND gateway = ? " ..
        "ORDER BY created" .. db.skip_locked, stopped)) do
        if row.state == "submitting" then
            ledger.unknown(db, row.id, "the gateway stopped during the submission")
        else
            db:execute("UPDATE tasks SET gateway = ? WHERE id = ?", gateway, row.id)
            found[#found + 1] = row
        end
    end
    return found
end

--- Continues the work of the last run.
---@param db flux2.gateway.Database
---@param gateway string the id of the caller
---@return flux2.gateway.Task[] accepted
function ledger.recover(db, gateway)
    -- One gateway at a time uses an SQLite file. Another id is that of another state directory.
    if not db.is_shared then
        db:execute("UPDATE tasks SET gateway = ? WHERE state IN ('submitting', 'accepted')", gateway)
    end
    return inherit(db, gateway, gateway)
end

--- Takes over the work of gateways that have not been seen for `lease` seconds.
---@param db flux2.gateway.Database
---@param gateway string the id of the caller
---@param lease number seconds
---@return flux2.gateway.Task[] accepted
function ledger.take_over(db, gateway, lease)
    local found = {}
    for _, dead in ipairs(db:query("SELECT id FROM gateways WHERE seen < ? AND id <> ?" .. db.skip_locked,
        db:now() - lease, gateway)) do
        for _, row in ipairs(inherit(db, dead.id, gateway)) do found[#found + 1] = row end
    end
    return found
end

-- Unknown outcomes ----------------------------------------------------------------------------------------------------

--- Returns the tasks of unknown outcome, with the names of their tokens; oldest first.
---@param db flux2.gateway.Database
---@return table[]
function ledger.list_unknown(db)
    return db:query("SELECT k.id, k.request, k.price, k.submitted, k.gateway, k.error, t.name AS token_name " ..
        "FROM tasks k JOIN tokens t ON t.id = k.token WHERE k.state = 'unknown' ORDER BY k.submitted, k.id")
end

--- A person has found that the service did not accept a task of unknown outcome: it fails and costs nothing.
---@param db flux2.gateway.Database
---@param id string
---@return boolean released false if it is not of unknown outcome
function ledger.release(db, id)
    local problem = json.write { kind = "unknown_outcome", message = "the service did not accept the submission" }
    return db:execute("UPDATE tasks SET state = 'failed', error = ?, counted = 0 WHERE id = ? AND state = 'unknown'",
        problem, id) == 1
end

--- A person has found a task of unknown outcome at the service: a gateway polls it from now on, see `ledger.adopt`.
---@param db flux2.gateway.Database
---@param id string
---@param upstream string the id at the service
---@return string? reason why it was not attached
function ledger.attach(db, id, upstream)
    local other = db:first("SELECT id FROM tasks WHERE upstream = ?", upstream)
    if other then return upstream .. " already belongs to task " .. other.id end
    local changed = db:execute("UPDATE tasks SET state = 'accepted', gateway = NULL, upstream = ?, error = NULL, " ..
        "ended = NULL WHERE id = ? AND state = 'unknown'", upstream, id)
    return changed == 0 and id .. " is no task of unknown outcome" or nil
end

--- Takes the tasks that were attached.
---@param db flux2.gateway.Database
---@param gateway string the id of the caller, which polls them
---@return flux2.gateway.Task[] accepted
function ledger.adopt(db, gateway)
    local found = db:query("SELECT * FROM tasks WHERE state = 'accepted' AND gateway IS NULL" .. db.skip_locked)
    for _, row in ipairs(found) do db:execute("UPDATE tasks SET gateway = ? WHERE id = ?", gateway, row.id) end
    return found
end

-- Retention -----------------------------------------------------------------------------------------------------------

--- Forgets the expired rows of a table of files. Returns the SHA-256 of their files, as keys.
local function forget_files(db, files, now)
    local contents = {}
    for _, row in ipairs(db:query("SELECT name, sha256 FROM " .. files .. " WHERE expires < ? LIMIT 1000", now)) do
        db:execute("DELETE FROM " .. files .. " WHERE name = ?", row.name)
        contents[row.sha256] = true
    end
    return contents
end

local function is_used(db, sha256)
    return db:first("SELECT name FROM images WHERE sha256 = ? LIMIT 1", sha256)
        or db:first("SELECT name FROM uploads WHERE sha256 = ? LIMIT 1", sha256)
end

--- Forgets expired images and uploads, and the requests of tasks. The tasks stay: they are what was spent.
---@param db flux2.gateway.Database
---@param retention number seconds
---@return string[] contents SHA-256 of the files that no row refers to any more
function ledger.expire(db, retention)
    local now, contents = db:now(), {}
    for _, files in ipairs { "images", "uploads" } do
        for sha256 in pairs(forget_files(db, files, now)) do
            if not is_used(db, sha256) then contents[#contents + 1] = sha256 end
        end
    end
    local has_ended = " AND state IN ('done', 'failed')"
    db:execute("UPDATE tasks SET request = '' WHERE ended < ? AND request <> ''" .. has_ended, now - retention)
    db:execute("UPDATE tasks SET idempotency = NULL WHERE ended < ? AND idempotency IS NOT NULL" .. has_ended,
        now - math.max(retention, KEY_LIFETIME))
    return contents
end

return ledger
