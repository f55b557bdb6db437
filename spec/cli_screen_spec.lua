-- The command line on a terminal: progress line, image, failures, Ctrl-C and resumption.
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

    --- Starts a shell with `flux2` in its path, and with a fake chafa unless `chafa` is false.
    local function open(options)
        options = options or {}
        service.write(dir .. "/chafa", "#!/bin/sh\necho chafa \"$*\"\n")
        os.execute("chmod +x " .. dir .. "/chafa")
        tty = screen.open(dir, ("flux2() { PATH=%s:$PATH %s %s \"$@\"; }"):format(dir,
            program.environment(emu, dir, options.env), program.command()), options.columns)
        return tty
    end

    it("generate draws a line with state, time, typical duration and price, then the image, then the path", function()
        open()
        tty:type 'flux2 generate "a red fox" -o fox.png'
        local seen = tty:wait "IN_PROGRESS +%d+ %%   %d+ s, typically 15 to 40 s   about 10 credits   n41%w+_flux2"
        assert.equal(2, select(2, seen:gsub("\n", "")) + 1)
        emu:finish()
        seen = tty:wait "fox.png\n%$ $"
        assert.is_nil(seen:find "typically")
        assert.matches("chafa %-%-size 72x22 %-%-animate off fox.png\n[^\n]*10 credits, task n41%w+_flux2\nfox.png\n",
            seen)
    end)

    it("batch asks for confirmation before --remake pays again, and stops after no", function()
        emu:set { duration = 0.02 }
        service.write(dir .. "/list.txt", "a red fox\n")
        open()
        tty:type("flux2 batch list.txt --out out -q; rm out/*.png; clear; "
            .. "flux2 batch list.txt --out out --remake; echo status $?")
        tty:wait "%-%-remake pays again for 1 image: about 10 credits.\nContinue%? %[y/N%]"
        tty:type ""
        tty:wait "status 15"
        assert.equal(1, #emu:ledger())
        -- A key that is typed before the question is the shell's.
        tty:type "clear; echo again; flux2 batch list.txt --out out --remake; echo status $?"
        tty:wait "^again\n.*Continue%? %[y/N%]"
        tty:type "y"
        tty:wait "status 0"
        assert.equal(2, #emu:ledger())
        tty:type "rm out/*.png; clear; flux2 batch list.txt --out out --remake --yes; echo ended $?"
        tty:wait "ended 0"
        assert.equal(3, #emu:ledger())
    end)

    it("generate shows no image with --no-show, --quiet or --json", function()
        emu:set { duration = 0.02 }
        open()
        for _, flag in ipairs { "--no-show", "--quiet", "--json" } do
            tty:type("clear; flux2 generate 'a red fox' -o fox.png " .. flag .. "; echo status of " .. flag .. " $?")
            local seen = tty:wait("status of " .. flag:gsub("%p", "%%%0") .. " 0")
            assert.matches("fox.png", seen)
            assert.is_nil(seen:find "chafa")
        end
    end)

    it("generate fits the line into a narrow terminal", function()
        open { columns = 30 }
        tty:type "flux2 generate 'a red fox'"
        local seen = tty:wait "IN_PROGRESS"
        for line in seen:gmatch "[^\n]+" do assert.is_true(#line <= 33, line) end -- the spinner takes three bytes
        assert.equal(2, select(2, seen:gsub("\n", "")) + 1)
    end)

    it("generate shows no image with NO_COLOR, TERM=dumb or --color=never, and one with --color=always", function()
        emu:set { duration = 0.02 }
        for _, case in ipairs {
            { { NO_COLOR = "1" }, "", false }, { { TERM = "dumb" }, "", false }, { {}, "", true },
            { { TERM = "dumb" }, " --color=always", false }, { { NO_COLOR = "1" }, " --color=always", true },
            { {}, " --color never", false },
        } do
            open { env = case[1] }
            tty:type("flux2 generate 'a red fox' -o fox.png" .. case[2] .. "; echo status $?")
            local seen = tty:wait "status 0"
            assert.equal(case[3], seen:find "chafa %-%-size" ~= nil, seen)
            tty:close()
        end
    end)

    it("doctor and errors are wrapped at words in a narrow terminal", function()
        open { columns = 40 }
        tty:type "clear; flux2 doctor --offline -q; flux2 generate 'a red fox' --input-url fox.png; echo status $?"
        local seen = tty:wait "status 2"
        assert.matches("flux2: %-%-input%-url must be an http%(s%)\nURL, not 'fox.png'\nThe service downloads input "
            .. "images, so\nit cannot read", seen)
        tty:close()
        open { columns = 40, env = { FLUX2_API_KEY = "" } }
        tty:type "clear; flux2 doctor --offline; echo status $?"
        seen = tty:wait "status 3"
        assert.matches("ok   libcurl\n     %d+%.%d+\n", seen)
        assert.matches("FAIL key\n     FLUX2_API_KEY is not set\n     export FLUX2_API_KEY=aio_... with\n     "
            .. "the key of your account. To try\n     flux2 without a key: flux2 emulator\n", seen)
    end)

    it("generate uses colours, and none with NO_COLOR", function()
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

    it("generate ends on Ctrl-C, and prints how to download the paid image", function()
        open()
        tty:type "flux2 generate 'a red fox'"
        tty:wait "n41%w+_flux2"
        tty:press "C-c"
        local seen = tty:wait "%-%-wait\n%$ $"
        local id = emu:ledger()[1].task_id
        assert.truthy(seen:find("Task " .. id .. " is still running and paid for. To download its image:\n"
            .. "  flux2 task " .. id
            .. " --wait", 1, true))
        emu:finish()
        tty:type("clear; flux2 task " .. id .. " --wait -o fox.png; echo status $?")
        tty:wait "fox.png\nstatus 0"
        assert.equal("\137PNG", service.read(dir .. "/fox.png"):sub(1, 4))
        assert.equal(1, #emu:ledger())
    end)

    it("task ends on Ctrl-C, during the request and the wait, and reports that the task continues", function()
        open()
        local client = service.client(emu)
        local task = assert(client:submit "a red fox")
        service.pump_until(function() return task.id end)
        task:cancel()
        tty:type("flux2 task " .. task.id .. " --wait -o fox.png; echo status $?")
        tty:wait "IN_PROGRESS"
        tty:press "C-c"
        tty:wait "The task is still running at the service. To wait again, run the same command.\nstatus 130"
        assert.same({}, program.images(dir))
        emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 1000, hang = true }
        local before = emu:stats().requests
        tty:type("clear; flux2 task " .. task.id .. "; echo status $?")
        program.until_(function() return emu:stats().requests > before end)
        tty:press "C-c"
        tty:wait "status 130"
    end)

    it("generate ends on Ctrl-C while it reads a prompt", function()
        open()
        tty:type "flux2 generate -; echo status $?"
        tty:wait "Reading stdin; end it with Ctrl%-D."
        tty:press "C-c"
        tty:wait "status 130"
        assert.equal(0, emu:stats().requests)
    end)

    it("generate waits for the id of a pending submission on Ctrl-C, and ends when it arrives", function()
        emu:fault { method = "POST", times = 1, delay = 4, accept = true }
        open()
        tty:type "flux2 generate 'a red fox'; echo status $?"
        tty:wait "submitting"
        program.until_(function() return #emu:ledger() == 1 end)
        tty:press "C-c"
        tty:wait "Waiting for the id of the submitted task"
        tty:wait("Task n41%w+_flux2 is still running and paid for. To download its image:\n"
            .. "  flux2 task n41%w+_flux2 %-%-wait\nstatus 130")
        assert.equal(1, #emu:ledger())
    end)

    it("generate waits for the id of a pending submission until a second Ctrl-C", function()
        emu:fault { method = "POST", times = 1, hang = true }
        open()
        tty:type "flux2 generate 'a red fox'; echo status $?"
        tty:wait "submitting"
        program.until_(function() return #emu:ledger() == 1 end)
        tty:press "C-c"
        tty:wait "Waiting for the id of the submitted task"
        tty:press "C-c"
        tty:wait "1 submission is pending; flux2 recover lists what was accepted.\nstatus 130"
    end)

    it("batch has a bar with failures above it, stops on Ctrl-C, ends on a second one, and resumes", function()
        service.write(dir .. "/animals.txt",
            "a red fox\na red hare [fail]\na red heron\na red otter\na red badger\na red owl\n")
        open()
        tty:type "flux2 batch animals.txt --out out --concurrency 2; echo status $?"
        tty:wait "─  0/6 done  2 running  ETA %d+ s  20 credits"
        emu:finish()
        local seen = tty:wait "━─[^ ]*  1/6 done  1 failed  2 running  ETA %d+ s  40 credits"
        assert.matches("\nfailed line 2: task_failed: ", seen)
        tty:press "C-c"
        seen = tty:wait "To resume later:\n  flux2 batch animals.txt %-%-out out %-%-concurrency 2\n"
        assert.matches("Stopped submitting. 2 tasks are running and paid for:\n"
            .. "  n41%w+_flux2  \"a red heron\"\n", seen)
        tty:press "C-c"
        seen = tty:wait "status 130"
        assert.matches("Exited. 2 tasks are still running at the service", seen)
        assert.equal(4, #emu:ledger())
        emu:finish()
        emu:set { duration = 0.02, failure_word = "" }
        tty:type "clear; flux2 batch animals.txt --out out --concurrency 2; echo status $?"
        seen = tty:wait "status 0"
        assert.matches("6 prompts: 1 done, 2 to download, 3 to generate, about 30 credits\n", seen)
        assert.matches("6 of 6 images in out, 30 credits in %d+ s\nout/manifest.jsonl\n", seen)
        assert.is_nil(seen:find "─")
        assert.equal(7, #emu:ledger())
        assert.equal(6, #program.images(dir .. "/out"))
    end)
end)
