--- The program on the failing disk. For each n it forks a process in which call n of a kind fails
-- (support/disk_faults.c) while a case runs, and then one without faults for the user's next step. The cases are in
-- support/disk_cases.lua; support/disk_sweep.lua starts this program and checks the results. Its arguments: the
-- emulator's URL, a folder, two libraries, the name of the case, and a file with the sweeps as JSON.
local bound = require "support.bound"
local cases = require "support.disk_cases"
local cjson = require "cjson"
local cli = require "flux2.cli"
local core = require "flux2.core"
local flux2 = require "flux2"
local rules = require "support.disk_rules"
local service = require "support.service"

cli.parser() -- loads all commands, once for all processes
if rawget(_G, "jit") then jit.off() end -- a compiled trace may keep a reference to an unused client

local url, base, disk_library, process_library, name, list = arg[1], arg[2], arg[3], arg[4], arg[5], arg[6]
local case = assert(cases[name], name)

local function load_c(library, symbol) return assert(package.loadlib(library, symbol)) end
local watch, plan = load_c(disk_library, "disk_watch"), load_c(disk_library, "disk_plan")
local struck, alarm = load_c(disk_library, "disk_hit"), load_c(disk_library, "disk_alarm")
local fork = load_c(process_library, "fork_process")
local wait = load_c(process_library, "wait_for_process")

--- The argument of a case. `fault` is the plan for `arm`; nil for a run without faults.
local function context(root, id, fault)
    local run = { id = id, root = root, dir = root .. "/d", said = {} }
    run.stays = fault and fault.stays
    run.kills = fault and (fault.action == "kill" or fault.action == "tear")

    --- A client, or nil and an error.
    function run.new(options)
        local all = {
            api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.01 }, timeout = bound(10),
            max_submissions_per_second = 1e6,
        }
        for key, value in pairs(options or {}) do all[key] = value end
        return flux2.new(all)
    end

    --- Reports a value to the spec.
    function run.say(key, value) run.said[key] = value end

    function run.plan(...)
        watch(run.dir)
        plan(...)
    end

    function run.arm()
        if fault then run.plan(fault.action, fault.kinds, fault.n, fault.part, fault.error, fault.stays) end
    end

    --- Disables failures from here on; a planned kill stays armed.
    function run.disarm()
        if run.kills or run.said.hit then return end
        run.said.hit, run.said.posts, run.said.records = struck()
    end

    --- Runs the command line as bin/flux2 does; its status is the exit code of this process.
    function run.cli(words) run.status = cli.main(words) end

    return run
end

--- Runs fn(run) in a new process. Its output and reports go to files that begin with `path`. Returns its exit code, or
--- minus the signal that ended it.
local function in_process(path, run, fn)
    local pid = fork()
    if pid ~= 0 then
        local status, signal = wait(pid)
        return signal and -signal or status
    end
    alarm(bound(20))
    -- luacheck: ignore 122
    io.stdout, io.stderr = assert(io.open(path .. ".out", "w")), assert(io.open(path .. ".err", "w"))
    local uncaught = {}
    flux2.on_error = function(message) uncaught[#uncaught + 1] = tostring(message) end
    local ran, fault = xpcall(function() fn(run, uncaught) end, debug.traceback)
    run.disarm()
    run.said.crash = not ran and tostring(fault) or nil
    run.said.uncaught = run.said.uncaught or table.concat(uncaught, "\n")
    service.write(path .. ".json", cjson.encode(run.said))
    os.exit(not ran and 99 or run.status or 0, true)
end

--- Counts the records in a spool with an id, without one, and the unrenamed replacements.
local function records(dir)
    local known, unknown = {}, {}
    local spool = core.list(dir .. "/spool") and dir .. "/spool" or dir .. "/out/.flux2-spool"
    for _, file in ipairs(core.list(spool) or {}) do
        local record = file:match "task%-.*%.json"
        -- A torn replacement counts if its id is complete.
        local id = record and service.read(spool .. "/" .. file):match '^{%s*"task_id": "([^"]*)"'
        if id and id ~= "" then known[record] = true end
        if id == "" and file == record then unknown[record] = true end
    end
    local n = 0
    for record in pairs(unknown) do n = n + (known[record] and 0 or 1) end
    return { unknown = n }
end

local count = 0

--- One run. Returns whether a call was hit.
local function once(fault)
    count = count + 1
    local root = base .. "/" .. count
    assert(core.directory(root))
    if case.template then
        os.execute(("cp -r '%s/template/d' '%s/d'"):format(base, root))
    else
        assert(core.directory(root .. "/d"))
    end
    local run = context(root, name .. "-" .. count, fault)
    if case.prepare then case.prepare(run) end
    local status = in_process(root .. "/first", run, case.first)
    service.write(root .. "/left", table.concat(rules.files_in(root .. "/d"), "\n"))
    service.write(root .. "/records", cjson.encode(records(root .. "/d")))
    local next_status = case.next and in_process(root .. "/next", context(root, run.id), case.next) or 0
    io.write(("run %d %d %d %d\n"):format(count, fault.n, status, next_status))
    io.flush()
    local data = service.read_if_there(root .. "/first.json")
    return status < 0 or data and cjson.decode(data).hit ~= nil
end

if case.template then
    os.execute(("mkdir -p '%s/template/d'"):format(base))
    in_process(base .. "/template/first", context(base .. "/template", name), case.template)
end
for i, sweep in ipairs(cjson.decode(service.read(list))) do
    io.write("sweep ", i, "\n")
    io.flush()
    local n = sweep.from or 1
    repeat
        sweep.n = n
        local goes_on = once(sweep)
        n = n + (sweep.step or 1)
    until not goes_on or n > (sweep.to or math.huge)
end
