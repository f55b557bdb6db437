-- `flux2 serve` as a separate process: the service's contract, images, tokens and their limits, what it logs, and its end.
-- Takes about 10 seconds: each request is a separate curl process.
local has_gateway, gateway = pcall(require, "support.gateway")
if not has_gateway or not gateway.is_available then return end -- a checkout without the gateway
if not gateway.is_worth_running then
    return describe("a gateway", function() pending "runs on Lua 5.1 and 5.4, without instrumentation" end)
end

local bound = require "support.bound"
local core = require "flux2.core"
local flux2 = require "flux2"
local program = require "support.program"
local service = require "support.service"

describe("a gateway", function()
    local emu, dir
    gateway.around_each(before_each, after_each, function(...) emu, dir = ... end)

    local function start(...) return gateway.start(emu, dir .. "/a", ...) end

    it("speaks the service's contract: submission, poll, image", function()
        local gw = start()
        local token = gw:token "arcade"
        local response = gw:submit(token, { prompt = "a red fox", type = "flex" })
        assert.equal(200, response.status)
        assert.equal(200, response.json.code)
        assert.equal("success", response.json.message)
        assert.matches("^%x+$", response.json.data.task_id)
        assert.equal("QUEUED", response.json.data.status)
        local task = gw:finish(token, response.json.data.task_id)
        assert.equal("SUCCESS", task.status)
        assert.equal(6, task.credits_used)
        local image = gw:request("GET", task.output.image_url:match "^http://[^/]+(/images/[%w_-]+)$")
        assert.equal(200, image.status)
        assert.equal("image/png", image.headers["content-type"])
        assert.equal("nosniff", image.headers["x-content-type-options"])
        assert.equal(1, #emu:ledger())
        assert.equal("\137PNG", image.body:sub(1, 4))
        assert.is_nil(image.body:find("iTXt", 1, true), "the image is as the service sent it")
        local client = assert(flux2.new { api_key = token, base_url = gw.url, poll = { interval = 0.05 } })
        local generated = assert(client:generate("a blue fox", { save = dir .. "/fox.png" }))
        assert.equal(10, generated.result.credits)
        assert.equal(2, #emu:ledger())
    end)

    it("speaks OpenAI's contract", function()
        local gw = start()
        local token = gw:token "arcade"
        local function generate(body, ...)
            return gw:request("POST", "/v1/images/generations", token, { body = body, headers = { ... } })
        end
        local response = generate { prompt = "a red fox", n = 2, size = "1536x1024" }
        assert.equal(200, response.status)
        assert.equal(2, #response.json.data)
        assert.matches("/images/", response.json.data[1].url)
        assert.equal(2, #emu:ledger())
        assert.equal("3:2", emu:ledger()[1].aspect_ratio)
        local encoded = generate { prompt = "a red fox", response_format = "b64_json" }
        assert.equal("\137PNG", core.unbase64(encoded.json.data[1].b64_json):sub(1, 4))
        assert.equal(400, generate({ prompt = "a red fox", size = "1x1" }).status)
        assert.equal("invalid_request", generate({ prompt = "a red fox", n = 11 }).json.error.type)
        local failed = generate { prompt = "[fail] a red fox" }
        assert.same({ 502, "task_failed" }, { failed.status, failed.json.error.type })
        assert.equal("false", failed.headers["x-should-retry"], "OpenAI's SDK would buy it again")
        assert.is_nil(generate({ prompt = "[fail] a red fox" }, "Idempotency-Key: one").headers["x-should-retry"])
        emu:fail_next(1, "out of paint")
        local partial = generate { prompt = "a blue fox", n = 3 }
        assert.equal(502, partial.status)
        assert.matches("^2 of 3 images are in data: .*out of paint", partial.json.error.message)
        for i = 1, 2 do
            local image = gw:request("GET", partial.json.data[i].url:match "/images/.*$")
            assert.equal("\137PNG", image.body:sub(1, 4))
        end
        assert.equal(200, generate({ prompt = "a red fox" }, "Idempotency-Key: two").status)
        local db = assert(require("flux2.gateway.place").database(gw.state))
        db:execute "DELETE FROM images" -- as after the retention time
        db:close()
        local expired = generate({ prompt = "a red fox" }, "Idempotency-Key: two")
        assert.same({ 404, "not_found" }, { expired.status, expired.json.error.type })
        assert.equal(9, #emu:ledger())
    end)

    it("answers a long poll when the task has ended, or after its time", function()
        emu:set { duration = 60 }
        local gw = start()
        local token = gw:token "arcade"
        local id = gw:accepted(token, "a red fox")
        program.until_(function() return gw:poll(token, id).json.data.status == "IN_PROGRESS" end)
        local began = core.now()
        assert.equal("IN_PROGRESS", gw:poll(token, id, 0.2).json.data.status)
        assert.is_true(core.now() - began < bound(30))
        emu:set { duration = 1 }
        id, began = gw:accepted(token, "a blue fox"), core.now()
        assert.equal("SUCCESS", gw:poll(token, id, 60).json.data.status)
        assert.is_true(core.now() - began < bound(30))
    end)

    it("refuses tokens that are missing, wrong, revoked or expired, and shows a task to its token only", function()
        local gw = start()
        local token, other = gw:token "arcade", gw:token "other"
        local short = gw:token("short", { expires = os.time() + 1 })
        assert.equal(401, gw:submit(nil, "a red fox").status)
        assert.equal(401, gw:submit("aio_emulator_key", "a red fox").status)
        assert.equal(401, gw:submit(token .. "x", "a red fox").status)
        assert.equal(401, gw:submit(token:gsub("_%x+_", "_000000000000_"), "a red fox").status)
        assert.equal("authentication_error", gw:submit(nil, "a red fox").json.error.type)
        local id = gw:accepted(token, "a red fox")
        assert.equal(404, gw:poll(other, id).status)
        assert.equal(200, gw:poll(token, id).status)
        assert.equal(0, (gw:run("token", "revoke", "arcade")))
        assert.equal(7, (gw:run("token", "revoke", "arcade")))
        assert.equal(401, gw:poll(token, id).status)
        program.until_(function() return gw:submit(short, "a red fox").status == 401 end)
        local _, listed = gw:run("token", "list")
        assert.matches("arcade.*revoked", listed)
        assert.matches("short.*expires", listed)
        local rows = {}
        for _, row in ipairs(program.json_lines(select(2, gw:run("token", "list", "--json")))) do rows[row.name] = row end
        assert.equal("string", type(rows.arcade.revoked))
        assert.equal("string", type(rows.short.expires))
        local made = program.json_lines(select(2, gw:run("token", "create", "third", "--json")))[1]
        assert.equal(404, gw:poll(made.token, id).status)
        assert.is_nil(listed:find(token:match "_([%w_-]+)$", 1, true))
    end)

    it("keeps the limits of a token: budget, rate, concurrency, types and resolutions", function()
        emu:set { duration = 60 }
        local gw = start()
        local budget = gw:token("budget", { budget = 25 })
        assert.equal(200, gw:submit(budget, "a red fox").status)
        assert.equal(200, gw:submit(budget, "a red fox").status)
        local refused = gw:submit(budget, "a red fox")
        assert.equal(402, refused.status)
        assert.equal("insufficient_credits", refused.json.error.type)
        assert.equal(402, gw:submit(budget, { prompt = "a red fox", type = "flex" }).status)
        assert.equal(402, gw:submit(gw:token("unknown", { budget = 999 }), { prompt = "a fox", type = "flex",
            resolution = "2K" }).status, "a price that is not published")
        local rate = gw:token("rate", { per_minute = 1 })
        assert.equal(200, gw:submit(rate, "a red fox").status)
        refused = gw:submit(rate, "a red fox")
        assert.equal(429, refused.status)
        local wait = tonumber(refused.headers["retry-after"])
        assert.is_true(wait > 30 and wait <= 60, wait)
        local concurrent = gw:token("concurrent", { concurrent = 1 })
        assert.equal(200, gw:submit(concurrent, "a red fox").status)
        refused = gw:submit(concurrent, "a red fox")
        assert.equal(429, refused.status)
        assert.equal("2", refused.headers["retry-after"])
        local flex = gw:token("flex", { allowed = { type = { "flex" }, resolution = { "1K" } } })
        assert.equal(403, gw:submit(flex, "a red fox").status, "pro is the default")
        assert.equal(403, gw:submit(flex, { prompt = "a red fox", type = "flex", resolution = "2K" }).status)
        assert.equal(200, gw:submit(flex, { prompt = "a red fox", type = "flex" }).status)
        local _, listed = gw:run("token", "list")
        assert.matches("budget +spent 20 of 25", listed)
    end)

    it("refuses a request that breaks a rule, and reserves nothing for it", function()
        local gw = start()
        local token = gw:token "arcade"
        for _, body in ipairs { "", "[]", '"fox"', "{", '{"prompt":"ab"}', '{"prompt":"a red fox","seed":1}',
            '{"prompt":"a red fox","aspect_ratio":"wide"}', "null" } do
            local response = gw:request("POST", "/api/v1/images/generations", token, { body = body })
            assert.equal(400, response.status, body)
            assert.equal("invalid_request", response.json.error.type)
        end
        assert.equal(404, gw:request("GET", "/nothing", token).status)
        local wrong = gw:request("GET", "/api/v1/images/generations", token)
        assert.equal(405, wrong.status)
        assert.equal("POST", wrong.headers.allow)
        assert.equal(0, gw:metric "credits_spent")
        assert.equal(0, #emu:ledger())
    end)

    it("gives the same task for the same Idempotency-Key and body, and refuses another body", function()
        local gw = start()
        local token, other = gw:token("arcade", { budget = 20 }), gw:token "other"
        local id = gw:accepted(token, "a red fox", "Idempotency-Key: one")
        gw:finish(token, id)
        local repeated = gw:submit(token, "a red fox", "Idempotency-Key: one").json.data
        assert.same({ task_id = id, status = "IN_PROGRESS" }, repeated, "a poll tells the end")
        local conflict = gw:submit(token, "a blue fox", "Idempotency-Key: one")
        assert.equal(409, conflict.status)
        assert.equal("idempotency_error", conflict.json.error.type)
        assert.matches("another request", conflict.json.error.message)
        assert.not_equal(id, gw:accepted(other, "a red fox", "Idempotency-Key: one"))
        local two = gw:accepted(token, "a red fox", "Idempotency-Key: two")
        assert.not_equal(id, two)
        assert.equal(two, gw:accepted(token, "a red fox", "Idempotency-Key: two"), "also with an exhausted budget")
        assert.equal(400, gw:submit(token, "a red fox", "Idempotency-Key: with blanks").status)
        gw:finish(token, two)
        local function generate() return gw:request("POST", "/v1/images/generations", other, {
            body = { prompt = "a green fox", n = 2 }, headers = { "Idempotency-Key: many" } }).json.data end
        local first, again = generate(), generate()
        assert.equal(2, #first)
        assert.same(first, again)
        assert.equal(5, #emu:ledger())
    end)

    it("gives a client that was killed during its submission the same task after its restart", function()
        emu:set { duration = 60 }
        local gw = start()
        local token, child = gw:token "arcade", dir .. "/child"
        os.execute("mkdir -p " .. child)
        local pid = program.start({ url = gw.url, api_key = token }, child, { "generate", "a red fox", "--spool",
            dir .. "/spool" }, { FLUX2_PROVIDER = "gateway" })
        local file, record
        program.until_(function()
            for _, name in ipairs(core.list(dir .. "/spool") or {}) do
                file = name:find "^task%-.*%.json$" and dir .. "/spool/" .. name or file
            end
            record = file and service.read_if_there(file)
            return record and record:find '"task_id": "%x' and #emu:ledger() == 1
        end)
        program.stop(pid, "KILL")
        local id = record:match '"task_id": "(%x+)"'
        -- As if it had been killed before the response.
        service.write(file, (record:gsub('"task_id": "%x+"', '"task_id": ""')))
        emu:finish(emu:ledger()[1].task_id)
        local client = assert(flux2.new { provider = "gateway", api_key = token, base_url = gw.url,
            spool = dir .. "/spool", poll = { interval = 0.05 } })
        local tasks, unknown = assert(client:recover())
        assert.same({ 1, 0 }, { #tasks, #unknown })
        assert(assert(tasks[1]:wait()).images[1]:save(dir .. "/fox.png"))
        assert.equal(id, tasks[1].id)
        assert.equal(1, #emu:ledger())
        assert.equal(10, gw:metric "credits_spent")
    end)

    it("queues what exceeds the active tasks, fairly among tokens", function()
        emu:set { duration = 60 }
        local gw = start("--active", "1")
        local greedy, modest = gw:token "greedy", gw:token "modest"
        for i = 1, 6 do gw:accepted(greedy, "greedy fox " .. i) end
        local last = gw:accepted(greedy, "the last greedy fox")
        local id = gw:accepted(modest, "a modest fox")
        assert.equal("QUEUED", gw:poll(greedy, last).json.data.status)
        program.until_(function() return #emu:ledger() == 1 end)
        emu:set { duration = 0.02 }
        emu:finish(emu:ledger()[1].task_id)
        gw:finish(modest, id)
        gw:finish(greedy, last)
        assert.equal(8, #emu:ledger())
        assert.equal("a modest fox", emu:ledger()[2].prompt, "in front of those of the greedy one")
        assert.equal("the last greedy fox", emu:ledger()[8].prompt)
    end)

    it("waits as long as the service asks to", function()
        emu:fault { method = "POST", status = 429, retry_after = 0, times = 3 }
        local gw = start()
        local token = gw:token "arcade"
        local task = gw:finish(token, gw:accepted(token, "a red fox"))
        assert.equal("SUCCESS", task.status)
        assert.equal(1, #emu:ledger())
        assert.equal(10, gw:metric "credits_spent")
    end)

    it("never submits again what may have been accepted, and lists it for a person", function()
        emu:fault { method = "POST", reset = "after", accept = true }
        local gw = start()
        local token = gw:token "arcade"
        local id = gw:accepted(token, "a red fox")
        local task = gw:finish(token, id)
        assert.equal("FAILED", task.status)
        assert.equal("unknown_outcome", task.error.type)
        assert.equal(1, #emu:ledger())
        assert.equal(10, gw:metric "credits_spent")
        local status, listed = gw:run("serve", "--unknown")
        assert.equal(0, status)
        assert.matches(id, listed, 1, true)
        assert.matches("a red fox", listed, 1, true)
        assert.equal(7, (gw:run("serve", "--release", "nothing")))
        assert.equal(0, (gw:run("serve", "--release", id)))
        local _, _, none = gw:run("serve", "--unknown")
        assert.matches("No submissions", none)
        assert.equal(0, gw:metric "credits_spent")
    end)

    it("submits one at a time after several unknown outcomes in a row, until one is accepted", function()
        emu:fault { method = "POST", reset = "after", accept = true, times = 1000 }
        local gw, began = start(), core.now()
        local token, ids = gw:token "arcade", {}
        for i = 1, 3 do gw:finish(token, gw:accepted(token, "a red fox " .. i)) end
        for i = 1, 20 do ids[i] = gw:accepted(token, "a grey fox " .. i) end
        gw:finish(token, ids[1])
        local bought = #emu:ledger()
        -- Each pause is twice as long as the one before.
        assert.is_true(bought <= 4 + math.log(2 + core.now() - began) / math.log(2), bought)
        assert.equal("QUEUED", gw:poll(token, ids[20]).json.data.status)
        emu:clear_faults()
        gw:finish(token, ids[20])
        assert.equal(23, #emu:ledger())
    end)

    it("fetches a task of unknown outcome that a person has found at the service", function()
        emu:fault { method = "POST", reset = "after", accept = true }
        local gw = start()
        local token = gw:token "arcade"
        local id = gw:accepted(token, "a red fox")
        assert.equal("unknown_outcome", gw:finish(token, id).error.type)
        local upstream = emu:ledger()[1].task_id
        local function attach(words) return gw:run("serve", "--attach", words) end
        assert.equal(2, (attach(id)))
        local code, _, message = attach(id .. "=nothing")
        assert.equal(7, code, message)
        assert.equal(7, (attach("00=" .. upstream)))
        assert.equal(0, (attach(id .. "=" .. upstream)))
        program.until_(function() return gw:poll(token, id).json.data.status == "SUCCESS" end)
        local url = gw:poll(token, id).json.data.output.image_url
        assert.equal("\137PNG", gw:request("GET", url:match "(/images/.*)$").body:sub(1, 4))
        code, _, message = attach(id .. "=" .. upstream)
        assert.equal(7, code)
        assert.matches("already belongs to task " .. id, message)
        assert.equal(1, #emu:ledger())
        assert.equal(10, gw:metric "credits_spent")
    end)

    it("tells the reason of a failure, and what is the operator's business only the operator", function()
        local gw = start()
        local token = gw:token "arcade"
        local failed = gw:finish(token, gw:accepted(token, "[fail] a red fox"))
        assert.equal("task_failed", failed.error.type)
        assert.equal(10, gw:metric "credits_spent", "the service may charge for a failed task")
        emu:fault { method = "POST", status = 401, times = 1000 }
        failed = gw:finish(token, gw:accepted(token, "a red fox"))
        assert.equal("server", failed.error.type)
        assert.equal("the gateway cannot use the service now", failed.error.message)
        assert.matches("auth", service.read(gw.dir .. "/.stderr"))
        assert.equal(10, gw:metric "credits_spent")
    end)

    it("asks the operator's policy, which allows nothing if it fails", function()
        service.write(dir .. "/policy.lua", [[
            function allow(request, token)
                if request.prompt:find "crash" then error "a bug" end
                if request.prompt:find "dragon" and token.name ~= "film" then return nil, "no dragons" end
                return true
            end]])
        local gw = start("--policy", dir .. "/policy.lua")
        local arcade, film = gw:token "arcade", gw:token "film"
        assert.equal(200, gw:submit(arcade, "a red fox").status)
        local refused = gw:submit(arcade, "a red dragon")
        assert.equal(403, refused.status)
        assert.equal("no dragons", refused.json.error.message)
        assert.equal(200, gw:submit(film, "a red dragon").status)
        assert.equal(403, gw:submit(film, "a crash").status)
        assert.matches("a bug", service.read(gw.dir .. "/.stderr"))
    end)

    it("logs requests without tokens, prompts and names of images; --log-prompts adds the prompts", function()
        local began = core.now()
        local gw = start("--trust-proxy", "127.0.0.1")
        local token = gw:token "arcade"
        local id = gw:accepted(token, "a secret fox", "X-Forwarded-For: 192.0.2.9, 198.51.100.7")
        local task = gw:finish(token, id)
        local name = task.output.image_url:match "/images/(.*)$"
        gw:request("GET", "/images/" .. name)
        local line = gw:log()[1]
        assert.same({ "POST", "/api/v1/images/generations", 200, "arcade", id, "198.51.100.7" },
            { line.method, line.route, line.status, line.token, line.task, line.address })
        assert.is_true(line.seconds >= 0 and line.seconds < core.now() - began, line.seconds)
        local all = service.read(gw.dir .. "/.stdout")
        for _, secret in ipairs { token, "secret fox", name, emu.api_key } do
            assert.is_nil(all:find(secret, 1, true), secret)
        end
        local with = gateway.start(emu, dir .. "/b", "--log-prompts")
        with:accepted(with:token "arcade", "a secret fox", "X-Forwarded-For: 192.0.2.9")
        assert.equal("a secret fox", with:log()[1].prompt)
        assert.equal("127.0.0.1", with:log()[1].address, "nobody is trusted by default")
    end)

    it("lets no path of a client reach the file system, and no header into a response", function()
        local gw = start()
        local token = gw:token "arcade"
        local task = gw:finish(token, gw:accepted(token, "a red fox"))
        local name = task.output.image_url:match "/images/(.*)$"
        for _, path in ipairs { "/images/../gateway.id", "/images/..%2fgateway.id", "/images/%2e%2e/gateway.id",
            "/images//etc/passwd", "/images/" .. name .. "/../" .. name, "/images/" .. name .. "%00", "/images/",
            "//images/" .. name, "/images/" .. ("a"):rep(1000), "/api/v1/tasks/..%2f..", "/api/v1/tasks/' OR '1'='1",
            "/images/' OR '1'='1" } do
            local response = gw:request("GET", (path:gsub(" ", "%%20")), token)
            assert.equal(404, response.status, path)
        end
        assert.equal(200, gw:request("GET", "/images/" .. name .. "?x=1").status)
        for _, header in ipairs { "Host: a.example\\r\\nX-Evil: 1", "Host: <script>", "Origin: http://a\\r\\nX-Evil: 1" } do
            local response = gw:request("GET", "/api/v1/tasks/" .. task.task_id, token, { headers = { header } })
            assert.is_nil(response.headers["x-evil"])
            assert.is_nil((response.body or ""):find "script")
        end
        local injected = gw:request("POST", "/api/v1/images/generations", token, {
            body = { prompt = "a red fox" }, headers = { "Idempotency-Key: '); DROP TABLE tasks; --" } })
        assert.equal(400, injected.status, "blanks")
        assert.equal(200, gw:submit(token, "a red fox", "Idempotency-Key: ');DROP/**/TABLE/**/tasks;--").status)
        assert.equal(200, gw:poll(token, task.task_id).status)
    end)

    it("makes the URLs of images from its public one", function()
        local gw = start("--public-url", "https://gateway.example/")
        local token = gw:token "arcade"
        local url = gw:finish(token, gw:accepted(token, "a red fox")).output.image_url
        assert.equal(200, gw:request("GET", url:match "^https://gateway.example(/images/.*)$").status)
        local status, _, message = gw:run("serve", "--public-url", "gateway.example")
        assert.equal(2, status)
        assert.matches("--public-url must be an http(s) URL", message, 1, true)
    end)

    it("allows web pages of the configured origins only", function()
        local gw = start("--cors", "https://game.example")
        local function origin_of(name, method)
            return gw:request(method or "GET", "/healthz", nil, { headers = { "Origin: " .. name } })
                .headers["access-control-allow-origin"]
        end
        assert.equal("https://game.example", origin_of "https://game.example")
        assert.equal("https://game.example", origin_of("https://game.example", "OPTIONS"))
        assert.is_nil(origin_of "https://other.example")
        local closed = gateway.start(emu, dir .. "/b")
        assert.is_nil(closed:request("OPTIONS", "/healthz", nil, { headers = { "Origin: https://game.example" } })
            .headers["access-control-allow-origin"])
    end)

    it("tells its figures to those who reach it directly", function()
        local gw = start()
        assert.equal("ok", gw:request("GET", "/healthz").json.status)
        assert.equal(1, gw:metric 'requests_total{route="/healthz",status="200"}')
        assert.equal(404, gw:request("GET", "/metrics", nil, { headers = { "X-Forwarded-For: 192.0.2.1" } }).status)
    end)

    it("stops on SIGTERM without losing anything, and continues after it", function()
        emu:set { duration = 60 }
        emu:fault { method = "POST", delay = 0.5 }
        local gw = start("--active", "2")
        local token = gw:token "arcade"
        local first = gw:accepted(token, "the first fox") -- the service answers after a while
        program.until_(function() return emu:faults()[1].fired == 1 end)
        gw:stop()
        assert.equal(1, #emu:ledger())
        local log = service.read(gw.dir .. "/.stderr")
        assert.is_nil(log:find("unknown", 1, true), log)
        emu:set { duration = 0.01 }
        gw:restart()
        local second = gw:accepted(token, "the second fox")
        emu:finish(emu:ledger()[1].task_id)
        assert.equal("SUCCESS", gw:finish(token, first).status)
        assert.equal("SUCCESS", gw:finish(token, second).status)
        assert.equal(2, #emu:ledger())
    end)

    it("does not run twice with one state directory", function()
        local gw = start()
        local status, _, message = gw:run("serve", "--listen", "127.0.0.1:0")
        assert.equal(20, status)
        assert.matches("another gateway runs", message)
        status, _, message = program.run(emu, dir, { "serve", "--listen", "127.0.0.1:0", "--state", dir .. "/other",
            "--db", gw.state .. "/ledger.sqlite" })
        assert.equal(20, status)
        assert.matches("another gateway runs", message)
    end)
end)
