--- Actions during which the disk fails or the process is killed, and the conditions that every run must meet. A case
-- has `first(run, uncaught)`, in which a call fails or the process is killed, `next(run)`, the user's next step without
-- faults, and `check(run, want)`. The first two run in support/disk_host.lua, each in its own process, with a folder
-- `run.dir` per run; the check runs in the spec (support/disk_sweep.lua), which has the emulator's ledger.
-- `prepare(run)` fills the folder, or `template(run)` once for all runs. Command line: support/disk_cli_cases.lua.
local cjson = require "cjson"
local core = require "flux2.core"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local jsonl = require "flux2.cli.jsonl"
local png = require "support.png"
local rules = require "support.disk_rules"
local service = require "support.service"

local cases = {}

for name, case in pairs(require "support.disk_cli_cases") do cases[name] = case end

-- An image into a file ------------------------------------------------------------------------------------------------

local function saving(old, options)
    local function target(run) return run.dir .. "/fox.png" end

    return {
        prepare = function(run)
            if old then service.write(target(run), "old") end
        end,
        first = function(run)
            local client = assert(run.new(options))
            run.arm()
            local image, err = client:generate(run.id, { save = target(run) })
            run.disarm()
            rules.tell(run, image, err)
            run.say("state", rules.state_of(target(run)))
            if err and err.task_id then
                local result = assert(assert(client:task(err.task_id)):wait())
                run.say("rescued", result.images[1]:save(run.dir .. "/rescued.png") ~= nil)
            end
        end,
        check = function(run, want)
            local first, paid = run.first, run.paid(run.id)
            rules.says_why(run, want)
            want(first.state == "whole" or not first.ok and first.state == (old and "old" or "absent"),
                "the file is " .. tostring(first.state))
            want(first.ok or not rules.is_harmless(run), first.message)
            want(not first.ok or not rules.is_hit(run, "write fsync close rename", "fox%.png")
                or rules.is_harmless(run),
                "a file that could not be written was reported as saved")
            want(paid == (first.ok and 1 or first.task_id and 1 or 0), "paid " .. paid .. " times")
            want(not first.task_id or first.rescued, "the task cannot be fetched by the id in the error")
            rules.nothing_is_left(run, want, run.left)
        end,
    }
end

cases.save = saving(false)
cases.save_over = saving(true)
cases.save_described = saving(false, { metadata = true })

-- With a spool --------------------------------------------------------------------------------------------------------

--- Without a record of the submission nothing was sent.
local function nothing_without_record(run, want)
    local kinds = "create open write fsync close rename"
    -- The only call between a record and its submission creates the id's reserve.
    if rules.is_harmless(run) or run.first.posts ~= 0 or run.first.records ~= 0 then return end
    if not rules.is_hit(run, kinds, "/%.?task%-") and not rules.is_hit(run, kinds, "/spool$") then return end
    want(run.paid(run.id) == 0, "it was sent without a record")
end

local function generating(name, options)
    return function(run)
        run.arm()
        local image, err
        local client, trouble = run.new { spool = run.dir .. "/spool", metadata = options and options.metadata }
        if client then image, err = client:generate(run.id, { save = run.dir .. "/" .. name }) end
        run.disarm()
        rules.tell(run, image, err or trouble)
        run.say("state", rules.state_of(run.dir .. "/" .. name))
    end
end

--- An image that cannot hold its metadata: the spec makes the emulator serve one.
cases.sidecar = {
    first = generating("fox.png", { metadata = true }),
    check = function(run, want)
        local state, beside = run.file "fox.png", run.read "fox.png.json"
        want(state == "whole" or state == "absent", "the file is " .. state)
        want(not beside or state == "whole", "the file beside the image came first")
        local decoded, said = pcall(cjson.decode, beside or "{}")
        want(not beside or decoded and said.request.prompt == run.id, "the file beside the image is broken")
        if run.kills then return end
        want(not run.first.ok or state == "whole" and beside, "success, and a file is missing")
        want(run.first.ok or not rules.is_harmless(run), run.first.message)
        rules.says_why(run, want)
        rules.nothing_is_left(run, want, run.left)
    end,
}

