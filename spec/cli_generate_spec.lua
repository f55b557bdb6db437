-- flux2 generate, task, recover, estimate, emulator and doctor, each as a separate process with piped output.
-- Takes about 15 seconds: each case starts programs one after another.
local json = require "flux2.json"
local png = require "support.png"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"

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

--- Submits a task and leaves it running.
local function abandon(prompt)
    emu:set { duration = 60 }
    return program.abandon(emu, dir, { "generate", prompt or "a fox" }, dir .. "/state/flux2/spool")
end

describe("flux2 generate", function()
    before_each(setup)
    after_each(teardown)

    it("generates an image and prints its path last", function()
        local code, out, err = run { "generate", "A red fox, in the snow!" }
        assert.equal(0, code, err)
        assert.equal("a-red-fox-in-the-snow.png\n", out)
        assert.is_true(is_png "a-red-fox-in-the-snow.png")
        assert.matches("10 credits, task n41", err)
        assert.same({}, spool())
    end)

    it("sends every given field, and no other", function()
        local code, _, err = run { "generate", "a fox", "--type", "flex", "--aspect-ratio", "16:9",
            "--resolution", "2K",
            "--input-url", "https://a.example/1.png", "--input-url", "https://a.example/2.png",
                "--extra", '{"seed":7}' }
        assert.equal(0, code, err)
        assert.same({
            model = "flux-2", prompt = "a fox", type = "flex", aspect_ratio = "16:9", resolution = "2K", seed = 7,
            input_urls = { "https://a.example/1.png", "https://a.example/2.png" },
        }, json.decode(emu:ledger()[1].body))
        run { "generate", "a hare" }
        assert.same({ model = "flux-2", prompt = "a hare" }, json.decode(emu:ledger()[2].body))
    end)

    it("does not overwrite files under generated names, and overwrites a file given with -o", function()
        service.write(dir .. "/a-fox.webp", "mine")
        local _, out = run { "generate", "a fox" }
        assert.equal("a-fox-2.png\n", out)
        assert.equal("mine", service.read(dir .. "/a-fox.webp"))
        _, out = run { "generate", "a fox", "-o", "a-fox.webp" }
        assert.equal("a-fox.webp\n", out)
        assert.is_true(is_png "a-fox.webp")
    end)

    it("gives concurrent programs different names", function()
        local commands = {}
        for i = 1, 6 do
            commands[i] = ("(cd %s && %s %s generate 'a fox' -q >%d.out 2>&1) &"):format(dir,
                program.environment(emu, dir),
                program.command(), i)
        end
        os.execute(table.concat(commands, " ") .. " wait")
        local names = program.images(dir)
        assert.same({ "a-fox-2.png", "a-fox-3.png", "a-fox-4.png", "a-fox-5.png", "a-fox-6.png", "a-fox.png" }, names)
        for _, name in ipairs(names) do assert.is_true(is_png(name)) end
        for _, name in ipairs(service.list(dir)) do assert.is_nil(name:find "%.name$", name) end
    end)

    it("writes the image to stdout with -o -", function()
        local code, out, err = run { "generate", "a fox", "-o", "-" }
        assert.equal(0, code, err)
        assert.equal("\137PNG", out:sub(1, 4))
        assert.equal(600, #png.without_metadata(out))
        assert.matches("10 credits", err)
        assert.same({}, spool())
        assert.same({}, program.images(dir))
        assert.equal(2, (run { "generate", "a fox", "-o", "-", "--json" }))
        assert.equal(2, (run { "generate", "a fox", "-o", "-", "-n", "2" }))
        assert.equal(1, #emu:ledger())
    end)

    it("writes the image to stdout with -o /dev/stdout #special", function()
        local code, out, err = run { "generate", "a fox", "-o", "/dev/stdout" }
        assert.equal(0, code, err)
        assert.equal("\137PNG", out:sub(1, 4))
        assert.equal(600, #png.without_metadata(out))
    end)

    it("is refused before payment if -o does not name a regular file #special", function()
        os.execute(("cd '%s' && mkfifo pipe && ln -s pipe link.png"):format(dir))
        for _, name in ipairs { "pipe", "link.png", "/dev/fd/2" } do
            local code, _, err = run { "generate", "a fox", "-o", name }
            assert.equal(20, code, err)
            assert.matches("not a regular file", err)
        end
        assert.same({}, emu:ledger())
        assert.equal(0, shell.run(("test -p '%s/pipe' && test -L '%s/link.png'"):format(dir, dir)))
    end)

    --- Runs a shell command in which $FLUX2 is the program. Returns the exit status and stderr.
    local function in_shell(line)
        local command = "cd '%s' && %s FLUX2='%s' timeout -k 5 120 bash -c '%s' 2>.stderr; echo $?"
        local pipe = assert(io.popen(command:format(dir, program.environment(emu, dir), program.command():gsub("'", ""), line)))
        local code = tonumber(pipe:read "*a":match "(%d+)\n$")
        pipe:close()
        return code, service.read(dir .. "/.stderr")
    end

    it("keeps the record of an image that could not be written to stdout, and reports it #special", function()
        local no_reader = "mkfifo pipe; exec 4<>pipe; exec 5>pipe; exec 4<&-; "
        for i, line in ipairs { "$FLUX2 generate fox -o - >/dev/full", no_reader .. "$FLUX2 generate fox -o - >&5" } do
            local code, err = in_shell(line)
            assert.equal(20, code, err)
            local id = emu:ledger()[i].task_id
            assert.matches("io: cannot write to stdout: %u", err)
            assert.matches("The image is paid for. To download it: flux2 task " .. id .. " %-%-wait\n", err)
            assert.equal(1, #spool())
            assert.equal(0, (run { "recover" }))
            assert.same({}, spool())
        end
        -- Without an output nothing is paid.
        for _, line in ipairs { "$FLUX2 generate fox -o - >&-", "$FLUX2 generate fox -o - <&- >&-",
            "$FLUX2 task x -o - >&-" } do
            local code, err = in_shell(line)
            assert.equal(20, code, err)
            assert.matches("stdout, which is closed", err)
        end
        assert.equal(2, #emu:ledger())
    end)

    it("does not reuse the descriptor of a closed standard stream for a file #special", function()
        assert.equal(20, (in_shell "$FLUX2 generate fox -o fox.png <&- >&- 2>&-"))
        assert.equal(600, #png.without_metadata(service.read(dir .. "/fox.png")))
        assert.same({}, service.list(dir .. "/state/flux2/spool"))
    end)

    it("fails when its output cannot be written #special", function()
        for _, words in ipairs {
            "generate fox", "generate fox --json", "--help", "--version", "help batch", "generate --help",
            "completion bash", "estimate", "doctor",
            "emulator --port 0", "generate fox --json --type nothing", "task none --json",
        } do
            local code, err = in_shell("$FLUX2 " .. words .. " >/dev/full")
            assert.is_true(code ~= 0, words)
            if not words:find "nothing" then
                assert.matches("cannot write to stdout: No space left on device\n", err)
            end
        end
    end)

    it("escapes text from the service, and quotes ids in commands #shell", function()
        local ids = { [ [[\u001b]0;PWNED\u0007\u001b[2J\n$(touch pwned)]] ] = "flux2 recover",
            ["it's; touch pwned"] = "flux2 task 'it'\\''s; touch pwned' --wait",
            ["-rf"] = "flux2 task --wait -- -rf", [ [[a\u009bb\u202ec]] ] = "flux2 recover" }
        for id, command in pairs(ids) do
            local code, out, err
            service.with_enough_time(0.5, function(seconds)
                emu:clear_faults()
                emu:fault { method = "POST", body = ('{"data":{"task_id":"%s","status":"RUN\\u001b[31mNING"}}'):format(id) }
                emu:fault { path = "/api/v1/tasks/*", times = 1000, body = '{"data":{"status":"RUN\\u001b[31mNING"}}' }
                code, out, err = run { "generate", "a fox", "--timeout", tostring(seconds) }
                return code == 14
            end)
            assert.same({ 14, "" }, { code, out })
            assert.truthy(err:find("To download its image: " .. command .. "\n", 1, true), err)
            local listed = select(2, run { "recover", "--list" })
            local _, as_json = run { "recover", "--list", "--json" }
            for _, text in ipairs { err, listed, as_json } do
                assert.is_nil(text:find "[%z\1-\9\11-\31\127]", text)
                assert.is_nil(text:find "\194[\128-\159]")
                assert.is_nil(text:find "\226\128\174")
            end
            emu:clear_faults()
            assert.equal(0, (run { "recover", "--discard", "all" }))
        end
    end)

    it("generates four numbered images with -n 4", function()
        local code, out = run { "generate", "a fox", "-n", "4", "-o", "fox.png" }
        assert.equal(0, code)
        assert.same({ "fox-1.png", "fox-2.png", "fox-3.png", "fox-4.png" }, program.images(dir))
        for i = 1, 4 do assert.matches("fox%-" .. i .. "%.png\n", out) end
        assert.equal(4, #emu:ledger())
        assert.equal(0, (run { "generate", "a fox", "-n", "2", "-o", "{prompt} {n}.png" }))
        assert.matches("a%-fox 1.png a%-fox 2.png", table.concat(program.images(dir), " "))
        code, out = run { "generate", "a fox", "-n", "2", "-o", "some/where/" }
        assert.equal(0, code)
        assert.same({ "a-fox-2.png", "a-fox.png" }, program.images(dir .. "/some/where"))
        assert.matches("some/where/a%-fox%.png\n", out)
    end)

    it("gives images of long ids different names", function()
        for i = 1, 2 do
            emu:fault { method = "POST", times = 1, body = ('{"data":{"task_id":"%s%d","status":"completed",'
                .. '"output":{"image_url":"{url}/images/%d.png"}}}'):format(("x"):rep(60), i, i) }
        end
        emu:fault { path = "/images/*", times = 2, status = 200, body = png.with "" }
        local code, _, err = run { "generate", "a fox", "-n", "2", "-o", "{id}.png" }
        assert.equal(0, code, err)
        assert.equal(2, #program.images(dir))
    end)

    it("picks the file extension by image type, and reports it when a name was given", function()
        emu:fault { path = "/images/*", times = 2, body = "\255\216\255\224" .. "\0\3x" .. ("x"):rep(200) .. "\255\217",
            headers = { ["Content-Type"] = "image/png" } }
        local code, out, err = run { "generate", "a fox" }
        assert.equal(0, code, err)
        assert.equal("a-fox.jpg\n", out)
        code, out, err = run { "generate", "a fox", "-o", "fox.png" }
        assert.same({ 0, "fox.png\n" }, { code, out })
        assert.matches("'fox.png' contains an image of type JPEG", err)
    end)

    it("saves every image of a task", function()
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

    it("prints JSON: results and errors, one object per line", function()
        local code, out, err = run { "generate", "a fox", "--json", "-n", "2" }
        assert.same({ 0, "" }, { code, err })
        local lines = program.json_lines(out)
        assert.equal(2, #lines)
        for _, line in ipairs(lines) do
            assert.is_true(is_png(line.file))
            assert.same({ "a fox", 10, "image/png", "flux-2" },
                { line.prompt, line.credits, line.content_type, line.request.model })
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

    it("continues after single failures", function()
        emu:fail_next(1)
        local code, out, err = run { "generate", "a fox", "-n", "3" }
        assert.equal(9, code)
        assert.equal(2, select(2, out:gsub("%.png\n", "")))
        assert.matches("task_failed", err)
    end)

    it("keeps a record until the image is saved, which recover downloads", function()
        local code, err, _
        service.with_enough_time(0.5, function(seconds)
            teardown()
            setup()
            emu:set { duration = 60 }
            code, _, err = run { "generate", "a fox", "--timeout", tostring(seconds) }
            return program.accepted(dir .. "/state/flux2/spool") == 1
        end)
        assert.equal(14, code)
        local id = emu:ledger()[1].task_id
        assert.matches("flux2 task " .. id .. " %-%-wait", err)
        assert.equal(1, #spool())
        local listed
        _, listed = run { "recover", "--list" }
        assert.matches("^" .. id .. "  %d+%-%d+%-%S+  10 credits  \"a fox\"\n$", listed)
        emu:finish()
        local status, out = run { "recover", "-o", "rescued" }
        assert.same({ 0, "rescued/a-fox.png\n" }, { status, out })
        assert.same({}, spool())
        assert.equal(1, #emu:ledger())
        status, out, err = run { "recover" }
        assert.same({ 0, "" }, { status, out })
        assert.matches("No unfinished tasks", err)
    end)

    it("keeps no record with --no-spool, and continues if no record can be kept", function()
        local code = run { "generate", "a fox", "--no-spool" }
        assert.equal(0, code)
        assert.is_false(service.exists(dir .. "/state/flux2/spool"))
        service.write(dir .. "/state", "")
        local status, _, err = run { "generate", "a fox" }
        assert.equal(0, status)
        assert.matches("paid tasks are not recorded", err)
        status, _, err = run { "generate", "a fox", "--spool", dir .. "/state/x" }
        assert.equal(20, status, err)
    end)
end)

describe("flux2 task", function()
    before_each(setup)
    after_each(teardown)

    it("prints the state of a task, with one request", function()
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
        local _, output = run { "task", id, "--json" }
        local line = program.json_lines(output)[1]
        assert.same({ id, "succeeded", 1 }, { line.task_id, line.state, #line.urls })
        assert.equal(1, #spool()) -- nothing was collected
    end)

    it("saves the image of a finished task, and removes its record", function()
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

    it("waits for the end of the task with --wait", function()
        local id = abandon()
        emu:finish(id)
        local code, out = run { "task", id, "--wait" }
        assert.equal(0, code)
        assert.equal(id:gsub("_", "-") .. ".png\n", out)
    end)

    it("exits with the status of a failed or unknown task", function()
        local id = abandon "a fox [fail]"
        emu:finish()
        local code, out, err = run { "task", id }
        assert.equal(9, code)
        assert.matches("^failed  FAILED", out)
        assert.matches("could not generate", err)
        assert.equal(7, (run { "task", "n41none_flux2" }))
        assert.equal(7, (run { "task", "n41none_flux2", "--wait" }))
    end)
end)

describe("flux2 recover", function()
    before_each(setup)
    after_each(teardown)

    it("lists submissions of unknown outcome, and discards them with --discard-unknown", function()
        emu:fault { method = "POST", times = 1, reset = "after" }
        assert.equal(19, (run { "generate", "a fox" }))
        local code, out, err = run { "recover" }
        assert.equal(0, code)
        assert.matches("^unknown  %S+  10 credits  \"a fox\"\n$", out)
        assert.matches("To remove the records: %-%-discard%-unknown", err)
        assert.equal(0, (run { "recover", "--discard-unknown" }))
        assert.same({}, spool())
        assert.equal(1, #emu:ledger())
    end)

    it("discards a task, and reports an unknown id", function()
        abandon()
        local code, _, err = run { "recover", "--discard", "n41other" }
        assert.equal(7, code)
        assert.matches("no record of task 'n41other'", err)
        assert.equal(1, #spool())
        assert.equal(0, (run { "recover", "--discard", emu:ledger()[1].task_id }))
        assert.same({}, spool())
    end)

    it("reports a failed download, and keeps its record", function()
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

    it("adds up published prices without a request, and names their source", function()
        local options = { env = { FLUX2_API_KEY = "" } }
        local code, out, err = run({ "estimate" }, options)
        assert.same({ 0, "about 10 credits for 1 image\n" }, { code, out })
        assert.matches("^This is an estimate: the service determines the price%. Source: https://apiin%.one, " ..
            "read on 20%d%d%-%d%d%-%d%d%.\n$", err)
        assert.same({ 0, "about 24 credits for 4 images\n", err },
            { run({ "estimate", "--type", "flex", "-n", "4" }, options) })
        out = select(2, run({ "estimate", "-", "--resolution", "2K", "--json" }, { stdin = "a fox\na hare\n" }))
        local printed = program.json_lines(out)[1]
        assert.matches("^https://apiin%.one", printed.source)
        printed.source = nil
        assert.same({ credits = 40, images = 2, unpriced = 0 }, printed)
        assert.equal(0, emu:stats().requests)
    end)

    it("does not guess prices", function()
        local code, out, err = run { "estimate", "--type", "flex", "--resolution", "2K" }
        assert.same({ 5, "" }, { code, out })
        assert.matches("publishes no price for flex at 2K", err)
        code, out = run({ "estimate", "-", "--format", "jsonl" },
            { stdin = '"a fox"\n{"prompt":"a hare","type":"flex","resolution":"2K"}\n' })
        assert.same({ 5, "about 10 credits for 1 image\n" }, { code, out })
    end)

    it("reports an invalid line", function()
        local code, _, err = run({ "estimate", "-" }, { stdin = "a fox\nx\n" })
        assert.equal(2, code)
        assert.matches("line 2: prompt must have 3 to 5000", err)
    end)
end)

describe("flux2 emulator", function()
    before_each(setup)
    after_each(teardown)

    it("runs a program with the emulator, and exits with the status of that program #emulator", function()
        local inner = program.command() .. ' generate "a fox" -q'
        local code, out, err = program.run(nil, dir,
            { "emulator", "--duration", "0.02", "--set", "image_bytes=600", "--", "sh", "-c", inner })
        assert.same({ 0, "a-fox.png\n", "" }, { code, out, err })
        assert.equal(7, (program.run(nil, dir, { "emulator", "--", "sh", "-c", "exit 7" })))
        local _, key = program.run(nil, dir,
            { "emulator", "--key", "aio_it's", "--", "sh", "-c", 'printf %s "$FLUX2_API_KEY"' })
        assert.equal("aio_it's", key)
    end)

    it("takes its config as options, and other fields with --set, as JSON or as a word #emulator", function()
        local inner = program.command() .. ' generate "a fox" -q -o - >picture'
        for _, case in ipairs {
            { 4, "--credits", "5" }, { 9, "--failure-rate", "1" }, { 18, "--shape", "no_image" },
            { 9, "--set", "failure_word=fox" },
            { 10, "--set", 'moderation_word="fox"' },
            { 6, "--set", 'rate_limit={"requests":1,"per_seconds":60}', "--set", "retry_after_format=seconds" },
            { 0, "--latency", "0-0.01", "--seed", "7", "--set", 'image_content_type=image/png' },
        } do
            local words = { "emulator", "--duration", "0.01-0.02", "--set", "image_bytes=600" }
            for i = 2, #case do words[#words + 1] = case[i] end
            local command = case[1] == 6 and inner .. " --timeout 1; exit 6" or case[1] == 18 and inner
                .. " --timeout 10" or inner
            for _, word in ipairs { "--", "sh", "-c", command } do words[#words + 1] = word end
            local code, _, err = program.run(nil, dir, words)
            assert.equal(case[1], code, table.concat(words, " ") .. err)
        end
        assert.equal(600, #png.without_metadata(service.read(dir .. "/picture")))
    end)

    it("lists each request once, also those that arrive while it prints #emulator", function()
        local REQUESTS = 900 -- the emulator keeps the latest 1000, and may not run for a while
        os.remove(dir .. "/.stdout") -- of the one before
        local pid = program.start(nil, dir, { "emulator", "--port", "0", "--json" })
        local function lines()
            return program.json_lines((service.read_if_there(dir .. "/.stdout") or ""):match "^.*\n" or "")
        end
        program.until_(function() return lines()[1] end)
        local client = require "flux2".new { api_key = "aio_wrong", base_url = lines()[1].base_url }
        for i = 1, REQUESTS do assert.equal("auth", select(2, client:status("nobody" .. i)).kind) end
        program.until_(function() return #lines() > REQUESTS end)
        program.stop(pid, "INT")
        local paths = {}
        for i, line in ipairs(lines()) do
            if i > 1 then
                assert.is_nil(paths[line.path], line.path)
                paths[line.path] = true
            end
        end
    end)

    it("prints its address and key for a shell, and lists its requests #emulator", function()
        for _, as_json in ipairs { false, true } do
            os.remove(dir .. "/.stdout") -- of the one before
            local pid = program.start(nil, dir,
                { "emulator", "--port", "0", "--key", "aio_it's", as_json and "--json" or "--credits=5" })
            local url
            program.until_(function()
                local out = service.read_if_there(dir .. "/.stdout") or ""
                url = out:match "\"base_url\":\"([^\"]+)\"" or out:match "^export FLUX2_BASE_URL=(%S+)\n"
                return url and out:find "\n$"
            end)
            local out = service.read(dir .. "/.stdout")
            if as_json then
                -- Only the first line: an earlier client of this port may still send requests.
                local first = assert(json.decode(out:match "^[^\n]*"))
                assert.same({ "aio_it's", url, tonumber(url:match "%d+$") },
                    { first.api_key, first.base_url, first.port })
            else
                assert.equal("export FLUX2_BASE_URL=" .. url .. "\nexport FLUX2_API_KEY='aio_it'\\''s'\n", out)
                program.until_(function()
                    return service.read(dir .. "/.stderr"):find("curl -X POST '" .. url
                        .. "/api/v1/images/generations'", 1, true)
                end)
            end
            local seen = as_json and '"method":"GET"' or "GET "
            assert(require "flux2".new { api_key = "aio_wrong", base_url = url }):status "nobody"
            program.until_(function()
                return service.read(dir .. (as_json and "/.stdout" or "/.stderr")):find(seen, 1, true)
            end)
            program.stop(pid, "INT")
            if as_json then
                local line = program.json_lines(service.read(dir .. "/.stdout"))[2]
                assert.same({ "GET", "/api/v1/tasks/nobody", 401 }, { line.method, line.path, line.status })
                assert.is_number(line.at)
            else
                assert.matches("\n +%d+%.%d%d  401  GET  /api/v1/tasks/nobody\n", service.read(dir .. "/.stderr"))
            end
        end
    end)

    it("reports an invalid setting or port #emulator", function()
        for words, reason in pairs {
            [{ "--set", "duratoin=1" }] = "did you mean duration", [{ "--shape", "round" }] = "unknown shape round",
            [{ "--set", "x" }] = "must be name=value", [{ "--failure-rate", "2" }] = "number from 0 to 1",
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

    it("finds no problem in a valid setup, and spends nothing #emulator", function()
        local code, found = diagnose()
        assert.equal(0, code)
        for _, check in ipairs { "lua", "libcurl", "tls", "key", "service", "certificates", "records", "emulator" } do
            assert.equal("ok", found[check].state, check .. ": " .. found[check].found)
        end
        assert.same({ 1, 0 }, { emu:stats().requests, emu:stats().submissions })
        local _, _, err = run { "doctor", "--offline" }
        assert.matches("No problems found", err)
        assert.equal(1, emu:stats().requests)
    end)

    it("reports a key that is missing, malformed, of another service, or refused", function()
        local code, found = diagnose { env = { FLUX2_API_KEY = "" } }
        assert.same({ 3, "wrong", "ok" }, { code, found.key.state, found.service.state })
        assert.matches("t FLUX2_API_KEY=aio_", found.key.fix) -- export, or set on Windows
        code, found = diagnose { env = { FLUX2_API_KEY = "aio_x\n" } }
        assert.same({ 3, "wrong" }, { code, found.key.state })
        code, found = diagnose { env = { FLUX2_API_KEY = "sk-1234" } }
        assert.same({ 3, "note", "wrong" }, { code, found.key.state, found.service.state })
        assert.matches("refuses the key", found.service.found)
    end)

    it("reports a server that is not the service", function()
        local page = { ["Content-Type"] = "text/html" }
        for _, case in ipairs {
            { { body = "<html><title>Hotel Wi-Fi: sign in</title></html>", headers = page }, 18,
                "HTTP 200 and a web page %('Hotel Wi%-Fi: sign in'%).*login page" },
            { { status = 404, body = "<html><title>404 Not Found</title></html>", headers = page }, 18,
                "HTTP 404 and a web page .*no API at this address" },
            { { status = 403, body = "<h1>no", headers = page }, 18, "a gateway or proxy refuses" },
            { { status = 401, body = "<h1>no", headers = page }, 18, "a gateway or proxy refuses" },
            { { status = 407, body = "<title>Proxy</title>", headers = page }, 12,
                "a proxy requires a user name and a password" },
            { { redirect = "http://wifi.example/login" }, 18, "redirects to http://wifi.example/login" },
            { { status = 502, body = "<title>Bad Gateway</title>", headers = page }, 11, "HTTP 502 and a web page" },
            { { status = 404, body = '{"detail":"Not Found"}' }, 18, "JSON of another service" },
            { { status = 404, body = "" }, 18, "an empty body" },
            { { body = "OK" }, 18, "HTTP 200 and text %('OK'%)" },
            { { status = 401, body = '{"error":{"code":401,"message":"bad key"}}' }, 3, "refuses the key" },
        } do
            case[1].path, case[1].times = "/api/v1/tasks/*", 20
            emu:fault(case[1])
            local code, found = diagnose()
            assert.same({ case[2], "wrong" }, { code, found.service.state }, found.service.found)
            assert.matches(case[3], found.service.found)
            emu:clear_faults()
        end
        assert.equal(0, (diagnose()))
    end)

    it("reports an unreachable address, a proxy, and an invalid certificate file #names", function()
        local code, found = diagnose { env = { FLUX2_BASE_URL = "http://127.0.0.1:1" } }
        assert.same({ 12, "wrong" }, { code, found.service.state })
        code, found = diagnose { env = { FLUX2_BASE_URL = "htp:/x" } }
        assert.same({ 2, "wrong" }, { code, found.address.state })
        code, found = diagnose { env = { FLUX2_CA_FILE = "/etc/hostname",
            HTTPS_PROXY = "http://me:secret@127.0.0.1:1" } }
        assert.same({ 13, "wrong", "note" }, { code, found.certificates.state, found.proxy.state })
        assert.is_nil(found.proxy.found:find "secret")
        assert.matches("HTTPS_PROXY=http://%*%*%*@127", found.proxy.found)
    end)

    it("counts uncollected tasks", function()
        abandon()
        local _, found = diagnose()
        assert.equal("note", found.records.state)
        assert.matches("1 unfinished task", found.records.found)
    end)
end)
