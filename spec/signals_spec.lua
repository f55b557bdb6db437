-- Signals during every wait: a handled signal only interrupts system calls, a stopped program continues, a broken pipe
-- ends no process, and Ctrl-C ends each wait at once.
-- Takes about 12 seconds: each kind of wait runs under each kind of signal.
local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"

-- The ways to wait. Each is a chunk that sees client, flux2, core, dir, and `slow`: the duration of a task in seconds.
local WAITS = {
    wait = "assert(assert(client:submit 'a fox'):wait())",
    ["wait with a timeout"] = "assert(assert(client:submit 'a fox'):wait(600))",
    generate = "assert(client:generate 'a fox')",
    ["generate into a file"] = "assert(client:generate('a fox', { save = dir .. '/fox.png' }))",
    bytes = "assert(assert(client:submit 'a fox'):wait().images[1]:bytes())",
    save = "assert(assert(client:submit 'a fox'):wait().images[1]:save(dir .. '/a.png'))",
    sleep = "flux2.sleep(slow)",
    all = "assert(flux2.all { client:submit 'a fox', client:submit 'a hare' })",
    any = "assert(flux2.any({ client:submit 'a fox', client:submit 'a hare' }))",
    run = "flux2.run(function() assert(client:generate 'a fox') flux2.sleep(0.1) end)",
    ["join of a coroutine"] = "assert(flux2.spawn(function() return client:generate 'a fox' end):join())",
    map = "for _, image, err in client:map { 'a fox', 'a hare' } do assert(image, err) end",
}
local names = {}
for name in pairs(WAITS) do names[#names + 1] = name end
table.sort(names)

local HEAD = [[
local url, dir, slow, library = arg[1], arg[2], tonumber(arg[3]), arg[4]
local core, flux2 = require "flux2.core", require "flux2"
local function load_c(name) return assert(package.loadlib(library, name)) end
local handle, seen, storm = load_c "signals_handle", load_c "signals_seen", load_c "signals_storm"
local pid = ("%d"):format(load_c "process_id"())
local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 } })
]]

local function program(body)
    local waits = {}
    for i, name in ipairs(names) do
        waits[i] = ("{ %q, function() %s end },"):format(name, WAITS[name])
    end
    return HEAD .. "local waits = {" .. table.concat(waits, "\n") .. "}\n" .. body
end