cases.spool = {
    first = generating "fox.png",
    next = rules.recover,
    check = function(run, want)
        local first, paid, state = run.first, run.paid(run.id), run.file "fox.png"
        local found, unknown = rules.found_of(run, run.id), rules.unknown_of(run, run.id)
        want(state == "whole" or state == "absent", "the file is " .. state)
        rules.nothing_is_lost(run, want, state)
        if run.kills then
            -- Killed with a record on the disk but without the id: the outcome is unknown.
            want(unknown == 0 or run.records.unknown == 1, "an outcome is unknown, though its id was on the disk")
            return
        end
        rules.says_why(run, want)
        want(not first.ok or state == "whole", "success, and no file")
        want(first.ok or not rules.is_harmless(run), first.message)
        want(not first.ok or not rules.is_hit(run, "write fsync close rename", "fox%.png") or rules.is_harmless(run),
            "a file that could not be written was reported as saved")
        want(paid == 1 or not first.ok and not first.task_id, "success without a submission")
        -- With a persistent fault an id, or a response without one, may be missing on the disk: then that was reported.
        local is_reported = run.stays and first.uncaught:find(rules.REASON, 1, true) ~= nil
        want(paid == 0 or first.ok or first.task_id or found == 1 or is_reported, "a paid task is not reported")
        nothing_without_record(run, want)
        want(not first.ok or not rules.is_hit(run, "open fsync", "/d$"), "the file name may be lost without an error")
        -- Another lock may replace one that failed.
        want(not first.ok or not run.stays or not rules.is_hit(run, "flock", "") or first.uncaught ~= "",
            "a missing lock was not reported")
        if not rules.is_hit(run, "unlink", "") then
            want(not first.ok or found + unknown == 0, "a task is recorded although its image was saved")
            want(unknown == 0 or paid == 1 and is_reported, "an unknown outcome was not reported")
        end
        rules.nothing_is_left(run, want, run.left)
    end,
}

--- The state of a task's record.
local function record_of(run)
    for _, name in ipairs(core.list(run.dir .. "/spool")) do
        if name:find "^task" then return service.read(run.dir .. "/spool/" .. name) end
    end
end

