-- flux2 generate, task, recover, estimate, emulator and doctor: each as a program, in a pipe.
local json = require "flux2.json"
local program = require "support.program"
local service = require "support.service"

local dir, emu

local function setup()
    dir = service.directory()
    emu = service.start()
end

local function teardown()
    service.stop_all()
    service.remove(dir)
end

local function run(words, options) return program.run(emu, dir, words, options) end

local function is_png(name)
    return service.read(dir .. "/" .. name):sub(1, 4) == "\137PNG"
end

local function spool() return program.records(dir .. "/state/flux2/spool") end

--- A task that is running, whose picture nobody waits for any more.
local function abandon(prompt)
    emu:set { duration = 60 }
    return program.abandon(emu, dir, { "generate", prompt or "a fox" }, dir .. "/state/flux2/spool")
end

describe("flux2 generate", function()
    before_each(setup)
    after_each(teardown)

    it("makes a picture and prints its path last", function()
        local code, out, err = run { "generate", "A red fox, in the snow!" }
        assert.equal(0, code, err)
        assert.equal("a-red-fox-in-the-snow.png\n", out)
        assert.is_true(is_png "a-red-fox-in-the-snow.png")
        assert.matches("10 credits, task n41", err)
        assert.same({}, spool())
    end)

    it("sends every field that it is given, and no other", function()
        local code, _, err = run { "generate", "a fox", "--type", "flex", "--aspect-ratio", "16:9", "--resolution", "2K",
            "--input-url", "https://a.example/1.png", "--input-url", "https://a.example/2.png", "--extra", '{"seed":7}' }
        assert.equal(0, code, err)
        assert.same({
            model = "flux-2", prompt = "a fox", type = "flex", aspect_ratio = "16:9", resolution = "2K", seed = 7,
            input_urls = { "https://a.example/1.png", "https://a.example/2.png" },
        }, json.decode(emu:ledger()[1].body))
        run { "generate", "a hare" }
        assert.same({ model = "flux-2", prompt = "a hare" }, json.decode(emu:ledger()[2].body))
    end)

    it("overwrites nothing under a name of its own, and what it was told to", function()
        service.write(dir .. "/a-fox.webp", "mine")
        local _, out = run { "generate", "a fox" }
        assert.equal("a-fox-2.png\n", out)
        assert.equal("mine", service.read(dir .. "/a-fox.webp"))
        _, out = run { "generate", "a fox", "-o", "a-fox.webp" }
        assert.equal("a-fox.webp\n", out)
        assert.is_true(is_png "a-fox.webp")
    end)

    it("gives several programs that choose at once a name each", function()
        local commands = {}
        for i = 1, 6 do
            commands[i] = ("(cd %s && %s %s generate 'a fox' -q >%d.out 2>&1) &"):format(dir, program.environment(emu, dir),
                program.command(), i)
        end
        os.execute(table.concat(commands, " ") .. " wait")
        local names = program.pictures(dir)
        assert.same({ "a-fox-2.png", "a-fox-3.png", "a-fox-4.png", "a-fox-5.png", "a-fox-6.png", "a-fox.png" }, names)
        for _, name in ipairs(names) do assert.is_true(is_png(name)) end
        for _, name in ipairs(service.list(dir)) do assert.is_nil(name:find "%.name$", name) end
    end)

    it("writes the picture itself to stdout with -o -", function()
        local code, out, err = run { "generate", "a fox", "-o", "-" }
        assert.equal(0, code, err)
        assert.equal("\137PNG", out:sub(1, 4))
        assert.equal(600, #out)
        assert.matches("10 credits", err)
        assert.same({}, spool())
        assert.same({}, program.pictures(dir))
        assert.equal(2, (run { "generate", "a fox", "-o", "-", "--json" }))
        assert.equal(2, (run { "generate", "a fox", "-o", "-", "-n", "2" }))
        assert.equal(1, #emu:ledger())
    end)

    it("makes four with -n 4, numbered", function()
        local code, out = run { "generate", "a fox", "-n", "4", "-o", "fox.png" }
        assert.equal(0, code)
        assert.same({ "fox-1.png", "fox-2.png", "fox-3.png", "fox-4.png" }, program.pictures(dir))
        for i = 1, 4 do assert.matches("fox%-" .. i .. "%.png\n", out) end
        assert.equal(4, #emu:ledger())
        assert.equal(0, (run { "generate", "a fox", "-n", "2", "-o", "{prompt} {n}.png" }))
        assert.matches("a%-fox 1.png a%-fox 2.png", table.concat(program.pictures(dir), " "))
        code, out = run { "generate", "a fox", "-n", "2", "-o", "some/where/" }
        assert.equal(0, code)
        assert.same({ "a-fox-2.png", "a-fox.png" }, program.pictures(dir .. "/some/where"))
        assert.matches("some/where/a%-fox%.png\n", out)
    end)

    it("names a picture after what it is, and says so where it was told a name", function()
        emu:fault { path = "/images/*", times = 2, body = "\255\216\255\224" .. ("x"):rep(200), headers = { ["Content-Type"] = "image/png" } }
        local code, out, err = run { "generate", "a fox" }
        assert.equal(0, code, err)
        assert.equal("a-fox.jpg\n", out)
        code, out, err = run { "generate", "a fox", "-o", "fox.png" }
        assert.same({ 0, "fox.png\n" }, { code, out })
        assert.matches("'fox.png' holds a picture of type JPEG", err)
    end)

    it("saves every picture of a task", function()
        emu:set { images_per_task = 3, shape = "result_images" }
        local code, out = run { "generate", "a fox" }
        assert.equal(0, code)
        assert.equal("a-fox.png\na-fox-2.png\na-fox-3.png\n", out)
        assert.same({}, spool())
        assert.equal(1, #emu:ledger())
    end)

    it("reads the prompt from stdin", function()
        local code, out = run({ "generate", "-" }, { stdin = "a fox\nin two lines\n\n" })
        assert.equal(0, code)
        assert.equal("a-fox-in-two-lines.png\n", out)
        assert.equal("a fox\nin two lines", emu:ledger()[1].prompt)
    end)

    it("speaks JSON: results and errors, one object on a line", function()
        local code, out, err = run { "generate", "a fox", "--json", "-n", "2" }
        assert.same({ 0, "" }, { code, err })
        local lines = program.json_lines(out)
        assert.equal(2, #lines)
        for _, line in ipairs(lines) do
            assert.is_true(is_png(line.file))
            assert.same({ "a fox", 10, "image/png", "flux-2" }, { line.prompt, line.credits, line.content_type, line.request.model })
            assert.matches("^n41", line.task_id)
            assert.is_true(line.seconds > 0)
        end
        code, out, err = run { "generate", "a fox [moderate]", "--json" }
        assert.same({ 10, "" }, { code, err })
        local failure = program.json_lines(out)[1].error
        assert.equal("moderated", failure.kind)
        assert.matches("^n41", failure.task_id)
    end)

    it("spends nothing when the file cannot be written", function()
        os.execute("mkdir " .. dir .. "/shut && chmod 500 " .. dir .. "/shut")
        local code = run { "generate", "a fox", "-o", "none/fox.png" }
        assert.equal(20, code)
        if io.popen("id -u"):read "*l" ~= "0" then assert.equal(20, (run { "generate", "a fox", "-o", "shut/" })) end
        assert.equal(0, #emu:ledger())
    end)

    it("lets several fail and the others be made", function()
        emu:fail_next(1)
        local code, out, err = run { "generate", "a fox", "-n", "3" }
        assert.equal(9, code)
        assert.equal(2, select(2, out:gsub("%.png\n", "")))
        assert.matches("task_failed", err)
    end)

    it("keeps a record until the picture is saved, which recover fetches", function()
        emu:set { duration = 60 }
        local code, _, err = run { "generate", "a fox", "--timeout", "2" }
        assert.equal(14, code)
        local id = emu:ledger()[1].task_id
        assert.matches("flux2 task " .. id .. " %-%-wait", err)
        assert.equal(1, #spool())
        local _, listed = run { "recover", "--list" }
        assert.matches("^" .. id .. "  %d+%-%d+%-%S+  10 credits  \"a fox\"\n$", listed)
        emu:finish()
        local status, out = run { "recover", "-o", "rescued" }
        assert.same({ 0, "rescued/a-fox.png\n" }, { status, out })
        assert.same({}, spool())
        assert.equal(1, #emu:ledger())
        status, out, err = run { "recover" }
        assert.same({ 0, "" }, { status, out })
        assert.matches("Nothing is left", err)
    end)

    it("keeps no record with --no-spool, and goes on where none can be kept", function()
        local code = run { "generate", "a fox", "--no-spool" }
        assert.equal(0, code)
        assert.is_false(service.exists(dir .. "/state/flux2/spool"))
        service.write(dir .. "/state", "")
        local status, _, err = run { "generate", "a fox" }
        assert.equal(0, status)
        assert.matches("no record of paid tasks is kept", err)
        status, _, err = run { "generate", "a fox", "--spool", dir .. "/state/x" }
        assert.equal(20, status, err)
    end)
end)

describe("flux2 task", function()
    before_each(setup)
    after_each(teardown)

    it("tells how a task stands, asking once", function()
        local id = abandon()
        local polls = emu:stats().polls
        local code, out = run { "task", id }
        assert.equal(0, code)
        assert.matches("^running  IN_PROGRESS  %d+ %%\n$", out)
        assert.equal(polls + 1, emu:stats().polls)
        emu:finish()
        code, out = run { "task", id }
        assert.equal(0, code)
        assert.matches("^succeeded  SUCCESS\nhttp://127", out)
        local _, said = run { "task", id, "--json" }
        local line = program.json_lines(said)[1]
        assert.same({ id, "succeeded", 1 }, { line.task_id, line.state, #line.urls })
        assert.equal(1, #spool()) -- nothing was collected
    end)

    it("saves the picture of one that has succeeded, and takes its record away", function()
        local id = abandon()
        local code, out, err = run { "task", id, "-o", "fox.png" }
        assert.same({ 14, "" }, { code, out })
        assert.matches("still running", err)
        emu:finish()
        code, out = run { "task", id, "-o", "fox.png" }
        assert.same({ 0, "fox.png\n" }, { code, out })
        assert.is_true(is_png "fox.png")
        assert.same({}, spool())
    end)

    it("waits", function()
        local id = abandon()
        emu:finish(id)
        local code, out = run { "task", id, "--wait" }
        assert.equal(0, code)
        assert.equal(id:gsub("_", "-") .. ".png\n", out)
    end)

    it("ends with the status of a task that failed, or that nobody knows", function()
        local id = abandon "a fox [fail]"
        emu:finish()
        local code, out, err = run { "task", id }
        assert.equal(9, code)
        assert.matches("^failed  FAILED", out)
        assert.matches("could not make", err)
        assert.equal(7, (run { "task", "n41none_flux2" }))
        assert.equal(7, (run { "task", "n41none_flux2", "--wait" }))
    end)
end)

describe("flux2 recover", function()
    before_each(setup)
    after_each(teardown)

    it("lists what is of unknown outcome, and forgets it when told to", function()
        emu:fault { method = "POST", times = 1, reset = "after" }
        assert.equal(19, (run { "generate", "a fox" }))
        local code, out, err = run { "recover" }
        assert.equal(0, code)
        assert.matches("^unknown  %S+  10 credits  \"a fox\"\n$", out)
        assert.matches("%-%-discard%-unknown forgets", err)
        assert.equal(0, (run { "recover", "--discard-unknown" }))
        assert.same({}, spool())
        assert.equal(1, #emu:ledger())
    end)

    it("forgets a task that nobody wants, and says so when there is none", function()
        abandon()
        local code, _, err = run { "recover", "--discard", "n41other" }
        assert.equal(7, code)
        assert.matches("no record of task 'n41other'", err)
        assert.equal(1, #spool())
        assert.equal(0, (run { "recover", "--discard", emu:ledger()[1].task_id }))
        assert.same({}, spool())
    end)

    it("tells what it cannot fetch, and keeps its record", function()
        abandon()
        emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 100, status = 404, body = "{}" }
        local code, out, err = run { "recover", "--json" }
        assert.equal(7, code, err)
        assert.equal("not_found", program.json_lines(out)[1].error.kind)
        assert.equal(1, #spool())
    end)
end)

describe("flux2 estimate", function()
    before_each(setup)
    after_each(teardown)

    it("adds up published prices, and asks nobody", function()
        local options = { env = { FLUX2_API_KEY = "" } }
        assert.same({ 0, "about 10 credits for 1 picture\n", "" }, { run({ "estimate" }, options) })
        assert.same({ 0, "about 24 credits for 4 pictures\n", "" }, { run({ "estimate", "--type", "flex", "-n", "4" }, options) })
        local _, out = run({ "estimate", "-", "--resolution", "2K", "--json" }, { stdin = "a fox\na hare\n" })
        assert.same({ credits = 40, pictures = 2, unpriced = 0 }, program.json_lines(out)[1])
        assert.equal(0, emu:stats().requests)
    end)

    it("never guesses a price", function()
        local code, out, err = run { "estimate", "--type", "flex", "--resolution", "2K" }
        assert.same({ 5, "" }, { code, out })
        assert.matches("publishes no price for flex at 2K", err)
        code, out = run({ "estimate", "-", "--format", "jsonl" }, { stdin = '"a fox"\n{"prompt":"a hare","type":"flex","resolution":"2K"}\n' })
        assert.same({ 5, "about 10 credits for 1 picture\n" }, { code, out })
    end)

    it("names a bad line", function()
        local code, _, err = run({ "estimate", "-" }, { stdin = "a fox\nx\n" })
        assert.equal(2, code)
        assert.matches("line 2: prompt must have 3 to 5000", err)
    end)
end)

describe("flux2 emulator", function()
    before_each(setup)
    after_each(teardown)

    it("runs a program against it, and ends with that program's status", function()
        local inner = program.command() .. ' generate "a fox" -q'
        local code, out, err = program.run(nil, dir, { "emulator", "--duration", "0.02", "--set", "image_bytes=600", "--", "sh", "-c", inner })
        assert.same({ 0, "a-fox.png\n", "" }, { code, out, err })
        assert.equal(7, (program.run(nil, dir, { "emulator", "--", "sh", "-c", "exit 7" })))
        local _, key = program.run(nil, dir, { "emulator", "--key", "aio_it's", "--", "sh", "-c", 'printf %s "$FLUX2_API_KEY"' })
        assert.equal("aio_it's", key)
    end)

    it("says what is wrong with a setting or a port", function()
        for words, reason in pairs {
            [{ "--set", "duratoin=1" }] = "did you mean duration", [{ "--shape", "round" }] = "unknown shape round",
            [{ "--set", "x" }] = "needs name=value", [{ "--failure-rate", "2" }] = "number from 0 to 1",
        } do
            local code, _, err = run { "emulator", words[1], words[2] }
            assert.equal(2, code, err)
            assert.truthy(err:find(reason, 1, true), err)
        end
        local code, _, err = run { "emulator", "--port", tostring(emu.port) }
        assert.equal(20, code)
        assert.matches("cannot listen on 127.0.0.1:" .. emu.port, err)
    end)
end)

describe("flux2 doctor", function()
    before_each(setup)
    after_each(teardown)

    local function diagnose(options, words)
        local code, out = run(words or { "doctor", "--json" }, options)
        local found = {}
        for _, line in ipairs(program.json_lines(out)) do found[line.check] = line end
        return code, found
    end

    it("finds nothing wrong where nothing is, and spends nothing", function()
        local code, found = diagnose()
        assert.equal(0, code)
        for _, check in ipairs { "lua", "libcurl", "tls", "key", "service", "certificates", "records", "emulator" } do
            assert.equal("ok", found[check].state, check .. ": " .. found[check].found)
        end
        assert.same({ 1, 0 }, { emu:stats().requests, emu:stats().submissions })
        local _, _, err = run { "doctor", "--offline" }
        assert.matches("Nothing is wrong", err)
        assert.equal(1, emu:stats().requests)
    end)

    it("tells a key that is missing, broken, of another service, or refused", function()
        local code, found = diagnose { env = { FLUX2_API_KEY = "" } }
        assert.same({ 3, "wrong", "ok" }, { code, found.key.state, found.service.state })
        assert.matches("export FLUX2_API_KEY", found.key.mend)
        code, found = diagnose { env = { FLUX2_API_KEY = "aio_x\n" } }
        assert.same({ 3, "wrong" }, { code, found.key.state })
        code, found = diagnose { env = { FLUX2_API_KEY = "sk-1234" } }
        assert.same({ 3, "note", "wrong" }, { code, found.key.state, found.service.state })
        assert.matches("refuses the key", found.service.found)
    end)

    it("tells an address where nobody is, a proxy, and certificates that are none", function()
        local code, found = diagnose { env = { FLUX2_BASE_URL = "http://127.0.0.1:1" } }
        assert.same({ 12, "wrong" }, { code, found.service.state })
        code, found = diagnose { env = { FLUX2_BASE_URL = "htp:/x" } }
        assert.same({ 2, "wrong" }, { code, found.address.state })
        code, found = diagnose { env = { FLUX2_CA_FILE = "/etc/hostname", HTTPS_PROXY = "http://me:secret@127.0.0.1:1" } }
        assert.same({ 13, "wrong", "note" }, { code, found.certificates.state, found.proxy.state })
        assert.is_nil(found.proxy.found:find "secret")
        assert.matches("HTTPS_PROXY=http://%*%*%*@127", found.proxy.found)
    end)

    it("counts what was left behind", function()
        abandon()
        local _, found = diagnose()
        assert.equal("note", found.records.state)
        assert.matches("1 task was not collected", found.records.found)
    end)
end)
