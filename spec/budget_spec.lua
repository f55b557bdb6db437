-- The budget: which submissions are allowed, and how their credits are counted.
local bound = require "support.bound"
local budget = require "flux2.budget"
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

    it("refuses a submission that exceeds it, before anything is sent", function()
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

    it("can be spent to the last credit, and can be unlimited", function()
        local client = service.client(emu, { budget = 16 })
        assert(client:generate "ten")
        assert(client:generate { prompt = "six", type = "flex" })
        assert.same({ 16, 0 }, spent_of(client))
        assert.equal("budget", select(2, service.client(emu, { budget = 0 }):submit "anything").kind)
        assert.equal(2, #emu:ledger())
    end)

    it("adds fractions without a rounding error", function()
        for _, case in ipairs { { 0.1, 3, 0.3 }, { 1.4, 10, 14 }, { 2.1, 30, 63 } } do
            local limited = budget.new(case[3])
            for _ = 1, case[2] do
                local reservation = assert(limited:reserve(case[1]))
                assert.is_nil((limited:reserve(case[3])))
                reservation:spend()
            end
            assert.equal(0, limited.reserved)
            local _, err = limited:reserve(0.01)
            assert.equal("budget", err.kind)
        end
    end)

    it("refuses what a price function must not return, and then there is no price", function()
        for _, value in ipairs { "10", 0 / 0, -5, math.huge, {}, true } do
            local client = service.client(emu, { budget = 20, prices = { { credits = function() return value end } } })
            local credits, reason = client:estimate "a fox"
            assert.is_nil(credits)
            assert.matches("^its price must be a number of credits, 0 or more, not ", reason)
            local task, err = client:submit "a fox"
            assert.is_nil(task)
            assert.equal("budget", err.kind)
        end
        assert.equal(0, #emu:ledger())
    end)

    it("allows an exact match, and refuses a submission when a fraction is missing", function()
        local client = service.client(emu, { budget = 1.5 })
        assert(client:generate("half of it", { price = 0.5 }))
        local task, err = client:submit("a little too much", { price = 1.0625 })
        assert.is_nil(task)
        assert.equal("budget: this submission costs 1.0625 credits, which would pass the budget of 1.5 credits: 0.5 "
            .. "credits spent", tostring(err))
        assert.same({ 1.0625, 0.5, 0, 1.5 }, { err.price, err.spent, err.reserved, err.limit })
        assert(client:generate("the rest", { price = 1 }))
        assert.same({ 1.5, 0 }, spent_of(client))
        assert(client:generate("for nothing", { price = 0 }))
        task, err = client:submit("one", { price = 1 })
        assert.is_nil(task)
        assert.equal("budget: this submission costs 1 credit, which would pass the budget of 1.5 credits: 1.5 credits "
            .. "spent", tostring(err))
        local none = service.client(emu, { budget = 0 })
        assert(none:generate("for nothing", { price = 0 }))
        local unpriced
        unpriced, err = none:submit { prompt = "no price for this", type = "flex", resolution = "2K" }
        assert.is_nil(unpriced)
        assert.equal("budget: the service publishes no price for flex at 2K, so a budget cannot be kept: say what it "
            .. "costs with the option "
            .. "price = credits", tostring(err))
        assert.same({ 0, 0 }, { err.limit, err.spent })
        -- Without a budget, a submission without a price costs 0.
        local free = service.client(emu)
        assert(free:generate { prompt = "no price for this", type = "flex", resolution = "2K" })
        assert.same({ 0, 0 }, spent_of(free))
    end)

    it("requires a price where none is published, and accepts the price from the caller", function()
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

    it("uses the caller's price instead of the published one", function()
        local client = service.client(emu, { budget = 10 })
        assert.equal("budget", select(2, client:submit("dearer than it was", { price = 11 })).kind)
        assert(client:generate("cheaper than it was", { price = 4 }))
        assert.equal(4, client:spent())
    end)

    it("gets credits back when a submission was certainly not accepted", function()
        local client = service.client(emu, { budget = 10, max_retries = 0 })
        assert.equal("rejected", select(2, client:generate "please [reject] this").kind)
        for _, status in ipairs { 400, 401, 402, 422, 429 } do
            emu:fault { method = "POST", path = SUBMIT, status = status, body = "no" }
            assert.is_nil((client:generate "refused"))
            assert.same({ 0, 0 }, spent_of(client), status)
        end
        assert.is_nil((client:submit { prompt = "" }))
        assert(client:generate "accepted")
        assert.same({ 10, 0 }, spent_of(client))
        local nobody = assert(flux2.new { api_key = "aio_k", base_url = "http://127.0.0.1:1", budget = 10,
            max_retries = 0 })
        assert.equal("network", select(2, nobody:generate "refused").kind)
        assert.same({ 0, 0 }, spent_of(nobody))
    end)

    it("keeps credits of submissions that may have been accepted, and of accepted tasks that failed", function()
        local client = service.client(emu, { budget = 20 })
        emu:fault { method = "POST", path = SUBMIT, close = "after" }
        assert.equal("unknown_outcome", select(2, client:generate "who knows").kind)
        assert.same({ 0, 10 }, spent_of(client))
        assert.equal("task_failed", select(2, client:generate "this will [fail]").kind)
        assert.same({ 10, 10 }, spent_of(client))
        assert.equal("budget", select(2, client:generate "no more").kind)
    end)

    it("counts a submission of unknown outcome once, when its task is found later", function()
        local client = service.client(emu, { budget = 20 })
        emu:fault { method = "POST", path = SUBMIT,
            body = [[{"code":500,"data":{"task_id":"{task_id}"}}]], accept = true }
        local task = assert(client:submit "who knows")
        local _, err = task:wait()
        assert.equal("unknown_outcome", err.kind)
        assert.equal(emu:ledger()[1].task_id, err.task_id)
        assert.same({ 0, 10 }, spent_of(client))
        assert(task:wait())
        assert.same({ 10, 0 }, spent_of(client))
    end)

    it("includes the outcome of a cancelled submission", function()
        local client = service.client(emu, { budget = 100, max_connections = 1 })
        emu:fault { method = "POST", path = SUBMIT, hang = true, accept = true }
        local hangs, queues = assert(client:submit "hangs"), assert(client:submit "queues")
        service.pump_until(function() return emu:faults()[1].fired == 1 end)
        queues:cancel()
        hangs:cancel()
        assert.same({ 0, 20 }, spent_of(client))
        service.pump_until(function() return select(2, client:spent()) == 10 end)
        assert.equal(1, #emu:ledger())
        -- A submission that is cancelled during its acceptance is paid for.
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

    it("is summed over clients in flux2.stats, where submissions without a price are counted separately", function()
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

    it("holds for concurrent submissions", function()
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

    --- Makes the responses contain the price. The emulator's other dialect does so at the submission.
    local function charge(credits, place)
        if place == "submission" then
            emu:fault { method = "POST", times = 1000, accept = true,
                body = '{"data":{"task_id":"{task_id}"},"credits_used":' .. credits .. "}" }
        else
            emu:set { shape = '{"data":{"status":"$status","output":"$url","credits_used":' .. credits .. "}}" }
        end
    end

    for _, place in ipairs { "submission", "task" } do
        it("counts what the " .. place .. " says that it cost", function()
            local lines = {}
            local client = service.client(emu, { budget = 40, log = function(line) lines[#lines + 1] = line end })
            charge(12.5, place)
            local before = flux2.stats().spent
            local task = assert(client:submit "ten")
            assert.equal(12.5, assert(task:wait()).credits)
            assert(client:generate "ten more")
            assert.same({ 25, 0 }, spent_of(client))
            assert.equal(25, flux2.stats().spent - before)
            -- The estimate did not change: the next submission reserves it, and exceeds the budget.
            assert(client:generate "another ten")
            local _, err = client:submit "one too many"
            assert.same({ "budget", 10, 37.5 }, { err.kind, err.price, err.spent })
            -- A changed price is reported once.
            local reports = {}
            for _, line in ipairs(lines) do
                if not line:find "^%u+ http" then reports[#reports + 1] = line end
            end
            assert.same({ "the price has changed: apiin charged 12.5 credits for type 'pro', resolution '1K', 10 were " ..
                "expected (https://apiin.one, read on 2026-11-28); see the option prices" }, reports)
        end)
    end

    it("counts what a task without a price cost, and does not report a given price", function()
        local lines = {}
        local client = service.client(emu, { log = function(line) lines[#lines + 1] = line end })
        charge(7, "task")
        local before = flux2.stats()
        assert(client:generate { prompt = "unpublished", type = "flex", resolution = "2K" })
        assert(client:generate("given", { price = 3 }))
        assert.same({ 14, 0 }, spent_of(client))
        local after = flux2.stats()
        assert.same({ 14, 0 }, { after.spent - before.spent, after.unpriced - before.unpriced })
        for _, line in ipairs(lines) do assert.matches("^%u+ http", line) end
    end)

    it("uses the option prices instead of the published ones", function()
        local prices = { { type = "pro", credits = 3 },
            { type = "flex", credits = function(r) return #r.prompt end } }
        local client = service.client(emu, { budget = 5, prices = prices })
        assert.same({ 3, nil, "the option prices" }, { client:estimate "fox" })
        assert.same({ 4, nil, "the option prices" }, { client:estimate { prompt = "hare", type = "flex" } })
        assert.same({ 10, nil, "https://apiin.one, read on 2026-11-28" }, { flux2.estimate "fox" })
        assert(client:generate "fox")
        assert.equal("budget", select(2, client:submit "fox").kind)
        local line = debug.getinfo(1, "l").currentline + 1
        local _, message = pcall(function() flux2.new { api_key = "k", prices = { { kind = "pro", credits = 1 } } } end)
        assert.equal(("spec/budget_spec.lua:%d: flux2.new: prices[1]: unknown field 'kind': it is in none of "
            .. "provider.fields"):format(line), (message:gsub("^%./", "")))
    end)
end)
