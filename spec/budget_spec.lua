-- The budget: what may be submitted, what was spent, and that no outcome is counted twice or forgotten.
local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local service = require "support.service"

local SUBMIT = "/api/v1/images/generations"

describe("the budget", function()
    local emu
    before_each(function() emu = service.start() end)
    after_each(service.stop_all)

    local function spent_of(client) return { client:spent() } end

    local function charged()
        local sum = 0
        for _, entry in ipairs(emu:ledger()) do sum = sum + entry.credits end
        return sum
    end

    it("refuses a submission that would pass it, before anything is sent", function()
        local client = service.client(emu, { budget = 25 })
        local tasks = { assert(client:submit "ten"), assert(client:submit "ten more") }
        assert.same({ 0, 20 }, spent_of(client))
        local task, err = client:submit "one too many"
        assert.is_nil(task)
        assert.equal("budget", err.kind)
        assert.is_false(err.retryable)
        assert.equal(10, err.price)
        assert.equal(25, err.limit)
        assert.truthy(tostring(err):find("costs 10 credits", 1, true))
        assert.truthy(tostring(err):find("budget of 25 credits", 1, true))
        assert.truthy(tostring(err):find("0 credits spent and 20 credits reserved", 1, true))
        assert(flux2.all(tasks))
        assert.same({ 20, 0 }, spent_of(client))
        assert.equal("budget", select(2, client:generate "still one too many").kind)
        assert.is_nil((client:submit { prompt = "dear", resolution = "2K" }))
        assert.equal("budget", select(2, client:submit { prompt = "flex", type = "flex" }).kind)
        assert.equal(2, #emu:ledger())
        assert.equal(charged(), client:spent())
    end)

    it("can be spent to the last credit, and may be none", function()
        local client = service.client(emu, { budget = 16 })
        assert(client:generate "ten")
        assert(client:generate { prompt = "six", type = "flex" })
        assert.same({ 16, 0 }, spent_of(client))
        assert.equal("budget", select(2, service.client(emu, { budget = 0 }):submit "anything").kind)
        assert.equal(2, #emu:ledger())
    end)

    it("demands a price where the service publishes none, and takes the caller's", function()
        local request = { prompt = "no price for this", type = "flex", resolution = "2K" }
        local client = service.client(emu, { budget = 30 })
        local task, err = client:submit(request)
        assert.is_nil(task)
        assert.equal("budget", err.kind)
        assert.truthy(err.message:find("publishes no price for flex at 2K", 1, true))
        assert.truthy(err.message:find("price =", 1, true))
        assert.equal(0, emu:stats().requests)
        assert(client:generate(request, { price = 12 }))
        assert.equal(12, client:spent())
        assert.equal("budget", select(2, client:submit(request, { price = 19 })).kind)
        for _, image in client:map({ request }, { price = 12 }) do assert.truthy(image) end
        assert.equal(24, client:spent())
        assert.equal(charged(), client:spent())
        assert.has_error(function() client:submit(request, { price = -1 }) end)
        assert.has_error(function() flux2.new { api_key = "aio_k", budget = "ten" } end)
    end)

    it("lets a price of the caller's stand for a published one", function()
        local client = service.client(emu, { budget = 10 })
        assert.equal("budget", select(2, client:submit("dearer than it was", { price = 11 })).kind)
        assert(client:generate("cheaper than it was", { price = 4 }))
        assert.equal(4, client:spent())
    end)

    it("gets back what was certainly not accepted", function()
        local client = service.client(emu, { budget = 10, max_retries = 0 })
        assert.equal("rejected", select(2, client:generate "please [reject] this").kind)
        for _, status in ipairs { 400, 401, 402, 422, 429 } do
            emu:fault { method = "POST", path = SUBMIT, status = status, body = "no" }
            assert.is_nil((client:generate "refused"))
            assert.same({ 0, 0 }, spent_of(client), status)
        end
        local url = emu.url
        assert.is_nil((client:submit { prompt = "" }))
        assert(client:generate "accepted")
        assert.same({ 10, 0 }, spent_of(client))
        emu:stop()
        local nobody = assert(flux2.new { api_key = "aio_k", base_url = url, budget = 10, max_retries = 0 })
        assert.equal("network", select(2, nobody:generate "refused").kind)
        assert.same({ 0, 0 }, spent_of(nobody))
    end)

    it("keeps what may have been accepted, and what was although it failed", function()
        local client = service.client(emu, { budget = 20 })
        emu:fault { method = "POST", path = SUBMIT, close = "after" }
        assert.equal("unknown_outcome", select(2, client:generate "who knows").kind)
        assert.same({ 0, 10 }, spent_of(client))
        assert.equal("task_failed", select(2, client:generate "this will [fail]").kind)
        assert.same({ 10, 10 }, spent_of(client))
        assert.equal("budget", select(2, client:generate "no more").kind)
    end)

    it("counts a submission of unknown outcome once its task turns out to exist", function()
        local client = service.client(emu, { budget = 20 })
        emu:fault { method = "POST", path = SUBMIT, body = [[{"code":500,"data":{"task_id":"{task_id}"}}]], accept = true }
        local task = assert(client:submit "who knows")
        local _, err = task:wait()
        assert.equal("unknown_outcome", err.kind)
        assert.equal(emu:ledger()[1].task_id, err.task_id)
        assert.same({ 0, 10 }, spent_of(client))
        assert(task:wait())
        assert.same({ 10, 0 }, spent_of(client))
    end)

    it("hears what became of a submission that was cancelled", function()
        local client = service.client(emu, { budget = 100, max_connections = 1 })
        emu:fault { method = "POST", path = SUBMIT, hang = true, accept = true }
        local hangs, queues = assert(client:submit "hangs"), assert(client:submit "queues")
        service.pump_until(function() return emu:faults()[1].fired == 1 end)
        queues:cancel()
        hangs:cancel()
        assert.same({ 0, 20 }, spent_of(client))
        service.pump_until(function() return select(2, client:spent()) == 10 end)
        assert.equal(1, #emu:ledger())
        -- One that was cancelled in the very moment of its acceptance is paid for.
        emu:clear_faults()
        emu:set { duration = 60 }
        service.pump_until(function() return flux2.stats().jobs == 0 and core.engine():ready() == 0 end)
        local late = assert(client:submit "accepted meanwhile")
        local until_ = core.now() + bound(20)
        while #emu:ledger() < 2 or core.engine():ready() == 0 do assert(core.now() < until_) end
        assert.equal("submitting", late.state)
        late:cancel()
        service.pump_until(function() return client:spent() == 10 end)
        assert.same({ 10, 10 }, spent_of(client))
        assert.equal("cancelled", late.state)
    end)

    it("adds up over clients in flux2.stats, and counts what has no price apart", function()
        local before = flux2.stats()
        local one, two = service.client(emu), service.client(emu, { budget = 50 })
        assert(one:generate "ten")
        assert(two:generate { prompt = "six", type = "flex" })
        assert(one:generate { prompt = "nobody knows", type = "flex", resolution = "2K" })
        assert.equal(10, one:spent())
        assert.equal(6, two:spent())
        local stats = flux2.stats()
        assert.equal(16, stats.spent - before.spent)
        assert.equal(1, stats.unpriced - before.unpriced)
        assert.equal("number", type(stats.jobs))
    end)

    it("holds when many ask at once", function()
        local client = service.client(emu, { budget = 95 })
        local refused, made = 0, 0
        local prompts = {}
        for i = 1, 30 do prompts[i] = "prompt " .. i end
        for _, image, err in client:map(prompts, { concurrency = 30 }) do
            if image then made = made + 1 else refused = refused + (err.kind == "budget" and 1 or 0) end
        end
        assert.equal(9, made)
        assert.equal(21, refused)
        assert.equal(9, #emu:ledger())
        assert.same({ 90, 0 }, spent_of(client))
    end)
end)
