-- `provider = "gateway"`: the module's side of a gateway. A submission of unknown outcome is sent again with the same key.
local bound = require "support.bound"
local flux2 = require "flux2"
local json = require "flux2.json"
local providers = require "flux2.provider"
local service = require "support.service"

describe("the provider gateway", function()
    local emu, dir
    service.around_each(before_each, after_each, {}, function(given_emu, given_dir) emu, dir = given_emu, given_dir end)

    local function client(options)
        local given = { provider = "gateway" }
        for name, value in pairs(options or {}) do given[name] = value end
        return service.client(emu, given)
    end

    --- The keys of idempotency of the submissions that have arrived.
    local function keys()
        local list = {}
        for _, request in ipairs(emu:requests()) do
            if request.method == "POST" then list[#list + 1] = request.headers["idempotency-key"] or "none" end
        end
        return list
    end

    local function records()
        local n = 0
        for _, name in ipairs(service.list(dir .. "/spool")) do n = n + (name:find "^task%-.*json$" and 1 or 0) end
        return n
    end

    it("sends a key of its own with each submission, and with nothing else", function()
        local c = client()
        assert(c:generate("a red fox", { save = dir .. "/a.png" }))
        assert(c:generate("a red fox", { save = dir .. "/b.png" }))
        local list = keys()
        assert.equal(2, #list)
        assert.matches("^%x+$", list[1])
        assert.equal(32, #list[1])
        assert.not_equal(list[1], list[2])
        for _, request in ipairs(emu:requests()) do
            assert.equal(request.method == "POST", request.headers["idempotency-key"] ~= nil)
        end
        assert(service.client(emu):generate "a red fox") -- on the same connection
        assert.equal("none", keys()[3])
    end)

    for name, fault in pairs {
        ["a broken connection"] = { reset = "after" }, ["a response that is no HTTP"] = { garbage = true },
        ["a server error"] = { status = 500 }, ["a bad gateway"] = { status = 502 },
        ["a success without a task"] = { body = "{}" },
    } do
        it("repeats a submission after " .. name .. ", with the same key", function()
            local given = { method = "POST", times = 1 }
            for key, value in pairs(fault) do given[key] = value end
            emu:fault(given)
            assert(client():generate("a red fox", { save = dir .. "/a.png" }))
            local list = keys()
            assert.equal(2, #list)
            assert.equal(list[1], list[2])
        end)
    end

    it("gives up after the attempts, with an unknown outcome and a record", function()
        emu:fault { method = "POST", reset = "after", times = 1000 }
        local c = client { spool = dir .. "/spool" }
        local _, err = c:generate "a red fox"
        assert.equal("unknown_outcome", err.kind)
        assert.equal(3, err.attempts)
        local _, unknown = service.client(emu, { provider = "gateway", spool = dir .. "/spool" }):recover()
        assert.equal(0, #unknown, "it belongs to a client that lives")
        _, unknown = c:recover()
        assert.equal(0, #unknown, "the program has the task")
        assert.equal(1, records())
    end)

    it("does not take a later refusal for a proof that nothing was accepted", function()
        emu:fault { method = "POST", reset = "after", accept = true, times = 1 }
        emu:fault { method = "POST", status = 402, times = 1000 }
        local c = client { spool = dir .. "/spool", budget = 15 }
        local task = assert(c:submit "a red fox")
        local _, err = task:wait(bound(20))
        assert.equal("unknown_outcome", err.kind)
        local _, reserved = c:spent()
        assert.equal(10, reserved)
        assert.equal(1, records())
    end)

    it("keeps the record if the time ends between two attempts", function()
        emu:fault { method = "POST", reset = "after", accept = true, times = 1 }
        emu:fault { method = "POST", status = 429, retry_after = 100, times = 1000 }
        local c = client { spool = dir .. "/spool", timeout = 1 }
        local task = assert(c:submit "a red fox")
        local _, err = task:wait(bound(20))
        assert.equal("unknown_outcome", err.kind)
        local _, reserved = c:spent()
        assert.equal(10, reserved)
        assert.equal(1, records())
    end)

    it("never repeats a submission for other providers", function()
        emu:fault { method = "POST", reset = "after", times = 1 }
        local _, err = service.client(emu):generate "a red fox"
        assert.equal("unknown_outcome", err.kind)
        assert.same({ "none" }, keys())
    end)

    it("checks the name of the header in a provider", function()
        local given = json.copy({ name = "x", base_url = "https://x.example", headers = { "k: {key}" },
            routes = { submit = "/s", task = "/t/{id}" }, fields = { { name = "prompt", type = "text", min = 1, max = 9,
            meaning = "m" } }, idempotency_header = "Bad Header" }, "provider")
        assert.matches("idempotency_header", select(2, providers.resolve(given)))
        given.idempotency_header = "Idempotency-Key"
        assert(providers.resolve(given))
        assert(flux2.new { provider = given, api_key = "k" })
    end)
end)
