-- Missing descriptors, disk space and write permission: each causes a clear error, no half-written file, no submission
-- without a record, and works again when the cause is removed.
local bound = require "support.bound"
local build = require "support.build"
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"

local HEAD = [[
local url, dir, library = arg[1], arg[2], arg[3]
local core, flux2 = require "flux2.core", require "flux2"
local bound = require "support.bound"
local function load_c(name) return assert(package.loadlib(library, name)) end
local use_up, free = load_c "descriptors_use_up", load_c "descriptors_free"
local child = require "support.child"
local new, fails = child.clients(url, { max_retries = 1 }), child.fails
local function pump(condition) child.pump(condition, bound(30)) end
]]

describe("without descriptors", function()
    -- In valgrind, opening a file creates it and then fails for lack of a descriptor.
    local function spec(name, fn)
        it(name, build.is_in_valgrind and function() pending "valgrind has its own limit on descriptors" end or fn)
    end
    local emu, dir
    service.around_each(before_each, after_each, { image_bytes = 60000 }, function(...) emu, dir = ... end)

    local function run(body, prefix)
        local code, printed = service.run_lua(HEAD .. body,
            ("'%s' '%s' '%s'"):format(emu.url, dir, service.library "trouble"), prefix)
        assert.equal(0, code, printed)
        assert.is_nil(printed:find("Sanitizer", 1, true), printed)
        return printed
    end

    spec("the engine does not start, reports why, and starts later", function()
        run [[
            local refused, client, task, err = 0
            repeat
                free()
                use_up(refused)
                client = new()
                task, err = client:submit("with only " .. refused)
                if not task then
                    fails("io", "the engine could not start: Too many open files", task, err)
                    refused = refused + 1
                end
            until task
            assert(refused >= 1)
            -- The engine has its descriptor, but libcurl needs some, too. Only timers run until then.
            fails("io", "nothing was sent, because the engine could not start: Too many open files", task:wait())
            assert(client:spent() == 0 and select(2, client:spent()) == 0)
            assert(flux2.sleep(0.01))
            fails("io", "the engine could not start: Too many open files", client:generate "still without")
            free()
            assert(client:generate "with plenty")
        ]]
        assert.equal(1, #emu:ledger())
    end)

    spec("a submission fails as never sent, is retried, and succeeds when descriptors are available", function()
        run [[
            local client, persistent = new { max_retries = 2 }, new { max_retries = 50 }
            flux2.sleep(0.01) -- the engine runs
            use_up(0)
            local err = fails("network", "Too many open files", assert(client:submit "cannot be sent"):wait())
            assert(err.attempts == 3 and err.retryable, err.attempts)
            assert(client:spent() == 0 and select(2, client:spent()) == 0)
            local task = assert(persistent:submit "can be sent later")
            flux2.sleep(0.3)
            assert(task.state == "submitting")
            free()
            assert(task:wait())
        ]]
        assert.equal(1, #emu:ledger())
        assert.equal("can be sent later", emu:ledger()[1].prompt)
    end)

    spec("a submission with name resolution or TLS is certainly not sent either", function()
        run [[
            for _, address in ipairs { "http://localhost:" .. url:match "%d+$", "https://127.0.0.1:" .. url:match "%d+$" } do
                local client = new { base_url = address, max_retries = 1 }
                flux2.sleep(0.01)
                use_up(0)
                local value, err = assert(client:submit "cannot be sent"):wait()
                free()
                assert(not value and err.kind ~= "unknown_outcome" and err.attempts == 2, tostring(err))
            end
        ]]
        assert.equal(0, #emu:ledger())
    end)

    spec("polls continue until descriptors are available", function()
        emu:set { duration = 2, max_requests_per_connection = 1 } -- the task outlasts a busy machine until use_up
        run [[
            local client = new()
            local task = assert(client:submit "polled without descriptors")
            pump(function() return task.id end)
            use_up(0)
            flux2.sleep(2.5)
            assert(task.state == "running", tostring(task.error))
            free()
            assert(task:wait())
        ]]
    end)

    spec("a download to a file is retried, and leaves no file when it fails", function()
        run [[
            local client = new()
            local image = assert(assert(client:submit "to be fetched"):wait()).images[1]
            local other = assert(assert(client:submit "to be fetched too"):wait()).images[1]
            assert(other:bytes()) -- a connection is kept
            use_up(0)
            fails("io", "Too many open files", image:save(dir .. "/a.png"))
            free()
            assert(image:save(dir .. "/a.png"))
        ]]
        assert.same({ "a.png" }, service.list(dir))
        assert.equal(60000, #service.read(dir .. "/a.png"))
    end)

    spec("a download to memory returns the same error", function()
        emu:set { sync = "b64_json" }
        run [[
            local image = assert(assert(new():submit "in the response"):wait()).images[1]
            use_up(0)
            fails("io", "Too many open files", image:save(dir .. "/a.png"))
            free()
            assert(image:save(dir .. "/a.png"))
        ]]
        assert.same({ "a.png" }, service.list(dir))
    end)

    spec("a record cannot be written, so nothing is sent", function()
        local printed = run [[
            local spooled = new { spool = dir .. "/spool" }
            assert(spooled:generate "the first")
            use_up(0)
            fails("io", "nothing was sent", assert(spooled:submit "not recorded"):wait())
            local more, err = flux2.new { api_key = "aio_k", spool = dir .. "/other" }
            fails("io", "Too many open files", more, err)
            local found, why = new():recover()
            assert(not found and why.kind == "invalid_request")
            found, why = spooled:recover()
            fails("io", "Too many open files", found, why)
            free()
            assert(spooled:generate "recorded")
            found = assert(spooled:recover())
            assert(#found == 0)
        ]]
        assert.equal("", printed)
        assert.equal(2, #emu:ledger())
        for _, name in ipairs(service.list(dir .. "/spool")) do assert.is_nil(name:find "task", name) end
    end)

    spec("the record of an earlier process stays if its submission cannot be sent again", function()
        emu:fault { method = "POST", hang = true, accept = true, times = 1 }
        run [[
            local client = new { provider = "gateway", spool = dir .. "/spool" }
            local first, record = assert(client:submit "of unknown outcome")
            pump(function()
                record = core.read_file(first._record.path, 1e6)
                return record
            end)
            assert(core.write_file(dir .. "/spool/task-00000000000000aa-0001.json", record, true))
            local task = assert(client:recover())[1]
            assert(task.state == "submitting")
            use_up(0)
            fails("unknown_outcome", "not sent again, because its record could not be written", task:wait())
            free()
            assert(core.read_file(task._record.path, 1e6) == record, "the record is gone")
        ]]
    end)

    spec("an id that cannot be recorded is reported, and recorded later", function()
        emu:set { duration = 60 }
        -- The first submission opens the connection of the others; each is answered later than the one before.
        for nth, delay in ipairs { 0, 0.5, 3, 12 } do
            emu:fault { method = "POST", path = "/api/v1/images/generations", nth = nth, delay = delay }
        end
        run [[
            local reported
            flux2.on_error = function(message) reported = message end
            local client = new { spool = dir .. "/spool", poll = { interval = 1.5 } }
            -- Cancelled between polls: one in flight would take its connection along.
            local first = assert(new { poll = { interval = 60 } }:submit "opens a connection")
            pump(function() return first.id end)
            first:cancel()
            pump(function() return flux2.stats().jobs == 0 end)
            local task
            for _ = 1, 3 do
                task = assert(client:submit "accepted meanwhile")
                -- The record is there before the submission is sent.
                pump(function()
                    local file = io.open(task._record.path)
                    if file then file:close() end
                    return file
                end)
                use_up(0)
                pump(function() return task.id end)
                if reported then break end -- otherwise the response was there before
                free()
                task:cancel()
            end
            assert(reported and reported:find("Too many open files", 1, true), reported)
            free()
            local path = task._record.path
            pump(function()
                local file = assert(io.open(path))
                local text = file:read "*a"
                file:close()
                return text:find(task.id, 1, true)
            end)
        ]]
    end)
end)

describe("on a full disk", function()
    local emu, client, dir
    before_each(function()
        emu = service.start { image_bytes = 200000 }
        client = service.client(emu)
        dir = service.directory()
    end)
    after_each(function()
        os.execute(("umount -l '%s' 2>/dev/null"):format(dir))
        service.stop_all()
        service.remove(dir)
    end)

    local function mount(options)
        return shell.run(("mount -t tmpfs -o %s tmpfs '%s'"):format(options, dir)) == 0
    end
    local NO_MOUNT = "a small file system cannot be mounted by this user"

    for _, way in ipairs { "from its URL", "from inside the response" } do
        it("an image " .. way .. " is not partly written, and can be saved when there is room", function()
            if not mount "size=64k" then return pending(NO_MOUNT) end
            if way == "from inside the response" then emu:set { sync = "b64_json" } end
            service.write(dir .. "/a.png", "precious")
            local image = assert(assert(client:submit "larger than the disk"):wait()).images[1]
            local saved, err = image:save(dir .. "/a.png")
            assert.is_nil(saved)
            assert.equal("io", err.kind)
            assert.truthy(tostring(err):find("No space left", 1, true), tostring(err))
            assert.truthy(tostring(err):find("a.png", 1, true), tostring(err))
            assert.same({ "a.png" }, service.list(dir))
            assert.equal("precious", service.read(dir .. "/a.png"))
            assert(os.execute(("mount -o remount,size=1m '%s'"):format(dir)))
            assert(image:save(dir .. "/a.png"))
            assert.equal(200000, #service.read(dir .. "/a.png"))
            assert.equal(1, #emu:ledger())
        end)
    end

    it("without room for a file name, nothing is paid", function()
        if not mount "size=64k,nr_inodes=1" then return pending(NO_MOUNT) end
        local image, err = client:generate("nowhere to put it", { save = dir .. "/a.png" })
        assert.is_nil(image)
        assert.equal("io", err.kind)
        assert.truthy(tostring(err):find("No space left", 1, true), tostring(err))
        assert.equal(0, emu:stats().requests)
    end)

    it("an image that generate could not save stays in the spool", function()
        if not mount "size=64k" then return pending(NO_MOUNT) end
        local tray = service.directory()
        local spooled = service.client(emu, { spool = tray })
        local image, err = spooled:generate("no room for it", { save = dir .. "/a.png" })
        assert.is_nil(image)
        assert.equal("io", err.kind)
        assert.equal(emu:ledger()[1].task_id, err.task_id)
        assert.same({}, service.list(dir))
        collectgarbage()
        collectgarbage()
        local tasks = assert(spooled:recover())
        assert.equal(1, #tasks)
        assert.equal(err.task_id, tasks[1].id)
        assert(assert(tasks[1]:wait()).images[1]:bytes())
        assert.equal(1, #emu:ledger())
        service.remove(tray)
    end)
end)

describe("in a read-only directory", function()
    local emu, dir
    before_each(function()
        emu = service.start()
        dir = service.directory()
        os.execute(("chmod 755 '%s'"):format(dir))
    end)
    after_each(function()
        os.execute(("umount -l '%s' 2>/dev/null; umount -l '%s' 2>/dev/null"):format(dir, dir))
        service.stop_all()
        service.remove(dir)
    end)

    -- The directory is read-only by its permissions, which do not apply to root, or by its file system.
    local PROGRAM = HEAD .. [[
        local client = new()
        fails("io", arg[4], client:generate("nowhere to put it", { save = dir .. "/a.png" }))
        fails("io", arg[4], flux2.new { api_key = "aio_k", base_url = url, spool = dir .. "/spool" })
        fails("io", arg[4], flux2.new { api_key = "aio_k", base_url = url, spool = dir })
        assert(flux2.stats().requests == 0, "something was sent")
        local image = assert(assert(client:submit "to be saved"):wait()).images[1]
        fails("io", arg[4], image:save(dir .. "/a.png"))
        assert(image:bytes())
        fails("io", arg[4], image:save(dir .. "/a.png"))
    ]]

    local function run(words, prefix)
        local code, printed = service.run_lua(PROGRAM,
            ("'%s' '%s' '%s' '%s'"):format(emu.url, dir, service.library "trouble", words), prefix)
        assert.equal(0, code, printed)
        assert.same({}, service.list(dir))
        assert.equal(1, #emu:ledger())
    end

    it("by its permissions, nothing is sent, and no paid image is lost", function()
        if select(2, shell.run "id -u") ~= "0\n" then
            os.execute(("chmod 555 '%s'"):format(dir))
            return run "Permission denied"
        end
        local other_user = "setpriv --reuid 65534 --regid 65534 --clear-groups"
        local lua, folder = shell.interpreter(), os.getenv "FLUX2_BUILD" or "build"
        -- The other user has to be able to read the module.
        if shell.run(("%s '%s' -e 'require \"flux2.core\"'"):format(other_user, lua)) ~= 0 then
            return pending("another user cannot run " .. lua .. " on " .. folder .. ": is a folder above it private?")
        end
        run("Permission denied", other_user)
    end)

    it("by its file system, nothing is sent, and no paid image is lost", function()
        if shell.run(("mount -t tmpfs -o ro tmpfs '%s'"):format(dir)) ~= 0 then
            return pending "a file system cannot be mounted by this user"
        end
        run "Read-only file system"
    end)

    it("submissions stop while the spool is read-only, and continue when it is writable again", function()
        if shell.run(("mount -t tmpfs tmpfs '%s'"):format(dir)) ~= 0 then
            return pending "a file system cannot be mounted by this user"
        end
        local client = service.client(emu, { spool = dir })
        assert(client:generate "while it could be written")
        -- Mounted over the open directory.
        assert(os.execute(("mount --bind '%s' '%s' && mount -o remount,bind,ro '%s'"):format(dir, dir, dir)))
        local result, err = assert(client:submit "not recorded"):wait()
        assert.is_nil(result)
        assert.equal("io", err.kind)
        assert.truthy(err.message:find("nothing was sent", 1, true), err.message)
        assert.truthy(err.message:find("Read-only file system", 1, true), err.message)
        assert(os.execute(("umount '%s'"):format(dir)))
        assert(client:generate "again")
        assert.equal(2, #emu:ledger())
        local until_ = core.now() + bound(20)
        while #service.list(dir) > 1 do assert(core.now() < until_, table.concat(service.list(dir), " ")) end
    end)
end)
