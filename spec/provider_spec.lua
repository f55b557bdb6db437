-- Providers: everything that flux2 knows about a service is one table. These specs check the rules of that table, and
-- use a fictitious service that differs from the default one in every respect, from the prompt to the file.

local acme = require "support.acme"
local cjson = require "cjson"
local core = require "flux2.core"
local error_mapping = require "flux2.error_mapping"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local providers = require "flux2.provider"
local request = require "flux2.request"
local service = require "support.service"

local KEY = "ak-0123456789"

describe("a provider", function()
    it("is found by its name; without a name it is the default one", function()
        local default = assert(providers.resolve())
        assert.equal(default, providers.resolve(providers.default))
        assert.same({ "model", "prompt", "aspect_ratio", "type", "resolution", "input_urls" }, default.field_names)
    end)

    it("that is built in passes the validation for custom ones", function()
        for _, name in ipairs(providers.names) do
            assert.is_table(assert(providers.resolve(require("flux2.provider." .. name))))
        end
    end)

    it("with an unknown name raises at the caller's line, and the error lists the known names", function()
        for _, case in ipairs {
            { "apin", "flux2.new: unknown provider 'apin': did you mean 'apiin'?" },
            { "midday", "flux2.new: unknown provider 'midday': known are apiin, bfl, gateway, and a table describes another one" },
            { 7, "flux2.new: provider must be the name of a provider, or a table, not 7" },
        } do
            local line = debug.getinfo(1, "l").currentline + 1
            local _, message = pcall(function() flux2.new { provider = case[1], api_key = "k" } end)
            assert.equal(("spec/provider_spec.lua:%d: %s"):format(line, case[2]), (message:gsub("^%./", "")))
        end
    end)

    it("in a table is validated, copied and not changed", function()
        local given, same = acme.provider(), acme.provider()
        same.prices[2].credits, same.body, same.routes.submit = given.prices[2].credits, given.body, given.routes.submit
        local provider = assert(providers.resolve(given))
        assert.same(same, given)
        given.fields[1].max = 7
        assert.equal(20, provider.fields[1].max)
        assert.same({ "dried" }, provider.response.succeeded)
        assert.same(providers.resolve().response.moderated, provider.response.moderated)
    end)

    it("may be based on another one by its metatable, and have lists in any order of creation", function()
        local base = acme.provider()
        local given = { name = "mine", headers = { [2] = base.headers[2], [1] = base.headers[1] } }
        local provider = assert(providers.resolve(setmetatable(given, { __index = base })))
        assert.same({ "mine", base.base_url, base.headers }, { provider.name, provider.base_url, provider.headers })
        assert.equal(1, (request.price(provider, "fox")))
    end)

    --- Each row: path, invalid value, error message.
    local rows = {
        { "name", nil, "provider.name must be a word of letters, digits, '-', '_' and '.', not nil" },
        { "name", "a b", "provider.name must be a word" },
        { "base_url", "acme.example", "provider.base_url must be an http(s) URL, not 'acme.example'" },
        { "root", "api", "provider.root must be a path such as '/v1', not 'api'" },
        { "key_prefix", "ak", "provider.key_prefix must be at least 3 letters, digits, '-' or '_', not 'ak'" },
        { "environment", "ACME_KEY", "provider.environment must be a table, not 'ACME_KEY'" },
        { "environment.api_key", "", "provider.environment.api_key must be a string that is not empty, not ''" },
        { "environment.key", "K", "provider.environment: unknown field 'key': did you mean api_key?" },
        { "headers", { "x-key: aaa" },
            "provider.headers must be a list of headers such as 'x-key: {key}', one of them" },
        { "headers", { "x-key: {key}\r\nx-other: y" }, "provider.headers must be a list" },
        { "headers", { "x-key: {key}", n = "x: y" }, "provider.headers must be a list" },
        { "headers", nil, "provider.headers must be" },
        { "routes", nil, "provider.routes must be a table, not nil" },
        { "routes.submit", 42, "provider.routes.submit must be a path such as '/images', or a function, not 42" },
        { "routes.submit", "http://a/", "provider.routes.submit must be a path" },
        { "routes.submit", nil, "provider.routes.submit must be" },
        { "routes.submit", "/draw/{length}",
            "provider.routes.submit: {length} must name a field of type 'word' with a default" },
        { "routes.submit", "/draw/{luck}", "provider.routes.submit: {luck} must name a field of type 'word'" },
        { "check", true, "provider.check must be a function, not true" },
        { "routes.task", "/state",
            "provider.routes.task must be a path with {id}, such as '/tasks/{id}', not '/state'" },
        { "routes.poll", "/x", "provider.routes: unknown field 'poll': known are submit, task" },
        { "origins", { "http://acme.example" },
            "provider.origins must be a list of origins such as 'https://api.example'" },
        { "origins", { "https://*.example" }, "provider.origins must be" },
        { "origins", { "https://*" }, "provider.origins must be" },
        { "origins", { "https://a.example/path" }, "provider.origins must be" },
        { "origins", "https://a.example", "provider.origins must be" },
        { "body", {}, "provider.body must be a function, not a table" },
        { "header", {}, "provider: unknown field 'header': did you mean headers?" },
        { "trace_headers", { 1 }, "provider.trace_headers must be a list of strings, not a table" },
        { "response.status", "state", "provider.response.status must be a list of strings, not 'state'" },
        { "response.statuss", {}, "provider.response: unknown field 'statuss': did you mean status?" },
        { "response.poll_url", 1, "provider.response.poll_url must be a list of strings, not 1" },
        { "qualities", { low = "ink" },
            "provider.qualities['low'] must be a table of fields and their values, not 'ink'" },
        { "qualities", { low = { length = 1 } }, "provider.qualities['low']: unknown field 'length': it is in none" },
        { "response.hints", { 1 }, "provider.response.hints[1] must be a table, not 1" },
        { "response.hints", { { kind = "auth" } }, "provider.response.hints[1].words must be a list of strings, not nil" },
        { "response.type_hints", { { kind = "odd", words = { "x" } } }, "provider.response: invalid option 'odd'" },
        { "fields", nil, "provider.fields must be a table, not nil" },
        { "fields.prompt", {}, "provider.fields must be an array of tables, has the key 'prompt'" },
        { "fields.1", 1, "provider.fields[1] must be a table, not 1" },
        { "fields.1.name", "words", "provider.fields must hold one with the name 'prompt'" },
        { "fields.2.name", "prompt", "provider.fields[2].name must be a name of its own, not 'prompt'" },
        { "fields.2.name", "extra", "provider.fields[2].name must be a name of its own, not 'extra'" },
        { "fields.2.type", "enum",
            "provider.fields[2].type must be 'text', 'word', 'ratio', 'urls', 'integer' or 'boolean'" },
        { "fields.2.allowed", nil, "provider.fields[2].allowed must be a list of one or more strings, not nil" },
        { "fields.2.allowed", {}, "provider.fields[2].allowed must be a list of one or more strings, not a table" },
        { "fields.2.default", {}, "provider.fields[2].default must be a value of this field, not a table" },
        { "fields.2.default", "huge", "provider.fields[2].default must be a value of this field, not 'huge'" },
        { "fields.3.default", "1", "provider.fields[3].default must be a value of this field, not '1'" },
        { "fields.2.mining", 1, "provider.fields[2]: unknown field 'mining': did you mean meaning?" },
        { "fields.1.max", "9", "provider.fields[1].max must be a number, not '9'" },
        { "fields.1.min", nil, "provider.fields[1].min must be a number, not nil" },
        { "fields.1.required", 1, "provider.fields[1].required must be true or false, not 1" },
        { "fields.1.always", true, "provider.fields[1].default must be a value, not nil" },
        { "fields.3.multiple", "2", "provider.fields[3].multiple must be a number above 0, not '2'" },
        { "fields.3.multiple", 0, "provider.fields[3].multiple must be a number above 0, not 0" },
        { "fields.1.auto", 1, "provider.fields[1].auto must be a string that is not empty, not 1" },
        { "fields.1.meaning", nil, "provider.fields[1].meaning must be a string that is not empty, not nil" },
        { "prices", 4, "provider.prices must be a table, not 4" },
        { "prices.size", 4, "provider.prices must be an array of tables, has the key 'size'" },
        { "prices.1", 4, "provider.prices[1] must be a table, not 4" },
        { "prices.1.credits", -1,
            "provider.prices[1].credits must be a number of credits, 0 or more, or a function, not -1" },
        { "prices.1.length", "x", "provider.prices[1]: unknown field 'length': it is in none of provider.fields" },
    }
    for i, row in ipairs(rows) do
        it("with an invalid field is rejected with the field's name, " .. i .. ": " .. row[1], function()
            local given = acme.provider()
            local place, last = given, nil
            for step in row[1]:gmatch "[^.]+" do
                if last then place = place[last] end
                last = tonumber(step) or step
            end
            place[last] = row[2]
            local _, message = pcall(function() flux2.new { provider = given, api_key = "k" } end)
            assert.equal("spec/provider_spec.lua", (message:match "^%.?/?(.-):%d+: "))
            assert.equal("flux2.new: " .. row[3], message:match("flux2%.new: .*"):sub(1, #row[3] + 11))
        end)
    end
end)

describe("the timeout message of a provider", function()
    it("uses the provider's terms", function()
        local own, default = assert(providers.resolve(acme.provider())).response, providers.resolve().response
        assert.equal("status 'Success' is unknown, and counts as running", error_mapping.unknown(own, "Success"))
        assert.same({}, { error_mapping.unknown(own, "Dried"), error_mapping.unknown(default, "Success") })
    end)
end)

describe("fields of a provider", function()
    local provider = assert(providers.resolve(acme.provider()))
    local rows = {
        { { prompt = "fox", luck = 0 }, { prompt = "fox", luck = 0, lucid = true } },
        { { prompt = "fox", luck = 99, lucid = false }, { prompt = "fox", luck = 99, lucid = false } },
        { { prompt = "fox", luck = 100 }, "luck must be a whole number from 0 to 99, got 100" },
        { { prompt = "fox", luck = 0.5 }, "luck must be a whole number from 0 to 99, got 0.5" },
        { { prompt = "fox", luck = 0 / 0 }, "luck must be a whole number from 0 to 99, got" },
        { { prompt = "fox", luck = "7" }, "luck must be a whole number from 0 to 99, got '7'" },
        { { prompt = "fox", lucid = "yes" }, "lucid must be true or false, got 'yes'" },
        { { prompt = ("x"):rep(21) }, "prompt must have 1 to 20 characters, has 21" },
        { { prompt = "fox", size = "medium" }, "size must be 'small' or 'large', got 'medium'" },
        { { prompt = "fox", type = "pro" }, "unknown field 'type': allowed are prompt, size, luck, lucid" },
        { { prompt = "fox", extra = { luck = 1 } }, "extra may not hold luck" },
    }
    for i, row in ipairs(rows) do
        it("are validated by their rules, " .. i, function()
            local payload, err = request.build(provider, row[1])
            if type(row[2]) == "table" then return assert.same(row[2], payload) end
            assert.equal(row[2], err.message:sub(1, #row[2]))
        end)
    end

    it("are converted by its `body` function, and `extra` is merged in", function()
        local payload = assert(request.build(provider, { prompt = "fox", luck = 5,
            extra = { caption = "no", tint = "red" } }))
        assert.same({ caption = "fox", luck = 5, lucid = true, tint = "red" },
            cjson.decode((request.encode(provider, payload))))
    end)

    it("may be rejected by its `body` function, with its message", function()
        local picky = setmetatable({ body = function() return nil, "no foxes today" end }, { __index = provider })
        local body, err = request.encode(picky, { prompt = "fox" })
        assert.is_nil(body)
        assert.equal("invalid_request: no foxes today", tostring(err))
    end)

    it("may be rejected together by its `check` function, with the name of the field", function()
        local picky = setmetatable({
            check = function(r) if r.luck == 13 and r.size == "large" then return "too much at once", "luck" end end,
        }, { __index = provider })
        assert.is_table((request.build(picky, { prompt = "fox", luck = 13 })))
        local payload, err = request.build(picky, { prompt = "fox", luck = 13, size = "large" })
        assert.is_nil(payload)
        assert.same({ "invalid_request: too much at once", "luck" }, { tostring(err), err.field })
    end)

    it("may be in the path of the submission, escaped", function()
        local given = acme.provider()
        given.routes.submit, given.fields[2].allowed[2] = "/draw/{size}/{size}", "very large/"
        local own = assert(providers.resolve(given))
        assert.equal("/draw/small/small", request.path(own, { prompt = "fox" }))
        assert.equal("/draw/very%20large%2F/very%20large%2F", request.path(own, { size = "very large/" }))
    end)

    it("of type integer may be multiples, and ratios those of the input", function()
        local given = acme.provider()
        given.fields[3].multiple = 9
        given.fields[5] = { name = "ratio", type = "ratio", auto = "inputs", meaning = "its shape" }
        given.fields[6] = { name = "inputs", type = "urls", max = 2, meaning = "what it starts from" }
        local own = assert(providers.resolve(given))
        for _, case in ipairs {
            { { luck = 18 } }, { { luck = 10 }, "luck must be a multiple of 9 from 0 to 99, got 10" },
            { { ratio = "auto", inputs = { "https://a.example/1.png" } } },
            { { ratio = "auto" }, "ratio 'auto' is the ratio of the input images: it needs inputs" },
        } do
            case[1].prompt = "fox"
            local _, err = request.build(own, case[1])
            assert.equal(case[2], err and err.message)
        end
    end)

    it("determine the price", function()
        local rows_of_prices = {
            { "fox", 1 }, { { size = "large" }, 4 }, { { size = "large", luck = 9 }, 9 },
            { { size = "huge" }, nil, "size must be 'small' or 'large'" },
        }
        for _, row in ipairs(rows_of_prices) do
            local credits, reason = request.price(provider, row[1])
            assert.same({ row[2], row[3] }, { credits, reason })
        end
        assert.same({ nil, "luck must be a whole number from 0 to 99, got 'x'" },
            { request.price(provider, { size = "large", luck = "x" }) })
        local free = setmetatable({ prices = {}, price_fields = {} }, { __index = provider })
        assert.same({ nil, "the service publishes no prices" }, { request.price(free, "fox") })
    end)
end)

describe("poll URL origins", function()
    local rows = {
        { "https://a.example/x", "https://a.example", true }, { "HTTPS://A.Example:443?x", "https://a.example", true },
        { "https://a.example", "https://A.EXAMPLE:443", true },
        { "https://a.example:444/", "https://a.example", false },
        { "http://a.example/", "https://a.example", false }, { "https://a.example.evil/", "https://a.example", false },
        { "https://xa.example/", "https://a.example", false },
        { "https://a.example.:443/", "https://a.example", false },
        { "https://eu.a.example/", "https://*.a.example", true },
        { "https://x.eu.a.example/", "https://*.a.example", true },
        { "https://a.example/", "https://*.a.example", false },
        { "https://eva.example/", "https://*.a.example", false },
        { "https://.a.example/", "https://*.a.example", false },
        { "https://*.a.example/", "https://*.a.example", false },
        { "https://evil/.a.example", "https://*.a.example", false },
        { "https://evil#.a.example", "https://*.a.example", false },
        { "https://evil?.a.example", "https://*.a.example", false },
        { "https://evil\\.a.example", "https://*.a.example", false },
        { "https://a.example@evil/", "https://a.example", false },
        { "https://u@a.example/", "https://a.example", false },
        { "https://evil%2f.a.example/", "https://*.a.example", false },
        { "https://evil\0.a.example/", "https://*.a.example", false },
        { "https://a.example:443@evil/", "https://a.example", false }, { "//a.example/", "https://a.example", false },
        { "http://127.0.0.1:81/", "http://127.0.0.1:81", true },
        { "http://127.0.0.1:811/", "http://127.0.0.1:81", false },
        { "http://[::1]:81/", "http://[::1]:81", true }, { "http://[::1]/", "http://[::1]:80", true },
        { "http://[::2]:81/", "http://[::1]:81", false }, { "", "https://a.example", false },
    }
    for _, row in ipairs(rows) do
        it((row[1]:gsub("%c", "?")) .. (row[3] and " is of " or " is not of ") .. row[2], function()
            assert.equal(row[3], core.is_of_origin(row[1], row[2]))
        end)
    end
end)

describe("a custom service", function()
    local emu, elsewhere, dir
    before_each(function()
        emu, elsewhere, dir = service.start(), service.start(), service.directory()
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local function client_of(provider, options)
        options = options or {}
        options.provider, options.api_key = provider or acme.provider(), KEY
        return service.client(emu, options)
    end

    --- "POST /api/draw/small" for every request received, and whether it had the key.
    local function asked(which)
        local list = {}
        for i, r in ipairs(which:requests()) do
            list[i] = ("%s %s%s"):format(r.method, r.path, r.headers["x-key"] == KEY and " with the key" or "")
        end
        return list
    end

    it("is used in its own format, from a prompt to a file", function()
        acme.serve(emu)
        local client = client_of()
        local image = assert(client:generate({ prompt = "a fox", luck = 7, extra = { tint = "red" } },
            { save = dir .. "/fox.png" }))
        assert.equal(acme.IMAGE, service.read(dir .. "/fox.png"))
        assert.equal(3, image.result.credits)
        assert.equal(3, (client:spent()))
        assert.same({
            "POST /api/draw/small with the key", "GET /watch/one?sig=s with the key",
            "GET /watch/one?sig=s with the key",
            "GET /img",
        }, asked(emu))
        local submission = emu:requests()[1]
        assert.same({ caption = "a fox", luck = 7, lucid = true, tint = "red" }, cjson.decode(submission.body))
        assert.same({ "spec", "application/json" }, { submission.headers["x-client"],
            submission.headers["content-type"] })
        assert.is_nil(submission.headers.authorization)
    end)

    it("reads key and base URL from its own environment variables", function()
        acme.serve(emu)
        local code, printed = service.run_lua([[
            local client = assert(require("flux2").new { provider = require("support.acme").provider(),
                poll = { interval = 0.02 } })
            io.write(tostring(client), " ", #client:generate("a fox"):bytes())
        ]], nil, ("ACME_KEY=%s ACME_URL=%s/api FLUX2_BASE_URL=http://127.0.0.1:1"):format(KEY, emu.url))
        assert.same({ 0, ("flux2.Client (%s) %d"):format(emu.url, #acme.IMAGE) }, { code, printed })
        local _, err = flux2.new { provider = acme.provider() }
        assert.equal('auth: no API key: set ACME_KEY in the environment, or give flux2.new { api_key = "ak-..." }',
            tostring(err))
    end)

    it("loses no task in a crash: the record holds the poll URL #signals", function()
        acme.serve(emu)
        local code = service.run_lua(([[
            local flux2 = require "flux2"
            local client = assert(flux2.new {
                provider = require("support.acme").provider(), api_key = %q, base_url = %q, spool = %q,
                poll = { interval = 100 },
            })
            local task = assert(client:submit { prompt = "a fox", size = "large" })
            while not task.id do flux2.update() end
            assert(task.poll_url)
            os.execute "kill -9 $PPID"
        ]]):format(KEY, emu.url, dir))
        assert.equal(137, code)
        local client = client_of(nil, { spool = dir })
        assert.equal("running", assert(client:status "t/1").state)
        assert.is_table(assert(client:task "t/1"):wait())
        local tasks, unknown, damaged = assert(client:recover())
        assert.same({ 1, 0, 0 }, { #tasks, #unknown, #damaged })
        assert.same({ "t/1", emu.url .. "/watch/one?sig=s", 4 }, { tasks[1].id, tasks[1].poll_url, tasks[1].price })
        assert.same({ prompt = "a fox", size = "large", lucid = true }, tasks[1].request)
        assert(assert(tasks[1]:wait()).images[1]:save(dir .. "/fox.png"))
        assert.equal(acme.IMAGE, service.read(dir .. "/fox.png"))
        for i, line in ipairs(asked(emu)) do
            if line:find "watch" then assert.equal("GET /watch/one?sig=s with the key", line, i) end
        end
        assert.same({}, { assert(client:recover())[1] })
    end)

    it("has its own prices and budget", function()
        acme.serve(emu)
        local client = client_of(nil, { budget = 3 })
        assert.same({ 1, 4, 2 }, {
            (client:estimate "a fox"), (client:estimate { size = "large" }),
            (client:estimate { size = "large", luck = 2 }),
        })
        local task, err = client:submit { prompt = "a fox", size = "large" }
        assert.is_nil(task)
        assert.same({ "budget", 4 }, { err.kind, err.price })
        assert(assert(client:submit { prompt = "a fox", size = "large", luck = 3 }):wait())
        assert.equal(3, (client:spent()))
    end)

    it("has its own error messages, without its key", function()
        emu:fault { method = "POST", path = "/api/draw/small", status = 402, headers = { ["X-Acme-Id"] = "r-9" },
            body = '{"trouble":"no paint for ak-secret77, sent as X-Key: abc123 or x-key:def456"}' }
        local _, err = client_of():generate "a fox"
        assert.same({ "credits", "no paint for [key], sent as X-Key: [key] or x-key:[key]", "r-9" },
            { err.kind, err.message, err.request_id })
        assert.is_nil(err.raw:find "secret77")
        emu:fault { method = "POST", path = "/api/draw/small",
            body = '{"ticket":{"no":"t/1","watch":"{url}/watch/one"}}' }
        emu:fault { method = "GET", path = "/watch/one", body = '{"phase":"ruined","because":"it rained on ' .. KEY ..
            '"}' }
        _, err = client_of():generate "a fox"
        assert.same({ "task_failed", "the task ended as 'ruined': it rained on [key]", "t/1" },
            { err.kind, err.message, err.task_id })
        assert.equal("keys begin with ak-, and x-key: token is missing",
            errors.redact "keys begin with ak-, and x-key: token is missing")
    end)

    it("is polled at a given URL, or by id if it has a route", function()
        acme.paint(emu)
        local client = client_of()
        local url = emu.url .. "/watch/one?sig=s"
        for _, method in ipairs { "status", "task" } do
            local found, err = client[method](client, "t/1")
            assert.is_nil(found)
            assert.equal("invalid_request: provider acme polls a task at a URL of its own, and that is not known; " ..
                "give " ..
                "poll_url = task.poll_url (task t/1)", tostring(err))
            found, err = client[method](client, "t/1", { poll_url = elsewhere.url .. "/watch/one" })
            assert.is_nil(found)
            assert.equal("invalid_request: the key may not go to poll_url '" .. elsewhere.url .. "/watch/one': see " ..
                "provider.origins (task t/1)", tostring(err))
        end
        assert.equal("running", assert(client:status("t/1", { poll_url = url })).state)
        assert.equal(acme.IMAGE, assert(client:task("t/1", { poll_url = url })):wait().images[1]:bytes())
        emu:fault { method = "GET", path = "/api/by/*", body = '{"phase":"dried","canvas":{"href":"{url}/img"}}',
            times = 2 }
        local provider = acme.provider()
        provider.routes.task = "/by/{id}/now"
        assert.equal("succeeded", assert(client_of(provider):status "t/1").state)
        assert.is_table(assert(client_of(provider):task "t/1"):wait())
        assert.equal("GET /api/by/t%2F1/now with the key", asked(emu)[#asked(emu)])
        assert.equal(0, #elsewhere:requests())
    end)

    it("is not polled at a foreign origin: the route by id is used", function()
        local provider = acme.provider()
        provider.routes.task = "/watch/one?of={id}"
        provider.root = nil
        emu:fault { method = "POST", path = "/draw/small", body = '{"ticket":{"no":"t/1","watch":"' .. elsewhere.url ..
            '/x"}}' }
        acme.paint(emu)
        local task = assert(client_of(provider):submit "a fox")
        assert.equal(acme.IMAGE, assert(task:wait()).images[1]:bytes())
        assert.equal(elsewhere.url .. "/x", task.poll_url)
        assert.equal("GET /watch/one?of=t%2F1 with the key", asked(emu)[2])
        assert.equal(0, #elsewhere:requests())
    end)

    it("is polled for a new image URL at its poll URL", function()
        emu:fault { method = "GET", path = "/img", status = 404 }
        acme.serve(emu)
        local result = assert(assert(client_of():submit "a fox"):wait())
        local before = #emu:requests()
        assert.equal(acme.IMAGE, result.images[1]:bytes())
        assert.same({ "GET /img", "GET /watch/one?sig=s with the key", "GET /img" }, {
            asked(emu)[before + 1], asked(emu)[before + 2], asked(emu)[before + 3],
        })
    end)

    it("may give a poll path instead of a URL", function()
        acme.serve(emu, "")
        local task = assert(client_of():submit "a fox")
        assert.equal(acme.IMAGE, assert(task:wait()).images[1]:bytes())
        assert.equal(emu.url .. "/watch/one?sig=s", task.poll_url)
    end)

    it("loses no task with only a foreign URL: the error says so, and the origin can be allowed", function()
        acme.serve(emu, elsewhere.url)
        acme.paint(elsewhere)
        local client = client_of(nil, { spool = dir })
        local task = assert(client:submit "a fox")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.same({ "protocol", "the service accepted the task, but it cannot be polled: the key may not go to " ..
            "its URL '" ..
            elsewhere.url .. "/watch/one?sig=s': see provider.origins", "t/1", false },
            { err.kind, err.message, err.task_id, err.retryable })
        assert.equal(1, (client:spent()))
        assert.equal(0, #elsewhere:requests())
        assert.same({ nil, err.message }, { (function() local again, same = task:wait() return again,
            same.message end)() })

        task, client = nil, nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
        local provider = acme.provider()
        provider.origins = { elsewhere.url }
        local tasks = assert(client_of(provider, { spool = dir }):recover())
        assert.equal(1, #tasks)
        assert.equal(acme.IMAGE, assert(tasks[1]:wait()).images[1]:bytes())
        assert.equal("GET /watch/one?sig=s with the key", asked(elsewhere)[1])
        assert.equal("GET /img", asked(elsewhere)[#asked(elsewhere)])
    end)

    local UNUSABLE = { "", "null", '"watch/one"', '"ftp://a/b"', '"https://a b/"', "7", '{"url":"https://a.example"}',
        '"https://' .. ("a"):rep(2048) .. '"' }
    for i, value in ipairs(UNUSABLE) do
        it("without a poll URL in the response returns an error, " .. i, function()
            local watch = value ~= "" and ',"watch":' .. value or ""
            emu:fault { method = "POST", path = "/api/draw/small",
                body = '{"phase":"queued","ticket":{"no":"t/1"' .. watch .. "}}" }
            local task = assert(client_of():submit "a fox")
            local seen
            task:on("status", function() seen = task.status .. ", " .. task.state end)
            local _, err = task:wait()
            assert.equal("queued, running", seen)
            assert.same({ "protocol", "the service accepted the task, but it cannot be polled: provider acme " ..
                "polls a task at a " ..
                "URL of its own, and that is not known", "t/1" }, { err.kind, err.message, err.task_id })
        end)
    end
end)
