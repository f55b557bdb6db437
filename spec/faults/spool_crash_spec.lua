-- The spool after a crash: a program is killed with -9 at chosen and random moments, its tasks are recovered by another
-- process and compared with the emulator's ledger. The emulator runs in the process of the specs.
local cjson = require "cjson"
local service = require "support.service"
local shell = require "support.shell"

local SUBMIT = "/api/v1/images/generations"
local ROUNDS = tonumber(os.getenv "SPOOL_ROUNDS") or 15 -- kills at random moments; `make soak` makes a hundred

-- The beginning of every program. A program ends by itself after a time limit.
local HEAD = [[
    local core = require "flux2.core"
    local flux2 = require "flux2"
    local url, key, dir = arg[1], arg[2], arg[3]
    local give_up = core.now() + require "support.bound"(60)
    local function emit(...) io.write(table.concat({ ... }, " "), "\n") io.flush() end
    local function block(condition)
        while not (condition and condition()) do
            if core.now() > give_up then os.exit(9) end
        end
    end
    local client = assert(flux2.new { base_url = url, api_key = key, spool = dir, poll = { interval = 0.02 },
        max_submissions_per_second = 1e6 })
]]

local RECOVER = [[
    local tasks, unknown, damaged = assert(client:recover())
    for _, task in ipairs(tasks) do emit("task", task.id, task.request.prompt) end
    for _, record in ipairs(unknown) do emit("unknown", record.request.prompt) end
    emit("damaged", #damaged)
]]

local COLLECT = RECOVER .. [[
    for _, task in ipairs(tasks) do
        local result, err = task:wait(require "support.bound"(30))
        if not result then emit("failed", task.id, tostring(err)) end
        emit("saved", task.id, assert(result.images[1]:save(dir .. "/" .. task.id .. ".png")))
    end
    for _, record in ipairs(unknown) do record:discard() end
]]

describe("a program that is killed", function()
    local emu, dir, children
    before_each(function()
        emu = service.start { image_bytes = 20000 }
        dir = service.directory()
        children = {}
    end)

    local function kill(child)
        if child.pipe then
            os.execute("kill -9 " .. child.pid .. " 2>/dev/null")
            child.pipe:close()
            child.pipe = nil
        end
        os.remove(child.file)
    end

    after_each(function()
        for _, child in ipairs(children) do kill(child) end
        service.stop_all()
        service.remove(dir)
    end)

    --- Starts a program. `exec` keeps its process id; `pipe` is its output.
    local function start(program, prefix)
        local child = { file = os.tmpname() }
        service.write(child.file, HEAD .. program)
        child.pipe = assert(io.popen(("echo $$; %s exec '%s' '%s' '%s' '%s' '%s' 2>&1"):format(prefix or "",
            shell.interpreter(), child.file,
            emu.url, emu.api_key, dir)))
        child.pid = assert(child.pipe:read "*l")
        children[#children + 1] = child
        return child
    end

    --- Runs a program to its end. Returns its output: first word of a line -> list of the rests of those lines.
    local function run(program)
        local code, printed = service.run_lua(HEAD .. program, ("'%s' '%s' '%s'"):format(emu.url, emu.api_key, dir))
        assert.equal(0, code, printed)
        local values = setmetatable({}, { __index = function() return {} end })
        for word, rest in printed:gmatch "(%S+) ([^\n]*)\n" do
            if not rawget(values, word) then values[word] = {} end
            table.insert(values[word], rest)
        end
        assert.same({ "0" }, values.damaged)
        return values
    end

    local function records()
        local found = {}
        for _, name in ipairs(service.list(dir)) do
            -- Skips a record that is removed between listing and reading.
            local bytes = name:find "%.json$" and service.read_if_there(dir .. "/" .. name)
            if bytes then found[#found + 1] = cjson.decode(bytes) end
        end
        return found
    end

    local function with_id()
        local n = 0
        for _, record in ipairs(records()) do n = n + (record.task_id ~= "" and 1 or 0) end
        return n
    end

    local function ledger()
        local ids = {}
        for i, entry in ipairs(emu:ledger()) do ids[i] = entry.task_id end
        table.sort(ids)
        return ids
    end

    local function ids_of(lines)
        local ids = {}
        for i, line in ipairs(lines) do ids[i] = line:match "^%S+" end
        table.sort(ids)
        return ids
    end

    local function spool_is_empty()
        assert.same({}, records())
        for _, name in ipairs(service.list(dir)) do
            assert.truthy(name:find "%.png$" or name:find "^owner%-", name)
        end
    end

    it("before a submission leaves nothing to recover", function()
        local child = start [[emit "here" block()]]
        assert.equal("here", child.pipe:read "*l")
        assert.equal(1, #service.list(dir))
        kill(child)
        local values = run(COLLECT)
        assert.same({}, values.task)
        assert.same({}, values.unknown)
        spool_is_empty()
        assert.same({}, service.list(dir), "the lock of the dead is gone")
    end)

    it("after its submissions were accepted, with a blocked main thread, loses none", function()
        emu:set { duration = 0.5 }
        local child = start [[
            for i = 1, 12 do assert(client:submit("prompt " .. i)) end
            emit "submitted"
            block()
        ]]
        assert.equal("submitted", child.pipe:read "*l")
        service.pump_until(function() return with_id() == 12 end, 30)
        kill(child)
        local values = run(COLLECT)
        assert.equal(12, #values.task)
        assert.same({}, values.unknown)
        assert.same(ledger(), ids_of(values.task))
        assert.same(ledger(), ids_of(values.saved))
        assert.equal(12, #ledger())
        for _, entry in ipairs(emu:ledger()) do
            assert.equal(20000, #service.read(dir .. "/" .. entry.task_id .. ".png"))
        end
        spool_is_empty()
    end)

    it("while a submission has no response yet leaves an unknown outcome", function()
        emu:fault { method = "POST", path = SUBMIT, hang = true, accept = true }
        local child = start [[assert(client:submit "in the air") block(function() flux2.update() end)]]
        service.pump_until(function() return emu:faults()[1].fired == 1 and #records() == 1 end, 30)
        kill(child)
        local values = run(RECOVER)
        assert.same({}, values.task)
        assert.same({ "in the air" }, values.unknown)
        -- It remains listed until it is discarded.
        values = run(COLLECT)
        assert.same({ "in the air" }, values.unknown)
        values = run(COLLECT)
        assert.same({}, values.unknown)
        assert.equal(1, #ledger())
        spool_is_empty()
    end)

    it("between the end of a task and the end of its download leaves a recoverable image", function()
        emu:fault { method = "GET", path = "/images/*", times = 1, trickle = { bytes = 1, interval = 1 } }
        local child = start [[client:generate("half a picture", { save = dir .. "/half.png" })]]
        service.pump_until(function() return emu:faults()[1].fired == 1 end, 30)
        kill(child)
        local values = run(COLLECT)
        assert.same(ledger(), ids_of(values.saved))
        assert.is_false(service.exists(dir .. "/half.png"))
        for _, name in ipairs(service.list(dir)) do
            if name:find "%.part$" then os.remove(dir .. "/" .. name) end
        end
        spool_is_empty()
    end)

    it("keeps its tasks while it is alive, and has one heir afterwards", function()
        emu:set { duration = 60 }
        local child = start [[
            for i = 1, 6 do assert(client:submit("prompt " .. i)) end
            emit "submitted"
            block()
        ]]
        assert.equal("submitted", child.pipe:read "*l")
        service.pump_until(function() return with_id() == 6 end, 30)
        local here = service.client(emu, { spool = dir })
        assert.equal(0, #assert(here:recover()))
        assert.same({}, run(RECOVER).task)
        kill(child)
        local tasks = assert(here:recover())
        assert.equal(6, #tasks)
        assert.same({}, run(RECOVER).task)
        assert.equal(6, #records())
    end)

    it("has its tasks divided between two concurrent heirs", function()
        emu:set { duration = 60 }
        for round = 1, 3 do
            local child = start [[
                for i = 1, 30 do assert(client:submit("prompt " .. i)) end
                emit "submitted"
                block()
            ]]
            assert.equal("submitted", child.pipe:read "*l")
            service.pump_until(function() return with_id() == 30 end, 30)
            kill(child)
            local go = dir .. "/go" .. round
            local heirs = {}
            for i = 1, 2 do
                heirs[i] = start(([[
                    emit "ready"
                    block(function() local f = io.open(%q) if f then f:close() end return f end)
                    for _, task in ipairs(assert(client:recover())) do emit(task.id) end
                    emit "that is all"
                    block()
                ]]):format(go))
                assert.equal("ready", heirs[i].pipe:read "*l")
            end
            service.write(go, "")
            local got = {}
            for _, heir in ipairs(heirs) do
                for line in heir.pipe:lines() do
                    if line == "that is all" then break end
                    got[#got + 1] = line
                end
            end
            for _, heir in ipairs(heirs) do kill(heir) end
            table.sort(got)
            assert.same(ledger(), got, "round " .. round)
            for _, name in ipairs(service.list(dir)) do os.remove(dir .. "/" .. name) end
            emu:stop()
            emu = service.start { duration = 60 }
        end
    end)

    it("at a random moment loses no task and pays for none twice", function()
        -- Some responses are slow, so that some kills occur during a submission.
        emu:set { duration = { 0.02, 0.3 } }
        emu:fault { method = "POST", path = SUBMIT, every = 5, times = 1000, delay = 0.1 }
        local unknown = {}
        for round = 1, ROUNDS do
            local before = #emu:ledger()
            local child = start(([[
                local n = 0
                local function prompts()
                    n = n + 1
                    return "prompt-%d-" .. n
                end
                local function save(_, prompt) return dir .. "/" .. prompt .. ".png" end
                for _, image, err in client:map(prompts, { concurrency = 6, save = save }) do
                    if not image then emit("failed", tostring(err)) end
                end
            ]]):format(round))
            service.pump_until(function() return #emu:ledger() - before >= 2 * round end, 30)
            kill(child)
            local values = run(COLLECT)
            assert.same({}, values.failed)
            for _, prompt in ipairs(values.unknown) do unknown[prompt] = true end
            os.execute(("rm -f '%s'/.prompt-*.part"):format(dir)) -- interrupted downloads
            spool_is_empty()
        end
        local there, bought = {}, {}
        for _, name in ipairs(service.list(dir)) do there[name:match "^(.*)%.png$" or ""] = true end
        for _, entry in ipairs(emu:ledger()) do
            assert.is_nil(bought[entry.prompt])
            bought[entry.prompt] = true
            local found = there[entry.task_id] or there[entry.prompt]
            assert.is_true(found or unknown[entry.prompt] or false, entry.prompt .. " is lost")
        end
        assert.is_true(#emu:ledger() >= ROUNDS * 16)
    end)

    it("or exits during name resolution has paid nothing", function()
        local child = start([[
            client = assert(flux2.new { base_url = "https://service.hang", api_key = key, spool = dir })
            assert(client:submit "not sent yet")
            block(function()
                for _, name in ipairs(core.list(dir)) do
                    if name:find "^task" then return true end
                end
            end)
            emit "on disk"
            os.exit(0, true)
        ]], service.preload "odd_resolver")
        assert.equal("on disk\n", child.pipe:read "*a")
        assert.same({}, records())
    end)

    it("syncs each record and image to the disk in the safe order", function()
        local log = os.tmpname()
        local prefix = ("FLUX2_DISK_LOG='%s' "):format(log) .. service.preload "disk_order"
        local child = start([[
            local task = assert(client:submit "in order")
            while task.state == "submitting" do flux2.sleep(0.01) end
            os.remove(dir .. "/marker")
            assert(assert(task:wait()).images[1]:save(dir .. "/fox.png"))
            emit "done"
        ]], prefix)
        local printed = child.pipe:read "*a"
        assert.equal("done\n", printed)
        local happened = {}
        for line in service.read(log):gmatch "[^\n]+" do
            line = line:gsub(dir:gsub("%p", "%%%0"), "dir"):gsub("%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x", "X")
            if not line:find "/owner%-" then happened[#happened + 1] = line end -- the lock: not every Lua closes its state
        end
        os.remove(log)
        assert.same({
            "fsync dir/.task-X-0001.json.X.part", "rename dir/task-X-0001.json", "fsync dir", "send POST",
            "fsync dir/.task-X-0001.json.X.part", "rename dir/task-X-0001.json", "fsync dir", "remove dir/marker",
            "fsync dir/.fox.png.X.part", "rename dir/fox.png", "fsync dir", "remove dir/task-X-0001.json",
        }, happened)
    end)
end)
