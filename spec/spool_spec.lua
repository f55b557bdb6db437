-- The spool in one process: what is on disk and when, what leaves it, and what recover makes of what it finds.
local bound = require "support.bound"
local cjson = require "cjson"
local core = require "flux2.core"
local flux2 = require "flux2"
local service = require "support.service"
local shell = require "support.shell"

local SUBMIT = "/api/v1/images/generations"
local DEAD = "00000000000000aa" -- an owner that never lived

--- The permissions of a file, by either kind of `stat`.
local function mode_of(path)
    local _, printed = shell.run(("stat -c %%a '%s' 2>/dev/null || stat -f %%Lp '%s'"):format(path, path))
    return printed:match "^%d+"
end

describe("the spool", function()
    local emu, dir, client
    before_each(function()
        emu = service.start()
        dir = service.directory() .. "/spool"
        client = service.client(emu, { spool = dir })
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir:gsub("/spool$", ""))
    end)

    local function names(pattern)
        local found = {}
        for _, name in ipairs(service.list(dir)) do
            if name:find(pattern or "%.json$") then found[#found + 1] = name end
        end
        return found
    end

    local function records()
        local found = {}
        for i, name in ipairs(names()) do found[i] = cjson.decode(service.read(dir .. "/" .. name)) end
        return found
    end

    --- The record of a task of an owner who is dead.
    local function leave_behind(number, fields, owner)
        local record = {
            task_id = "", submitted = "2026-01-31T12:00:0" .. number .. "Z", base_url = emu.url,
            request = { model = "flux-2", prompt = "prompt " .. number },
        }
        for name, value in pairs(fields or {}) do record[name] = value end
        local path = ("%s/task-%s-%04d.json"):format(dir, owner or DEAD, number)
        service.write(path, cjson.encode(record))
        return path
    end

    --- Tasks that another run submitted and left.
    local function accepted_tasks(n)
        local plain, ids = service.client(emu), {}
        for i = 1, n do
            local task = assert(plain:submit("prompt " .. i))
            service.pump_until(function() return task.id end)
            ids[i] = task.id
            leave_behind(i, { task_id = task.id })
            task:cancel()
        end
        return ids
    end

    local function post_fault(fault)
        fault.method, fault.path, fault.nth = "POST", SUBMIT, 1
        return emu:fault(fault)
    end

    describe("writes", function()
        it("a record before the service has answered, private, readable, and without the key", function()
            post_fault { hang = true, accept = false }
            local prompt = "a key is no prompt: " .. emu.api_key .. " {id} \"quoted\" /"
            local task = assert(client:submit { prompt = prompt, type = "flex", extra = { seed = 7, keys = { emu.api_key } } })
            service.pump_until(function() return emu:faults()[1].fired == 1 end)
            assert.equal(1, #names())
            local path = dir .. "/" .. names()[1]
            local text = service.read(path)
            assert.is_nil(text:find(emu.api_key, 1, true))
            local record = cjson.decode(text)
            assert.equal("", record.task_id)
            assert.equal(emu.url, record.base_url)
            assert.equal(6, record.price)
            assert.truthy(record.submitted:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
            assert.equal("a key is no prompt: aio_*** {id} \"quoted\" /", record.request.prompt)
            assert.equal(7, record.request.seed)
            assert.equal("aio_***", record.request.keys[1])
            assert.equal(prompt, task.request.prompt)
            assert.truthy(select(2, text:gsub("\n", "\n")) >= 6, "one member a line: " .. text)
            assert.equal("600", mode_of(path))
            assert.equal("700", mode_of(dir))
            task:cancel()
        end)

        it("the id before anybody is told it, however busy the host is", function()
            emu:set { duration = 60 }
            local task = assert(client:submit "blocked")
            local until_ = core.now() + bound(20)
            while not (records()[1] and records()[1].task_id ~= "") do assert(core.now() < until_) end
            assert.equal("submitting", task.state)
            assert.is_nil(task.id)
            assert.equal(emu:ledger()[1].task_id, records()[1].task_id)
            service.pump_until(function() return task.id end)
            assert.equal(task.id, records()[1].task_id)
            assert.is_nil(names("%.part$")[1])
            task:cancel()
        end)

        it("ids of any kind so that they come back as they were", function()
            for i, id in ipairs { [[a"b\c/../d]], "\227\129\131\1\127 {id} %1", ("9"):rep(15), ("x"):rep(512) } do
                emu:clear_faults()
                post_fault { body = cjson.encode { code = 200, data = { task_id = id, status = "queued" } } }
                emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 1000, hang = true }
                local task = assert(client:submit "any id")
                service.pump_until(function() return task.id end)
                assert.equal(id, task.id)
                assert.equal(id, records()[1].task_id)
                task:cancel():discard()
                assert.equal(0, #names(), i)
            end
        end)

        it("nothing for a request that is refused here, and nothing without the option", function()
            assert.is_nil((client:submit { prompt = "" }))
            assert(service.client(emu):generate "no spool")
            assert.equal(0, #names())
        end)
    end)

    describe("forgets a task", function()
        it("when its picture was saved, or handed over, and not before", function()
            emu:set { image_bytes = 5000 }
            local result = assert(assert(client:submit "saved"):wait())
            assert.equal(1, #names())
            assert.is_nil((result.images[1]:save(dir .. "/no/such/directory.png")))
            assert.equal(1, #names())
            assert(result.images[1]:save(dir .. "/saved.png"))
            assert.equal(0, #names())
            result = assert(assert(client:submit "handed over"):wait())
            assert.equal(1, #names())
            assert(result.images[1]:bytes())
            assert.equal(0, #names())
            assert(client:generate "both at once")
            assert(client:generate("into a file", { save = dir .. "/generated.png" }))
            assert.equal(0, #names())
        end)

        it("when all its pictures were", function()
            emu:set { images_per_task = 2, shape = "output_array" }
            local result = assert(assert(client:submit "two"):wait())
            assert.equal(2, #result.images)
            assert(result.images[1]:bytes())
            assert(result.images[1]:bytes())
            assert.equal(1, #names())
            assert(result.images[2]:bytes())
            assert.equal(0, #names())
        end)

        it("when a picture that came inside the answer was saved, and not when that failed", function()
            emu:set { sync = "b64_json" }
            local result = assert(assert(client:submit "inside"):wait())
            assert.equal(1, #names())
            assert.is_nil((result.images[1]:save(dir .. "/no/such/directory.png")))
            assert.equal(1, #names())
            assert(result.images[1]:save(dir .. "/inside.png"))
            assert.equal(0, #names())
        end)

        it("when it failed for good, was refused, or did not reach the service", function()
            for _, prompt in ipairs { "this will [fail]", "this will [moderate]", "this will [reject]" } do
                assert.is_nil((assert(client:submit(prompt)):wait()))
                assert.equal(0, #names(), prompt)
            end
            for _, status in ipairs { 400, 401, 402, 422 } do
                post_fault { status = status, body = "no" }
                assert.is_nil((assert(client:submit "refused"):wait()))
                assert.equal(0, #names(), status)
            end
            emu:stop()
            local _, err = assert(client:submit "nobody there"):wait()
            assert.equal("network", err.kind)
            assert.equal(0, #names())
        end)

        it("between two attempts, when the service said that it did not act", function()
            post_fault { status = 429, retry_after = 1 }
            local task = assert(client:submit "slowly")
            service.pump_until(function() return emu:faults()[1].fired == 1 and #names() == 0 end)
            assert(task:wait())
            assert.equal(1, #names())
        end)

        it("when it was cancelled before it was sent", function()
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            local one = service.client(emu, { spool = dir, max_connections = 1 })
            post_fault { hang = true, accept = false }
            local first = assert(one:submit "hangs")
            service.pump_until(function() return emu:faults()[1].fired == 1 end)
            local second = assert(one:submit "queues")
            second:cancel()
            service.pump_until(function() return flux2.stats().jobs == 1 end)
            assert.equal(1, #names())
            first:cancel()
        end)
    end)

    describe("keeps a task", function()
        it("whose outcome is unknown, was cancelled, or was not waited for long enough", function()
            post_fault { close = "after" }
            local _, err = assert(client:submit "unknown"):wait()
            assert.equal("unknown_outcome", err.kind)
            assert.equal(1, #names())
            assert.equal("", records()[1].task_id)
            emu:set { duration = 60 }
            local task = assert(client:submit "cancelled")
            service.pump_until(function() return task.id end)
            task:cancel()
            assert.equal(2, #names())
            _, err = assert(client:submit("late", { timeout = bound(0.5) })):wait()
            assert.equal("timeout", err.kind)
            assert.equal(3, #names())
        end)

        it("with its id, if even an answer that says no holds one", function()
            post_fault { body = [[{"code":500,"data":{"task_id":"{task_id}"}}]], accept = true }
            local _, err = assert(client:submit "who knows"):wait()
            assert.equal("unknown_outcome", err.kind)
            assert.equal(emu:ledger()[1].task_id, records()[1].task_id)
        end)

        it("that the service does not know: the key may be another account's", function()
            emu:fault { method = "GET", path = "/api/v1/tasks/*", times = 100, status = 404 }
            local task = assert(client:submit "lost")
            local _, err = task:wait()
            assert.equal("not_found", err.kind)
            assert.equal(1, #names())
            task:discard()
            assert.equal(0, #names())
        end)
    end)

    describe("recovers", function()
        it("what was accepted and not collected, oldest first, and polls it only when somebody waits", function()
            local ids = accepted_tasks(3)
            leave_behind(4)
            service.pump_until(function() return flux2.stats().jobs == 0 end)
            local before = flux2.stats().exchanges
            local tasks, unknown, damaged = assert(client:recover())
            assert.equal(3, #tasks)
            for i, task in ipairs(tasks) do
                assert.equal(ids[i], task.id)
                assert.equal("running", task.state)
                assert.equal("prompt " .. i, task.request.prompt)
            end
            assert.equal(1, #unknown)
            assert.equal("prompt 4", unknown[1].request.prompt)
            assert.equal("2026-01-31T12:00:04Z", unknown[1].submitted)
            assert.same({}, damaged)
            assert.equal(0, flux2.pending())
            assert.equal(before, flux2.stats().exchanges)
            local done
            tasks[2]:on("done", function(_, result) done = result end)
            assert(assert(tasks[1]:wait()).images[1]:bytes())
            service.pump_until(function() return done end)
            assert.equal(2, #assert(flux2.all { tasks[2], tasks[3] }))
            assert(tasks[2].result.images[1]:bytes())
            assert(tasks[3].result.images[1]:save(dir .. "/3.png"))
            assert.equal(1, #names())
            unknown[1]:discard()
            unknown[1]:discard()
            assert.equal(0, #names())
            assert.equal(3, #emu:ledger())
        end)

        it("nothing twice, and nothing that this client can still collect itself", function()
            accepted_tasks(2)
            local own = assert(client:submit "my own")
            service.pump_until(function() return own.id end)
            local tasks = assert(client:recover())
            assert.equal(2, #tasks)
            assert.equal(0, #assert(client:recover()))
            -- What nobody can reach any more is found again.
            tasks = nil
            collectgarbage()
            collectgarbage()
            assert.is_nil(tasks)
            assert.equal(2, #assert(client:recover()))
            assert(own:wait())
        end)

        it("nothing that a client beside it looks after", function()
            accepted_tasks(2)
            local other = service.client(emu, { spool = dir })
            local tasks = assert(client:recover())
            assert.equal(2, #tasks)
            assert.equal(0, #assert(other:recover()))
            assert.equal(2, #names "^owner")
        end)

        it("only tasks of its own service, and leaves the others where they are", function()
            local path = leave_behind(1, { task_id = "elsewhere", base_url = "https://elsewhere.example" })
            leave_behind(2, { task_id = "here" })
            local tasks = assert(client:recover())
            assert.equal(1, #tasks)
            assert.equal("here", tasks[1].id)
            assert.is_true(service.exists(path))
        end)

        it("the others when one is damaged, and puts that one aside", function()
            leave_behind(1, { task_id = "good" })
            local bad = {
                "", "{", "null", "[]", "\0\255\0", '{"task_id":""}', '{"task_id":7,"request":{}}',
                cjson.encode { task_id = "a", base_url = emu.url, submitted = "x", request = "y" },
                cjson.encode { task_id = "a", base_url = emu.url, submitted = {}, request = {} },
                cjson.encode { task_id = "a", base_url = emu.url, submitted = "x", request = {}, price = "z" },
                cjson.encode { task_id = ("a"):rep(513), base_url = emu.url, submitted = "x", request = {} },
            }
            for i, bytes in ipairs(bad) do service.write(("%s/task-%s-%04d.json"):format(dir, DEAD, 100 + i), bytes) end
            local tasks, unknown, damaged = assert(client:recover())
            assert.equal(1, #tasks)
            assert.equal("good", tasks[1].id)
            assert.same({}, unknown)
            assert.equal(#bad, #damaged)
            for i, entry in ipairs(damaged) do
                assert.equal(bad[i], service.read(entry.path))
                assert.truthy(entry.path:find "%.damaged$")
                assert.truthy(#entry.reason > 0)
            end
            assert.same({}, (select(3, client:recover())))
            assert.equal(#bad, #names "%.damaged$")
        end)

        it("an id from a file that a crash kept from getting its name, and clears away the rest", function()
            leave_behind(1)
            local part = leave_behind(1, { task_id = "just in time" }, "bb")
            os.rename(part, ("%s/.task-%s-0001.json.00ff.part"):format(dir, DEAD))
            service.write(("%s/.task-%s-0002.json.00ff.part"):format(dir, DEAD), "{ never se")
            service.write(("%s/owner-%s.lock"):format(dir, DEAD), "")
            local tasks, unknown = assert(client:recover())
            assert.equal(1, #tasks)
            assert.equal("just in time", tasks[1].id)
            assert.same({}, unknown)
            assert.same({}, names "%.part$")
            assert.equal(1, #names "^owner")
        end)

        it("a task that failed for good, which then leaves the spool", function()
            emu:fail_next()
            accepted_tasks(1)
            local tasks = assert(client:recover())
            local _, err = tasks[1]:wait()
            assert.equal("task_failed", err.kind)
            assert.equal(0, #names())
        end)

        it("nothing without a spool, and says so", function()
            local tasks, err = service.client(emu):recover()
            assert.is_nil(tasks)
            assert.equal("invalid_request", err.kind)
            assert.truthy(err.message:find("spool", 1, true))
        end)

        it("a task that can be cancelled unseen, and stays", function()
            accepted_tasks(1)
            local tasks = assert(client:recover())
            local _, err = tasks[1]:cancel():wait()
            assert.equal("cancelled", err.kind)
            assert.equal(0, flux2.pending())
            assert.equal(1, #names())
        end)
    end)

    it("is shared by a process and its fork, each with records and a lock of its own", function()
        emu:set { duration = 60 }
        local program = [[
            local fork = assert(package.loadlib(arg[4], "fork_process"))
            local wait = assert(package.loadlib(arg[4], "wait_for_process"))
            local flux2 = require "flux2"
            local settings = { base_url = arg[1], api_key = arg[2], spool = arg[3], poll = { interval = 0.02 } }
            local client = assert(flux2.new(settings))
            local function submit(prompt)
                local task = assert(client:submit(prompt))
                while not task.id do flux2.sleep(0.01) end
            end
            local pid = assert(fork())
            submit(pid == 0 and "in the child" or "in the parent")
            if pid == 0 then os.exit(7, true) end
            assert(wait(pid) == 7)
            local tasks = assert(assert(flux2.new(settings)):recover())
            assert(#tasks == 1 and tasks[1].request.prompt == "in the child", #tasks)
            os.exit(0, true)
        ]]
        local code, printed = service.run_lua(program,
            ("'%s' '%s' '%s' '%s'"):format(emu.url, emu.api_key, dir, service.process_library()))
        assert.equal(0, code, printed)
        assert.equal(2, #names())
        assert.equal(2, #assert(client:recover()))
    end)

    describe("that cannot be written", function()
        it("is a clear error of flux2.new", function()
            for _, bad in ipairs { dir .. "/not/there", dir .. "/file" } do
                service.write(dir .. "/file", "")
                local nothing, err = flux2.new { api_key = "aio_k", base_url = emu.url, spool = bad }
                assert.is_nil(nothing)
                assert.equal("io", err.kind)
                assert.truthy(err.message:find("spool", 1, true))
                assert.truthy(err.message:find(bad:match "[^/]+$", 1, true))
            end
        end)

        it("ends the submission before it is sent, and the client works again when the cause is gone", function()
            os.execute(("mv '%s' '%s.away'"):format(dir, dir))
            local task = assert(client:submit "not sent")
            local _, err = task:wait()
            assert.equal("io", err.kind)
            assert.truthy(err.message:find "nothing was sent")
            assert.truthy(err.message:find("No such file", 1, true), err.message)
            assert.equal(0, emu:stats().requests)
            assert.same({ 0, 0 }, { client:spent() })
            os.execute(("mv '%s.away' '%s'"):format(dir, dir))
            assert(client:generate "sent")
            assert.same({}, names())
        end)

        it("because files may not grow, sends nothing either", function()
            local code, printed = service.run_lua(([[
                local service = require "support.service"
                local client = assert(require("flux2").new { api_key = %q, base_url = %q, spool = %q })
                local _, err = assert(client:submit "not sent"):wait()
                print(err)
                assert(err.kind == "io" and err.message:find("too large", 1, true))
            ]]):format(emu.api_key, emu.url, dir), nil, "trap '' XFSZ; ulimit -f 0;")
            assert.equal(0, code, printed)
            assert.equal(0, emu:stats().requests)
            assert.same({}, names "%.part$")
            assert.same({}, names())
        end)

        it("after the submission was accepted is told, and the task goes on", function()
            local told = {}
            flux2.on_error = function(message) told[#told + 1] = message end
            post_fault { delay = 0.5 }
            local task = assert(client:submit "the disk goes away")
            service.pump_until(function() return #names() == 1 end)
            os.execute(("mv '%s' '%s.away'"):format(dir, dir))
            local result = task:wait()
            flux2.on_error = nil
            os.execute(("mv '%s.away' '%s'"):format(dir, dir))
            assert.equal("", records()[1].task_id)
            assert.equal(1, #told)
            assert.truthy(told[1]:find(task.id, 1, true), told[1])
            assert.truthy(told[1]:find("No such file", 1, true), told[1])
            assert(assert(result).images[1]:bytes())
            assert.same({}, names())
        end)

        local function mount(path)
            return shell.run(("mount -t tmpfs -o size=64k,nr_inodes=4 tmpfs '%s'"):format(path)) == 0
        end

        it("because the disk is full costs nothing, and an id finds its place on it all the same", function()
            if not mount(dir) then return pending "a small file system cannot be mounted by this user" end
            finally(function() os.execute(("umount -l '%s'"):format(dir)) end)
            -- The directory, the lock and the record: there is room for one more file.
            local full = service.client(emu, { spool = dir })
            post_fault { delay = 0.5 }
            local task = assert(full:submit "the last one")
            service.pump_until(function() return emu:faults()[1].seen == 1 end)
            service.write(dir .. "/another", "")
            assert.equal("submitting", task.state)
            service.pump_until(function() return task.id end)
            assert.equal(task.id, records()[1].task_id)
            local _, err = assert(full:submit "no room"):wait()
            assert.equal("io", err.kind)
            assert.truthy(err.message:find("No space left", 1, true), err.message)
            assert.equal(1, #emu:ledger())
            os.remove(dir .. "/another")
            assert(full:generate "room again")
            assert(assert(task:wait()).images[1]:bytes())
            assert.same({}, names())
        end)
    end)
end)
