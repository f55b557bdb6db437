-- The command line and the tester with Black Forest Labs: FLUX2_PROVIDER selects it.

local cjson = require "cjson"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"

describe("with FLUX2_PROVIDER=bfl", function()
    local emu, dir
    service.around_each(before_each, after_each, { dialect = "bfl" }, function(fresh, folder)
        emu, dir = fresh, folder
    end)

    local function run(words, env, options)
        env = env or { BFL_BASE_URL = emu.url, BFL_API_KEY = emu.api_key }
        env.FLUX2_PROVIDER = "bfl"
        options = options or {}
        options.env = env
        return program.run(nil, dir, words, options)
    end

    it("flux2 batch submits within its budget, and resumes", function()
        service.write(dir .. "/list.jsonl", '"a fox"\n{"prompt":"a hare","type":"max","seed":7}\n"a crow [fail]"\n')
        local code, out, err = run { "batch", "list.jsonl", "--out", "images", "--budget", "13", "--yes" }
        assert.equal(3, emu:stats().submissions, out .. err)
        assert.is_true(code ~= 0)
        local seeds = {}
        for _, entry in ipairs(emu:ledger()) do seeds[entry.type] = cjson.decode(entry.body).seed end
        assert.same({ max = 7 }, seeds)
        local before = emu:stats().submissions
        run { "batch", "list.jsonl", "--out", "images", "--budget", "0", "--yes" }
        assert.equal(before, emu:stats().submissions)
    end)

    it("flux2 batch submits the other images if an input image of one is missing", function()
        service.write(dir .. "/list.jsonl", '{"prompt":"a fox","input_images":["none.png"]}\n"a hare"\n')
        local code, out, err = run { "batch", "list.jsonl", "--out", "images", "--concurrency", "1" }
        assert.equal(20, code, out)
        assert.matches("failed line 1: io: [^\n]*'none.png'", err)
        assert.same({ "2-a-hare.png" }, program.images(dir .. "/images"))
        assert.equal(20, (run { "batch", "list.jsonl", "--out", "images" }))
        assert.equal(1, emu:stats().submissions)
    end)

    it("flux2 doctor checks the key and the service", function()
        local _, out = run { "doctor", "--json" }
        local found = {}
        for _, line in ipairs(program.json_lines(out)) do found[line.check] = line end
        assert.equal("note", found.key.state)
        assert.equal("BFL_API_KEY is set, but does not begin with bfl_", found.key.found)
        assert.equal("ok", found.service.state)
        assert.matches("responds and accepts the key", found.service.found)
        _, out = run({ "doctor", "--json" }, { BFL_BASE_URL = emu.url, BFL_API_KEY = "bfl_wrong" })
        for _, line in ipairs(program.json_lines(out)) do found[line.check] = line end
        assert.same({ "wrong", "auth" }, { found.service.state, found.service.kind })
    end)

    it("flux2 emulator speaks the dialect, and sets the variables #emulator", function()
        local code, out, err = run({ "emulator", "--duration", "0", "--", "sh", "-c",
            'curl -s -H "x-key: $BFL_API_KEY" "$BFL_BASE_URL/v1/get_result?id=1"' }, {})
        assert.equal(0, code, err)
        assert.equal("Task not found", cjson.decode(out:match "{.*}").status)
    end)

    it("flux2 recover and flux2 task find a task at its own URL", function()
        emu:set { duration = 60 }
        local code, out
        service.with_enough_time(0.5, function(seconds)
            code, out = run { "generate", "a fox", "--timeout", tostring(seconds), "--json" }
            assert.is_true(code ~= 0)
            return program.accepted(dir .. "/state/flux2/spool") == 1
        end)
        local id = emu:ledger()[1].task_id
        emu:finish()
        local status
        code, status = run { "task", id, "--json" }
        assert.equal(0, code, out .. status)
        assert.equal("succeeded", program.json_lines(status)[1].state)
        code = run { "recover" }
        assert.equal(0, code)
        assert.equal(1, emu:stats().submissions)
        assert.equal(1, emu:stats().downloads)
    end)
end)

describe("the tester with provider = \"bfl\"", function()
    after_each(service.stop_all)

    it("shows its fields and prices, and generates an image #emulator", function()
        local emu = service.start { dialect = "bfl" }
        local page = assert(require("flux2.tester").start {
            provider = "bfl", base_url = emu.url, api_key = emu.api_key, poll = { interval = 0.02 },
        })
        local origin = page.url:match "^http://[^/]+"
        local function get(path, body)
            local words = { "curl", "-sS", "-H", "Origin: " .. origin, "-H", "Content-Type: application/json",
                page.url .. path }
            if body then
                words[#words + 1] = "-d"
                words[#words + 1] = cjson.encode(body)
            end
            local _, out = shell.run(shell.join(words))
            return cjson.decode(out)
        end
        local about = get "about"
        assert.equal(10, #about.prices)
        for _, price in ipairs(about.prices) do assert.is_number(price.credits) end
        local request = { prompt = "a fox", type = "max", resolution = "2K", aspect_ratio = "16:9" }
        local checked = get("check", { request = request })
        assert.equal(16, checked.price)
        assert.matches("/v1/flux-2-max", checked.code.curl, 1, true)
        assert.matches("x-key: $BFL_API_KEY", checked.code.curl, 1, true)
        assert.equal("invalid_request", get("tasks", { request = { prompt = "a fox", input_images = { "/a.png" } } }).error.kind)
        assert.equal(1, get("tasks", { request = request }).id)
        service.pump_until(function() return emu:stats().downloads > 0 end)
        assert.same({ 2720, 1536 }, { cjson.decode(emu:ledger()[1].body).width,
            cjson.decode(emu:ledger()[1].body).height })
        page:stop()
    end)
end)
