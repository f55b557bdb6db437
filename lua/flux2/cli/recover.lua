--- `flux2 recover`: what was paid for and not collected, because a program crashed, was killed or gave up waiting.

local arguments = require "flux2.cli.arguments"
local board = require "flux2.cli.board"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local progress = require "flux2.cli.progress"
local receipt = require "flux2.cli.receipt"
local session = require "flux2.cli.session"
local terminal = require "flux2.cli.terminal"
local text = require "flux2.text"

local recover = { name = "recover", summary = "Fetch what was paid for and not collected." }

local AT_ONCE = 8

function recover.describe(command)
    command:option("-o --output", "The directory to save in; by default this one."):argname "<dir>":default "."
    command:flag("--list", "Only tell what there is; asks the service nothing.")
    command:option("--discard", "Forget this task, whose picture nobody wants; all for every one.")
        :argname "<id>":count "*"
    command:flag("--discard-unknown", "Forget the submissions of which nobody knows whether they were accepted.")
    arguments.option(command, "--spool", "Where the tasks are recorded (FLUX2_SPOOL); by default where flux2 " ..
        "generate records them. flux2 batch keeps its own, in .flux2-spool within its directory."):argname "<dir>"
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Examples:
   flux2 recover --list
   flux2 recover -o rescued/
   flux2 recover --spool pictures/.flux2-spool
   flux2 recover --discard n41xxxx_flux2]]
end

-- Listing -------------------------------------------------------------------------------------------------------------

local function tell_item(out, state, item)
    local prompt = item.request and item.request.prompt
    if out.json then
        return out:result(jsonl.encode {
            state = state, task_id = item.id, prompt = prompt, request = item.request, submitted = item.submitted,
            credits = item.price, record = item.path,
        })
    end
    local cost = item.price and progress.credits(item.price) or "unknown price"
    out:result(("%s  %s  %s  %s"):format(item.id and text.clean(item.id, 100) or state, item.submitted or "?", cost,
        terminal.quote(tostring(prompt), 50)))
end

local function tell_unknown(out, unknown)
    if #unknown == 0 then return end
    for _, record in ipairs(unknown) do tell_item(out, "unknown", record) end
    out:warn(("%s of unknown outcome: look at the account's tasks; --discard-unknown forgets them."):format(
        progress.count(#unknown, "submission is", "submissions are")))
end

local function tell_damaged(out, damaged)
    for _, item in ipairs(damaged) do
        out:warn(("A record could not be read and was put aside: %s (%s)"):format(item.path, item.reason))
    end
end

-- Discarding ----------------------------------------------------------------------------------------------------------

local function discard(run, ids)
    local wanted, kept = {}, {}
    for _, id in ipairs(ids) do wanted[id] = true end
    for _, task in ipairs(run.tasks) do
        if wanted.all or wanted[task.id] then
            task:discard()
            wanted[task.id] = nil
            run.terminal:say("Forgotten: " .. text.clean(task.id, 100))
        else
            kept[#kept + 1] = task
        end
    end
    wanted.all = nil
    local missing = next(wanted)
    if missing then
        return errors.new("not_found", "there is no record of task " .. text.show(missing) .. " in " .. run.spool)
    end
    run.tasks = kept
end

-- Fetching ------------------------------------------------------------------------------------------------------------

local function fetch(run, task)
    run.running = run.running + 1
    local out, paths = run.terminal, nil
    local result, err = task:wait()
    if result then
        local stem = files.stem(tostring(task.request.prompt))
        paths, err = files.save(result, { directory = run.target.directory, stem = stem })
    end
    run.running = run.running - 1
    if paths then
        run.finished = run.finished + 1
        if out.json then return out:result(jsonl.encode(receipt.of(task.request, task, result, paths))) end
        for _, path in ipairs(paths) do out:result(path) end
        return
    end
    run.failures[err.kind] = (run.failures[err.kind] or 0) + 1
    run.failed = run.failed + 1
    err.task_id = err.task_id or task.id
    complaint.tell(out, err)
    if err.kind == "not_found" then
        out:say("Its record stays; to forget it: flux2 recover --discard " .. text.clean(task.id, 100))
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
            out:draw(function(columns)
                return board.line({
                    total = #run.tasks, finished = run.finished, failed = run.failed, running = run.running,
                    elapsed = core.now() - began, credits = 0, concurrency = AT_ONCE,
                }, columns, out)
            end)
        end,
        interrupted = function() return true end,
    }
    out:clear()
    if not finished then
        out:say "Nothing is lost: what was not fetched stays recorded."
        return exit.INTERRUPTED
    end
end

local function prepare(args, out)
    local spool = session.spool(args, out)
    if not spool then return nil, errors.new("io", "there is no spool to look into: give --spool") end
    local target, err = files.target((args.output:gsub("/*$", "/")), "picture")
    if not target then return nil, err end
    local client
    client, err = session.client(args, { spool = spool })
    if not client then return nil, err end
    local tasks, unknown, damaged = client:recover()
    if not tasks then return nil, unknown end
    return {
        terminal = out, spool = spool, target = target, tasks = tasks, unknown = unknown, damaged = damaged,
        finished = 0, failed = 0, running = 0, failures = {},
    }
end

function recover.run(args, out)
    local run, err = prepare(args, out)
    if not run then return complaint.tell(out, err) end
    tell_damaged(out, run.damaged)
    if args.discard_unknown then
        for _, record in ipairs(run.unknown) do record:discard() end
        run.unknown = {}
    end
    if #args.discard > 0 then
        err = discard(run, args.discard)
        return err and complaint.tell(out, err) or exit.OK
    end
    if args.list then
        for _, task in ipairs(run.tasks) do tell_item(out, "paid", task) end
    elseif #run.tasks > 0 then
        out:say(progress.count(#run.tasks, "task was", "tasks were") .. " paid for and not collected.")
        local left = fetch_all(run)
        if left then return left end
    end
    if #run.tasks + #run.unknown == 0 then out:say("Nothing is left in " .. run.spool .. ".") end
    tell_unknown(out, run.unknown)
    return exit.of_many(run.failures)
end

return recover
