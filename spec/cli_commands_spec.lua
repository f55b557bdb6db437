-- The commands in this process (support/in_process.lua): every printed line and the exit status,
-- for each way in which a command can end. Tests that need a separate process are in cli_generate_spec.lua and
-- cli_batch_spec.lua.
local bound = require "support.bound"
local core = require "flux2.core"
local in_process = require "support.in_process"
local json = require "flux2.json"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"

describe("in this process,", function()
    local emu, dir, env
    in_process.around_each(before_each, after_each, function(...) emu, dir, env = ... end)

    local function run(...) return in_process.run(dir, ...) end

    local function list(...)
        service.write(dir .. "/list.txt", table.concat({ ... }, "\n"))
    end
    local function batch(...) return run("batch", "DIR/list.txt", "--out", "DIR/out", ...) end
    local function manifest() return program.json_lines(service.read(dir .. "/out/manifest.jsonl")) end
    local function prompts_sent()
        local sent = {}
        for i, entry in ipairs(emu:ledger()) do sent[i] = entry.prompt end
        table.sort(sent)
        return sent
    end

    describe("batch", function()
        it("prints the plan and the result", function()
            list("a red fox", "a red hare")
            assert.same({ 0, "DIR/out/manifest.jsonl\n",
                "2 prompts: 2 to generate, about 20 credits\n2 of 2 images in DIR/out, 20 credits in N s\n" },
                { batch() })
            assert.same({ 0, "DIR/out/manifest.jsonl\n",
                "2 prompts: 2 done\n2 of 2 images in DIR/out, 0 credits in N s\n" }, { batch() })
            assert.same({ 0, "DIR/out/manifest.jsonl\n", "" }, { batch "--quiet" })
            list "a red owl"
            assert.same({ 0, "", "1 prompt: 1 to generate, about 6 "
                .. "credits\n" }, { batch("--dry-run", "--type", "flex") })
            assert.same({ 0, "", "1 prompt: 1 to generate, about 7 credits\n" }, { batch("--dry-run", "--price", "7") })
            assert.same({ 0, "", "1 prompt: 1 to generate, about 0 credits\n" }, { batch("--dry-run", "--price", "0") })
            assert.same({ 0, "", "1 prompt: 1 to generate, 1 without a published price\n" },
                { batch("--dry-run", "--type", "flex", "--resolution", "2K") })
            assert.same({ 0, "", "1 prompt: 1 to generate, about 7 credits\n" },
                { batch("--dry-run", "--type", "flex", "--resolution", "2K", "--price", "7") })
            assert.same({ "a red fox", "a red hare" }, prompts_sent())
        end)

        it("pads file numbers to the width of the last line number, and records all fields in the manifest", function()
            list("", "", "", "", "", "", "", "", "a red fox", "a red hare")
            assert.equal(0, (batch("--concurrency", "1")))
            assert.same({ "09-a-red-fox.png", "10-a-red-hare.png" }, program.images(dir .. "/out"))
            local line = manifest()[1]
            assert.same({ "done", 9, "a red fox", "09-a-red-fox.png", 10, "image/png" },
                { line.state, line.line, line.prompt, line.file, line.credits, line.content_type })
            assert.same({ model = "flux-2", prompt = "a red fox" }, line.request)
            assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", line.at)
            assert.equal(emu:ledger()[1].task_id, line.task_id)
            assert.is_true(line.seconds > 0)
            assert.is_nil(line.stem)
        end)

        it("reports each failure, and counts failures at the end", function()
            list("a red fox", "a hare [fail]", "an owl [moderate]")
            local code, out, err = batch("--concurrency", "1")
            assert.same({ 1, "DIR/out/manifest.jsonl\n" }, { code, out })
            assert.matches("^3 prompts: 3 to generate, about 30 credits\n"
                .. "failed line 2: task_failed: the task ended as 'FAILED': [^\n]* %(task ID%)  "
                .. "\"a hare %[fail%]\"\nfailed line 3: moderated: [^\n]*  \"an owl %[moderate%]\"\n"
                .. "1 of 3 images in DIR/out, 2 failed, 30 credits in N s\n$", err)
            local lines = {}
            for _, line in ipairs(manifest()) do lines[line.line] = line end
            assert.same({ "done", "failed", "failed" }, { lines[1].state, lines[2].state, lines[3].state })
            assert.equal("task_failed", lines[2].error.kind)
            assert.matches("^the task ended as", lines[2].error.message)
            assert.same({ 10, 10 }, { lines[2].credits, lines[3].credits })
            code, out, err = batch("--concurrency", "1", "--json")
            assert.same({ 1, "" }, { code, err })
            local output = program.json_lines(out)
            assert.equal(2, #output)
            assert.same({ "failed", 2 }, { output[1].state, output[1].line })
            output[2].seconds = nil
            assert.same({
                state = "summary", images = 1, wanted = 3, failed = 1, unknown = 0, refused = 1,
                left = 0, credits = 10,
                manifest = "DIR/out/manifest.jsonl",
            }, output[2])
            emu:set { failure_word = "" }
            local _
            code, _, err = batch()
            assert.equal(10, code)
            assert.equal("3 prompts: 1 done, 1 refused (--retry-refused), 1 to generate, about 10 credits\n"
                .. "2 of 3 images in DIR/out, 1 refused, 10 credits in N s\n", err)
        end)

        it("reports submissions of unknown outcome", function()
            list("a red fox", "a red hare")
            emu:fault { method = "POST", nth = 1, reset = "after" }
            local code, _, err = batch("--concurrency", "1")
            assert.equal(19, code)
            assert.matches("unknown line 1: unknown_outcome: [^\n]*  \"a red fox\"\n"
                .. "1 of 2 images in DIR/out, 1 failed, 10 credits in N s\n$", err)
            assert.equal("unknown", manifest()[1].state)
            code, _, err = batch()
            assert.equal(19, code)
            assert.equal("2 prompts: 1 done, 1 of unknown outcome\n"
                .. "unknown line 1: it may have been accepted and paid for, and is not submitted again  \"a red "
                .. "fox\"\n"
                .. "Check the tasks of your account. To submit them again: --resubmit-unknown\n"
                .. "1 of 2 images in DIR/out, 1 of unknown outcome, 0 credits in N s\n", err)
            local out
            code, out, err = batch("--json", "--dry-run")
            assert.same({ 0, '{"state":"unknown","line":1,"prompt":"a red fox"}\n', "" }, { code, out, err })
            -- An unknown outcome counts against the budget.
            list("a red fox", "a red hare", "a red owl")
            code, _, err = batch("--budget", "29")
            assert.equal(5, code)
            assert.truthy(err:find("Earlier runs spent 20 credits of the budget of 29 credits.\n", 1, true), err)
            assert.truthy(err:find("1 of 3 images in DIR/out, 1 of unknown outcome, 1 not generated, 0 credits in N "
                .. "s\n",
                1, true), err)
            assert.truthy(err:find("1 image was not submitted, because of this error:\n"
                .. "flux2: budget: the next image costs 10 credits, which would exceed the budget of 29 credits: "
                .. "20 credits spent by earlier runs\nRaise --budget.\n", 1, true), err)
            assert.equal(2, #emu:ledger())
            assert.equal(19, (batch("--budget", "30")))
            assert.equal(3, #emu:ledger())
            assert.equal(0, (batch "--resubmit-unknown"))
            assert.equal(4, #emu:ledger())
        end)

        it("reports at most twenty errors of a list, with line numbers", function()
            local words = {}
            for i = 1, 22 do words[i] = "x" end
            list((table.unpack or unpack)(words)) -- luacheck: ignore 143
            local code, out, err = batch()
            assert.same({ 2, "" }, { code, out })
            assert.matches("^flux2: DIR/list.txt: 22 lines are invalid; nothing was sent\n"
                .. "  line 1: prompt must have 3 to 5000 characters, has 1\n", err)
            assert.matches("\n  line 20: [^\n]*\n  and 2 more\n$", err)
            list "x"
            assert.same({ 2, "", "flux2: DIR/list.txt: 1 line is invalid; nothing was sent\n"
                .. "  line 1: prompt must have 3 to 5000 characters, has 1\n" },
                { batch() })
            assert.same({ 2, '{"error":{"kind":"invalid_request","message":"DIR/list.txt: 1 line is invalid; nothing '
                .. 'was sent",'
                .. '"lines":[{"line":1,"message":"prompt must have 3 to 5000 characters, has 1"}]}}\n',
                "" }, { batch "--json" })
            list "# nothing"
            assert.same({ 2, "", "flux2: there are no prompts in 'DIR/list.txt'\nTry: flux2 batch --help\n" },
                { batch() })
            os.remove(dir .. "/list.txt")
            assert.same({ 20, "", "flux2: io: cannot read 'DIR/list.txt': No such file or directory\n"
                .. "Check the path.\n" }, { batch() })
            service.write(dir .. "/lists.txt", "")
            assert.same({ 20, "", "flux2: io: cannot read 'DIR/list.txt': No such file or directory\n"
                .. "Did you mean DIR/lists.txt?\n" }, { batch() })
            list "a red fox"
            service.write(dir .. "/file", "")
            local status, _, output = run("batch", "DIR/list.txt", "--out", "DIR/file/x")
            assert.equal(20, status)
            assert.matches("^flux2: io: cannot make 'DIR/file/x': [^\n]*\nChoose another directory with %-%-out.\n$",
                output)
            assert.equal(0, emu:stats().requests)
        end)

        it("reports duplicate lines", function()
            list("a red fox", "a red fox", "a red fox")
            local _, _, err = batch "--dry-run"
            assert.equal("2 lines repeat an earlier line: each gets an image of its own (--unique: one for all)\n"
                .. "3 prompts: 3 to generate, about 30 credits\n", err)
            _, _, err = batch("--dry-run", "--unique")
            assert.equal("2 lines repeat an earlier line: skipped\n"
                .. "1 prompt: 1 to generate, about 10 credits\n", err)
            list("a red fox", "a red fox")
            _, _, err = batch "--dry-run"
            assert.equal("1 line repeats an earlier line: each gets an image of its own (--unique: one for all)\n"
                .. "2 prompts: 2 to generate, about 20 credits\n", err)
        end)

        it("reports a missing file, and downloads it, or explains how to generate it again", function()
            list "a red fox"
            assert.equal(0, (batch()))
            os.remove(dir .. "/out/1-a-red-fox.png")
            assert.same({ 0, "DIR/out/manifest.jsonl\n", "1 prompt: 1 to download\n"
                .. "1 of 1 image in DIR/out, 0 credits in N s\n" }, { batch() })
            assert.same({ "1-a-red-fox.png" }, program.images(dir .. "/out"))
            local line = manifest()[1]
            assert.same({ "done", emu:ledger()[1].task_id }, { line.state, line.task_id })
            assert.is_nil(line.seconds, "waiting for what was made before is not the making")
            os.remove(dir .. "/out/1-a-red-fox.png")
            emu:fault { path = "/api/v1/tasks/*", times = 1000, status = 404, body = "{}" }
            local code, _, err = batch()
            assert.equal(7, code)
            assert.matches("\nfailed line 1: not_found: [^\n]*\"a red fox\"\n"
                .. "  Its file is missing and could not be downloaded again; %-%-remake generates and pays for a "
                .. "new image.\n"
                .. "0 of 1 image in DIR/out, 1 failed, 0 credits in N s\n$", err)
            assert.equal("done", manifest()[1].state)
            emu:clear_faults()
            assert.equal(0, (batch "--remake"))
            assert.equal(2, #emu:ledger())
        end)

        it("stops when no other submission can succeed, and reports why", function()
            list("a red fox", "a red hare", "a red owl")
            emu:set { credits = 10 }
            local code, out, err = batch("--concurrency", "1")
            assert.same({ 4, "DIR/out/manifest.jsonl\n" }, { code, out })
            assert.matches("\n1 of 3 images in DIR/out, 2 not generated, 10 credits in N s\n"
                .. "2 images were not submitted, because of this error:\n"
                .. "flux2: credits: [^\n]*\nBuy credits, or use %-%-type flex or %-%-resolution 1K.\n$", err)
            assert.equal(1, #manifest())
            code, out = batch("--concurrency", "1", "--json")
            assert.equal(4, code)
            local output = program.json_lines(out)
            assert.same({ 2, 0, 1, "credits" },
                { output[1].left, output[1].failed, output[1].images, output[2].error.kind })
        end)

        it("stops after three consecutive service failures per concurrent task", function()
            local words = {}
            for i = 1, 8 do words[i] = "picture number " .. i end
            list((table.unpack or unpack)(words)) -- luacheck: ignore 143
            emu:fault { method = "POST", times = 1000, status = 500, accept = false, body = "no" }
            local code, _, err = batch("--concurrency", "1")
            assert.equal(19, code)
            assert.matches("\n0 of 8 images in DIR/out, 3 failed, 5 not generated, 0 credits in N s\n"
                .. "5 images were not submitted, because of this error:\n", err)
            assert.equal(3, emu:stats().requests)
            -- A success resets the count.
            emu:clear_faults()
            service.remove(dir .. "/out")
            for _, n in ipairs { 1, 2, 4, 5, 7, 8 } do
                emu:fault { method = "POST", nth = n, status = 500, accept = false, body = "no" }
            end
            code, _, err = batch("--concurrency", "1")
            assert.equal(19, code)
            assert.matches("\n2 of 8 images in DIR/out, 6 failed, 20 credits in N s\n$", err)
        end)

        it("downloads what another list paid for, under a name without a line number #special", function()
            emu:set { duration = 60 }
            local client = service.client(emu, { spool = dir .. "/spool" })
            local task = assert(client:submit "a red fox")
            service.pump_until(function() return task.id end)
            os.execute(("mkdir -p '%s/out/.flux2-spool' && cp '%s/spool/'task* '%s/out/.flux2-spool/'"):format(dir, dir,
                dir))
            task:cancel()
            emu:finish()
            emu:set { duration = 0.02 }
            list "a red hare"
            local code, _, err = batch()
            assert.equal(0, code)
            assert.equal("1 prompt: 1 to download (1 from another list), 1 to generate, about 10 credits\n"
                .. "2 of 2 images in DIR/out, 10 credits in N s\n", err)
            assert.same({ "1-a-red-hare.png", "a-red-fox.png" }, program.images(dir .. "/out"))
            assert.same({}, program.records(dir .. "/out/.flux2-spool"))
            service.write(dir .. "/out/.flux2-spool/task-00ff-0001.json", "{")
            code, _, err = batch()
            assert.equal(0, code)
            assert.matches("\nA record cannot be read; it may belong to any of these images: "
                .. "DIR/out/.flux2%-spool/task%-00ff%-0001.json.damaged %([^\n]+%)\n", err)
            -- The prompt is unknown: nothing is paid for twice.
            os.execute(("mkfifo '%s/out/.flux2-spool/task-00fe-0001.json'"):format(dir))
            list "a red cat"
            local sold = #emu:ledger()
            for _ = 1, 2 do
                code, _, err = batch()
                assert.equal(19, code)
                assert.matches("1 prompt: 1 of unknown outcome\nA record cannot be read.-\nA record cannot be read.-\n"
                    .. "To remove it: flux2 recover %-%-spool DIR/out/.flux2%-spool %-%-discard%-unknown\n", err)
            end
            assert.equal(sold, #emu:ledger())
            assert.equal(0, (batch("--resubmit-unknown")))
            assert.equal(sold + 1, #emu:ledger())
            assert.equal("600", shell.run(("stat -c %%a '%s/out/manifest.jsonl'"):format(dir)) == 0 and
                select(2, shell.run(("stat -c %%a '%s/out/manifest.jsonl'"):format(dir))):match "%d+")
        end)
    end)

    describe("generate", function()
        it("reports each image in one line, with its path last", function()
            local path = dir .. "/fox.png"
            assert.same({ 0, path:gsub(dir:gsub("%p", "%%%0"), "DIR") .. "\n", "N s, 10 credits, task ID\n" },
                { run("generate", "a red fox", "-o", "DIR/fox.png") })
            assert.same({ 0, "DIR/new/a-red-fox.png\n", "" }, { run("generate", "a red fox", "-o", "DIR/new/", "-q") })
            local code, out, err = run("generate", "a red fox", "-o", "DIR/{prompt}_{n}_{id}_{x}.png",
                "-n", "2", "--json")
            assert.same({ 0, "" }, { code, err })
            for _, line in ipairs(program.json_lines(out)) do
                assert.matches("^DIR/a%-red%-fox_[12]_n?i?d?[%w-]*_{x}%.png$", line.file)
            end
            code, out = run("generate", "a red fox", "-o", "DIR/all.png", "-n", "3")
            assert.equal(0, code)
            local named = {}
            for name in out:gmatch "DIR/([^\n]+)" do named[#named + 1] = name end
            table.sort(named)
            assert.same({ "all-1.png", "all-2.png", "all-3.png" }, named)
            code, out = run("generate", "a red fox", "-o", "DIR/one{n}.png")
            assert.same({ 0, "DIR/one1.png\n" }, { code, out })
            assert.same({ 0, "DIR/t.jpg\n", "'DIR/t.jpg' contains an image of type PNG\nN s, 10 credits, task ID\n" },
                { run("generate", "a red fox", "-o", "DIR/t.jpg") })
        end)

        it("pays for nothing more after consecutive downloads failed", function()
            emu:fault { path = "/images/*", times = 1000, status = 403, body = "blocked" }
            local code, out, err = run("generate", "a red fox", "-n", "30", "-o", "DIR/", "--spool", "DIR/spool")
            assert.same({ 7, "" }, { code, out })
            local bought = #emu:ledger()
            assert.is_true(bought <= 10, bought)
            assert.truthy(err:find((30 - bought) .. " images were not submitted: ", 1, true), err)
            emu:clear_faults()
            assert.equal(0, (run("recover", "-o", "DIR/rescued", "--spool", "DIR/spool")))
            assert.equal(bought, #program.images(dir .. "/rescued"))
        end)

        it("submits nothing more after consecutive outcomes are unknown", function()
            emu:fault { method = "POST", times = 1000, status = 500, accept = true, body = "broken" }
            local code, out, err = run("generate", "a red fox", "-n", "30", "-o", "DIR/", "--spool", "DIR/spool")
            assert.same({ 19, "" }, { code, out })
            local bought = #emu:ledger()
            assert.is_true(bought <= 10, bought)
            assert.truthy(err:find((30 - bought) .. " images were not submitted: ", 1, true), err)
        end)

        it("reports an invalid invocation before a credit is spent", function()
            for _, case in ipairs {
                { { "a", "fox" }, 2, "flux2: expected one prompt, got 2: put the prompt in quotes\n"
                    .. "Try: flux2 generate --help\n" },
                { { "x" }, 2, "flux2: the prompt must have 3 to 5000 characters, has 1\nTry: flux2 generate --help\n" },
                { { "a fox", "-o", "-", "-n", "2" }, 2,
                    "flux2: -o - writes one image, not 2\nTry: flux2 generate --help\n" },
                { { "a fox", "-o", "DIR/none/x.png" }, 20,
                    "flux2: io: cannot write 'DIR/none/x.png': No such file or directory\n"
                    .. "Check that the directory exists, is writable and has room.\n" },
                { { "a fox", "-o", "DIR/", "--base-url", "x" }, 2,
                    "flux2: --base-url 'x' was refused: it does not begin with http:// or https://\n"
                        .. "Try: flux2 generate --help\n" },
                { { "a fox", "-o", "DIR/", "--proxy", "" }, 2,
                    "flux2: --proxy is empty\nTry: flux2 generate --help\n" },
                { { "a fox", "-o", "DIR/", "--spool", "DIR/no/where" }, 20, false },
            } do
                local code, out, err = run("generate", (table.unpack or unpack)(case[1])) -- luacheck: ignore 143
                assert.same({ case[2], "" }, { code, out })
                if case[3] then assert.equal(case[3], err) end
            end
            local code, out = run("generate", "a fox", "-o", "-", "--json")
            assert.same({ 2, '{"error":{"kind":"invalid_request","message":"-o - and --json cannot both write to '
                .. 'stdout",'
                .. '"retryable":false}}\n' },
                { code, (out:gsub('"retryable":false,?', '"retryable":false')) })
            env.FLUX2_API_KEY = nil
            assert.same({ 3, "", "flux2: auth: the environment variable FLUX2_API_KEY is not set\n"
                .. "Check FLUX2_API_KEY; keys begin with aio_. "
                .. "To try flux2 without a key: flux2 emulator -- flux2 generate ...\n" },
                { run("generate", "a fox", "-o", "DIR/") })
            env.FLUX2_API_KEY = emu.api_key
            env.FLUX2_TIMEOUT = "x"
            local _
            code, _, out = run("generate", "a fox")
            assert.same({ 2, "flux2: FLUX2_TIMEOUT must be a number of seconds above 0, not 'x'\n" }, { code, out })
            assert.equal(0, emu:stats().requests)
        end)

        it("exits with the status of the only error kind, or with a general one for several kinds", function()
            emu:fail_next(1, "no paint")
            local code, out, err = run("generate", "a red fox", "-n", "2", "-o", "DIR/")
            assert.equal(9, code)
            assert.matches("^DIR/a%-red%-fox%.png\n$", out)
            assert.matches("flux2: task_failed: the task ended as 'FAILED': no paint %(task ID%)\n", err)
            emu:fault { method = "POST", nth = 1, status = 402, body = "no" }
            emu:fail_next(1, "no paint")
            assert.equal(1, (run("generate", "a red fox", "-n", "2", "-o", "DIR/")))
        end)
    end)

    describe("emulator", function()
        it("exits with the status of the program that it runs, with and without arguments", function()
            assert.same({ 0, "", "" }, { run("emulator", "--", "true") })
            assert.equal(1, (run("emulator", "--", "false")))
            assert.equal(3, (run("emulator", "--", "sh", "-c", "exit 3")))
        end)
    end)

    describe("estimate", function()
        it("adds up prices", function()
            list("a red fox", "a red hare")
            local note = "This is an estimate: the service determines the price. Source: https://apiin.one, read on " ..
                "2026-11-28.\n"
            for _, case in ipairs {
                { {}, 0, "about 10 credits for 1 image\n", note },
                { { "-n", "3" }, 0, "about 30 credits for 3 images\n", note },
                { { "DIR/list.txt", "-n", "2", "--type", "flex" }, 0, "about 24 credits for 4 images\n", note },
                { { "--type", "flex", "--resolution", "2K", "-n", "2" }, 5, "",
                    "flux2: no published price for 2 images: the service publishes no price for flex at 2K\n" },
                { { "--type", "flex", "--resolution", "2K", "--json" }, 5,
                    '{"credits":0,"images":1,"reason":"the service publishes no price for flex at 2K","unpriced":1}\n',
                    "" },
                { { "--json" }, 0, '{"credits":10,"images":1,"source":"https://apiin.one, read on 2026-11-28",' ..
                    '"unpriced":0}\n', "" },
                { { "DIR/none" }, 20, "", "flux2: io: cannot read 'DIR/none': No such file or directory\n"
                    .. "Check the path.\n" },
            } do
                local words = (table.unpack or unpack) -- luacheck: ignore 143
                assert.same({ case[2], case[3], case[4] }, { run("estimate", words(case[1])) })
            end
            list("a red fox", "x")
            assert.same({ 2, "", "flux2: DIR/list.txt, line 2: prompt must have 3 to 5000 characters, has 1\n"
                .. "Try: flux2 estimate --help\n" },
                { run("estimate", "DIR/list.txt") })
            service.write(dir .. "/mixed", '"a fox"\n{"prompt":"a hare","type":"flex","resolution":"2K"}\n')
            assert.same({ 5, "about 20 credits for 2 images\n", note ..
                "flux2: no published price for 2 images: the service publishes no price for flex at 2K\n" },
                { run("estimate", "DIR/mixed", "--format", "jsonl", "-n", "2") })
        end)
    end)

    describe("task", function()
        local function running(prompt)
            emu:set { duration = 60 }
            local client = service.client(emu)
            local task = assert(client:submit(prompt or "a red fox"))
            service.pump_until(function() return task.id end)
            task:cancel()
            return task.id
        end

        it("prints the state of a task, as text and as JSON", function()
            local id = running()
            local code, out, err = run("task", id)
            assert.same({ 0, "" }, { code, err })
            assert.matches("^running  IN_PROGRESS  %d+ %%\n$", out)
            code, out = run("task", id, "--json")
            local output = json.decode((out:gsub("ID", id)))
            assert.same({ 0, id, "running", "IN_PROGRESS" }, { code, output.task_id, output.state, output.status })
            assert.is_true(output.progress >= 0 and output.progress < 1)
            assert.same({ 14, "", "flux2: timeout: the task is still running: use --wait to wait for its image "
                .. "(task ID)\n"
                .. "The task is still running and paid for. To download its image: flux2 "
                .. "task " .. id:gsub("n41%w+_flux2", "ID")
                .. " --wait\n" }, { run("task", id, "-o", "DIR/x.png") })
            emu:finish()
            code, out, err = run("task", id)
            assert.same({ 0, "" }, { code, err })
            assert.equal("succeeded  SUCCESS\n" .. emu.url .. "/images/ID/1.png\n",
                (out:gsub("/images/[^\n]*", "/images/ID/1.png")))
            code, out, err = run("task", id, "-o", "DIR/x.png", "--no-show")
            assert.same({ 0, "DIR/x.png\n" }, { code, out })
            assert.matches("^N s, task ID\n$", err)
            code, out = run("task", id, "--wait", "-o", "DIR/waited/", "--json")
            assert.equal(0, code)
            assert.same({ "DIR/waited/" .. id:gsub("_", "-") .. ".png", "image/png" },
                { json.decode(out).file:gsub("ID%-flux2", id:gsub("_", "-")), json.decode(out).content_type })
        end)

        it("shortens a long id in text output only", function()
            local id = ("x"):rep(70)
            emu:fault { path = "/api/v1/tasks/*", times = 1000,
                body = '{"data":{"task_id":"' .. id .. '","status":"SUCCESS","output":{"image_url":"{url}/x.png"}}}' }
            emu:fault { path = "/x.png", times = 9, body = require("support.png").holding "" }
            local code, out, err = run("task", id, "--wait", "-o", "DIR/x.png")
            assert.same({ 0, "DIR/x.png\n" }, { code, out }, err)
            assert.matches(", task " .. ("x"):rep(57) .. "%.%.%.\n$", err)
            code, out = run("task", id, "--wait", "-o", "DIR/x.png", "--json")
            assert.same({ 0, id }, { code, json.decode(out).task_id })
        end)

        it("exits with the status of a failed task, an unknown task or a time-out", function()
            local id = running "a fox [fail]"
            emu:finish()
            local code, out, err = run("task", id)
            assert.equal(9, code)
            assert.equal("failed  FAILED\n", out)
            assert.matches("^flux2: task_failed: the task ended as 'FAILED': [^\n]* %(task ID%)\n"
                .. "Read the service's reason", err)
            code, out, err = run("task", id, "--json")
            assert.same({ 9, "", "task_failed" }, { code, err, json.decode(out).error.kind })
            local _
            code, _, err = run("task", id, "--wait", "-o", "DIR/")
            assert.equal(9, code)
            assert.matches("^flux2: task_failed: ", err)
            code, _, err = run("task", "n41none", "--wait", "-o", "DIR/")
            assert.equal(7, code)
            assert.matches("^flux2: not_found: .*task n41none", err)
            assert.equal(7, (run("task", "n41none")))
            id = running()
            code, _, err = run("task", id, "--wait", "--timeout", tostring(bound(1)), "-o", "DIR/")
            assert.equal(14, code)
            assert.matches("The task is still running and paid for. To download its image: flux2 task ID %-%-wait\n"
                .. "$", err)
            assert.same({ 2, "" }, { run("task", id, "-o", "-", "--json") and 2, "" })
            assert.equal(20, (run("task", id, "--wait", "-o", "DIR/none/x.png")))
        end)
    end)

    describe("recover", function()
        --- Leaves the tasks of a killed program behind: records of a dead owner.
        local function leave(...)
            os.execute(("mkdir -p '%s/state/flux2/spool'"):format(dir))
            local ids = {}
            for i, prompt in ipairs { ... } do
                local client = service.client(emu)
                emu:set { duration = 60 }
                local task = assert(client:submit(prompt))
                service.pump_until(function() return task.id end)
                task:cancel()
                ids[i] = task.id
                service.write(("%s/state/flux2/spool/task-00aa-%04d.json"):format(dir, i), json.write {
                    task_id = task.id, submitted = ("2026-01-31T12:00:0%dZ"):format(i), base_url = emu.url,
                    price = i == 1 and 10 or nil,
                    request = { model = "flux-2", prompt = prompt },
                })
            end
            emu:finish()
            emu:set { duration = 0.02 }
            return ids
        end
        local function unknown(n)
            for i = 1, n do
                service.write(("%s/state/flux2/spool/task-00ab-%04d.json"):format(dir, i), json.write {
                    task_id = "", submitted = ("2026-01-31T13:00:0%dZ"):format(i), base_url = emu.url, price = 1,
                    request = { model = "flux-2", prompt = "unknown " .. i },
                })
            end
        end
        local function left() return #program.records(dir .. "/state/flux2/spool") end

        it("lists the records without a request", function()
            local ids = leave("a red fox", "a red hare")
            unknown(2)
            local requests = emu:stats().requests
            assert.same({ 0, 'ID  TIME  10 credits  "a red fox"\nID  TIME  unknown price  "a red hare"\n'
                .. 'unknown  TIME  1 credit  "unknown 1"\nunknown  TIME  1 credit  "unknown 2"\n',
                "2 submissions are of unknown outcome: check the tasks of your account. To remove the records: "
                    .. "--discard-unknown\n" },
                { run("recover", "--list", "-o", "DIR/r") })
            local code, out = run("recover", "--list", "--json", "-o", "DIR/r")
            assert.equal(0, code)
            local output = program.json_lines(out)
            assert.same({ "paid", "paid", "unknown", "unknown" },
                { output[1].state, output[2].state, output[3].state, output[4].state })
            assert.same({ "a red fox", 10, "TIME" }, { output[1].prompt, output[1].credits, output[1].submitted })
            assert.equal("flux-2", output[1].request.model)
            assert.matches("^DIR/state/flux2/spool/task%-%x+%-%d+%.json$", output[3].record)
            assert.equal(requests, emu:stats().requests)
            assert.equal(2, #ids)
        end)

        it("downloads images, and reports those it could not download", function()
            leave("a red fox", "a red hare")
            local code, out, err = run("recover", "-o", "DIR/r")
            assert.equal(0, code)
            local names = {}
            for name in out:gmatch "[^\n]+" do names[#names + 1] = name end
            table.sort(names)
            assert.same({ "DIR/r/a-red-fox.png", "DIR/r/a-red-hare.png" }, names)
            assert.equal("2 tasks were paid for and not downloaded.\n", err)
            assert.equal(0, left())
            assert.same({ 0, "", "No unfinished tasks in DIR/state/flux2/spool.\n" }, { run("recover", "-o", "DIR/r") })
            leave "a red fox"
            emu:fault { path = "/api/v1/tasks/*", times = 99, status = 404, body = "{}" }
            code, out, err = run("recover", "-o", "DIR/r")
            assert.same({ 7, "" }, { code, out })
            assert.matches("^1 task was paid for and not downloaded.\nflux2: not_found: [^\n]*task ID[^\n]*\n[^\n]*\n"
                .. "Its record is kept. To remove it: flux2 recover %-%-discard ID\n$", err)
            assert.equal(1, left())
            emu:clear_faults()
            local lock, _ = core.lock, nil
            rawset(core, "lock", function(path, ...)
                if path:find "%.name$" then return nil, "No space left on device" end
                return lock(path, ...)
            end)
            code, _, err = run("recover", "-o", "DIR/r")
            rawset(core, "lock", lock)
            assert.equal(20, code)
            assert.matches("flux2: io: cannot write into 'DIR/r': No space left on device %(task ID%)\n", err)
            -- The name is taken, even by a folder.
            os.execute(("rm '%s/r/a-red-fox.png' && mkdir '%s/r/a-red-fox.png'"):format(dir, dir))
            code, out = run("recover", "-o", "DIR/r", "--json")
            assert.same({ 0, "DIR/r/a-red-fox-2.png", "a red fox" },
                { code, json.decode(out).file, json.decode(out).prompt })
        end)

        it("discards selected records", function()
            local ids = leave("a red fox", "a red hare", "a red owl")
            unknown(1)
            local code, _, err = run("recover", "--discard", "nobody", "-o", "DIR/r")
            assert.same({ 7, "flux2: not_found: there is no record of task 'nobody' in 'DIR/state/flux2/spool'\n"
                .. "flux2 recover --list lists the records.\n" },
                { code, err })
            assert.equal(4, left())
            assert.same({ 0, "", "Removed: ID\n" }, { run("recover", "--discard", ids[2], "-o", "DIR/r") })
            assert.equal(3, left())
            assert.same({ 0, "", "Removed: ID\nRemoved: ID\n" },
                { run("recover", "--discard", "all", "-o", "DIR/r") })
            assert.equal(1, left())
            assert.same({ 0, "", "No unfinished tasks in DIR/state/flux2/spool.\n" },
                { run("recover", "--discard-unknown", "-o", "DIR/r") })
            assert.equal(0, left())
            service.write(dir .. "/state/flux2/spool/task-00ab-0008.json", '{"task_id":"x","request":{},"price":1,' ..
                '"submitted":"2026-01-31T12:00:00Z","base_url":"https://other.example"}')
            code, _, err = run("recover", "-o", "DIR/r")
            assert.same({ 0, "1 record is of other services (https://other.example); to download the images, use " ..
                "their FLUX2_PROVIDER and base URL\n" }, { code, err })
            os.remove(dir .. "/state/flux2/spool/task-00ab-0008.json")
            service.write(dir .. "/state/flux2/spool/task-00ab-0009.json", "{")
            code, _, err = run("recover", "-o", "DIR/r")
            assert.equal(0, code)
            assert.matches("^A record cannot be read; it may belong to a paid image: "
                .. "DIR/state/flux2/spool/task%-00ab%-0009.json.damaged %(.+%)\n$", err)
            code, _, err = run("recover", "-o", "DIR/r", "--discard-unknown")
            assert.same({ 0, "No unfinished tasks in DIR/state/flux2/spool.\n" }, { code, err })
            assert(core.directory(dir .. "/state/flux2/spool/task-00ab-0010.json.damaged"))
            code, _, err = run("recover", "-o", "DIR/r", "--discard-unknown")
            assert.equal(20, code)
            assert.matches("task%-00ab%-0010.json.damaged %(it cannot be removed: [^\n]+%)\n$", err)
        end)

        it("needs a spool", function()
            env.HOME, env.XDG_STATE_HOME = nil, nil
            local code, _, err = run("recover", "-o", "DIR/r")
            assert.equal(20, code)
            assert.equal("flux2: paid tasks are not recorded: HOME is not set (see --spool)\n"
                .. "flux2: io: there is no spool directory: use --spool\n", err)
        end)
    end)

    it("config prints the path of its file, or that there is none", function()
        env.XDG_CONFIG_HOME = dir
        assert.same({ 0, "DIR/flux2/config.lua\n", "" }, { run("config", "path") })
        env.HOME, env.XDG_CONFIG_HOME = nil, nil
        assert.same({ 20, "", "flux2: io: there is no place for a configuration file: HOME is not set\n"
            .. "Set HOME or XDG_CONFIG_HOME.\n" }, { run("config", "path") })
    end)

    describe("doctor", function()
        local function diagnose(...)
            local code, out = run("doctor", "--json", ...)
            local found, order = {}, {}
            for _, line in ipairs(program.json_lines(out)) do
                found[line.check], order[#order + 1] = line, line.check
            end
            return code, found, order
        end
        local function is(line, state, words, mend, kind)
            assert.equal(state, line.state)
            assert.equal(words, line.found)
            assert.equal(mend, line.fix)
            assert.equal(kind, line.kind)
        end

        it("runs each check once in a fixed order, and sends a request last, or not at all with --offline", function()
            local code, found, order = diagnose()
            assert.equal(0, code)
            assert.same({ "lua", "libcurl", "tls", "certificates", "settings", "proxy", "key", "records", "emulator",
                "chafa", "service" }, order)
            is(found.proxy, "ok", "none")
            is(found.key, "ok", ("FLUX2_API_KEY is set: aio_... (%d characters)"):format(#emu.api_key))
            is(found.settings, "ok", "no configuration file (flux2 config path)")
            is(found.records, "ok", "DIR/state/flux2/spool: no unfinished tasks")
            is(found.emulator, "ok", "built")
            assert.matches("^%d+%.%d+$", found.libcurl.found)
            assert.matches("^" .. emu.url:gsub("%p", "%%%0") .. " responds and accepts the key, %d+ ms$",
                found.service.found)
            local _
            code, _, order = diagnose "--offline"
            assert.same({ 0, 10 }, { code, #order })
            local requests = emu:requests()
            assert.same({ 1, "/api/v1/tasks/flux2-doctor-no-task" }, { #requests, requests[1].path })
            local out, err
            code, out, err = run "doctor"
            assert.equal(0, code)
            assert.matches("^ok   lua           [^\n]*\nok   libcurl       %d+%.%d+\n", out)
            assert.matches("No problems found.\n$", err)
            code, out = run("doctor", "--quiet")
            assert.same({ 0, "" }, { code, out })
        end)

        it("reports a libcurl that is too old or has no TLS", function()
            local real = core.libcurl
            finally(function() rawset(core, "libcurl", real) end)
            for version, state in pairs {
                ["7.84.0"] = "wrong", ["7.85.0"] = "ok", ["7.100.1"] = "ok", ["8.0.1"] = "ok", ["6.99.0"] = "wrong",
            } do
                rawset(core, "libcurl", "libcurl/" .. version .. " GnuTLS/3.7.9 zlib/1.2.13")
                local code, found = diagnose "--offline"
                assert.equal(state, found.libcurl.state, version)
                assert.equal(state == "ok" and 0 or 12, code)
                is(found.tls, "ok", "GnuTLS/3.7.9, HTTP/1.1 only")
            end
            rawset(core, "libcurl", "libcurl/8.0.1 (OpenSSL/3.0.15) nghttp2/1.52.0")
            local _, found = diagnose "--offline"
            is(found.tls, "ok", "(OpenSSL/3.0.15), HTTP/2")
            rawset(core, "libcurl", "libcurl/8.0.1 zlib/1.2.13")
            local code
            code, found = diagnose "--offline"
            is(found.tls, "wrong", "this libcurl was built without TLS",
                "Install a libcurl with OpenSSL or GnuTLS.", "tls")
            assert.equal(13, code)
        end)

        it("reports problems of the key", function()
            env.FLUX2_API_KEY = nil
            local code, found = diagnose()
            assert.equal(3, code)
            is(found.key, "wrong", "FLUX2_API_KEY is not set", (package.config:sub(1, 1) == "\\" and "set" or "export") ..
                " FLUX2_API_KEY=aio_... with the key of your account. To try flux2 without a key: flux2 emulator",
                "auth")
            assert.matches(" responds, %d+ ms$", found.service.found)
            env.FLUX2_API_KEY = "aio_x y"
            code, found = diagnose()
            assert.equal(3, code)
            is(found.key, "wrong", "FLUX2_API_KEY contains a space, a line break or another invalid character",
                "Copy the key again, without surrounding text.", "auth")
            assert.is_nil(found.service)
            env.FLUX2_API_KEY = "sk-1"
            code, found = diagnose()
            assert.equal(3, code)
            is(found.key, "note", "FLUX2_API_KEY is set, but does not begin with aio_",
                "Keys of the service do. Check whether this is the key of another service.")
            assert.matches(" responds and refuses the key: .", found.service.found)
            assert.same({ "wrong", "Check that the key is complete and belongs to this account.", "auth" },
                { found.service.state, found.service.fix, found.service.kind })
            assert.equal(3, (run("doctor", "--quiet")))
            env.FLUX2_API_KEY = "aio_x y"
            assert.same({ 3, "FAIL key           FLUX2_API_KEY contains a space, a line break or another invalid "
                .. "character\n"
                .. "                   Copy the key again, without surrounding text.\n", "" },
                { run("doctor", "--quiet") })
            env.FLUX2_API_KEY = "sk-1"
            assert.matches("^FAIL service       ", (select(2, run("doctor", "--quiet"))))
        end)

        it("reports problems of the service and the connection", function()
            local function answered(status, message)
                emu:fault {
                    path = "/api/v1/tasks/*", times = 1000, status = status, retry_after = status == 500 and 0 or nil,
                    body = message and json.encode({ error = { code = status, message = message } },
                        "body") or "broken",
                }
                local code, found = diagnose()
                emu:clear_faults()
                return code, found.service
            end
            local code, found = answered(500, "broken")
            assert.equal(11, code)
            is(found, "wrong", "server: broken (HTTP 500, code 500, task flux2-doctor-no-task, after 3 "
                .. "attempts)",
                "A server error. Try again later.", "server")
            code, found = answered(500)
            assert.equal(11, code)
            is(found, "wrong", emu.url .. " responds with HTTP 500 and text ('broken'), which is not a response of "
                .. "the API",
                "A gateway responds, but not the service behind it. Try again later.", "server")
            code, found = answered(402, "no credits")
            assert.equal(4, code)
            is(found, "wrong", "credits: no credits", "Buy credits, or use --type flex or --resolution 1K.", "credits")
            for _, status in ipairs { 400, 404, 422 } do
                code, found = answered(status, "no such task")
                assert.same({ 0, true }, { code, found.found:find("responds and accepts the key", 1, true) ~= nil })
                code, found = answered(status)
                assert.same({ 18, "wrong", "protocol" }, { code, found.state, found.kind })
            end
            code, found = diagnose("--base-url", "http://127.0.0.1:1")
            assert.equal(12, code)
            assert.matches("^network: no connection to 127.0.0.1", found.service.found)
            assert.equal("Check the connection, the proxy above and the address; --proxy and --base-url change them.",
                found.service.fix)
            local tls = emu.url:gsub("^http:", "https:")
            code, found = diagnose("--base-url", tls)
            assert.equal(13, code)
            assert.matches("^tls: ", found.service.found)
            assert.matches("^Check the clock %(it says [^)]+%), the certificates above, and any intercepting proxy%.$",
                found.service.fix)
            local function clock() return (io.popen "TZ=XST-7 date '+%Y-%m-%d %H:%M'":read "*l") end
            local before = clock()
            local _, out = program.run(emu, dir, { "doctor", "--base-url", tls }, { env = { TZ = "XST-7" } })
            local after = clock()
            assert.is_true(out:find("(it says " .. before .. ")", 1, true) ~= nil
                or out:find("(it says " .. after .. ")", 1, true) ~= nil, out)
            code, found = diagnose("--base-url", "x")
            assert.equal(2, code)
            is(found.address, "wrong", "--base-url 'x' was refused: it does not begin with http:// or https://",
                "Correct --base-url or FLUX2_BASE_URL.", "invalid_request")
        end)

        it("reports proxies without their passwords", function()
            for _, case in ipairs {
                { "https_proxy", "http://u:p@h:1", nil, "https_proxy=http://***@h:1" },
                { "HTTPS_PROXY", "http://h:1", { no_proxy = "a,b" }, "HTTPS_PROXY=http://h:1, except for a,b" },
                { "http_proxy", "http://h:1", { NO_PROXY = "c" }, "http_proxy=http://h:1, except for c" },
                { "all_proxy", "x", { no_proxy = "" }, "all_proxy=x" },
                { "ALL_PROXY", "x", nil, "ALL_PROXY=x" },
            } do
                env[case[1]] = case[2]
                for name, value in pairs(case[3] or {}) do env[name] = value end
                local _, found = diagnose "--offline"
                is(found.proxy, "note", case[4])
                env[case[1]], env.no_proxy, env.NO_PROXY = nil, nil, nil
            end
            local _, found = diagnose("--offline", "--proxy", "http://me:secret@h")
            is(found.proxy, "note", "--proxy http://***@h")
        end)

        it("reports certificates and records", function()
            local function certificates(...)
                local code, found = diagnose("--offline", ...)
                found.certificates.code = code
                return found.certificates
            end
            service.write(dir .. "/none.pem", "nothing")
            service.write(dir .. "/two.pem", "-----BEGIN CERTIFICATE-----\n-----BEGIN TRUSTED CERTIFICATE-----\n")
            env.SSL_CERT_FILE = dir .. "/two.pem"
            is(certificates(), "ok", "DIR/two.pem (SSL_CERT_FILE): 2 certificates")
            is(certificates("--ca-file", "DIR/none.pem"), "wrong", "--ca-file: 'DIR/none.pem' contains no certificate",
                "Name a PEM bundle of certificates; on Debian it is /etc/ssl/certs/ca-certificates.crt.", "tls")
            local missing = certificates("--ca-file", "DIR/no.pem")
            is(missing, "wrong", "--ca-file: cannot read 'DIR/no.pem': No such file or directory",
                "Name a readable file.", "tls")
            assert.equal(13, missing.code)
            local _, all, order = diagnose("--ca-file", "DIR/no.pem")
            assert.same({ "wrong", "chafa" }, { all.certificates.state, order[#order] })
            os.execute(("mkdir -p '%s/spool'"):format(dir))
            env.FLUX2_SPOOL = dir .. "/spool"
            for _, name in ipairs { "task-1.json", "owner-1.lock", "task-1.json.damaged" } do
                service.write(dir .. "/spool/" .. name, "")
            end
            local _, found = diagnose "--offline"
            is(found.records, "note", "DIR/spool: 1 unfinished task", "flux2 recover --list")
            service.write(dir .. "/spool/task-2.json", "")
            _, found = diagnose "--offline"
            is(found.records, "note", "DIR/spool: 2 unfinished tasks", "flux2 recover --list")
            env.FLUX2_SPOOL, env.HOME, env.XDG_STATE_HOME = nil, nil, nil
            _, found = diagnose "--offline"
            is(found.records, "note", "paid tasks are not recorded: HOME is not set", "Set FLUX2_SPOOL.")
        end)
    end)
end)
