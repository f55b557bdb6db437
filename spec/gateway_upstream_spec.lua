-- The gateway's work at the service, in this process: when a task is done, and how often that waits for the disk.
local has_gateway, gateway = pcall(require, "support.gateway")
if not has_gateway or not gateway.is_available then return end -- a checkout without the gateway

local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local gateway_service = require "flux2.gateway.service"
local ledger = require "flux2.gateway.ledger"
local place = require "flux2.gateway.place"
local providers = require "flux2.provider"
local service = require "support.service"
local store = require "flux2.gateway.store"
local tokens = require "flux2.gateway.tokens"
local upstream = require "flux2.gateway.upstream"
local writer = require "flux2.gateway.writer"

describe("the gateway's work at the service", function()
    local emu, dir, db, images, work, warnings

    local function options()
        return {
            client = service.client(emu, { max_submissions_per_second = 1000 }), writer = writer.new(db), db = db,
            store = images, provider = providers.resolve(), contract = providers.resolve "gateway", gateway = "g",
            retention = 60, changed = function() end,
            warn = function(message) warnings[#warnings + 1] = message end,
        }
    end

    local function new() return upstream.new(options()) end

    before_each(function()
        emu, dir = service.start { duration = 0, image_bytes = 600 }, service.directory()
        db = assert(place.database(dir))
        images = assert(store.open(dir .. "/images", "g"))
        warnings = {}
        work = new()
    end)
    after_each(function()
        db:close()
        service.stop_all()
        service.remove(dir)
    end)

    --- Runs the engine until a condition holds.
    local function run(condition)
        local until_ = core.now() + bound(30)
        while not condition() do
            assert(core.now() < until_, "still waiting")
            flux2.update()
            core.pause(0.005)
        end
    end

    local function state(id) return ledger.find(db, id).state end

    --- Takes and claims N tasks. Returns their ids, and the rows of the claim.
    local function claim(n, request)
        local token, ids = assert(tokens.create(db, { name = "arcade" })):match "^f2gw_(%x+)_", {}
        for i = 1, n do ids[i] = "t" .. i end
        assert(db:transaction(function()
            ledger.take(db, token, { ids = ids, count = n, request = request or '{"prompt":"a red fox"}', digest = "d",
                max_queued = n })
        end))
        local _, claimed = db:transaction(function() return ledger.claim(db, "g", { at_once = n }) end)
        return ids, claimed
    end

    --- Submits N tasks, and waits until all their images are downloaded. Returns the ids of the tasks.
    local function submit(n)
        local ids, claimed = claim(n)
        for _, row in ipairs(claimed) do work:submit(row) end
        run(function() return #work.stored == n end)
        return ids
    end

    --- Counts the calls of METHOD of an object; `before` is called with each.
    local function count(object, method, before)
        local original, calls = object[method], { n = 0 }
        object[method] = function(...)
            calls.n = calls.n + 1
            if before then before() end
            return original(...)
        end
        return calls
    end

    it("makes the images of a turn durable at once, before their tasks are done, in one transaction", function()
        local ids, states = submit(12), {}
        local syncs = count(images, "sync", function() states[#states + 1] = state(ids[1]) end)
        local transactions = count(db, "transaction")
        work:turn()
        assert.equal(1, syncs.n)
        assert.not_equal("done", states[1])
        assert(work.writer:flush())
        assert.equal(1, transactions.n)
        for _, id in ipairs(ids) do
            assert.equal("done", state(id))
            local image = ledger.images(db, id)[1]
            assert.equal("\137PNG", assert(images:read(image.sha256)):sub(1, 4))
        end
        work:turn()
        assert.equal(1, syncs.n, "nothing is left to be made durable")
    end)

    it("downloads images again that the disk may have lost, before their task is done", function()
        local id, sync = submit(1)[1], images.sync
        function images.sync() return nil, "the disk is gone" end
        work:turn()
        assert(work.writer:flush())
        assert.equal("accepted", state(id))
        assert.matches("the disk is gone", warnings[1])
        images.sync = sync
        local sent = #emu:requests()
        run(function()
            work:turn()
            assert(work.writer:flush())
            return state(id) == "done"
        end)
        assert.is_true(#emu:requests() > sent)
        assert.equal(1, #emu:ledger())
    end)

    it("does not give up a paid task at the first failure after the gateway was down for a day", function()
        local ids, claimed = claim(1)
        work:submit(claimed[1])
        run(function()
            work:turn()
            assert(work.writer:flush())
            return state(ids[1]) ~= "submitting"
        end)
        db:execute("UPDATE tasks SET created = ?", os.time() - 25 * 3600)
        local row, next_run = ledger.find(db, ids[1]), new()
        assert.equal("accepted", row.state)
        emu:fault { method = "GET", path = "/api/v1/tasks/" .. row.upstream, status = 404, times = 1000 }
        next_run:resume(row)
        run(function() return #next_run.later > 0 or next_run.writer:has_work() end)
        assert(next_run.writer:flush())
        assert.equal("accepted", state(ids[1]))
        emu:clear_faults()
        run(function()
            next_run:turn()
            assert(next_run.writer:flush())
            return state(ids[1]) == "done"
        end)
        assert.equal(1, #emu:ledger())
    end)

    it("submits a task once whose claim was committed, though the commit seemed to fail", function()
        local given, transaction = options(), db.transaction
        given.server = { wait = function() core.pause(0.005) end, next = function() end, quiesce = function() end,
            counts = function() return 0, 0, 0 end }
        given.limits, given.lease, given.max_queued, given.cors, given.trusted = { at_once = 10 }, 30, 10, {}, {}
        given.log = { flush = function() end }
        local gw = assert(gateway_service.new(given))
        local token = assert(tokens.create(db, { name = "arcade" })):match "^f2gw_(%x+)_"
        assert(db:transaction(function()
            ledger.take(db, token, { ids = { "t1" }, count = 1, request = '{"prompt":"a fox"}', digest = "d", max_queued = 1 })
        end))
        local lost = 0
        function db:transaction(fn)
            local done, result = transaction(self, fn)
            if lost > 0 or state "t1" ~= "submitting" then return done, result end
            lost = lost + 1
            return false, "server closed the connection"
        end
        local until_ = core.now() + bound(30)
        gw:run(function() return state "t1" == "done" or core.now() > until_ end)
        assert.same({ "done", 1, 1 }, { state "t1", lost, #emu:ledger() })
    end)

    it("puts a claimed task back if the database fails before its submission", function()
        local ids, claimed = claim(1, '{"prompt":"a red fox","input_urls":["https://a.example/uploads/x"]}')
        work.provider = providers.resolve "bfl"
        function db.first() error("the database is gone", 0) end
        work:submit(claimed[1])
        db.first = nil
        assert(work.writer:flush())
        assert.equal("queued", state(ids[1]))
        assert.matches("the database is gone", warnings[1])
        assert.equal(0, #emu:ledger())
    end)

    it("reports an image that cannot be made durable", function()
        submit(1)
        for path in pairs(images.unsynced) do
            if path:find "%x/%x+$" then os.remove(path) end
        end
        local ok, reason = images:sync()
        assert.is_nil(ok)
        assert.matches("No such file", reason)
    end)
end)
