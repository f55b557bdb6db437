--- `flux2 generate`: generates images from one prompt, with a progress line.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local like = require "flux2.cli.like"
local loop = require "flux2.cli.loop"
local progress = require "flux2.cli.progress"
local providers = require "flux2.provider"
local request = require "flux2.request"
local session = require "flux2.cli.session"
local text = require "flux2.text"
local values = require "flux2.cli.values"
local watch = require "flux2.cli.watch"

local generate = { name = "generate", summary = "Generate an image from a prompt." }

local AT_ONCE = 8

function generate.describe(command)
    command:argument("prompt", "The prompt, in quotes; - reads it from stdin."):args "*"
    arguments.request(command)
    arguments.option(command, "--like", "Use the prompt and the parameters that this image says it was made with; a " ..
        "prompt and options that are given have precedence.", values.text):argname "<image>"
    arguments.option(command, "-n --count", "Number of images to generate.", values.count):argname "<n>":default "1"
    arguments.option(command, "-o --output", "File, or directory (exists, or ends in a slash). The default is an " ..
        "unused name derived from the prompt. With -n 4, fox.png becomes fox-1.png to fox-4.png; {n}, {id} and " ..
        "{prompt} are replaced. - writes the image to stdout.", values.text)
        :argname "<file>"
    arguments.metadata(command)
    command:flag("--no-show", "Do not show the image in the terminal (needs chafa).")
    arguments.option(command, "--spool", "Directory that records tasks until their images are saved (FLUX2_SPOOL). " ..
        "See flux2 recover.", values.text):argname "<dir>"
    command:flag("--no-spool", "Do not record tasks.")
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Examples:
   flux2 generate "a red fox in the snow, watercolour"
   flux2 generate "a red fox" --type flex --aspect-ratio 16:9 -o fox.png
   flux2 generate "the fox in winter" --input-url https://a.example/fox.jpg
   flux2 generate "a logo with a fox" -n 4 -o logos/
   flux2 generate --like fox.png --resolution 2K
   flux2 generate - --json < prompt.txt]]
end

--- Returns the prompt, nil if --like gives it. Several words mean that the quotes are missing.
local function read_prompt(words, out)
    if #words > 1 then
        return nil, errors.new("invalid_request", "expected one prompt, got " .. #words .. ": put the prompt in quotes")
    end
    if words[1] ~= "-" then return words[1] end
    local bytes, err = arguments.read("-", out)
    if not bytes then return nil, err end
    return bytes:match "^.*%S" or ""
end

-- Running -------------------------------------------------------------------------------------------------------------

local function draw(run)
    local task = run.count == 1 and run.tasks[1]
    local state = run.count > 1 and ("%d of %d done"):format(run.finished, run.count) or watch.state(run.tasks[1])
    watch.draw(run.terminal, state, core.now() - run.began, {
        run.price and "about " .. text.credits(run.price * run.count) or "unknown price",
        task and task.id and text.clean(task.id, 60),
    })
end

--- Lists the tasks that are still running, and the commands that download their images.
local function list_running(run)
    local out, pending = run.terminal, 0
    for i = 1, run.count do
        local task = run.tasks[i]
        if task and watch.is_alive(task) then
            if task.id then
                out:warn(("Task %s is still running and paid for. To download its image:"):format(
                    text.clean(task.id, 100)))
                out:warn("  " .. error_output.fetch_command(task.id))
            else
                pending = pending + 1
            end
        end
    end
    if pending > 0 then
        out:warn(progress.count(pending, "submission is", "submissions are") .. " pending; " ..
            (run.spool and "flux2 recover lists what was accepted." or "check the tasks of your account."))
    end
end

local function has_pending(run)
    for i = 1, run.count do
        if run.tasks[i] and run.tasks[i].state == "submitting" then return true end
    end
    return false
end

--- The first Ctrl-C exits. While the id of a submission is pending, the second one does.
local function interrupted(run, presses)
    run.stopping = true
    if presses == 1 and has_pending(run) then
        run.terminal:warn "Waiting for the id of the submitted task. Ctrl-C again exits."
        return false
    end
    return true
end

-- One image -----------------------------------------------------------------------------------------------------------

local function target_for(run, number, task)
    local path = run.target.path
    if not path then return run.target end
    local filled = files.fill(path, { n = tostring(number), id = task.id, prompt = run.request.prompt })
    -- Ids may be missing, or differ only beyond the length of a name.
    local is_distinct = path:find("{n}", 1, true) or path:find("{id}", 1, true) and not run.names[filled]
    run.names[filled] = true
    if run.count > 1 and not is_distinct then filled = files.numbered(filled, number) end
    return { path = filled }
end

local function generate_one(run, number)
    local task, err = run.client:submit(run.request)
    local result, paths
    run.tasks[number] = task
    if task then result, err = task:wait() end
    if result then paths, err = files.save(result, target_for(run, number, task)) end
    run.finished = run.finished + 1
    if not paths then
        err.task_id = err.task_id or task and task.id
        local may_be_paid = err.paid or err.kind == "unknown_outcome"
        run.undelivered = may_be_paid and run.undelivered + 1 or run.undelivered
        run.failures[err.kind] = (run.failures[err.kind] or 0) + 1
        return error_output.print(run.terminal, err)
    end
    run.undelivered = 0
    watch.hand_over(run.terminal, {
        task = task, result = result, paths = paths, request = task.request, shows = run.shows,
    })
end

local function work(run)
    local number = 0
    loop.each(math.min(run.count, AT_ONCE), function()
        if run.stopping or number == run.count or run.undelivered >= loop.max_undelivered then return nil end
        number = number + 1
        return number
    end, function(n) generate_one(run, n) end)
    if run.stopping or number == run.count then return end
    run.terminal:warn(("%s not submitted: %d images in a row are paid for, or may be, and were not downloaded."):format(
        progress.count(run.count - number, "image was", "images were"), run.undelivered))
end

-- The command ---------------------------------------------------------------------------------------------------------

--- Checks everything that can fail before a credit is spent.
local function prepare(args, out)
    local prompt, err = read_prompt(args.prompt, out)
    if not prompt and not args.like then
        err = err or errors.new("invalid_request", "flux2 generate needs a prompt, or --like")
    end
    err = err or arguments.check_stdout(args, out)
    if err then return nil, err end
    local given, payload
    given, err = like.to_request(args, prompt, out)
    if not given then return nil, err end
    payload, err = request.build(providers.resolve(), given)
    if not payload then return nil, err end
    local target
    target, err = files.target(args.output, files.stem(payload.prompt))
    if not target then return nil, err end
    local spool = session.spool(args, out)
    local client
    client, err = session.client(args, { spool = spool })
    if not client then return nil, err end
    return {
        client = client, request = given, target = target, spool = spool, count = args.count, terminal = out,
        price = (client:estimate(payload)), tasks = {}, names = {}, finished = 0, undelivered = 0, failures = {},
        began = core.now(), shows = not args.no_show,
    }
end

function generate.run(args, out)
    local run, err = prepare(args, out)
    if not run then return error_output.print(out, err) end
    local finished = loop.run {
        work = function() work(run) end,
        draw = function() draw(run) end,
        interrupted = function(presses) return interrupted(run, presses) end,
        leaves = function() return not has_pending(run) end,
    }
    out:clear()
    if run.stopping then
        if not finished then list_running(run) end
        return exit.INTERRUPTED
    end
    return exit.of_many(run.failures)
end

return generate