--- A submission with a spool, until its id is known; the emulator takes longer than that for the image.
cases.id = {
    first = function(run, uncaught)
        local client = assert(run.new { spool = run.dir .. "/spool" })
        run.arm()
        local task, err = client:submit(run.id)
        while task and task.state == "submitting" do flux2.sleep(0.001) end
        if run.stays then flux2.sleep(0.05) end -- some polls; each one tries to write the id again
        run.disarm()
        rules.tell(run, task and task.id, err or task and task.error)
        if not task or not task.id then return end
        run.say("uncaught", table.concat(uncaught, "\n"))
        run.say("id", task.id)
        run.say("record", record_of(run))
        local until_ = core.now() + 15
        while task.state == "running" and core.now() < until_ and not record_of(run):find(task.id, 1, true) do
            flux2.sleep(0.001)
        end
        run.say("later", record_of(run))
        service.write(run.root .. "/first.json", cjson.encode(run.said))
        os.exit(0) -- a host that exits at once
    end,
    next = function(run)
        local tasks, unknown, damaged = assert(assert(run.new { spool = run.dir .. "/spool" }):recover())
        local found, lost = {}, {}
        for i, task in ipairs(tasks) do found[i] = { prompt = task.request.prompt, id = task.id, state = "whole" } end
        for i, record in ipairs(unknown) do lost[i] = record.request.prompt end
        run.say("found", found)
        run.say("unknown", lost)
        run.say("damaged", #damaged)
    end,
    check = function(run, want)
        rules.nothing_is_lost(run, want, "absent")
        if run.kills then return end
        local first, paid = run.first, run.paid(run.id)
        rules.says_why(run, want)
        want(paid == (first.id and 1 or 0), "paid " .. paid .. " times")
        nothing_without_record(run, want)
        want(first.ok or first.message:find("nothing was sent", 1, true), first.message)
        want(first.ok or rules.unknown_of(run, run.id) == 0 or rules.is_hit(run, "unlink", ""),
            "what was not sent is recorded")
        if not first.ok then return end
        local is_recorded = (first.record or ""):find(first.id, 1, true)
        want(is_recorded and not (run.stays and rules.is_hit(run, "fsync", ""))
            or first.uncaught:find(rules.REASON, 1, true),
            "a missing id was not reported")
        want((first.later or ""):find(first.id, 1, true), "the id is not recorded later either: " ..
            tostring(first.later))
        want(rules.found_of(run, run.id) == 1 and run.next.found[1].id == first.id,
            "the record does not lead to the image")
    end,
}

-- Input images --------------------------------------------------------------------------------------------------------

--- Two local images, each of several reads. What cannot be read is not accepted, and costs nothing.
cases.inputs = {
    prepare = function(run)
        local bytes = png.holding(("pixels "):rep(6000))
        for _, name in ipairs { "one.png", "two.png" } do service.write(run.dir .. "/" .. name, bytes) end
    end,
    first = function(run)
        local client = assert(run.new { provider = "bfl", spool = run.dir .. "/spool", budget = 100 })
        run.arm()
        local task, err = client:submit({
            prompt = run.id, input_images = { run.dir .. "/one.png", run.dir .. "/two.png" },
        }, { price = rules.PRICE })
        local result
        if task then result, err = task:wait() end
        run.disarm()
        rules.tell(run, result, err)
        local spent, reserved = client:spent()
        run.say("charged", spent + reserved)
    end,
    next = function(run)
        local new = run.new
        function run.new(options)
            options.provider = "bfl"
            return new(options)
        end
        rules.recover(run)
    end,
    check = function(run, want)
        rules.nothing_is_lost(run, want, "absent")
        if run.kills then return end
        local first, paid = run.first, run.paid(run.id)
        rules.says_why(run, want)
        want(first.ok or not rules.is_harmless(run), first.message)
        want(paid == (first.ok and 1 or 0), "paid " .. paid .. " times")
        want((first.charged == 0) == (paid == 0), "charged " .. tostring(first.charged))
        if not rules.is_hit(run, "read open", "/%a+%.png$") then return end
        want(not first.ok, "an image that could not be read was sent")
        want(rules.unknown_of(run, run.id) == 0, "what was not accepted is recorded")
    end,
}

-- Recovering ----------------------------------------------------------------------------------------------------------

local DEAD = "00000000000000aa"

cases.recover = {
    --- Possible remains of two crashes: a task, one whose id is in an unrenamed file, an unknown outcome, and a damaged
    --- record.
    template = function(run)
        local spool, client = run.dir .. "/spool", assert(run.new())
        assert(core.directory(spool))
        local url = client._config.base_url
        local function record(name, prompt, id)
            service.write(spool .. "/" .. name:format(DEAD), cjson.encode {
                task_id = id, submitted = "2026-01-31T12:00:00Z", base_url = url, price = rules.PRICE,
                request = { model = "flux-2", prompt = prompt },
            })
        end
        for i, prompt in ipairs { "first", "second" } do
            local task = assert(client:submit(prompt))
            assert(task:wait())
            record(("task-%%s-000%d.json"):format(i), prompt, i == 1 and task.id or "")
            if i == 2 then record(".task-%s-0002.json.00ff.part", prompt, task.id) end
        end
        record("task-%s-0003.json", "third", "")
        service.write(spool .. "/task-" .. DEAD .. "-0004.json", "{ damaged")
        service.write(spool .. "/owner-" .. DEAD .. ".lock", "")
    end,
    first = function(run)
        run.arm()
        local tasks, why, damaged
        local client, err = run.new { spool = run.dir .. "/spool" }
        if client then tasks, why, damaged = client:recover() end
        for _, item in ipairs(damaged or {}) do
            if not item.path:find("0004.json", 1, true) or item.reason:find(rules.REASON, 1, true) then
                err = err or errors.new("io", item.reason)
            end
        end
        if client and (err or not tasks) then
            run.disarm()
            run.say("again", #assert(client:recover()) + #(tasks or {}))
        end
        run.say("count", tasks and #tasks)
        for _, task in ipairs(tasks or {}) do
            local result = assert(task:wait())
            local saved, trouble = result.images[1]:save(run.dir .. "/" .. task.request.prompt .. ".png")
            err = err or not saved and trouble
        end
        run.disarm()
        rules.tell(run, tasks and not err, err or not tasks and why)
    end,
    next = rules.recover,
    check = function(run, want)
        want(run.next_status == 0, "recover ended with " .. run.next_status .. ": " .. tostring(run.next.crash))
        if not run.kills then
            rules.says_why(run, want)
            want(not run.first.ok or run.first.count == 2, "a task was skipped without an error")
            want((run.first.again or 2) == 2, "a task was not found in a second search")
        end
        for _, prompt in ipairs { "first", "second" } do
            local state, found = run.file(prompt .. ".png"), rules.found_of(run, prompt)
            want(run.paid(prompt) == 1, prompt .. " was paid again")
            want(state == "whole" or state == "absent", prompt .. ".png is " .. state)
            want(state == "whole" or found == 1, prompt .. " is lost")
            want(found <= 1, prompt .. " was found twice")
            want(rules.unknown_of(run, prompt) == 0, prompt .. " is of unknown outcome, though its id was on the disk")
        end
        want(rules.unknown_of(run, "third") == 1, "the unknown outcome is listed " .. rules.unknown_of(run, "third") ..
            " times")
        want(run.holds "{ damaged", "what was damaged is gone")
        for _, path in ipairs(run.list()) do want(not path:find "spool/.*%.part$", path .. " is left") end
    end,
}

-- Other files ---------------------------------------------------------------------------------------------------------

local NEW = ("new "):rep(10000)

cases.write_file = {
    prepare = function(run) service.write(run.dir .. "/file", "old") end,
    first = function(run)
        run.arm()
        local ok, reason = core.write_file(run.dir .. "/file", NEW, true)
        run.disarm()
        rules.tell(run, ok, reason and { kind = "io", message = reason })
        run.say("message", reason)
    end,
    check = function(run, want)
        local first, bytes = run.first, run.read "file"
        if not run.kills then
            rules.says_why(run, want)
            want(first.ok or not rules.is_harmless(run), first.message)
            want(not first.ok or not rules.is_hit(run, "write fsync close rename", "file") or rules.is_harmless(run),
                "it failed without an error")
            want(not first.ok or not rules.is_hit(run, "fsync", "/d$"), "the file name may be lost without an error")
            rules.nothing_is_left(run, want, run.left)
        end
        want(bytes == NEW or bytes == "old" and not first.ok, "the file is neither the old one nor the new one")
    end,
}

--- Appended lines: one fault damages one line only.
cases.lines = {
    prepare = function(run) service.write(run.dir .. "/file", '{"n":1}\n{"n":2') end, -- a crash truncated the second
    first = function(run)
        run.arm()
        local file, reason = jsonl.open(run.dir .. "/file")
        local noted = {}
        for n = 3, file and 6 or 0 do
            local ok, why = jsonl.append(file, { n = n, text = ("x"):rep(100) })
            if ok then noted[#noted + 1] = n end
            reason = reason or not ok and why
            run.say("noted", noted)
            if run.kills then service.write(run.root .. "/noted", cjson.encode(noted)) end
        end
        run.disarm()
        rules.tell(run, not reason, reason and { kind = "io", message = reason })
        run.say("message", reason or nil)
    end,
    next = function(run)
        local file = assert(jsonl.open(run.dir .. "/file"))
        assert(jsonl.append(file, { n = 7 }))
    end,
    check = function(run, want)
        local there, spoiled = {}, 0
        for _, value in jsonl.lines(run.read "file") do
            if value then there[value.n] = true else spoiled = spoiled + 1 end
        end
        local noted = run.first.noted or cjson.decode(service.read_if_there(run.root .. "/noted") or "[]")
        for _, n in ipairs(noted) do want(there[n], "line " .. n .. " was written, and is not there") end
        want(there[1] and there[7], "a line of another run is spoiled")
        want(spoiled <= 2, spoiled .. " lines are spoiled")
        if run.kills then return end
        if not rules.is_hit(run, "read", "") then rules.says_why(run, want) end
        want(run.first.ok or not rules.is_harmless(run), run.first.message)
    end,
}

return cases
