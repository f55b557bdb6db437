--- `flux2 task`: how a task stands; with --wait, its picture.

local arguments = require "flux2.cli.arguments"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local session = require "flux2.cli.session"
local text = require "flux2.text"
local watch = require "flux2.cli.watch"

local task = { name = "task", summary = "Tell how a task stands, or wait for it and fetch its picture." }

local LOOK = 30 -- seconds that one question may take

function task.describe(command)
    command:argument("id", "The task's id, as flux2 and the service tell it.")
    command:flag("--wait", "Wait for its end, and save its picture.")
    command:option("-o --output", "Save its picture there: a file, or a directory. With --wait the default is a " ..
        "file named after the task."):argname "<file>"
    command:flag("--no-show", "Do not show the picture in the terminal.")
    arguments.option(command, "--spool", "Where the task was recorded, if not in the usual place (FLUX2_SPOOL).")
        :argname "<dir>"
    command:flag("--no-spool", "Leave such records alone.")
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Without --wait it asks once, and succeeds for a task that runs or has succeeded.

Examples:
   flux2 task n41xxxx_flux2
   flux2 task n41xxxx_flux2 --wait -o fox.png]]
end

-- Asking once ---------------------------------------------------------------------------------------------------------

local function tell(out, look)
    if out.json then
        return out:result(jsonl.encode {
            task_id = look.id, state = look.state, status = look.status, progress = look.progress, urls = look.urls,
            error = look.error and complaint.fields(look.error),
        })
    end
    local parts = { look.state }
    if look.status then parts[#parts + 1] = text.clean(look.status, 60) end
    if look.progress and look.state == "running" then parts[#parts + 1] = ("%.0f %%"):format(look.progress * 100) end
    out:result(table.concat(parts, "  "))
    for _, url in ipairs(look.urls) do out:result(text.clean(url, 2000)) end
end

-- Waiting -------------------------------------------------------------------------------------------------------------

--- The task with its record, so that the record goes when the picture is saved; without one if there is none.
local function take_up(client, id, spool)
    local tasks, err
    if spool then tasks, err = client:recover() end
    for _, found in ipairs(tasks or {}) do
        if found.id == id then return found end
    end
    if spool and not tasks then return nil, err end
    return client:task(id)
end

local function fetch(run)
    local result, paths
    local found, err = take_up(run.client, run.id, run.spool)
    run.task = found
    if found then result, err = found:wait() end
    if result then paths, err = files.save(result, run.target) end
    if not paths then
        err.task_id = err.task_id or run.id
        return err
    end
    watch.hand_over(run.terminal, {
        task = found, result = result, paths = paths, request = found.request, shows = run.shows,
    })
end

local function wait(run)
    local out, began = run.terminal, core.now()
    local finished, err = loop.run {
        work = function() return fetch(run) end,
        draw = function() watch.draw(out, watch.state(run.task), core.now() - began, { text.clean(run.id, 60) }) end,
        interrupted = function() return true end,
    }
    out:clear()
    if not finished then
        out:say "The task goes on at the service; wait for it again whenever you like."
        return exit.INTERRUPTED
    end
    return err and complaint.tell(out, err) or exit.OK
end

local function ask(run)
    local look, err
    local finished = loop.run {
        work = function() look, err = run.client:look(run.id, { timeout = LOOK }) end,
        interrupted = function() return true end,
    }
    if not finished then return nil, exit.INTERRUPTED end
    if not look then return nil, complaint.tell(run.terminal, err) end
    return look
end

local function ask_or_fetch(run, args)
    local out = run.terminal
    local look, status = ask(run)
    if not look then return status end
    if look.state == "succeeded" and args.output then return wait(run) end
    if look.state == "running" and args.output then
        local message = "the task is still running, so there is nothing to save yet; --wait waits"
        return complaint.tell(out, errors.new("timeout", message, { task_id = run.id }))
    end
    tell(out, look)
    if not look.error then return exit.OK end
    if not out.json then complaint.tell(out, look.error) end
    return exit.of(look.error)
end

function task.run(args, out)
    local spool = session.spool(args, out)
    local client, err = session.client(args, { spool = spool })
    if not client then return complaint.tell(out, err) end
    local run = { client = client, id = args.id, terminal = out, spool = spool, shows = not args.no_show }
    if args.output == "-" and (out.json or out.shows) then
        local message = "-o - writes the picture to stdout, which must be a pipe or a file, without --json"
        return complaint.tell(out, errors.new("invalid_request", message), "task")
    end
    if args.wait or args.output then
        run.target, err = files.target(args.output, files.stem(args.id))
        if not run.target then return complaint.tell(out, err) end
    end
    if args.wait then return wait(run) end
    return ask_or_fetch(run, args)
end

return task
