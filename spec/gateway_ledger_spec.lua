-- The gateway's ledger on SQLite: its transactions, the limits of tokens, the order of the queue, leases, retention.
local has_gateway, gateway = pcall(require, "support.gateway")
if not has_gateway or not gateway.is_available then return end -- a checkout without the gateway

local database = require "flux2.gateway.database"
local json = require "flux2.json"
local ledger = require "flux2.gateway.ledger"
local place = require "flux2.gateway.place"
local schema = require "flux2.gateway.schema"
local service = require "support.service"
local tokens = require "flux2.gateway.tokens"
local uploads = require "flux2.gateway.uploads"

describe("a ledger", function()
    local dir, db, clock, last
    before_each(function()
        dir = service.directory()
        db = assert(place.database(dir))
        clock, last = 1e9, 0
        function db.now() return clock end
    end)
    after_each(function()
        db:close()
        service.remove(dir)
    end)

    --- Creates a token. Returns its id.
    local function token(name, limits)
        local given = { name = name }
        for key, value in pairs(limits or {}) do given[key] = value end
        return (assert(tokens.create(db, given)):match "^f2gw_(%x+)_")
    end

    local function write(fn)
        local done, result = db:transaction(fn)
        assert(done, result)
        return result
    end

    local function take(id, options)
        local wanted = { ids = {}, count = 1, request = "{}", price = 10, digest = "d", max_queued = 100 }
        for name, value in pairs(options or {}) do wanted[name] = value end
        for i = 1, wanted.count do
            last = last + 1
            wanted.ids[i] = "t" .. last
        end
        clock = clock + 0.001
        local taken = write(function() return ledger.take(db, id, wanted) end)
        return taken.tasks and taken.tasks[1].id, taken.refusal
    end

    local function claim(limits, name)
        limits = limits or {}
        limits.at_once = limits.at_once or 100
        local ids = {}
        for i, row in ipairs(write(function() return ledger.claim(db, name or "g", limits) end)) do ids[i] = row.id end
        return table.concat(ids, " ")
    end

    local function state(id) return ledger.find(db, id).state end

    it("commits to the disk", function()
        assert.equal("wal", db:first("PRAGMA journal_mode").journal_mode)
        assert.equal(2, db:first("PRAGMA synchronous").synchronous) -- FULL
        local mode = io.popen("stat -c %a " .. dir .. "/ledger.sqlite"):read "*l"
        assert.equal("600", mode)
    end)

    it("undoes a transaction that fails, and tells why", function()
        local done, reason = db:transaction(function()
            db:execute("INSERT INTO gateways (id, seen) VALUES ('a', 1)")
            db:execute("INSERT INTO gateways (id, seen) VALUES ('a', 1)")
        end)
        assert.is_false(done)
        assert.matches("UNIQUE", reason)
        assert.is_nil(db:first "SELECT * FROM gateways")
        assert.has_error(function() db:transaction(function() error("a bug", 0) end) end, "a bug")
        assert.equal(1, write(function() return 1 end))
    end)

    it("opens an existing database, and refuses one of a newer version", function()
        token "arcade"
        db:close()
        db = assert(place.database(dir))
        assert.equal(1, #tokens.list(db))
        db:execute("UPDATE schema_version SET version = ?", schema.version + 1)
        local newer, reason = place.database(dir)
        assert.is_nil(newer)
        assert.matches("newer flux2", reason)
        assert.matches("postgres", select(2, database.open "postgres://nothing"))
    end)

    it("refuses the address of a database with what it would ignore", function()
        assert.matches("is named postgres://", select(2, database.open "postgres://a@b.example/c?sslmode=require"))
    end)

    it("reports a file that is damaged, without ending the program", function()
        write(function()
            for i = 1, 300 do db:execute("INSERT INTO gateways (id, seen) VALUES (?, 1)", i .. ("x"):rep(200)) end
        end)
        db:query "PRAGMA wal_checkpoint(TRUNCATE)"
        local path = dir .. "/ledger.sqlite"
        local bytes = service.read(path)
        local at = bytes:find("250xxx", 1, true)
        while at do -- in the table, and in its index
            local page = at - 1 - (at - 1) % 4096
            bytes = bytes:sub(1, page) .. ("\0"):rep(4096) .. bytes:sub(page + 4097)
            at = bytes:find("250xxx", 1, true)
        end
        service.write(path, bytes)
        local damaged = assert(database.open(path))
        local done, reason = damaged:transaction(function() return damaged:query "SELECT * FROM gateways" end)
        damaged:close()
        assert.is_false(done)
        assert.matches("malformed", reason)
    end)

    it("has a time that does not go back while the clock is not changed", function()
        db.now = nil
        local time = os.time
        finally(function() os.time = time end) -- luacheck: ignore 122
        function os.time() return 5000 end -- luacheck: ignore 122
        local before = db:now()
        require("flux2.core").pause(0.2)
        before = math.max(before, db:now())
        db.clock.until_ = 0 -- the clock is read again
        assert.is_true(db:now() >= before)
        function os.time() return 3000 end -- luacheck: ignore 122
        db.clock.until_ = 0
        assert.is_true(db:now() < 3001, "it was set back")
    end)

    it("reserves the price when it takes a request, and counts it until nothing was certainly bought", function()
        local id = token("arcade", { budget = 35 })
        local first, second, third = take(id), take(id), take(id)
        local none, refusal = take(id)
        assert.is_nil(none)
        assert.equal(402, refusal.status)
        claim()
        write(function()
            ledger.fail(db, first, { kind = "x" }, true) -- refused
            ledger.accepted(db, second, "g", "u2")
            ledger.fail(db, second, { kind = "x" }, false) -- failed at the service
            ledger.unknown(db, third, "lost")
        end)
        assert.equal(20, ledger.spent(db, id))
        assert.is_truthy(take(id))
        assert.is_nil((take(id)))
        assert.is_true(write(function() return ledger.release(db, third) end))
        assert.is_false(write(function() return ledger.release(db, third) end))
        assert.equal(20, ledger.spent(db, id))
    end)

    it("adds fractions without a rounding error, and counts what the service says", function()
        local id = token("arcade", { budget = 14 })
        for _ = 1, 10 do assert.is_truthy(take(id, { price = 1.4 })) end
        assert.is_nil((take(id, { price = 0.01 })))
        claim()
        write(function()
            ledger.accepted(db, "t1", "g", "u1")
            ledger.done(db, "t1", {}, 3, 100)
            ledger.accepted(db, "t2", "g", "u2")
            ledger.done(db, "t2", {}, nil, 100)
        end)
        assert.is_true(math.abs(ledger.spent(db, id) - 15.6) < 1e-9)
        assert.equal(15.6, tonumber(("%.9g"):format(tokens.list(db)[1].spent)))
    end)

    it("refuses fields that may change the price to a token with a budget", function()
        local limited, free = token("limited", { budget = 100 }), token "free"
        local _, refusal = take(limited, { has_more = true })
        assert.equal(402, refusal.status)
        assert.matches("; extra may change it$", refusal.message)
        assert.is_truthy(take(free, { has_more = true }))
        local flex = token("flex", { allowed = { type = { "flex" } } })
        assert.equal(403, select(2, take(flex, { has_more = true })).status, "or what it is limited to")
        assert.is_truthy(take(flex))
    end)

    it("takes all images of a request or none", function()
        local id = token("arcade", { budget = 25 })
        assert.is_nil((take(id, { count = 3 })))
        assert.equal(0, ledger.spent(db, id))
        assert.is_truthy(take(id, { count = 2 }))
    end)

    it("counts submissions per minute, and says when the next one is possible", function()
        local id = token("arcade", { per_minute = 2 })
        take(id)
        clock = clock + 20
        take(id)
        local _, refusal = take(id)
        assert.equal(429, refusal.status)
        assert.is_true(math.abs(refusal.retry_after - 40) < 1, refusal.retry_after)
        clock = clock + refusal.retry_after
        assert.is_truthy(take(id))
    end)

    it("counts unfinished tasks", function()
        local id = token("arcade", { concurrent = 1 })
        local first = take(id)
        assert.equal(429, select(2, take(id)).status)
        claim()
        assert.is_nil((take(id)))
        write(function() ledger.accepted(db, first, "g", "u") end)
        assert.is_nil((take(id)))
        write(function() ledger.done(db, first, {}, 10, 100) end)
        assert.is_truthy(take(id))
    end)

    it("limits the queue", function()
        local id = token "arcade"
        take(id, { max_queued = 1 })
        local _, refusal = take(id, { max_queued = 1 })
        assert.equal(429, refusal.status)
        assert.equal(5, refusal.retry_after)
    end)

    it("refuses a token that was revoked since its check", function()
        local id = token "arcade"
        tokens.revoke(db, "arcade")
        assert.equal(401, select(2, take(id)).status)
        local short = token("short", { expires = clock + 1 })
        assert.is_truthy(take(short))
        clock = clock + 1
        assert.equal(401, select(2, take(short)).status)
    end)

    it("claims in turn among tokens, oldest first, and only what the limits allow", function()
        local a, b, c = token "a", token "b", token "c"
        for _ = 1, 4 do take(a) end -- t1 to t4
        take(b) -- t5
        take(b) -- t6
        take(c) -- t7
        assert.equal("t1 t5 t7", claim { active = 3 })
        assert.equal("", claim { active = 3 })
        write(function()
            for _, id in ipairs { "t1", "t5", "t7" } do
                ledger.accepted(db, id, "g", id)
                ledger.done(db, id, {}, 10, 100)
            end
        end)
        assert.equal("t2", claim { active = 1 })
        clock = clock + 1
        write(function() ledger.accepted(db, "t2", "g", "u2") end)
        assert.equal("t6", claim { active = 2 }) -- a has an active task
        assert.equal("t3 t4", claim())
    end)

    it("claims at most so many per second", function()
        local id = token "a"
        for _ = 1, 9 do take(id) end
        assert.equal("t1 t2", claim { per_second = 2 })
        assert.equal("", claim { per_second = 2 })
        clock = clock + 1.1
        assert.equal("t3 t4", claim { per_second = 2 })
        clock = clock + 2.1
        assert.equal("t5", claim { per_second = 0.5 })
        clock = clock + 1.1
        assert.equal("", claim { per_second = 0.5 })
        clock = clock + 1
        assert.equal("t6", claim { per_second = 0.5 })
    end)

    it("does not wait for times to come after the clock was set back", function()
        local id = token("a", { per_minute = 2 })
        take(id)
        take(id)
        assert.equal("t1", claim { per_second = 1 })
        clock = clock - 3600
        assert.equal("t2", claim { per_second = 1 })
        assert.equal("", claim { per_second = 1 })
        assert.is_truthy(take(id))
    end)

    it("puts a refused task back, for later", function()
        local id = take(token "a")
        claim()
        write(function() ledger.requeue(db, id, "other", 10) end)
        assert.equal("submitting", state(id), "claimed by another gateway")
        write(function() ledger.requeue(db, id, "g", 10) end)
        assert.equal("queued", state(id))
        assert.equal("", claim())
        clock = clock + 10
        assert.equal("t1", claim())
    end)

    it("takes over the accepted tasks of a dead gateway; its submissions are of unknown outcome, not queued", function()
        local id = token "a"
        for _ = 1, 3 do take(id) end
        write(function() ledger.beat(db, "dead") end)
        assert.equal("t1 t2", claim({ active = 2 }, "dead"))
        write(function() ledger.accepted(db, "t1", "dead", "u1") end)
        local function take_over()
            return write(function() return ledger.take_over(db, "alive", 30) end)
        end
        clock = clock + 29
        assert.same({}, take_over())
        clock = clock + 2
        local rows = take_over()
        assert.equal(1, #rows)
        assert.same({ "t1", "u1" }, { rows[1].id, rows[1].upstream })
        assert.equal("unknown", state "t2")
        assert.equal("queued", state "t3")
        assert.same({}, take_over())
        assert.equal("t2", write(function() return ledger.list_unknown(db) end)[1].id)
        -- The gateway was only slow, and reports what it knows.
        write(function() ledger.accepted(db, "t2", "dead", "u2") end)
        assert.equal("accepted", state "t2")
        write(function() ledger.unknown(db, "t2", "late") end)
        assert.equal("accepted", state "t2")
    end)

    it("continues the work of a gateway with another state directory, because one at a time has the file", function()
        local id = token "a"
        for _ = 1, 3 do take(id) end
        claim({ active = 2 }, "old")
        write(function() ledger.accepted(db, "t1", "old", "u1") end)
        local rows = write(function() return ledger.recover(db, "new") end)
        assert.same({ 1, "t1", "u1" }, { #rows, rows[1].id, rows[1].upstream })
        assert.equal("new", ledger.find(db, "t1").gateway)
        assert.same({ "unknown", "queued" }, { state "t2", state "t3" })
    end)

    it("keeps the first result of a task", function()
        local id = take(token "a")
        claim()
        local function image(name) return { name = name, sha256 = name, content_type = "image/png" } end
        write(function()
            ledger.accepted(db, id, "g", "u")
            ledger.done(db, id, { image "one" }, 9, 100)
            ledger.done(db, id, { image "two" }, 9, 100)
            ledger.fail(db, id, { kind = "late" }, true)
        end)
        assert.equal("done", state(id))
        assert.equal("one", ledger.images(db, id)[1].name)
        assert.equal(1, #ledger.images(db, id))
    end)

    it("forgets images and requests after the retention time, but not what was spent", function()
        local id = token("a", { budget = 100 })
        for i, content in ipairs { "same", "same", "other" } do
            local task = take(id, { request = '{"prompt":"a fox"}', key = "k" .. i })
            claim()
            write(function()
                ledger.accepted(db, task, "g", "u" .. i)
                ledger.done(db, task, { { name = "n" .. i, sha256 = content, content_type = "image/png" } }, 10, 50 * i)
            end)
        end
        clock = clock + 60
        assert.same({}, write(function() return ledger.expire(db, 50) end), "another image has the same content")
        assert.equal(0, #ledger.images(db, "t1"))
        assert.equal("", ledger.find(db, "t1").request)
        clock = clock + 60
        assert.same({ "same" }, write(function() return ledger.expire(db, 50) end))
        assert.equal(1, #ledger.images(db, "t3"))
        assert.equal(30, ledger.spent(db, id))
        assert.equal("t1", (take(id, { key = "k1" })), "a key is known for a day")
        clock = clock + 24 * 3600
        write(function() return ledger.expire(db, 50) end)
        assert.not_equal("t1", (take(id, { key = "k1" })))
    end)

    it("finds what is left of a request by its key, when some of its tasks have forgotten it", function()
        local id = token "a"
        take(id, { count = 2, key = "k" })
        claim()
        write(function()
            ledger.done(db, "t1", {}, 10, 50)
            ledger.unknown(db, "t2", "lost")
        end)
        clock = clock + 24 * 3600 + 1
        write(function() return ledger.expire(db, 50) end)
        assert.equal("t2", (take(id, { count = 2, key = "k" })))
        assert.equal(409, select(2, take(id, { count = 2, key = "k", digest = "other" })).status)
        assert.is_truthy(take(id, { count = 1, key = "k" }))
    end)

    it("keeps hashes of tokens only", function()
        local given = assert(tokens.create(db, { name = "arcade", allowed = { type = { "flex" } } }))
        local dump = json.encode(db:query "SELECT * FROM tokens", "tokens")
        assert.is_nil(dump:find(given:match "_([%w_-]+)$", 1, true))
        local found = assert(tokens.find(db, "Bearer " .. given))
        assert.same({ type = { "flex" } }, found.allowed)
        assert.is_nil(found.hash)
        assert.is_nil((tokens.create(db, { name = "arcade" })))
        assert.not_equal(given, tokens.create(db, { name = "other" }))
        for _, wrong in ipairs { "", "Basic " .. given, given, "Bearer " .. given .. "x", "Bearer f2gw_0_0" } do
            assert.is_nil(tokens.find(db, wrong), wrong)
        end
    end)

    it("forgets uploads after two hours, and keeps a file that an image or another upload has as well", function()
        local id, other, last_name = token "arcade", token "other", 0
        local function upload(owner, sha256, size)
            last_name = last_name + 1
            local wanted = { name = "n" .. last_name, sha256 = sha256, content_type = "image/png", size = size or 1 }
            return write(function() return uploads.take(db, owner, wanted) end)
        end
        local name = upload(id, "aa").name
        assert.equal(name, upload(id, "aa").name)
        assert.not_equal(name, upload(other, "aa").name)
        upload(id, "bb")
        upload(id, "cc")
        clock = clock + 3600
        upload(other, "aa")
        local task = take(id)
        claim()
        write(function()
            ledger.done(db, task, { { name = "i", sha256 = "bb", content_type = "image/png" } }, 10, 1e6)
        end)
        clock = clock + 3601
        assert.same({ "cc" }, write(function() return ledger.expire(db, 1e6) end))
        clock = clock + 7200
        assert.same({ "aa" }, write(function() return ledger.expire(db, 1e6) end))
        assert.not_equal(name, upload(id, "aa", 255 * 2 ^ 20).name)
        assert.equal(429, upload(id, "dd", 2 ^ 21).refusal.status, "256 MiB for each token")
        assert.is_nil(upload(other, "dd", 2 ^ 21).refusal)
        clock = clock + 7201
        assert.is_nil(upload(id, "dd", 2 ^ 21).refusal)
    end)

    it("attaches a task of unknown outcome to one of the service, for one gateway", function()
        local id = token("arcade", { budget = 20 })
        local first, second = take(id), take(id)
        claim()
        local function attach(task, upstream) return write(function() return ledger.attach(db, task, upstream) end) end
        local function adopt(name) return write(function() return ledger.adopt(db, name) end) end
        assert.matches("is no task of unknown outcome", attach(first, "u1"))
        write(function()
            ledger.unknown(db, first, "x")
            ledger.unknown(db, second, "x")
        end)
        assert.same({}, adopt "g")
        assert.is_nil(attach(first, "u1"))
        assert.matches("u1 already belongs to task " .. first, attach(second, "u1"))
        assert.equal("unknown", state(second))
        local rows = adopt "g"
        assert.same({ 1, first, "u1" }, { #rows, rows[1].id, rows[1].upstream })
        assert.same({}, adopt "h")
        assert.equal(first, write(function() return ledger.recover(db, "g") end)[1].id)
        assert.equal(20, ledger.spent(db, id))
    end)
end)
