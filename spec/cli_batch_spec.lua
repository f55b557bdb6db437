-- flux2 batch: a list becomes a directory, nothing is paid for twice, and whatever ends a run, the next goes on.
local bound = require "support.bound"
local core = require "flux2.core"
local jsonl = require "flux2.cli.jsonl"
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

    --- Runs it over LIST, or over what `list` says, into out/.
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

    local function records() return program.records(dir .. "/out/.flux2-spool") end
    local function accepted() return program.accepted(dir .. "/out/.flux2-spool") end

    it("makes a picture for each prompt, and a manifest that tells what each is and cost", function()
        local code, out, err = batch()
        assert.equal(0, code, err)
        assert.equal("out/manifest.jsonl\n", out)
        assert.same({ "1-a-red-fox.png", "2-a-grey-heron.png", "3-a-brown-hare.png" }, program.pictures(dir .. "/out"))
        assert.matches("3 prompts: 3 to make, about 30 credits", err)
        assert.matches("3 of 3 pictures in out, 30 credits", err)
        assert.is_nil(err:find "[\27\r]")
        local lines = by_prompt()
        local fox = lines["a red fox"]
        assert.same({ "done", 1, "1-a-red-fox.png", 10, "flux-2" }, { fox.state, fox.line, fox.file, fox.credits, fox.request.model })
        assert.matches("^n41", fox.task_id)
        assert.is_true(fox.seconds > 0)
        assert.equal(3, #manifest())
        for _, name in ipairs(service.list(dir .. "/out")) do assert.is_nil(name:find "lock$", name) end
    end)

    it("does nothing when started again, and only what is new in a longer list", function()
        batch()
        local code, _, err = batch()
        assert.equal(0, code)
        assert.matches("3 prompts: 3 done", err)
        assert.equal(3, #emu:ledger())
        assert.equal(0, (batch({}, "a white owl\n" .. LIST)))
        assert.equal(4, #emu:ledger())
        assert.equal("a white owl", emu:ledger()[4].prompt)
        assert.equal(4, #program.pictures(dir .. "/out"))
    end)

    it("tells each failure in a line, makes the failed ones again, and the refused ones only when told to", function()
        local code, _, err = batch({}, "a red fox\na hare [fail]\nan owl [moderate]\n")
        assert.equal(1, code)
        assert.matches("failed line 2: task_failed: .-\"a hare %[fail%]\"\n", err)
        assert.matches("failed line 3: moderated: ", err)
        assert.equal(3, #emu:ledger())
        emu:set { failure_word = "" }
        code, _, err = batch()
        assert.equal(10, code)
        assert.matches("1 done, 1 refused before %(%-%-retry%-refused%), 1 to make", err)
        assert.equal("a hare [fail]", emu:ledger()[4].prompt)
        emu:set { moderation_word = "" }
        assert.equal(0, (batch { "--retry-refused" }))
        assert.equal(5, #emu:ledger())
        assert.equal(3, #manifest())
    end)

    it("takes up what it paid for after it was killed", function()
        emu:set { duration = 60 }
        write("list.txt", LIST .. "a white owl\nan otter\n")
        program.abandon(emu, dir, { "batch", "list.txt", "--out", "out", "--concurrency", "3" }, dir .. "/out/.flux2-spool", 3)
        emu:finish()
        emu:set { duration = 0.02 }
        -- What a kill at another moment would have left beside it.
        write("out/.1-a-red-fox.png.0123456789abcdef.part", "half")
        write("out/.1-a-red-fox.name", "")
        local code, _, err = batch()
        assert.equal(0, code, err)
        for _, name in ipairs(service.list(dir .. "/out")) do
            assert.is_true(name:sub(1, 1) ~= "." or name == ".flux2-spool", name)
        end
        assert.matches("5 prompts: 3 paid and to be fetched, 2 to make, about 20 credits", err)
        assert.equal(5, #emu:ledger())
        assert.equal(5, #program.pictures(dir .. "/out"))
        assert.same({}, records())
    end)

    it("fetches again, for nothing, what a crash left between the picture and its line", function()
        batch()
        local lines, out = manifest(), {}
        for i, line in ipairs(lines) do
            if i == 3 then
                -- What is on disk then: the line from before the picture was saved, and half of the one after.
                out[#out + 1] = jsonl.encode { state = "ready", line = line.line, prompt = line.prompt, request = line.request,
                    task_id = line.task_id, credits = 10, stem = line.file:gsub("%.png", "") }
                out[#out + 1] = jsonl.encode(line):sub(1, 40)
            else
                out[#out + 1] = jsonl.encode(line)
            end
        end
        for _, case in ipairs { { "3 prompts: 3 done", 0 }, { "2 done, 1 paid and to be fetched", 2 } } do
            write("out/manifest.jsonl", table.concat(out, "\n"))
            if case[2] > 0 then os.remove(dir .. "/out/" .. lines[3].file) end
            local before = emu:stats().requests
            local code, _, err = batch()
            assert.equal(0, code, err)
            assert.matches(case[1], err)
            assert.equal(case[2], emu:stats().requests - before)
            assert.equal(3, #emu:ledger())
            assert.equal(3, #program.pictures(dir .. "/out"))
            local again = manifest()
            assert.equal(3, #again)
            for _, line in ipairs(again) do
                assert.equal("done", line.state)
                assert.truthy(service.read(dir .. "/out/" .. line.file))
            end
        end
    end)

    it("fetches again what somebody deleted, and pays for it only with --remake", function()
        batch()
        os.remove(dir .. "/out/1-a-red-fox.png")
        local code, _, err = batch()
        assert.equal(0, code)
        assert.matches("2 done, 1 paid and to be fetched", err)
        assert.equal(3, #emu:ledger())
        os.remove(dir .. "/out/1-a-red-fox.png")
        emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 2, status = 404, body = "{}" }
        for _ = 1, 2 do -- nor does a service that has forgotten it make it a picture to be paid for
            code, _, err = batch()
            assert.equal(7, code)
            assert.matches("%-%-remake makes it anew", err)
        end
        assert.equal(3, #emu:ledger())
        assert.equal(0, (batch { "--remake" }))
        assert.equal(4, #emu:ledger())
        assert.equal(3, #program.pictures(dir .. "/out"))
    end)

    it("never submits again by itself what may have been accepted", function()
        emu:fault { method = "POST", nth = 1, reset = "after" }
        local code, _, err = batch({ "--concurrency", "1" })
        assert.equal(19, code)
        assert.matches("unknown line 1: unknown_outcome", err)
        assert.equal(3, #emu:ledger())
        code, _, err = batch()
        assert.equal(19, code)
        assert.matches("2 done, 1 of unknown outcome", err)
        assert.matches("unknown line 1: it may have been accepted and paid for, so it is not submitted again", err)
        assert.equal(3, #emu:ledger())
        assert.equal(0, (batch { "--resubmit-unknown" }))
        assert.equal(4, #emu:ledger())
        assert.same({}, records())
        assert.equal(0, (batch()))
    end)

    it("keeps a budget, over all runs into a directory", function()
        local code, _, err = batch({ "--budget", "25" })
        assert.equal(5, code)
        assert.matches("Stopped after this; 1 picture was not submitted", err)
        assert.equal(2, #emu:ledger())
        code, _, err = batch({ "--budget", "25" })
        assert.equal(5, code)
        assert.matches("Earlier runs spent 20 credits of the budget of 25 credits", err)
        assert.equal(2, #emu:ledger())
        assert.equal(0, (batch { "--budget", "30" }))
        assert.equal(3, #emu:ledger())
    end)

    it("keeps a budget where there is no price only with --price", function()
        local flex = { "--type", "flex", "--resolution", "2K", "--budget", "100" }
        local code, _, err = batch(flex)
        assert.equal(5, code)
        assert.matches("publishes no price for flex at 2K", err)
        assert.equal(0, #emu:ledger())
        flex[#flex + 1], flex[#flex + 2] = "--price", "40"
        assert.equal(5, (batch(flex)))
        assert.equal(2, #emu:ledger())
    end)

    it("tells every bad line before it sends anything", function()
        local code, out, err = batch({}, "a red fox\nx\na hare\n" .. ("y"):rep(5001) .. "\n")
        assert.same({ 2, "" }, { code, out })
        assert.matches("2 lines cannot be used, and nothing was sent", err)
        assert.matches("\n  line 2: prompt must have 3 to 5000 characters, has 1\n", err)
        assert.matches("\n  line 4: prompt must have 3 to 5000 characters, has 5001\n", err)
        assert.equal(0, emu:stats().requests)
        assert.equal(2, (batch({}, "# nothing\n")))
        assert.equal(20, (program.run(emu, dir, { "batch", "missing.txt" })))
    end)

    it("takes JSON Lines from stdin, with fields and file names of their own", function()
        local code, _, err = program.run(emu, dir, { "batch", "-", "--out", "out", "--type", "flex" }, {
            stdin = '{"prompt":"a fox","file":"fox.png","aspect_ratio":"16:9"}\n{"prompt":"a hare","type":"pro"}\n',
        })
        assert.equal(0, code, err)
        assert.same({ "2-a-hare.png", "fox.png" }, program.pictures(dir .. "/out"))
        local asked = {}
        for _, entry in ipairs(emu:ledger()) do asked[entry.prompt] = { entry.type, entry.aspect_ratio } end
        assert.same({ "flex", "16:9" }, asked["a fox"])
        assert.equal("pro", asked["a hare"][1])
    end)

    it("overwrites no file of somebody else", function()
        os.execute("mkdir " .. dir .. "/out")
        write("out/fox.png", "mine")
        write("list.jsonl", '{"prompt":"a fox","file":"fox.png"}\n')
        local code, _, err = program.run(emu, dir, { "batch", "list.jsonl", "--out", "out" })
        assert.equal(2, code)
        assert.matches("line 1: fox.png is there already", err)
        assert.equal("mine", service.read(dir .. "/out/fox.png"))
        assert.equal(0, #emu:ledger())
        write("out/1-a-red-fox.webp", "mine too")
        assert.equal(0, (batch()))
        assert.same({ "1-a-red-fox-2.png", "1-a-red-fox.webp", "2-a-grey-heron.png", "3-a-brown-hare.png", "fox.png" },
            program.pictures(dir .. "/out"))
        assert.equal("mine too", service.read(dir .. "/out/1-a-red-fox.webp"))
    end)

    it("makes what stands there twice twice, or once with --unique", function()
        local code, _, err = batch({ "--unique" }, "a fox\na hare\na fox\n")
        assert.equal(0, code)
        assert.matches("1 line asks for what a line before asks for: passed over", err)
        assert.equal(2, #emu:ledger())
        assert.equal(0, (batch()))
        assert.equal(3, #emu:ledger())
        assert.equal(0, (batch()))
        assert.equal(3, #emu:ledger())
    end)

    it("tells the plan with --dry-run, and submits nothing", function()
        local code, out, err = batch({ "--dry-run", "--resolution", "2K" })
        assert.same({ 0, "" }, { code, out })
        assert.matches("3 prompts: 3 to make, about 60 credits\n", err)
        assert.equal(0, emu:stats().requests)
    end)

    it("lets only one program work in a directory", function()
        emu:set { duration = 60 }
        write("list.txt", LIST)
        local pid = program.start(emu, dir, { "batch", "list.txt", "--out", "out" })
        program.until_(function() return #emu:ledger() == 3 end)
        local code, _, err = batch()
        program.stop(pid, "KILL")
        assert.equal(20, code)
        assert.matches("another flux2 batch is at work in 'out'", err)
        assert.equal(3, #emu:ledger())
    end)

    it("fetches what an earlier list paid for, beside what is new", function()
        emu:set { duration = 60 }
        write("list.txt", "a red fox\n")
        program.abandon(emu, dir, { "batch", "list.txt", "--out", "out" }, dir .. "/out/.flux2-spool")
        emu:finish()
        emu:set { duration = 0.02 }
        local code, _, err = batch({}, "a grey heron\n")
        assert.equal(0, code)
        assert.matches("1 prompt: 1 paid and to be fetched %(1 of another list%), 1 to make", err)
        assert.same({ "1-a-grey-heron.png", "a-red-fox.png" }, program.pictures(dir .. "/out"))
        assert.equal(0, (batch({}, "a red fox\na grey heron\n")))
        assert.equal(2, #emu:ledger())
    end)

    it("outlasts a service that asks to slow down", function()
        emu:fault { method = "POST", times = 5, status = 429, retry_after = 0, body = "slow down" }
        local code, _, err = batch({ "--concurrency", "1" })
        assert.equal(0, code, err)
        assert.equal(3, #emu:ledger())
    end)

    it("stops when nothing can go well any more", function()
        emu:set { credits = 15 }
        local code, _, err = batch({ "--concurrency", "1" })
        assert.equal(4, code)
        assert.matches("1 of 3 pictures in out, 2 not made", err)
        assert.equal(1, #emu:ledger())
        local status = program.run(emu, dir, { "batch", "list.txt", "--out", "out" }, { env = { FLUX2_API_KEY = "aio_wrong" } })
        assert.equal(3, status)
        assert.equal(1, #emu:ledger())
    end)

    it("stops after some failures in a row that are nobody's prompt's fault", function()
        local list = {}
        for i = 1, 20 do list[i] = "picture number " .. i end
        emu:fault { method = "POST", times = 1000, status = 500, accept = false, body = '{"error":{"message":"no"}}' }
        local code, _, err = batch({ "--concurrency", "1" }, table.concat(list, "\n"))
        assert.is_true(code == 11 or code == 19, err)
        assert.matches("not submitted", err)
        assert.is_true(emu:stats().requests < 20)
    end)

    it("speaks JSON: a line for each picture as in the manifest, and a summary", function()
        local code, out, err = batch({ "--json" }, "a red fox\na hare [fail]\n")
        assert.same({ 9, "" }, { code, err })
        local lines = program.json_lines(out)
        assert.equal(3, #lines)
        local states = {}
        for _, line in ipairs(lines) do states[line.state] = line end
        assert.equal("1-a-red-fox.png", states.done.file)
        assert.equal("task_failed", states.failed.error.kind)
        assert.same({ 1, 2, 1, 20 }, { states.summary.pictures, states.summary.wanted, states.summary.failed, states.summary.credits })
    end)

    it("ends by one interrupt when its tasks have ended, and by two at once", function()
        emu:set { duration = 60 }
        write("list.txt", LIST)
        local pid = program.start(emu, dir, { "batch", "list.txt", "--out", "out", "--concurrency", "2" })
        program.until_(function() return accepted() == 2 end)
        os.execute("kill -INT " .. pid)
        program.until_(function() return service.read(dir .. "/.stderr"):find "Stopping" end)
        emu:finish()
        program.until_(function() return service.read(dir .. "/.stdout"):find "manifest" end)
        local err = service.read(dir .. "/.stderr")
        assert.matches("2 tasks are still running, and paid for:\n  %S[^\n]*\"a red fox\"\n  %S[^\n]*\"a grey heron\"\n", err)
        assert.matches("To go on later:\n  flux2 batch list.txt %-%-out out %-%-concurrency 2\n", err)
        assert.matches("2 of 3 pictures in out, 1 not made", err)
        assert.equal(2, #emu:ledger())

        pid = program.start(emu, dir, { "batch", "list.txt", "--out", "out" })
        program.until_(function() return #emu:ledger() == 3 and accepted() == 1 end)
        os.execute("kill -INT " .. pid)
        program.until_(function() return service.read(dir .. "/.stderr"):find "Stopping" end)
        local before = core.now()
        program.stop(pid, "INT")
        assert.is_true(core.now() - before < bound(5))
        assert.matches("Left. 1 task goes on", service.read(dir .. "/.stderr"))
        emu:finish()
        assert.equal(0, (batch()))
        assert.equal(3, #emu:ledger())
        assert.equal(3, #program.pictures(dir .. "/out"))
    end)
end)