describe("signals", function()
    local emu, dir, arguments
    local SLOW = 0.12
    setup(function()
        emu = service.start { duration = SLOW, image_bytes = 60000 }
        emu:fault { method = "GET", path = "/images/*", every = 1, times = 1e6,
            trickle = { bytes = 6000, interval = 0.02 } }
        dir = service.directory()
        arguments = ("'%s' '%s' %s '%s'"):format(emu.url, dir, SLOW, service.library "trouble")
    end)
    teardown(function()
        service.stop_all()
        service.remove(dir)
    end)

    it("that are handled, two hundred a second, do not interrupt a wait", function()
        local code, printed = service.run_lua(program [[
            handle()
            storm(0.005)
            local total = 0
            for _, wait in ipairs(waits) do
                local n
                -- Signals to a process that does not run count as one.
                for _ = 1, 10 do
                    seen()
                    local began = core.now()
                    wait[2]()
                    assert(core.now() - began >= slow - 0.01, wait[1] .. " came back too soon")
                    n = seen()
                    if n > 1 then break end
                end
                assert(n > 1, wait[1] .. ": only " .. n .. " signals")
                total = total + n
            end
            storm(0)
            print(("%d signals in %d waits"):format(total, #waits))
        ]], arguments)
        assert.equal(0, code, printed)
        assert.truthy(printed:find("signals in " .. #names .. " waits", 1, true), printed)
    end)

    it("do not change the timeout of a wait", function()
        local code, printed = service.run_lua(program [[
            handle()
            storm(0.003)
            local task = assert(client:submit "never ends [slow]")
            for _, wait in ipairs {
                function() return task:wait(0.3) end, function() return flux2.all({ task }, 0.3) end,
                function() return flux2.any({ task }, 0.3) end,
                function() return flux2.spawn(function() return task:wait() end):join(0.3) end,
                function() flux2.sleep(0.3) return nil, { kind = "timeout" } end,
            } do
                local n
                for _ = 1, 10 do
                    seen()
                    local began = core.now()
                    local result, err = wait()
                    local took = core.now() - began
                    assert(result == nil and err.kind == "timeout", tostring(err))
                    assert(took >= 0.29 and took < require "support.bound"(20), took)
                    n = seen()
                    if n > 5 then break end
                end
                assert(n > 5, n)
            end
        ]], ("'%s' '%s' 9 '%s'"):format(service.start({ duration = 60 }).url, dir, service.library "trouble"))
        assert.equal(0, code, printed)
    end)

    it("from outside, of every harmless kind, and SIGSTOP with SIGCONT", function()
        local code, printed = service.run_lua(program [[
            handle()
            os.execute("(for i in 1 2 3 4 5 6 7 8 9 10; do " ..
                "for s in CHLD USR1 USR2 WINCH ALRM HUP URG; do kill -$s " .. pid ..
                "; done; sleep 0.03; done; kill -STOP " .. pid .. "; sleep 0.4; kill -CONT " .. pid ..
                "; echo >'" .. dir .. "/all-sent') 2>/dev/null &")
            seen()
            local began = core.now()
            repeat
                for _, wait in ipairs(waits) do wait[2]() end
                assert(core.now() - began < require "support.bound"(60))
            until os.remove(dir .. "/all-sent")
            -- Each kind, and SIGCONT: a busy machine may deliver several of a kind as one.
            assert(seen() >= 8)
            -- Stopped while a timeout runs: it expires as soon as the program continues.
            os.execute("(sleep 0.1; kill -STOP " .. pid .. "; sleep 0.5; kill -CONT " .. pid .. ") &")
            began = core.now()
            flux2.sleep(0.3)
            assert(core.now() - began >= 0.3)
            assert(client:generate "a fox")
        ]], arguments)
        assert.equal(0, code, printed)
    end)

    -- The response arrives while the program is stopped, and is read before the clock.
    for name, option in pairs { request_timeout = "request_timeout", ["the total timeout"] = "timeout" } do
        it("that stop the program lose no response, though " .. name .. " has expired when it continues", function()
            local slow_one = service.start { duration = 0 }

            --- Stops the program after its request has arrived, until after its time and the response. Returns whether
            --- the response came while it was stopped, its exit code and its output.
            local function stop_it(scale)
                slow_one:clear_faults()
                slow_one:fault { method = "POST", times = 9, delay = 0.4 * scale }
                local sold, sent, requests = #slow_one:ledger(), slow_one:stats().bytes_out, slow_one:stats().requests
                service.write(dir .. "/stopped.lua", program(([[
                    local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, max_retries = 0,
                        %s = tonumber(arg[5]) })
                    local task = assert(client:submit "a fox")
                    local result, err = task:wait()
                    assert(task.id, tostring(err))
                    assert(result or err.kind == "timeout", tostring(err))
                ]]):format(option)))
                os.execute(("{ cd '%s'; rm -f code; sh -c 'echo $$ >pid; exec \"$@\"' sh timeout -k 5 %d '%s' " ..
                    "stopped.lua '%s' '%s' 0 '%s' %s >out 2>&1; echo $? >code; } &"):format(dir, bound(60),
                    shell.interpreter(), slow_one.url, dir, service.library "trouble", 0.8 * scale))
                local before, after
                repeat
                    before = core.now()
                    slow_one:wait(0.002)
                until slow_one:stats().requests > requests or service.exists(dir .. "/code")
                after = core.now()
                local _, child = shell.run(("ps -o pid= --ppid $(cat '%s/pid')"):format(dir))
                shell.run("kill -STOP " .. child)
                local in_time = core.now() - before < 0.4 * scale
                local until_ = after + bound(30)
                while core.now() - after < 1.2 * scale or slow_one:stats().bytes_out == sent and core.now() < until_ do
                    slow_one:wait(0.01)
                end
                shell.run("kill -CONT " .. child)
                service.pump_until(function() return (service.read_if_there(dir .. "/code") or "") ~= "" end)
                return in_time, service.read(dir .. "/code"), service.read(dir .. "/out"), #slow_one:ledger() - sold
            end

            local in_time, code, printed, sold
            for _, scale in ipairs { 1, 5, 20 } do
                in_time, code, printed, sold = stop_it(scale)
                assert.equal(1, sold)
                if in_time and code == "0\n" then break end
            end
            assert.same({ true, "0\n" }, { in_time, code }, printed)
            slow_one:stop()
        end)
    end

    it("of a broken pipe end no process, even with the default disposition", function()
        local broken = service.start()
        for _, how in ipairs { "before", "after" } do
            broken:fault { every = 2, times = 1e6, reset = how }
        end
        local code, printed = service.run_lua(HEAD .. [[
            local n = 0
            for i = 1, 30 do
                local image, err = client:generate("into a broken pipe " .. i)
                if not image then
                    assert(flux2.errors.kinds[err.kind], tostring(err))
                    n = n + 1
                end
            end
            assert(n > 0, "nothing broke")
            for line in io.lines "/proc/self/status" do
                local pending, caught = line:match "^(%w*Pnd):%s*(%x+)"
                if pending then
                    assert(tonumber(caught:sub(-4), 16) % 8192 < 4096, "SIGPIPE is pending for the process")
                end
            end
        ]], ("'%s' '%s' 9 '%s'"):format(broken.url, dir, service.library "trouble"), "trap - PIPE;")
        assert.equal(0, code, printed)
    end)

    it("do not delay closing the state", function()
        local slow = service.start { duration = 60 }
        local code, printed = service.run_lua(HEAD .. [[
            handle()
            storm(0.002)
            for i = 1, 20 do assert(client:submit("left alone " .. i)) end
            flux2.sleep(0.1)
            print "leaving"
        ]], ("'%s' '%s' 9 '%s'"):format(slow.url, dir, service.library "trouble"))
        assert.equal(0, code, printed)
        assert.equal("leaving\n", printed)
    end)
end)

describe("Ctrl-C ends", function()
    local emu, dir
    setup(function()
        emu = service.start { duration = 60 }
        -- A wait on a finished task waits for its image.
        emu:fault { method = "GET", path = "/images/*", times = 1e6, hang = true }
        dir = service.directory()
    end)
    teardown(function()
        service.stop_all()
        service.remove(dir)
    end)

    for _, name in ipairs(names) do
        it(name, function()
            emu:set { duration = (name == "bytes" or name == "save") and 0.02 or 60 }
            local began = core.now()
            local code, printed = service.run_lua(HEAD .. [[
                -- os.execute would ignore a signal that comes before it returns.
                io.popen("(sleep 0.3; kill -INT " .. pid .. ") &"):close()
            ]] .. WAITS[name], ("'%s' '%s' 60 '%s'"):format(emu.url, dir, service.library "trouble"))
            assert.equal(1, code, printed)
            assert.truthy(printed:find("interrupted", 1, true), printed)
            assert.is_true(core.now() - began < bound(30))
            for _, left in ipairs(service.list(dir)) do assert.is_nil(left:find "part$", left) end
        end)
    end
end)
