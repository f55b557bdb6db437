--- `flux2 task`: prints the status of a task; with --wait it downloads the image.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local session = require "flux2.cli.session"
local text = require "flux2.text"
local values = require "flux2.cli.values"
local watch = require "flux2.cli.watch"

local task = { name = "task", summary = "Print the status of a task, or wait for its image." }

local STATUS_TIMEOUT = 30 -- seconds

function task.describe(command)
    command:argument("id", "The task id.")
    command:flag("--wait", "Wait until the task ends, and save its image.")
    arguments.option(command, "-o --output", "File or directory for the image. With --wait the default is a file " ..
        "named after the task.", values.text):argname "<file>"
    arguments.metadata(command)
    command:flag("--no-show", "Do not show the image in the terminal.")
    arguments.option(command, "--spool", "Directory with the record of the task (FLUX2_SPOOL).", values.text)
        :argname "<dir>"
    command:flag("--no-spool", "Ignore records.")
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Without --wait it sends one request. The exit status is 0 for a task that is
running or has succeeded.

Examples:
   flux2 task n41xxxx_flux2
   flux2 task n41xxxx_flux2 --wait -o fox.png]]
end

-- Status --------------------------------------------------------------------------------------------------------------

local function print_status(out, status)
    if out.json then
        return out:result(jsonl.encode {
            task_id = status.id, state = status.state, status = status.status, progress = status.progress,
            urls = status.urls, error = status.error and error_output.fields(status.error),
        })
    end
    local parts = { status.state }
    if status.status then parts[#parts + 1] = text.clean(status.status, 60) end
    if status.progress and status.state == "running" then
        parts[#parts + 1] = ("%.0f %%"):format(status.progress * 100)
    end
    out:result(table.concat(parts, "  "))
    for _, url in ipairs(status.urls) do out:result(text.clean(url, 2000)) end
end

-- Waiting -------------------------------------------------------------------------------------------------------------

--- Returns the task with its spool record, which is removed when the image is saved; or a task without a record.
local function open_task(client, id, spool)
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
    local found, err = open_task(run.client, run.id, run.spool)
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
        out:say "The task is still running at the service. To wait again, run the same command."
        return exit.INTERRUPTED
    end
    return err and error_output.print(out, err) or exit.OK
end

local function get_status(run)
    local status, err
    local finished = loop.run {
        work = function() status, err = run.client:status(run.id, { timeout = STATUS_TIMEOUT }) end,
        interrupted = function() return true end,
    }
    if not finished then return nil, exit.INTERRUPTED end
    if not status then return nil, error_output.print(run.terminal, err) end
    return status
end

local function status_or_fetch(run, args)
    local out = run.terminal
    local status, exit_status = get_status(run)
    if not status then return exit_status end
    if status.state == "succeeded" and args.output then return wait(run) end
    if status.state == "running" and args.output then
        local message = "the task is still running: use --wait to wait for its image"
        return error_output.print(out, errors.new("timeout", message, { task_id = run.id, paid = true }))
    end
    print_status(out, status)
    if not status.error then return exit.OK end
    if not out.json then error_output.print(out, status.error) end
    return exit.of(status.error)
end

function task.run(args, out)
    local err = arguments.check_stdout(args, out)
    if err then return error_output.print(out, err) end
    local spool = session.spool(args, out)
    local client, reason = session.client(args, { spool = spool })
    if not client then return error_output.print(out, reason) end
    local run = { client = client, id = args.id, terminal = out, spool = spool, shows = not args.no_show }
    if args.wait or args.output then
        run.target, err = files.target(args.output, files.stem(args.id))
        if not run.target then return error_output.print(out, err) end
    end
    if args.wait then return wait(run) end
    return status_or_fetch(run, args)
end

return task
