--- `flux2 recover`: downloads paid images of runs that crashed, were killed or timed out.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local progress = require "flux2.cli.progress"
local result_json = require "flux2.cli.result_json"
local session = require "flux2.cli.session"
local shell = require "flux2.cli.shell"
local tables = require "flux2.tables"
local terminal = require "flux2.cli.terminal"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local recover = { name = "recover", summary = "Download images from interrupted runs." }

local AT_ONCE = 8

function recover.describe(command)
    arguments.option(command, "-o --output", "Output directory.", values.text):argname "<dir>":default "."
    arguments.metadata(command)
    command:flag("--list", "List the tasks; send no request to the service.")
    command:option("--discard", "Remove the record of a task without downloading its image; all removes every one.")
        :argname "<id>":count "*"
    command:flag("--discard-unknown", "Remove records of unknown outcome, and records that cannot be read.")
    arguments.option(command, "--spool", "Directory of records (FLUX2_SPOOL; default: that of flux2 generate). " ..
        "flux2 batch uses .flux2-spool in its output directory, and downloads from it when it is run again.",
        values.text):argname "<dir>"
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Examples:
   flux2 recover --list
   flux2 recover -o rescued/
   flux2 recover --spool images/.flux2-spool
   flux2 recover --discard n41xxxx_flux2]]
end

-- Listing -------------------------------------------------------------------------------------------------------------

local function print_item(out, state, item)
    local prompt = item.request and item.request.prompt
    if out.json then
        return out:result(jsonl.encode {
            state = state, task_id = item.id, prompt = prompt, request = item.request, submitted = item.submitted,
            credits = item.price, record = item.path,
        })
    end
    local cost = item.price and text.credits(item.price) or "unknown price"
    out:result(("%s  %s  %s  %s"):format(item.id and text.clean(item.id, 100) or state,
        text.clean(item.submitted or "?", 40), cost, terminal.quote(prompt, 50)))
end

local function list_unknown(out, unknown)
    if #unknown == 0 then return end
    for _, record in ipairs(unknown) do print_item(out, "unknown", record) end
    out:warn(("%s of unknown outcome: check the tasks of your account. To remove the records: --discard-unknown")
        :format(progress.count(#unknown, "submission is", "submissions are")))
end

local function list_damaged(out, damaged)
    for _, item in ipairs(damaged) do
        out:warn(("A record cannot be read; it may belong to a paid image: %s (%s)"):format(text.clean(item.path, 300),
            item.reason))
    end
end

--- Prints how many records belong to other services, in one line.
---@param out flux2.Terminal
---@param others table<string, integer> by base URL
function recover.list_others(out, others)
    local names, count = tables.names(others), 0
    for _, base_url in ipairs(names) do count = count + others[base_url] end
    if count == 0 then return end
    out:warn(("%s of other services (%s); to download the images, use their FLUX2_PROVIDER and base URL"):format(
        progress.count(count, "record is", "records are"), text.clean(table.concat(names, ", "), 200)))
end

-- Discarding ----------------------------------------------------------------------------------------------------------

local function discard(run, ids)
    local wanted, kept = {}, {}
    for _, id in ipairs(ids) do wanted[id] = true end
    for _, task in ipairs(run.tasks) do
        if wanted.all or wanted[task.id] then
            task:discard()
            wanted[task.id] = nil
            run.terminal:say("Removed: " .. text.clean(task.id or "a submission without an id", 100))
        else
            kept[#kept + 1] = task
        end
    end
    wanted.all = nil
    local missing = next(wanted)
    if missing then
        return errors.new("not_found", "there is no record of task " .. text.show(missing) .. " in " ..
            text.show(run.spool), { advice = "flux2 recover --list lists the records." })
    end
    run.tasks = kept
end

--- Removes the records of unknown outcome and the damaged ones. One that cannot be removed stays in the list.
local function discard_unknown(run)
    local kept = {}
    for _, record in ipairs(run.unknown) do record:discard() end
    for _, item in ipairs(run.damaged) do
        local ok, reason = core.remove(item.path)
        if not ok then kept[#kept + 1] = { path = item.path, reason = "it cannot be removed: " .. reason } end
    end
    run.unknown, run.damaged = {}, kept
    if #kept > 0 then run.failures.io = #kept end
end

-- Download ------------------------------------------------------------------------------------------------------------

local function fetch(run, task)
    run.running = run.running + 1
    local out, paths = run.terminal, nil
    local result, err = task:wait()
    if result then
        local target = { directory = run.target.directory, stem = files.stem(task.request.prompt) }
        paths, err = files.save(result, target)
    end
    run.running = run.running - 1
    if paths then
        run.finished = run.finished + 1
        if out.json then return out:result(jsonl.encode(result_json.of(task.request, task, result, paths))) end
        for _, path in ipairs(paths) do out:result(path) end
        return
    end
    run.failures[err.kind] = (run.failures[err.kind] or 0) + 1
    run.failed = run.failed + 1
    err.task_id = err.task_id or task.id
    error_output.print(out, err)
    if err.kind == "not_found" and error_output.is_pasteable(task.id) then
        out:say("Its record is kept. To remove it: flux2 recover --discard" ..
            (task.id:sub(1, 1) == "-" and "=" or " ") .. shell.quote(task.id))
    end
end

local function fetch_all(run)
    local at, out, began = 0, run.terminal, core.now()
    local finished = loop.run {
        work = function()
            loop.each(math.min(AT_ONCE, #run.tasks), function()
                at = at + 1
                return run.tasks[at]
            end, function(task) fetch(run, task) end)
        end,
        draw = function()
            progress.draw(out, {
                total = #run.tasks, finished = run.finished, failed = run.failed, running = run.running,
                elapsed = core.now() - began, credits = 0, concurrency = AT_ONCE,
            })
        end,
        interrupted = function() return true end,
    }
    out:clear()
    if not finished then
        out:say "Nothing is lost: the records of the other tasks are kept."
        return exit.INTERRUPTED
    end
end

local function prepare(args, out)
    local spool = session.spool(args, out)
    if not spool then return nil, errors.new("io", "there is no spool directory: use --spool", { advice = false }) end
    local target, err = files.target((args.output:gsub("/*$", "/")), "image")
    if not target then return nil, err end
    local client
    client, err = session.client(args, { spool = spool })
    if not client then return nil, err end
    local tasks, unknown, damaged, others = client:recover()
    if not tasks then return nil, unknown end
    return {
        terminal = out, spool = spool, target = target,
        tasks = tasks, unknown = unknown, damaged = damaged, others = others,
        finished = 0, failed = 0, running = 0, failures = {},
    }
end

function recover.run(args, out)
    local run, err = prepare(args, out)
    if not run then return error_output.print(out, err) end
    if args.discard_unknown then discard_unknown(run) end
    list_damaged(out, run.damaged)
    recover.list_others(out, run.others)
    if #args.discard > 0 then
        err = discard(run, args.discard)
        return err and error_output.print(out, err) or exit.OK
    end
    if args.list then
        for _, task in ipairs(run.tasks) do print_item(out, "paid", task) end
    elseif #run.tasks > 0 then
        out:say(progress.count(#run.tasks, "task was", "tasks were") .. " paid for and not downloaded.")
        local status = fetch_all(run)
        if status then return status end
    end
    if #run.tasks + #run.unknown + #run.damaged == 0 and next(run.others) == nil then
        out:say("No unfinished tasks in " .. text.clean(run.spool, 300) .. ".")
    end
    list_unknown(out, run.unknown)
    return exit.of_many(run.failures)
end

return recover
