-- From prompt to picture, over real sockets.
local bound = require "support.bound"
local core = require "flux2.core"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

describe("a client", function()
    local emu, client, dir
    setup(function()
        emu = service.start()
        client = service.client(emu)
        dir = service.directory()
    end)
    teardown(function()
        service.stop_all()
        service.remove(dir)
    end)
    before_each(function() emu:clear_faults() end)

    it("turns a prompt into bytes", function()
        local image = assert(client:generate "a red fox in the snow")
        assert.equal(PNG, assert(image:bytes()):sub(1, 8))
        assert.equal("image/png", image.content_type)
        assert.equal("string", type(image.url))
        assert.equal(10, image.result.credits)
        assert.is_true(image.result.elapsed > 0)
    end)

    it("turns a prompt into a file", function()
        local path = dir .. "/fox.png"
        local image = assert(client:generate("a red fox", { save = path }))
        assert.equal(path, image.path)
        assert.equal(PNG, service.read(path):sub(1, 8))
        assert.same({ "fox.png" }, service.list(dir))
    end)

    it("sends what the caller set and nothing else", function()
        assert(client:generate "only a prompt")
        local ledger = emu:ledger()
        assert.same({ model = "flux-2", prompt = "only a prompt" }, require("cjson").decode(ledger[#ledger].body))
        local task = assert(client:submit {
            prompt = "everything", type = "flex", resolution = "1K", aspect_ratio = "16:9",
            input_urls = { "https://example.com/fox.jpg" }, extra = { seed = 7 },
        })
        assert(task:wait())
        ledger = emu:ledger()
        assert.same({
            model = "flux-2", prompt = "everything", type = "flex", resolution = "1K", aspect_ratio = "16:9",
            input_urls = { "https://example.com/fox.jpg" }, seed = 7,
        }, require("cjson").decode(ledger[#ledger].body))
    end)

    it("checks the request before anything is sent", function()
        local before = emu:stats().requests
        local task, err = client:submit { prompt = "a fox", aspect_ration = "16:9" }
        assert.is_nil(task)
        assert.equal("invalid_request", err.kind)
        assert.matches("did you mean aspect_ratio", tostring(err))
        assert.equal(before, emu:stats().requests)
    end)

    it("refuses a target that cannot be written before a credit is spent", function()
        local before = #emu:ledger()
        local image, err = client:generate("a fox", { save = dir .. "/missing/fox.png" })
        assert.is_nil(image)
        assert.equal("io", err.kind)
        image, err = client:generate("a fox", { save = dir })
        assert.is_nil(image)
        assert.equal("io", err.kind)
        image, err = client:generate("a fox", { save = dir .. "/" .. ("x"):rep(300) .. ".png" })
        assert.is_nil(image)
        assert.equal("io", err.kind)
        image, err = client:generate("a fox", { save = dir .. "/fox\0.png" })
        assert.is_nil(image)
        assert.equal("io", err.kind)
        assert.matches("NUL", tostring(err))
        assert.equal(before, #emu:ledger())
    end)

    it("tries a folder not anew for each of many pictures, and another one at once", function()
        local marker, other = service.directory() .. "/marker", service.directory()
        local function is_left_alone()
            assert(core.check_file(dir .. "/a.png"))
            os.execute(("sleep 0.02; touch '%s'; sleep 0.02"):format(marker))
            assert(core.check_file(dir .. "/b.png"))
            local newer = os.execute(("test '%s' -nt '%s'"):format(dir, marker))
            return newer ~= true and newer ~= 0
        end
        local left_alone = false
        -- More than a second may have passed between the two.
        for _ = 1, 20 do left_alone = left_alone or is_left_alone() end
        assert.is_true(left_alone)
        assert.is_nil((core.check_file "/proc/a.png"))
        assert(core.check_file(other .. "/a.png"))
        assert.is_nil((core.check_file(other)))
        service.remove(other)
        assert.is_nil((core.check_file(other .. "/a.png")))
        service.remove((marker:gsub("/marker$", "")))
    end)

    it("shows the life of a task", function()
        local seen = {}
        local task = assert(client:submit("a heron", { on_status = function(t) seen[#seen + 1] = t.status end }))
        assert.equal("submitting", task.state)
        assert.is_nil(task.id)
        local done
        task:on("done", function(t, result, err) done = { t, result, err } end)
        local result = assert(task:wait())
        assert.equal("succeeded", task.state)
        assert.equal(result, task.result)
        assert.same({ task, result }, done)
        assert.is_true(#seen >= 2)
        assert.equal(task.status, seen[#seen])
        assert.equal(1, task.progress)
        assert.matches("_flux2$", task.id)
        assert.equal(result, task:wait(), "it can be waited for again")
    end)

    it("takes up a task that exists", function()
        local task = assert(client:submit "a bear")
        local id
        service.pump_until(function() id = task.id return id end)
        local again = assert(client:task(id))
        assert.equal(id, again.id)
        assert(again:wait())
        assert.equal(id, again.result.raw.data.task_id)
    end)

    it("knows a task that does not exist", function()
        local result, err = client:task("no such/../task %2f"):wait()
        assert.is_nil(result)
        assert.equal("not_found", err.kind)
        assert.equal(404, err.status)
        assert.equal("no such/../task %2f", err.task_id)
        local asked = {} -- among them polls of other tests' tasks, which may come later
        for _, request in ipairs(emu:requests()) do
            asked[request.path:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)] = true
        end
        assert.is_true(asked["/api/v1/tasks/no such/../task %2f"])
    end)

    it("leaves a task alone whose wait timed out", function()
        local slow = service.start { duration = 60 }
        local other = service.client(slow)
        local task = assert(other:submit "a slow snail")
        service.pump_until(function() return task.id end)
        local result, err = task:wait(0.01)
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        assert.equal(task.id, err.task_id)
        assert.is_true(err.retryable)
        assert.equal("running", task.state)
        slow:finish()
        assert(task:wait(bound(10)))
        assert.equal(1, #slow:ledger())
    end)

    it("takes polling up again after its own time-out", function()
        local slow = service.start { duration = 60 }
        local other = service.client(slow)
        local task = assert(other:submit("a slow snail", { timeout = bound(0.5) }))
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("timeout", err.kind)
        assert.equal("failed", task.state)
        assert.equal("string", type(err.task_id))
        task._timeout = bound(10)
        slow:finish()
        assert(task:wait())
        assert.equal(1, #slow:ledger(), "and never submits again")
    end)

    it("cancels", function()
        local slow = service.start { duration = 30 }
        local other = service.client(slow)
        local task = assert(other:submit "never mind")
        service.pump_until(function() return task.id end)
        assert.equal(task, task:cancel())
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("cancelled", err.kind)
        assert.matches("may still", tostring(err))
        assert.equal("cancelled", task.state)
        service.pump_until(function() return flux2.stats().jobs == 0 end)
        assert.equal(0, flux2.pending())
    end)

    it("tells which kind of error it was", function()
        for _, case in ipairs {
            { 400, "invalid_request" }, { 401, "auth" }, { 402, "credits" }, { 403, "auth" }, { 422, "rejected" },
            { 500, "unknown_outcome" }, { 502, "unknown_outcome" }, { 504, "unknown_outcome" }, { 503, "unknown_outcome" },
        } do
            emu:clear_faults()
            emu:fault {
                method = "POST", path = "/api/v1/images/generations", nth = 1, status = case[1],
                body = ('{"error":{"code":%d,"message":"said so","type":"some_type"}}'):format(case[1]),
                headers = { ["Content-Type"] = "application/json", ["X-Request-Id"] = "req-7" },
            }
            local result, err = assert(client:submit "a fox"):wait()
            assert.is_nil(result)
            assert.equal(case[2], err.kind)
            assert.equal(case[1], err.status)
            assert.equal("req-7", err.request_id)
            assert.matches("said so", tostring(err))
        end
    end)

    it("reads a wrong key as auth", function()
        local stranger = service.client(emu, { api_key = "aio_wrong" })
        local result, err = assert(stranger:submit "a fox"):wait()
        assert.is_nil(result)
        assert.equal("auth", err.kind)
        assert.equal(401, err.status)
        assert.is_nil(tostring(err):find("aio_wrong", 1, true))
    end)

    it("believes the body of a 200 that says otherwise", function()
        for body, kind in pairs {
            ['{"code":402,"message":"out of credits"}'] = "credits",
            ['{"error":{"code":401,"message":"bad key","type":"auth"}}'] = "auth",
        } do
            emu:clear_faults()
            emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 1, status = 200, body = body }
            local result, err = assert(client:submit "a fox"):wait()
            assert.is_nil(result)
            assert.equal(kind, err.kind)
        end
    end)

    it("makes a readable error of an HTML page and of nothing", function()
        for body, text in pairs { ["<html><title>Bad gateway</title></html>"] = "Bad gateway", [""] = "502" } do
            emu:clear_faults()
            emu:fault {
                method = "POST", path = "/api/v1/images/generations", nth = 1, status = 502, body = body,
                headers = { ["Content-Type"] = "text/html" },
            }
            local _, err = assert(client:submit "a fox"):wait()
            assert.matches(text, tostring(err))
        end
    end)

    it("hands on why a task failed", function()
        local failing = service.start { failure_rate = 1, failure_reason = "the model ran out of paint" }
        local task = assert(service.client(failing):submit "a fox")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("task_failed", err.kind)
        assert.matches("ran out of paint", tostring(err))
        assert.equal(task.id, err.task_id)
        assert.equal("failed", task.state)
        assert.equal(err, select(2, task:wait()), "the service's last word stays")
    end)

    it("raises only what a bug of the caller can cause, at the caller's line", function()
        local here = debug.getinfo(1, "S").short_src
        for _, case in ipairs {
            { function() client:submit(42) end, "prompt" },
            { function() client:submit("a fox", { timeot = 1 }) end, "did you mean timeout" },
            { function() client:submit("a fox", { timeout = -1 }) end, "timeout must be" },
            { function() client:generate("a fox", { save = 1 }) end, "save must be" },
            { function() client:task(42) end, "task id is a string" },
            { function() assert(client:submit "a fox"):wait "long" end, "timeout must be" },
            { function() assert(client:submit "a fox"):on("finished", print) end, "the events are" },
            { function() assert(client:submit "a fox"):on("done", 1) end, "a function is needed" },
            { function() flux2.new { api_kei = "x" } end, "did you mean api_key" },
            { function() flux2.new { timeout = "60" } end, "timeout must be" },
            { function() flux2.new { poll = { intervall = 1 } } end, "did you mean interval" },
            { function() flux2.new(42) end, "options are a table" },
            { function() flux2.estimate(42) end, "prompt" },
            { function() client:map(42) end, "a list or a function" },
            { function() flux2.spawn(42) end, "a function is needed" },
            { function() flux2.sleep "x" end, "a number of seconds" },
            { function() flux2.all { 1 } end, "item 1" },
        } do
            local ok, message = pcall(case[1])
            assert.is_false(ok)
            assert.matches(case[2], message, nil, true)
            assert.equal(1, (message:find(here, 1, true)), message)
        end
        service.pump_until(function() return flux2.pending() == 0 end)
    end)

    it("prints itself without its key", function()
        assert.is_nil(tostring(client):find(emu.api_key, 1, true))
        assert.matches("flux2.Client", tostring(client), nil, true)
    end)

    it("does not lose a picture to a main thread that sleeps", function()
        local task = assert(client:submit "the sleeper")
        local until_ = core.now() + 1
        os.execute "sleep 1"
        assert.is_true(core.now() >= until_)
        assert.equal("submitting", task.state)
        flux2.update()
        assert.equal("succeeded", task.state)
    end)

    it("knows what things cost", function()
        assert.equal(10, flux2.estimate "a fox")
        assert.equal(20, flux2.estimate { prompt = "a fox", resolution = "2K" })
        assert.equal(6, flux2.estimate { prompt = "a fox", type = "flex" })
        local credits, reason = flux2.estimate { prompt = "a fox", type = "flex", resolution = "2K" }
        assert.is_nil(credits)
        assert.matches("no price", reason)
    end)

    it("knows every kind of error by name and advice", function()
        for kind in pairs(errors.kinds) do assert.equal("string", type(flux2.errors.advice[kind])) end
    end)
end)

describe("every shape of a finished task", function()
    local emulator = require "flux2.emulator"
    teardown(service.stop_all)
    local names = {}
    for name in pairs(emulator.shapes) do names[#names + 1] = name end
    table.sort(names)
    assert(#names >= 17)
    for _, shape in ipairs(names) do
        it(shape, function()
            local emu = service.start { shape = shape }
            local image, err = service.client(emu):generate "a fox in any shape"
            if shape == "no_image" then
                assert.is_nil(image)
                assert.equal("protocol", err.kind)
            else
                assert(image, tostring(err))
                assert.equal(PNG, image:bytes():sub(1, 8))
            end
            service.stop_all()
        end)
    end
    for name in pairs(emulator.failure_shapes) do
        it("of one that failed: " .. name, function()
            local emu = service.start { failure_rate = 1, failure_shape = name, failure_reason = "out of paint" }
            local result, err = assert(service.client(emu):submit "a fox"):wait()
            assert.is_nil(result)
            assert.equal("task_failed", err.kind)
            if name ~= "no_reason" then assert.matches("out of paint", tostring(err)) end
            service.stop_all()
        end)
    end
    for _, way in ipairs { "url", "b64_json" } do
        it("in the answer to the submission itself: " .. way, function()
            local emu = service.start { sync = way }
            local image, err = service.client(emu):generate "at once"
            assert(image, tostring(err))
            assert.equal(PNG, image:bytes():sub(1, 8))
            assert.equal(0, emu:stats().polls)
            service.stop_all()
        end)
    end
end)

describe("flux2.new", function()
    local getenv = os.getenv
    after_each(function() rawset(os, "getenv", getenv) end)
    local function environment(values)
        rawset(os, "getenv", function(name)
            if name:find "^FLUX2_" then return values[name] end
            return getenv(name)
        end)
    end

    it("needs a key, and says how to give one", function()
        environment {}
        local client, err = flux2.new()
        assert.is_nil(client)
        assert.equal("auth", err.kind)
        assert.matches("FLUX2_API_KEY", tostring(err), nil, true)
        environment { FLUX2_API_KEY = "" }
        assert.is_nil((flux2.new()))
    end)
    it("reads the environment", function()
        environment { FLUX2_API_KEY = "aio_k", FLUX2_BASE_URL = "https://example.com/" }
        assert.matches("https://example.com)", tostring(assert(flux2.new())), nil, true)
        environment { FLUX2_API_KEY = "aio_k" }
        assert.matches("https://apiin.one)", tostring(assert(flux2.new())), nil, true)
    end)
    for _, bad in ipairs {
        "ftp://example.com", "example.com", "http://", "https://user:pw@example.com", "https://example.com/?q=1",
        "http://example.com", "https://exa mple.com", "https://example.com/\n", "http://127.0.0.1.example.com",
        "http://localhost.example.com", "https://example.com:99999",
    } do
        it(("refuses the base URL %q"):format(bad), function()
            local client, err = flux2.new { api_key = "aio_k", base_url = bad }
            assert.is_nil(client)
            assert.equal("invalid_request", err.kind)
            assert.is_nil(tostring(err):find("pw@", 1, true))
        end)
    end
    for good, base in pairs {
        ["https://example.com"] = "https://example.com", ["https://example.com:443/"] = "https://example.com",
        ["https://EXAMPLE.com:8443/prefix/"] = "https://example.com:8443/prefix",
        ["https://apiin.one/api/v1"] = "https://apiin.one", ["http://127.0.0.1:8080"] = "http://127.0.0.1:8080",
        ["http://localhost:1"] = "http://localhost:1", ["http://[::1]:1"] = "http://[::1]:1",
    } do
        it("accepts the base URL " .. good, function()
            assert.equal("flux2.Client (" .. base .. ")", tostring(assert(flux2.new { api_key = "aio_k", base_url = good })))
        end)
    end
    it("sends the key in plain text only when told to", function()
        assert(flux2.new { api_key = "aio_k", base_url = "http://example.com", insecure_http = true })
    end)
    for _, bad in ipairs { "aio_\n", "aio_a b", "aio_\0", "aio_\r\nX-Evil: 1", "aio_\195\164" } do
        it(("refuses the key %q"):format(bad):gsub("%c", "?"), function()
            local client, err = flux2.new { api_key = bad }
            assert.is_nil(client)
            assert.equal("auth", err.kind)
            assert.is_nil(tostring(err):find(bad, 1, true))
        end)
    end
    it("starts no thread", function()
        local code, printed = service.run_lua [[
            local function threads()
                local n = 0
                for _ in io.popen("ls /proc/$PPID/task"):lines() do n = n + 1 end
                return n
            end
            local before = threads()
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = "aio_k" })
            assert(flux2.update() == 0 and flux2.pending() == 0 and flux2.stats().jobs == 0)
            assert(threads() == before, threads())
        ]]
        assert.equal(0, code, printed)
    end)
end)
