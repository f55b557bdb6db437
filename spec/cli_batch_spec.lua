-- flux2 batch: generates the images of a list into a directory, pays for none twice, can be interrupted and resumed.
-- Takes more than ten seconds: about a hundred programs are started one after another.
local bound = require "support.bound"
local core = require "flux2.core"
local json = require "flux2.json"
local jsonl = require "flux2.cli.jsonl"
local png = require "support.png"
local program = require "support.program"
local service = require "support.service"

local LIST = "a red fox\na grey heron\na brown hare\n"

describe("flux2 batch", function()
    local dir, emu
    before_each(function()
        dir = service.directory()
        emu = service.start()
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local function write(name, bytes) service.write(dir .. "/" .. name, bytes) end

    --- Runs the command with LIST, or with the text `list`, and writes into out/.
    local function batch(words, list)
        if list or not service.exists(dir .. "/list.txt") then write("list.txt", list or LIST) end
        local all = { "batch", "list.txt", "--out", "out" }
        for _, word in ipairs(words or {}) do all[#all + 1] = word end
        return program.run(emu, dir, all)
    end

    local function manifest() return program.json_lines(service.read(dir .. "/out/manifest.jsonl")) end

    local function by_prompt()
        local lines = {}
        for _, line in ipairs(manifest()) do lines[line.prompt] = line end
        return lines
    end

    it("writes into its folder only, whatever the manifest says", function()
        for _, field in ipairs { "stem", "file", "was" } do
            assert.equal(0, batch(nil, "a red " .. field .. "\n"))
            local line = manifest()[1]
            os.remove(dir .. "/out/" .. line.file)
            line.state, line.file, line[field] = field == "stem" and "ready" or "done", nil, "../evil"
            service.write(dir .. "/out/manifest.jsonl", jsonl.encode(line) .. "\n")
            service.write(dir .. "/evil.png", "of another program")
            local sold = #emu:ledger()
            batch(nil, "a red " .. field .. "\n")
            assert.equal("of another program", service.read(dir .. "/evil.png"))
            local now = manifest()[1]
            assert.is_nil(now.file:find("/", 1, true))
            assert.same({ "done", true, sold },
                { now.state, service.exists(dir .. "/out/" .. now.file), #emu:ledger() })
            os.execute("rm -rf '" .. dir .. "'/out")
        end
    end)

    it("refuses a list without an end", function()
        local out = program.run(emu, dir, { "batch", "/dev/zero", "--format", "txt", "--out", "out" })
        assert.equal(20, out)
        assert.equal(0, emu:stats().requests)
    end)

    local function records() return program.records(dir .. "/out/.flux2-spool") end
    local function accepted() return program.accepted(dir .. "/out/.flux2-spool") end

    it("generates an image for each prompt, and a manifest with the facts and costs of each", function()
        local code, out, err = batch()
        assert.equal(0, code, err)
        assert.equal("out/manifest.jsonl\n", out)
        assert.same({ "1-a-red-fox.png", "2-a-grey-heron.png", "3-a-brown-hare.png" }, program.images(dir .. "/out"))
        assert.matches("3 prompts: 3 to generate, about 30 credits", err)
        assert.matches("3 of 3 images in out, 30 credits", err)
        assert.is_nil(err:find "[\27\r]")
        local lines = by_prompt()
        local fox = lines["a red fox"]
        assert.same({ "done", 1, "1-a-red-fox.png", 10, "flux-2" },
            { fox.state, fox.line, fox.file, fox.credits, fox.request.model })
        assert.matches("^n41", fox.task_id)
        assert.is_true(fox.seconds > 0)
        assert.equal(3, #manifest())
        for _, name in ipairs(service.list(dir .. "/out")) do assert.is_nil(name:find "lock$", name) end
    end)

    it("does nothing on a second run, and generates only the new prompts of a longer list", function()
        batch()
        local code, _, err = batch()
        assert.equal(0, code)
        assert.matches("3 prompts: 3 done", err)
        assert.equal(3, #emu:ledger())
        assert.equal(0, (batch({}, "a white owl\n" .. LIST)))
        assert.equal(4, #emu:ledger())
        assert.equal("a white owl", emu:ledger()[4].prompt)
        assert.equal(4, #program.images(dir .. "/out"))
    end)

    it("reports each failure in one line, retries failed tasks, and refused ones only with --retry-refused", function()
        local code, _, err = batch({}, "a red fox\na hare [fail]\nan owl [moderate]\n")
        assert.equal(1, code)
        assert.matches("failed line 2: task_failed: .-\"a hare %[fail%]\"\n", err)
        assert.matches("failed line 3: moderated: ", err)
        assert.equal(3, #emu:ledger())
        emu:set { failure_word = "" }
        code, _, err = batch()
        assert.equal(10, code)
        assert.matches("1 done, 1 refused %(%-%-retry%-refused%), 1 to generate", err)
        assert.equal("a hare [fail]", emu:ledger()[4].prompt)
        emu:set { moderation_word = "" }
        assert.equal(0, (batch { "--retry-refused" }))
        assert.equal(5, #emu:ledger())
        assert.equal(3, #manifest())
    end)

    it("resumes its paid tasks after a kill", function()
        emu:set { duration = 60 }
        write("list.txt", LIST .. "a white owl\nan otter\n")
        program.abandon(emu, dir, { "batch", "list.txt", "--out", "out", "--concurrency", "3" },
            dir .. "/out/.flux2-spool", 3)
        emu:finish()
        emu:set { duration = 0.02 }
        -- Files that a kill at another moment leaves behind.
        write("out/.1-a-red-fox.png.0123456789abcdef.part", "half")
        write("out/.1-a-red-fox.name", "")
        local code, _, err = batch()
        assert.equal(0, code, err)
        for _, name in ipairs(service.list(dir .. "/out")) do
            assert.is_true(name:sub(1, 1) ~= "." or name == ".flux2-spool", name)
        end
        assert.matches("5 prompts: 3 to download, 2 to generate, about 20 credits", err)
        assert.equal(5, #emu:ledger())
        assert.equal(5, #program.images(dir .. "/out"))
        assert.same({}, records())
    end)

    it("downloads again, without payment, after a crash between saving the image and writing its line", function()
        batch()
        local lines, out = manifest(), {}
        for i, line in ipairs(lines) do
            if i == 3 then
                -- State on disk: the line from before the image was saved, and half of the next line.
                out[#out + 1] = jsonl.encode { state = "ready", line = line.line, prompt = line.prompt,
                    request = line.request,
                    task_id = line.task_id, credits = 10, stem = line.file:gsub("%.png", "") }
                out[#out + 1] = jsonl.encode(line):sub(1, 40)
            else
                out[#out + 1] = jsonl.encode(line)
            end
        end
        for _, case in ipairs { { "3 prompts: 3 done", 0 }, { "2 done, 1 to download", 2 } } do
            write("out/manifest.jsonl", table.concat(out, "\n"))
            if case[2] > 0 then os.remove(dir .. "/out/" .. lines[3].file) end
            local before = emu:stats().requests
            local code, _, err = batch()
            assert.equal(0, code, err)
            assert.matches(case[1], err)
            assert.equal(case[2], emu:stats().requests - before)
            assert.equal(3, #emu:ledger())
            assert.equal(3, #program.images(dir .. "/out"))
            local again = manifest()
            assert.equal(3, #again)
            for _, line in ipairs(again) do
                assert.equal("done", line.state)
                assert.truthy(service.read(dir .. "/out/" .. line.file))
            end
        end
    end)

    it("replaces the file of a killed run, although a download failed in between", function()
        batch()
        local lines = manifest()
        local line = lines[3]
        local stem = line.file:gsub("%.png", "")
        lines[3] = { state = "ready", line = line.line, prompt = line.prompt, request = line.request,
            task_id = line.task_id, credits = 10, stem = stem }
        lines[4] = { state = "failed", line = line.line, prompt = line.prompt, request = line.request,
            task_id = line.task_id, credits = 10, error = { kind = "timeout", message = "late", paid = true } }
        for i, each in ipairs(lines) do lines[i] = jsonl.encode(each) end
        write("out/manifest.jsonl", table.concat(lines, "\n") .. "\n")
        local code, _, err = batch()
        assert.equal(0, code, err)
        assert.equal(3, #emu:ledger())
        assert.equal(3, #program.images(dir .. "/out"))
        assert.equal(stem .. ".png", by_prompt()[line.prompt].file)
    end)

    it("downloads deleted images again, and pays for them again only with --remake", function()
        batch()
        os.remove(dir .. "/out/1-a-red-fox.png")
        local code, _, err = batch()
        assert.equal(0, code)
        assert.matches("2 done, 1 to download", err)
        assert.equal(3, #emu:ledger())
        os.remove(dir .. "/out/1-a-red-fox.png")
        emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 1000, status = 404, body = "{}" }
        for _ = 1, 2 do -- an unknown task is not a reason to pay again
            code, _, err = batch()
            assert.equal(7, code)
            assert.matches("%-%-remake generates and pays for a new image", err)
        end
        assert.equal(3, #emu:ledger())
        emu:clear_faults()
        assert.equal(0, (batch { "--remake" }))
        assert.equal(4, #emu:ledger())
        assert.equal(3, #program.images(dir .. "/out"))
    end)

    it("does not resubmit a submission of unknown outcome by default", function()
        emu:fault { method = "POST", nth = 1, reset = "after" }
        local code, _, err = batch({ "--concurrency", "1" })
        assert.equal(19, code)
        assert.matches("unknown line 1: unknown_outcome", err)
        assert.equal(3, #emu:ledger())
        code, _, err = batch()
        assert.equal(19, code)
        assert.matches("2 done, 1 of unknown outcome", err)
        assert.matches("unknown line 1: it may have been accepted and paid for, and is not submitted again", err)
        assert.equal(3, #emu:ledger())
        assert.equal(0, (batch { "--resubmit-unknown" }))
        assert.equal(4, #emu:ledger())
        assert.same({}, records())
        assert.equal(0, (batch()))
    end)

    it("applies a budget to all runs in a directory", function()
        local code, _, err = batch({ "--budget", "25" })
        assert.equal(5, code)
        assert.matches("1 image was not submitted", err)
        assert.equal(2, #emu:ledger())
        code, _, err = batch({ "--budget", "25" })
        assert.equal(5, code)
        assert.matches("Earlier runs spent 20 credits of the budget of 25 credits", err)
        assert.equal(2, #emu:ledger())
        assert.equal(0, (batch { "--budget", "30" }))
        assert.equal(3, #emu:ledger())
    end)

    it("needs --price for a budget when the service publishes no price", function()
        local flex = { "--type", "flex", "--resolution", "2K", "--budget", "100" }
        local code, _, err = batch(flex)
        assert.equal(5, code)
        assert.matches("publishes no price for flex at 2K", err)
        assert.equal(0, #emu:ledger())
        flex[#flex + 1], flex[#flex + 2] = "--price", "40"
        assert.equal(5, (batch(flex)))
        assert.equal(2, #emu:ledger())
    end)

    it("reports every invalid line before it sends anything", function()
        local code, out, err = batch({}, "a red fox\nx\na hare\n" .. ("y"):rep(5001) .. "\n")
        assert.same({ 2, "" }, { code, out })
        assert.matches("2 lines are invalid; nothing was sent", err)
        assert.matches("\n  line 2: prompt must have 3 to 5000 characters, has 1\n", err)
        assert.matches("\n  line 4: prompt must have 3 to 5000 characters, has 5001\n", err)
        assert.equal(0, emu:stats().requests)
        assert.equal(2, (batch({}, "# nothing\n")))
        assert.equal(20, (program.run(emu, dir, { "batch", "missing.txt" })))
    end)

    it("reads the format given by --format for any file name, and calls piped input stdin", function()
        service.write(dir .. "/list.txt", '{"prompt":"a fox in a list"}\n')
        assert.equal(0, (program.run(emu, dir, { "batch", "list.txt", "--format", "jsonl" })))
        local ledger = emu:ledger()
        assert.equal("a fox in a list", ledger[#ledger].prompt)
        local code, _, err = program.run(emu, dir, { "batch", "-" }, { stdin = "a fox\nno\n" })
        assert.equal(2, code)
        assert.truthy(err:find("stdin: 1 line is invalid; nothing was sent", 1, true), err)
        assert.equal(#ledger, #emu:ledger())
    end)

    it("reads JSON Lines from stdin, with request fields and file names", function()
        local code, _, err = program.run(emu, dir, { "batch", "-", "--out", "out", "--type", "flex" }, {
            stdin = '{"prompt":"a fox","file":"fox.png","aspect_ratio":"16:9"}\n{"prompt":"a hare","type":"pro"}\n',
        })
        assert.equal(0, code, err)
        assert.same({ "2-a-hare.png", "fox.png" }, program.images(dir .. "/out"))
        local asked = {}
        for _, entry in ipairs(emu:ledger()) do asked[entry.prompt] = { entry.type, entry.aspect_ratio } end
        assert.same({ "flex", "16:9" }, asked["a fox"])
        assert.equal("pro", asked["a hare"][1])
    end)

    it("does not overwrite a file that it did not create", function()
        os.execute("mkdir " .. dir .. "/out")
        write("out/fox.png", "mine")
        write("list.jsonl", '{"prompt":"a fox","file":"fox.png"}\n')
        local code, _, err = program.run(emu, dir, { "batch", "list.jsonl", "--out", "out" })
        assert.equal(2, code)
        assert.matches("line 1: fox.png already exists", err)
        assert.equal("mine", service.read(dir .. "/out/fox.png"))
        assert.equal(0, #emu:ledger())
        write("out/1-a-red-fox.webp", "mine too")
        assert.equal(0, (batch()))
        assert.same({ "1-a-red-fox-2.png", "1-a-red-fox.webp", "2-a-grey-heron.png", "3-a-brown-hare.png", "fox.png" },
            program.images(dir .. "/out"))
        assert.equal("mine too", service.read(dir .. "/out/1-a-red-fox.webp"))
    end)

    it("generates duplicate prompts once per line, or once in total with --unique", function()
        local code, _, err = batch({ "--unique" }, "a fox\na hare\na fox\n")
        assert.equal(0, code)
        assert.matches("1 line repeats an earlier line: skipped", err)
        assert.equal(2, #emu:ledger())
        assert.equal(0, (batch()))
        assert.equal(3, #emu:ledger())
        assert.equal(0, (batch()))
        assert.equal(3, #emu:ledger())
    end)

    it("prints the plan with --dry-run, and submits nothing", function()
        local code, out, err = batch({ "--dry-run", "--resolution", "2K" })
        assert.same({ 0, "" }, { code, out })
        assert.matches("3 prompts: 3 to generate, about 60 credits\n", err)
        assert.equal(0, emu:stats().requests)
    end)

    it("allows only one program per directory", function()
        emu:set { duration = 60 }
        write("list.txt", LIST)
        local pid = program.start(emu, dir, { "batch", "list.txt", "--out", "out" })
        program.until_(function() return #emu:ledger() == 3 end)
        local code, _, err = batch()
        program.stop(pid, "KILL")
        assert.equal(20, code)
        assert.matches("another flux2 batch is running in 'out'", err)
        assert.equal(3, #emu:ledger())
    end)

    it("downloads what an earlier list paid for, in addition to the new prompts", function()
        emu:set { duration = 60 }
        write("list.txt", "a red fox\n")
        program.abandon(emu, dir, { "batch", "list.txt", "--out", "out" }, dir .. "/out/.flux2-spool")
        emu:finish()
        emu:set { duration = 0.02 }
        local code, _, err = batch({}, "a grey heron\n")
        assert.equal(0, code)
        assert.matches("1 prompt: 1 to download %(1 from another list%), 1 to generate", err)
        assert.same({ "1-a-grey-heron.png", "a-red-fox.png" }, program.images(dir .. "/out"))
        assert.equal(0, (batch({}, "a red fox\na grey heron\n")))
        assert.equal(2, #emu:ledger())
    end)

    it("stops paying when consecutive downloads fail, and downloads those images in a later run", function()
        local list = {}
        for i = 1, 12 do list[i] = "image number " .. i end
        emu:fault { path = "/images/*", times = 1000, status = 403, body = "blocked" }
        for run = 1, 3 do
            local code, _, err = batch({ "--concurrency", "1" }, table.concat(list, "\n"))
            assert.equal(7, code, err)
            assert.equal(3, #emu:ledger(), "run " .. run)
            assert.matches("It is paid for: run the same command to download it", err)
            assert.matches("9 images? were not submitted", err)
            assert.matches("3 images in a row are paid for and could not be downloaded. The next run retries "
                .. "them.", err)
        end
        emu:clear_faults()
        assert.equal(0, (batch()))
        assert.equal(12, #emu:ledger())
        assert.equal(12, #program.images(dir .. "/out"))
        assert.same({}, records())
    end)

    it("pays again only if the service itself reports that the task is gone", function()
        for _, fault in ipairs {
            { path = "/images/*", status = 404, body = "" }, { path = "/images/*", body = "<html>not yet</html>" },
            { path = "/images/*", status = 418, body = "tea" }, { path = "/images/*", reset = "before" },
            { path = "/api/v1/tasks/*", status = 404, body = "{}" },
            { path = "/api/v1/tasks/*", status = 422, body = "no" },
            { path = "/api/v1/tasks/*", body = '{"code":500,"message":"broken"}' },
        } do
            service.remove(dir .. "/out")
            local before = #emu:ledger()
            fault.times = 1000
            emu:fault(fault)
            for _ = 1, 2 do
                local code, _, err = batch({ "--timeout", "20" }, "a red fox")
                assert.is_true(code ~= 0, err)
                assert.equal(before + 1, #emu:ledger(), err)
                local line = manifest()[1]
                assert.same({ "failed", true, 10, emu:ledger()[before + 1].task_id },
                    { line.state, line.error.paid, line.credits, line.task_id })
            end
            -- A killed run may leave only the record, or only the line.
            if fault.path == "/images/*" then service.remove(dir .. "/out/.flux2-spool") end
            emu:clear_faults()
            local code, _, err = batch()
            assert.equal(0, code, err)
            assert.equal(before + 1, #emu:ledger())
        end
    end)

    it("counts all payments against the budget: failed tasks, remade images and unknown outcomes", function()
        for _, case in ipairs {
            { prompt = "a fox [fail]" }, { prompt = "an owl [moderate]", "--retry-refused" },
            { prompt = "a red fox", "--remake", gone = true },
            { prompt = "a red fox", "--resubmit-unknown", fault = { reset = "after" } },
        } do
            service.remove(dir .. "/out")
            local before = #emu:ledger()
            for _ = 1, 5 do
                if case.fault then emu:fault { method = "POST", reset = case.fault.reset, times = 1 } end
                batch({ "--budget", "25", case[1] }, case.prompt)
                if case.gone then os.execute("rm -f '" .. dir .. "'/out/*.png") end
            end
            emu:clear_faults()
            assert.equal(2, #emu:ledger() - before, case.prompt)
            local code, _, err = batch({ "--budget", "25", case[1] }, case.prompt)
            assert.equal(5, code, err)
            assert.matches("Earlier runs spent 20 credits of the budget of 25 credits", err)
            assert.equal(1, #manifest(), "one line for each image")
            assert.equal(1, #manifest()[1].earlier)
        end
    end)

    it("reports in advance which images --remake pays for", function()
        batch()
        os.remove(dir .. "/out/1-a-red-fox.png")
        local code, _, err = batch { "--remake", "--dry-run" }
        assert.equal(0, code)
        assert.matches("%-%-remake pays again for 1 image: about 10 credits%.\n", err)
        assert.equal(3, #emu:ledger())
        emu:fault { path = "/images/*", times = 1000, status = 403, body = "blocked" }
        batch({}, "an otter\n")
        emu:clear_faults()
        emu:fault { path = "/api/v1/tasks/*", times = 2, status = 404, body = "{}" }
        code, _, err = batch { "--remake", "--quiet", "--patience", "20" }
        assert.equal(0, code, err)
        assert.matches("%-%-remake pays again for 1 image: about 10 credits%.\n", err)
        assert.equal(5, #emu:ledger())
        assert.same({}, records())
        assert.equal(20, manifest()[4].credits + manifest()[4].earlier[1].credits)
    end)

    it("renames an image whose name in the list has changed, also in a chain, without payment", function()
        local function lists(...)
            local lines = {}
            for i, name in ipairs { ... } do
                lines[i] = ('{"prompt":"prompt number %d","file":"%s.png"}'):format(i, name)
            end
            service.write(dir .. "/list.jsonl", table.concat(lines, "\n"))
            return program.run(emu, dir, { "batch", "list.jsonl", "--out", "out" })
        end
        local function sizes()
            local list = {}
            for _, line in ipairs(manifest()) do list[#list + 1] = line.prompt:match "%d" .. line.file end
            table.sort(list)
            return table.concat(list, " ")
        end
        emu:set { image_bytes = 601 }
        assert.equal(0, (lists("one")))
        emu:set { image_bytes = 602 }
        assert.equal(0, (lists("one", "two")))
        local code, _, err = lists("two", "three")
        assert.equal(0, code, err)
        assert.matches("2 prompts: 2 done, 2 to rename", err)
        assert.equal("1two.png 2three.png", sizes())
        local function size(name) return #png.without_metadata(service.read(dir .. "/out/" .. name)) end
        assert.same({ 601, 602 }, { size "two.png", size "three.png" })
        -- The unchanged name of another image is refused.
        code, _, err = lists("three", "two")
        assert.equal(2, code)
        assert.matches("three.png already exists", err)
        assert.equal("1two.png 2three.png", sizes())
        -- A run killed between writing the line and renaming leaves the file under its old name.
        local lines = manifest()
        lines[1].was, lines[1].file = "two.png", "four.png"
        service.write(dir .. "/out/manifest.jsonl", jsonl.encode(lines[1]) .. "\n" .. jsonl.encode(lines[2]) .. "\n")
        assert.equal(0, (lists("four", "three")))
        assert.same({ "four.png", "three.png" }, program.images(dir .. "/out"))
        assert.equal(2, #emu:ledger())
        assert.equal(0, (lists("four", "three", "two")))
        assert.equal(3, #emu:ledger())
    end)

    it("reads arrays, tables and all line endings, and names the format that it cannot read", function()
        for name, bytes in pairs {
            ["list.json"] = '["a red fox", {"prompt": "a grey heron"}]',
            ["list.csv"] = 'prompt,type\n"a red fox",flex\na grey heron,\n',
            ["mac.txt"] = "a red fox\ra grey heron\r",
        } do
            write(name, bytes)
            local before = #emu:ledger()
            local code, _, err = program.run(emu, dir, { "batch", name, "--out", name .. ".out" })
            assert.equal(0, code, err)
            local submitted = {}
            for i = before + 1, #emu:ledger() do submitted[#submitted + 1] = emu:ledger()[i].prompt end
            table.sort(submitted)
            assert.same({ "a grey heron", "a red fox" }, submitted)
        end
        local before = #emu:ledger()
        for name, case in pairs {
            ["list.yaml"] = { "- a red fox\n", "'list.yaml' does not end in" },
            ["list.xlsx"] = { "PK\0\1", "contains NUL bytes" },
            ["utf16.txt"] = { "\255\254a\0", "is UTF%-16" },
            ["bad.json"] = { '{"prompts":["a fox"]}', "line 1: expected a JSON array" },
            ["bad.csv"] = { "id,prompt\n1,a fox\n", "line 1: column 'id' is not a field" },
            ["none.csv"] = { "a fox\na hare\n", "one of them must be prompt" },
        } do
            write(name, case[1])
            local code, _, err = program.run(emu, dir, { "batch", name })
            assert.equal(2, code, err)
            assert.matches(case[2], err)
        end
        assert.equal(before, #emu:ledger())
    end)

    it("sends the additional fields of a list, and resumes", function()
        local list = '{"prompt":"a red fox","extra":{"seed":7,"note":"x"}}\n"a grey heron"\n'
        local function run(...)
            write("list.jsonl", list)
            return program.run(emu, dir, { "batch", "list.jsonl", "--out", "out", "--concurrency", "1", ... })
        end
        emu:set { duration = 60 }
        write("list.jsonl", list)
        program.abandon(emu, dir, { "batch", "list.jsonl", "--out", "out" }, dir .. "/out/.flux2-spool", 2)
        emu:set { duration = 0.02 }
        emu:finish()
        local code, _, err = run()
        assert.equal(0, code, err)
        assert.equal(0, (run "--dry-run"))
        local seeds = {}
        for _, entry in ipairs(emu:ledger()) do
            local body = json.decode(entry.body)
            seeds[body.prompt] = { body.seed, body.note }
        end
        assert.same({ ["a red fox"] = { 7, "x" }, ["a grey heron"] = {} }, seeds)
        assert.equal(2, #emu:ledger())
        code, _, err = run("--extra", '{"seed":8}', "--out", "other")
        assert.equal(0, code, err)
        assert.same({ 7, 8 }, { json.decode(emu:ledger()[3].body).seed, json.decode(emu:ledger()[4].body).seed })
    end)

    it("recognizes a task whose record lacks the key, which is a word of the prompt", function()
        emu:set { duration = 60, api_key = "fox" }
        write("list.txt", "a red fox\na grey heron\n")
        program.abandon(emu, dir, { "batch", "list.txt", "--out", "out" }, dir .. "/out/.flux2-spool", 2)
        emu:set { duration = 0.02 }
        emu:finish()
        local code, _, err = batch({}, "a red fox\na grey heron\n")
        assert.equal(0, code, err)
        assert.matches("2 prompts: 2 to download\n", err)
        assert.equal(2, #emu:ledger())
    end)

    it("downloads a failed task whose error another version wrote", function()
        os.execute("mkdir -p '" .. dir .. "/out'")
        emu:set { duration = 0 }
        local task = assert(service.client(emu):submit "a red fox")
        assert(task:wait())
        write("out/manifest.jsonl", '{"state":"failed","request":{"model":"flux-2","prompt":"a red fox"},"error":"late",' ..
            '"task_id":"' .. task.id .. '"}\n')
        local code, _, err = batch({}, "a red fox\n")
        assert.equal(0, code, err)
        assert.equal(1, #emu:ledger())
    end)

    it("does not choose the name of another image of the list", function()
        write("list.jsonl", '"a red fox"\n{"prompt":"a hare","file":"1-a-red-fox.png"}\n')
        local code, _, err = program.run(emu, dir, { "batch", "list.jsonl", "--out", "out", "--concurrency", "1" })
        assert.equal(0, code, err)
        assert.same({ "1-a-red-fox-2.png", "1-a-red-fox.png" }, program.images(dir .. "/out"))
        assert.equal("1-a-red-fox.png", by_prompt()["a hare"].file)
    end)

    it("pays once for a new image whose run was killed", function()
        assert.equal(0, (batch({}, "a red fox\n")))
        os.remove(dir .. "/out/1-a-red-fox.png")
        emu:set { duration = 60 }
        program.abandon(emu, dir, { "batch", "list.txt", "--out", "out", "--remake" }, dir .. "/out/.flux2-spool")
        emu:finish()
        emu:set { duration = 0.02 }
        local code, _, err = batch { "--remake" }
        assert.equal(0, code, err)
        assert.equal(2, #emu:ledger())
        assert.equal(emu:ledger()[2].task_id, manifest()[1].task_id)
        assert.same({ "1-a-red-fox.png" }, program.images(dir .. "/out"))
        assert.same({}, records())
        assert.equal(20, manifest()[1].credits + manifest()[1].earlier[1].credits)
    end)

    it("names the command that downloads an image whose folder was removed", function()
        emu:set { duration = 60 }
        write("list.txt", "a red fox\n")
        program.start(emu, dir, { "batch", "list.txt", "--out", "out" })
        program.until_(function() return accepted() == 1 end)
        service.remove(dir .. "/out")
        emu:finish()
        program.until_(function() return program.read(dir .. "/.stdout"):find "manifest" end)
        local command = program.read(dir .. "/.stderr"):match "To download it: flux2 (task %S+ %-%-wait)\n"
        assert.equal("task " .. emu:ledger()[1].task_id .. " --wait", command)
    end)

    it("downloads the task of a record without a prompt", function()
        emu:set { duration = 60 }
        write("list.txt", "a red fox\n")
        local spool = dir .. "/out/.flux2-spool"
        program.abandon(emu, dir, { "batch", "list.txt", "--out", "out" }, spool)
        emu:finish()
        emu:set { duration = 0.02 }
        for _, name in ipairs(service.list(spool)) do
            local path = spool .. "/" .. name
            if name:find "^task" then service.write(path, (service.read(path):gsub('"prompt":"a red fox"', '"prompt":true'))) end
        end
        write("list.txt", "an otter\n")
        local code, _, err = batch()
        assert.equal(0, code, err)
        assert.same({ "1-an-otter.png", "true.png" }, program.images(dir .. "/out"))
    end)

    it("writes each line to the disk before it removes the record #preload", function()
        local library, log = service.library "disk_order", dir .. "/disk.log"
        local env = { LD_PRELOAD = library, FLUX2_TEST_PRELOAD = library, FLUX2_DISK_LOG = log }
        for prompt, status in pairs { ["a red fox"] = 0, ["a hare [fail]"] = 9 } do
            write("list.txt", prompt .. "\n")
            service.remove(log)
            local code, _, err = program.run(emu, dir, { "batch", "list.txt", "--out", "out" }, { env = env })
            assert.equal(status, code, err)
            local happened = service.read(log)
            local synced = happened:find("fsync %S*/manifest%.jsonl\n")
            assert.is_true(synced ~= nil and synced < happened:find "remove %S*/task%-", happened)
        end
    end)

    it("continues after a rate limit response", function()
        emu:fault { method = "POST", times = 5, status = 429, retry_after = 0, body = "slow down" }
        local code, _, err = batch({ "--concurrency", "1" })
        assert.equal(0, code, err)
        assert.equal(3, #emu:ledger())
    end)

    it("stops when no further submission can succeed", function()
        emu:set { credits = 15 }
        local code, _, err = batch({ "--concurrency", "1" })
        assert.equal(4, code)
        assert.matches("1 of 3 images in out, 2 not generated", err)
        assert.equal(1, #emu:ledger())
        local status = program.run(emu, dir, { "batch", "list.txt", "--out", "out" },
            { env = { FLUX2_API_KEY = "aio_wrong" } })
        assert.equal(3, status)
        assert.equal(1, #emu:ledger())
    end)

    it("stops after several consecutive failures that the prompts did not cause", function()
        local list = {}
        for i = 1, 20 do list[i] = "picture number " .. i end
        -- The failures before a success do not count.
        for _, nth in ipairs { { 1, 2 }, { 4, 1000 } } do
            emu:fault { method = "POST", nth = nth, status = 500, accept = false, body = '{"error":{"message":"no"}}' }
        end
        local code, _, err = batch({ "--concurrency", "1" }, table.concat(list, "\n"))
        assert.is_true(code == 11 or code == 19, err)
        assert.matches("14 images were not submitted", err)
        assert.equal(1, #emu:ledger())
    end)

    it("prints JSON: one line per image as in the manifest, and a summary", function()
        local code, out, err = batch({ "--json" }, "a red fox\na hare [fail]\n")
        assert.same({ 9, "" }, { code, err })
        local lines = program.json_lines(out)
        assert.equal(3, #lines)
        local states = {}
        for _, line in ipairs(lines) do states[line.state] = line end
        assert.equal("1-a-red-fox.png", states.done.file)
        assert.equal("task_failed", states.failed.error.kind)
        assert.same({ 1, 2, 1, 20 }, { states.summary.images, states.summary.wanted, states.summary.failed,
            states.summary.credits })
    end)

    it("ends after its running tasks on one interrupt, and immediately on two", function()
        emu:set { duration = 60 }
        write("list.txt", LIST)
        local pid = program.start(emu, dir, { "batch", "list.txt", "--out", "out", "--concurrency", "2" })
        program.until_(function() return accepted() == 2 end)
        os.execute("kill -INT " .. pid)
        program.until_(function() return program.read(dir .. "/.stderr"):find "Stopped submitting" end)
        emu:finish()
        program.until_(function() return program.read(dir .. "/.stdout"):find "manifest" end)
        local err = program.read(dir .. "/.stderr")
        assert.matches('2 tasks are running and paid for:\n  %S[^\n]*"a red fox"\n  %S[^\n]*"a grey heron"\n',
            err)
        assert.matches("To resume later:\n  flux2 batch list.txt %-%-out out %-%-concurrency 2\n", err)
        assert.matches("2 of 3 images in out, 1 not generated", err)
        assert.equal(2, #emu:ledger())

        pid = program.start(emu, dir, { "batch", "list.txt", "--out", "out" })
        program.until_(function() return #emu:ledger() == 3 and accepted() == 1 end)
        os.execute("kill -INT " .. pid)
        program.until_(function() return program.read(dir .. "/.stderr"):find "Stopped submitting" end)
        local before = core.now()
        program.stop(pid, "INT")
        assert.is_true(core.now() - before < bound(15))
        assert.matches("Exited. 1 task is still running", program.read(dir .. "/.stderr"))
        emu:finish()
        assert.equal(0, (batch()))
        assert.equal(3, #emu:ledger())
        assert.equal(3, #program.images(dir .. "/out"))
    end)
end)
