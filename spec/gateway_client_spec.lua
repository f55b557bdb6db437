-- `provider = "gateway"`: the module's side of a gateway. A submission of unknown outcome is sent again with the same key.
local bound = require "support.bound"
local flux2 = require "flux2"
local json = require "flux2.json"
local program = require "support.program"
local providers = require "flux2.provider"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n" .. ("\0\1\2\255pixels"):rep(30)

describe("the provider gateway", function()
    local emu, dir
    service.around_each(before_each, after_each, { log_body_bytes = 2 ^ 20 }, function(given_emu, given_dir) emu, dir = given_emu, given_dir end)

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

    describe("whose process is killed while it submits", function()
        --- Leaves the record of a submission without a response. Returns its spool, a new copy with each call.
        local function kill_one()
            emu:fault { method = "POST", hang = true, accept = true, times = 1 }
            local child = dir .. "/child"
            os.execute("mkdir -p " .. child)
            local pid = program.start({ url = emu.url, api_key = emu.api_key }, child, { "generate", "a red fox", "--spool",
                dir .. "/left" }, { FLUX2_PROVIDER = "gateway" })
            program.until_(function() return #keys() == 1 end)
            program.stop(pid, "KILL")
            local copies = 0
            return function()
                copies = copies + 1
                os.execute(("cp -r %s/left %s/copy%d"):format(dir, dir, copies))
                return dir .. "/copy" .. copies
            end
        end

        it("sends the submission again with the same key and body, for a day, to the same gateway, with the same token", function()
            local copy = kill_one()
            local function recover(options)
                options.spool = copy()
                local tasks, unknown = assert(service.client(emu, options):recover())
                return { #tasks, #unknown }, tasks[1]
            end
            assert.same({ 0, 1 }, recover { provider = "apiin" })
            assert.same({ 0, 1 }, recover { provider = "gateway", api_key = "f2gw_another_token" })
            assert.same({ 0, 0 }, recover { provider = "gateway", base_url = "http://127.0.0.1:1" })
            local file
            for _, name in ipairs(service.list(dir .. "/left")) do file = name:find "%.json$" and name or file end
            local record = service.read(dir .. "/left/" .. file)
            service.write(dir .. "/left/" .. file, (record:gsub('"submitted": "%d+', '"submitted": "2020')))
            assert.same({ 0, 1 }, recover { provider = "gateway" })
            service.write(dir .. "/left/" .. file, record)
            assert.is_nil(record:find(emu.api_key, 1, true))
            local counts, task = recover { provider = "gateway" }
            assert.same({ 1, 0 }, counts)
            assert.same({ "submitting", "a red fox" }, { task.state, task.request.prompt })
            assert.equal(1, #keys())
            local result = assert(task:wait())
            assert(result.images[1]:save(dir .. "/fox.png"))
            assert.same({ keys()[1], keys()[1] }, keys())
            local posts = {}
            for _, request in ipairs(emu:requests()) do
                if request.method == "POST" then posts[#posts + 1] = request.body end
            end
            assert.equal(posts[1], posts[2])
        end)

        it("keeps the record if the gateway refuses it: that proves nothing", function()
            local spool = kill_one()()
            emu:fault { method = "POST", status = 402, times = 1000 }
            local task = assert(client { spool = spool }:recover())[1]
            local _, err = task:wait()
            assert.equal("unknown_outcome", err.kind)
            local n = 0
            for _, name in ipairs(service.list(spool)) do n = n + (name:find "^task%-.*json$" and 1 or 0) end
            assert.equal(1, n)
        end)
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
        local c, err
        -- A longer time if a busy machine did not send it in the shorter one.
        service.with_enough_time(1, function(seconds)
            emu:clear_faults()
            emu:fault { method = "POST", reset = "after", accept = true, times = 1 }
            emu:fault { method = "POST", status = 429, retry_after = 100, times = 1000 }
            c = client { spool = dir .. "/spool", timeout = seconds }
            err = select(2, assert(c:submit "a red fox"):wait())
            return err.kind ~= "timeout"
        end)
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

    describe("uploads local images", function()
        local URL = "https://gateway.example/uploads/"

        --- Lets the emulator take uploads: the URL is that of their order.
        local function take_uploads(n)
            for i = 1, n do
                emu:fault { method = "POST", path = "/uploads", times = 1, status = 200,
                    body = '{"code":200,"message":"success","data":{"url":"' .. URL .. i .. '"}}' }
            end
        end

        local function sent()
            local list = {}
            for _, request in ipairs(emu:requests()) do
                if request.path == "/uploads" then list[#list + 1] = request end
            end
            return list
        end

        it("once per content, also for tasks at the same time", function()
            take_uploads(2)
            local c = client()
            local requests = {}
            for i = 1, 6 do requests[i] = { prompt = "fox " .. i, input_images = { { bytes = PNG } } } end
            for _, image, err in c:map(requests, { concurrency = 6 }) do assert(image, err) end
            assert(c:generate { prompt = "another fox", input_images = { { bytes = PNG .. "!" }, { bytes = PNG } } })
            assert.equal(2, #sent())
            assert.same({ PNG, PNG .. "!" }, { sent()[1].body, sent()[2].body })
            assert.equal("application/octet-stream", sent()[1].headers["content-type"])
            assert.equal("Bearer " .. emu.api_key, sent()[1].headers.authorization)
            assert.same({ URL .. 1 }, emu:ledger()[6].input_urls)
            assert.same({ URL .. 2, URL .. 1 }, emu:ledger()[7].input_urls)
        end)

        it("again when the gateway may have forgotten them", function()
            take_uploads(2)
            local short = {}
            for name, value in pairs(require "flux2.provider.gateway") do short[name] = value end
            short.upload = { path = "/uploads", seconds = 1e-9 }
            local c = service.client(emu, { provider = short })
            for _ = 1, 2 do assert(c:generate { prompt = "a fox", input_images = { { bytes = PNG } } }) end
            assert.same({ URL .. 2 }, emu:ledger()[2].input_urls)
        end)

        it("and repeats an upload that failed, or reports it unpaid", function()
            emu:fault { method = "POST", path = "/uploads", times = 1, reset = "after" }
            take_uploads(1)
            assert(client():generate { prompt = "a fox", input_images = { { bytes = PNG } } })
            emu:fault { method = "POST", path = "/uploads", times = 1, status = 413,
                body = '{"error":{"code":413,"message":"the request body is too large","type":"invalid_request"}}' }
            local c = client { budget = 10 }
            local _, err = c:submit { prompt = "a fox", input_images = { { bytes = PNG } } }
            assert.same({ "invalid_request", "input_images", 1 }, { err.kind, err.field, err.index })
            assert.matches("^input_images%[1%] was not uploaded: .*too large", err.message)
            assert.same({ 0, 0 }, { c:spent() })
            emu:fault { method = "POST", path = "/uploads", times = 1, status = 200, body = '{"data":{}}' }
            _, err = c:submit { prompt = "a fox", input_images = { { bytes = PNG } } }
            assert.matches("^protocol: input_images%[1%] was not uploaded: .* neither a status nor an image", tostring(err))
            assert.equal(1, #emu:ledger())
        end)
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
