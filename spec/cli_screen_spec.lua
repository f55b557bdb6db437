-- The command line on a terminal: the line that lives, the picture, failures, Ctrl-C and going on.
local program = require "support.program"
local screen = require "support.screen"
local service = require "support.service"

describe("on a terminal", function()
    local dir, emu, tty
    before_each(function()
        dir = service.directory()
        emu = service.start { duration = 60 }
    end)
    after_each(function()
        if tty then tty:close() end
        tty = nil
        service.stop_all()
        service.remove(dir)
    end)

    --- A shell in which `flux2` is the program; chafa is one of ours, unless `chafa` says that there is none.
    local function open(options)
        options = options or {}
        service.write(dir .. "/chafa", "#!/bin/sh\necho chafa \"$*\"\n")
        os.execute("chmod +x " .. dir .. "/chafa")
        tty = screen.open(dir, ("flux2() { PATH=%s:$PATH %s %s \"$@\"; }"):format(dir,
            program.environment(emu, dir, options.env), program.command()), options.columns)
        return tty
    end

    it("generate draws a line with state, time, what is typical and the price, then the picture, then the path", function()
        open()
        tty:type 'flux2 generate "a red fox" -o fox.png'
        local seen = tty:wait "IN_PROGRESS +%d+ %%   %d+ s, typically 15 to 40 s   about 10 credits   n41%w+_flux2"
        assert.equal(2, select(2, seen:gsub("\n", "")) + 1)
        emu:finish()
        seen = tty:wait "fox.png\n%$ $"
        assert.is_nil(seen:find "typically")
        assert.matches("chafa %-%-size 72x22 %-%-animate off fox.png\n[^\n]*10 credits, task n41%w+_flux2\nfox.png\n", seen)
    end)

    it("shows no picture with --no-show, when quiet or as JSON", function()
        emu:set { duration = 0.02 }
        open()
        for _, flag in ipairs { "--no-show", "--quiet", "--json" } do
            tty:type("clear; flux2 generate 'a red fox' -o fox.png " .. flag .. "; echo status $?")
            local seen = tty:wait "status 0"
            assert.matches("fox.png", seen)
            assert.is_nil(seen:find "chafa")
        end
    end)

    it("keeps the line within a narrow terminal", function()
        open { columns = 30 }
        tty:type "flux2 generate 'a red fox'"
        local seen = tty:wait "IN_PROGRESS"
        for line in seen:gmatch "[^\n]+" do assert.is_true(#line <= 33, line) end -- the sign takes three bytes
        assert.equal(2, select(2, seen:gsub("\n", "")) + 1)
    end)

    it("has colours, and none with NO_COLOR", function()
        emu:set { duration = 0.02 }
        open()
        tty:type "flux2 generate 'a fox [fail]'; echo status $?"
        tty:wait "status 9"
        assert.matches("\27%[31mflux2:", tty:text(true))
        tty:close()
        open { env = { NO_COLOR = "1" } }
        tty:type "flux2 generate 'a fox [fail]'; echo status $?"
        tty:wait "status 9"
        assert.is_nil(tty:text(true):find "\27%[31m")
    end)

    it("generate leaves by Ctrl-C, and says how to get what was paid for", function()
        open()
        tty:type "flux2 generate 'a red fox'"
        tty:wait "n41%w+_flux2"
        tty:press "C-c"
        local seen = tty:wait "%-%-wait\n%$ $"
        local id = emu:ledger()[1].task_id
        assert.truthy(seen:find("Task " .. id .. " goes on, and is paid for. To fetch it:\n  flux2 task " .. id .. " --wait", 1, true))
        emu:finish()
        tty:type("clear; flux2 task " .. id .. " --wait -o fox.png; echo status $?")
        tty:wait "fox.png\nstatus 0"
        assert.equal("\137PNG", service.read(dir .. "/fox.png"):sub(1, 4))
        assert.equal(1, #emu:ledger())
    end)

    it("Ctrl-C also ends the reading of a prompt", function()
        open()
        tty:type "flux2 generate -; echo status $?"
        tty:wait "Reading stdin; Ctrl%-D ends it."
        tty:press "C-c"
        tty:wait "status 130"
        assert.equal(0, emu:stats().requests)
    end)

    it("generate waits for the id of a submission that was not answered, and leaves once it knows it", function()
        emu:fault { method = "POST", times = 1, delay = 1.5, accept = true }
        open()
        tty:type "flux2 generate 'a red fox'; echo status $?"
        tty:wait "submitting"
        program.until_(function() return emu:stats().open_connections > 0 end)
        tty:press "C-c"
        tty:wait "Waiting for the answer to the submission"
        tty:wait "Task n41%w+_flux2 goes on, and is paid for. To fetch it:\n  flux2 task n41%w+_flux2 %-%-wait\nstatus 130"
        assert.equal(1, #emu:ledger())
    end)

    it("generate waits for the id of a submission that was not answered, until a second Ctrl-C", function()
        emu:fault { method = "POST", times = 1, hang = true }
        open()
        tty:type "flux2 generate 'a red fox'; echo status $?"
        tty:wait "submitting"
        program.until_(function() return #emu:ledger() == 1 end)
        tty:press "C-c"
        tty:wait "Waiting for the answer to the submission"
        tty:press "C-c"
        tty:wait "1 submission was not answered yet; flux2 recover will know.\nstatus 130"
    end)

    it("batch has a bar, failures in lines above it, stops by Ctrl-C, leaves by a second, and goes on", function()
        service.write(dir .. "/animals.txt", "a red fox\na red hare [fail]\na red heron\na red otter\na red badger\na red owl\n")
        open()
        tty:type "flux2 batch animals.txt --out out --concurrency 2; echo status $?"
        tty:wait "─  0/6 done  2 running  ETA %d+ s  20 credits"
        emu:finish()
        local seen = tty:wait "━─[^ ]*  1/6 done  1 failed  2 running  ETA %d+ s  40 credits"
        assert.matches("\nfailed line 2: task_failed: ", seen)
        tty:press "C-c"
        seen = tty:wait "To go on later:\n  flux2 batch animals.txt %-%-out out %-%-concurrency 2\n"
        assert.matches("Stopping: nothing more is submitted. 2 tasks are still running, and paid for:\n  n41%w+_flux2  \"a red heron\"\n", seen)
        tty:press "C-c"
        seen = tty:wait "status 130"
        assert.matches("Left. 2 tasks go on at the service", seen)
        assert.equal(4, #emu:ledger())
        emu:finish()
        emu:set { duration = 0.02, failure_word = "" }
        tty:type "clear; flux2 batch animals.txt --out out --concurrency 2; echo status $?"
        seen = tty:wait "status 0"
        assert.matches("6 prompts: 1 done, 2 paid and to be fetched, 3 to make, about 30 credits\n", seen)
        assert.matches("6 of 6 pictures in out, 30 credits in %d+ s\nout/manifest.jsonl\n", seen)
        assert.is_nil(seen:find "─")
        assert.equal(7, #emu:ledger())
        assert.equal(6, #program.pictures(dir .. "/out"))
    end)
end)
