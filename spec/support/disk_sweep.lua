--- Runs a case of support/disk_cases.lua for each n: starts support/disk_host.lua, and checks the result of each run
-- against the emulator's ledger and the rules of the case.
local build = require "support.build"
local cases = require "support.disk_cases"
local cjson = require "cjson"
local core = require "flux2.core"
local png = require "support.png"
local rules = require "support.disk_rules"
local service = require "support.service"
local shell = require "support.shell"

local sweep = {}

--- Whether thorough sweeps run here: the file code is in C, so one Lua version without instrumentation is enough.
sweep.runs_here = _VERSION == "Lua 5.4" and not build.is_sanitized
sweep.REASON = "needs Lua 5.4 without instrumentation"

local KILLS = { kill = true, tear = true }
local TIMEOUT = 240 -- seconds for all runs; each process has 20

--- A folder for the runs: in memory, if possible.
local function new_directory()
    local path = "/dev/shm/" .. service.unique_name()
    if shell.run(("mkdir '%s'"):format(path)) == 0 then return path end
    return service.directory()
end

--- For a `describe`: provides the emulator and the folder for `run`, like service.around_each.
function sweep.around_each(before_each, after_each, given)
    local options = { duration = 0, image_bytes = rules.IMAGE_BYTES }
    service.around_each(before_each, after_each, options, given, new_directory)
end

--- busted's `it`, but pending in valgrind, where each process takes seconds.
function sweep.thorough(it, pending)
    return function(name, fn)
        it(name, build.is_in_valgrind and function() pending "in valgrind spec/disk_spec.lua is enough" end or fn)
    end
end

--- Every submission is answered with the task's id and its result.
function sweep.answer_at_once(emu)
    emu:fault {
        method = "POST", path = "*", times = 1e6, accept = true,
        body = [[{"code":200,"data":{"task_id":"{task_id}","status":"completed",]] ..
            [["output":{"image_url":"{url}/none.png"}}}]],
    }
end

--- Every image carries a manifest, so that its metadata is written beside it.
function sweep.seal(emu)
    local filler = ("x"):rep(rules.IMAGE_BYTES - #png.with(png.chunk("caBX", "")))
    local body = png.with(png.chunk("caBX", filler))
    emu:fault { method = "GET", path = "/images/*", status = 200, times = 1e6, body = body }
end

--- The argument of a case's check for one run.
local function context(dir, fields, paid)
    local root = dir .. "/" .. fields.count
    local run = { root = root, dir = root .. "/d", action = fields.action, error = fields.error, stays = fields.stays,
        hit = fields.hit }
    run.id = fields.name .. "-" .. fields.count
    run.status, run.next_status, run.kills = fields.status, fields.next_status, KILLS[fields.action]

    function run.paid(prompt) return paid[prompt] or 0 end
    function run.read(name) return (service.read_if_there(run.dir .. "/" .. name)) end
    function run.file(name) return rules.state_of(run.dir .. "/" .. name) end
    function run.list() return rules.files_in(run.dir) end
    function run.holds(bytes)
        for _, path in ipairs(run.list()) do
            if run.read(path) == bytes then return true end
        end
        return false
    end

    local function values_of(name)
        local ok, values = pcall(cjson.decode, service.read_if_there(root .. "/" .. name .. ".json"))
        if not ok then values = {} end -- killed
        values.out = service.read_if_there(root .. "/" .. name .. ".out") or ""
        values.err = service.read_if_there(root .. "/" .. name .. ".err") or ""
        return values
    end
    run.first, run.next, run.left = values_of "first", values_of "next", {}
    for path in (service.read_if_there(root .. "/left") or ""):gmatch "[^\n]+" do run.left[#run.left + 1] = path end
    run.records = cjson.decode(service.read_if_there(root .. "/records") or '{"unknown":0}')
    return run
end

local function judge(name, run, fields)
    local case = cases[name]
    local where = ("%s: %s %s, call %d%s (%s)\n"):format(name, fields.action, fields.error or fields.kinds, fields.n,
        fields.stays and " and later ones" or "", run.hit or "none was struck")
    local function want(condition, message)
        if not condition then
            error(where .. tostring(message) .. "\n" .. run.first.err .. (run.first.crash or "") .. run.next.err, 0)
        end
    end
    want(not run.first.crash, "it raised")
    want(run.status >= 0 and run.status ~= 99 or run.kills and run.status == -9, "it ended with " .. run.status)
    if fields.fails then want(run.status > 0 or run.first.ok == false, "it is not reported as a failure") end
    case.check(run, want)
end

--- Runs a case. SWEEPS are { action, kinds, part?, error?, stays?, from?, to?, fails? }, see support/disk_faults.c,
--- each for n = from (1) to `to` (until no call is left) by step (1); with `fails` the case must fail. Returns the number
--- of runs in which a call was hit.
function sweep.run(emu, dir, name, sweeps)
    dir = dir .. "/" .. service.unique_name()
    assert(core.directory(dir))
    local list = dir .. "/sweeps.json"
    service.write(list, cjson.encode(sweeps))
    local code, printed = service.run_lua([[require "support.disk_host"]],
        shell.join { emu.url, dir, service.library "disk_faults", service.library "process", name, list },
        ("FLUX2_BASE_URL='%s' FLUX2_API_KEY='%s' FLUX2_POLL_INTERVAL=0.01 %s"):format(
            emu.url, emu.api_key, service.preload "disk_faults"), TIMEOUT)
    assert(code == 0, printed)
    local paid = {}
    for _, entry in ipairs(emu:ledger()) do paid[entry.prompt] = (paid[entry.prompt] or 0) + 1 end
    local struck, fields, hit = 0, nil, nil
    for line in printed:gmatch "[^\n]+" do
        local at = line:match "^sweep (%d+)$"
        local count, n, status, next_status = line:match "^run (%d+) (%d+) (%-?%d+) (%-?%d+)$"
        if at then fields, hit = sweeps[tonumber(at)], nil end
        if line:find "^killed at " then hit = hit or line:match "^killed at (.*)$" end
        if count then
            local one = { name = name, count = count, n = n, status = tonumber(status),
                next_status = tonumber(next_status) }
            for key, value in pairs(fields) do one[key] = value end
            one.hit = hit
            local run = context(dir, one, paid)
            run.hit = run.hit or run.first.hit
            judge(name, run, one)
            struck, hit = struck + (run.hit and 1 or 0), nil
        end
    end
    return struck
end

--- Fails every third call of each kind, for one case; with DISK_STEP=1 (make test-every) each, in at least `at_least`
-- runs. `stays` lists kinds of which all later calls fail as well.
function sweep.every(emu, dir, name, stays, at_least)
    local sweeps, step = {}, tonumber(os.getenv "DISK_STEP") or 3
    local function add(fault)
        fault.step = step
        sweeps[#sweeps + 1] = fault
    end
    for kind in ("open read write fsync close rename mkdir flock unlink link truncate"):gmatch "%S+" do
        add { action = "fail", kinds = kind }
    end
    add { action = "short", kinds = "write" }
    add { action = "cut", kinds = "write" }
    for kind in (stays or ""):gmatch "%S+" do add { action = "fail", kinds = kind, stays = true } end
    local struck = sweep.run(emu, dir, name, sweeps)
    assert(struck >= at_least / step, "only " .. struck .. " calls were struck")
end

return sweep
