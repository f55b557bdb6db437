--- `flux2 generate`: from a prompt to a file, with something to look at meanwhile.

local arguments = require "flux2.cli.arguments"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local loop = require "flux2.cli.loop"
local pricing = require "flux2.pricing"
local progress = require "flux2.cli.progress"
local request = require "flux2.request"
local session = require "flux2.cli.session"
local text = require "flux2.text"
local values = require "flux2.cli.values"
local watch = require "flux2.cli.watch"

local generate = { name = "generate", summary = "Make a picture from a prompt." }

local AT_ONCE = 8

function generate.describe(command)
    command:argument("prompt", "What the picture shows, in quotes; - reads it from stdin."):args "+"
    arguments.request(command)
    arguments.option(command, "-n --count", "How many pictures, each paid for.", values.count):argname "<n>":default "1"
    command:option("-o --output", "The file, or a directory (it is one, or ends in a slash). By default a name made " ..
        "from the prompt, which overwrites nothing. With -n 4, fox.png becomes fox-1.png to fox-4.png; " ..
        "{n}, {id} and {prompt} in it are filled in. - writes the picture itself to stdout.")
        :argname "<file>"
    command:flag("--no-show", "Do not show the picture in the terminal (chafa draws it, where it is installed).")
    arguments.option(command, "--spool", "Where tasks are recorded until their pictures are saved (FLUX2_SPOOL; see " ..
        "flux2 recover)."):argname "<dir>"
    command:flag("--no-spool", "Keep no such record.")
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Examples:
   flux2 generate "a red fox in the snow, watercolour"
   flux2 generate "a red fox" --type flex --aspect-ratio 16:9 -o fox.png
   flux2 generate "the fox in winter" --input-url https://a.example/fox.jpg
   flux2 generate "a logo with a fox" -n 4 -o logos/
   flux2 generate - --json < prompt.txt]]
end

--- The prompt; one that came apart for want of quotes is not put together again.
local function read_prompt(words, out)
    if #words > 1 then
        return nil, errors.new("invalid_request", "one prompt is needed, got " .. #words .. ": put it in quotes")
    end
    if words[1] ~= "-" then return words[1] end
    local bytes, err = arguments.read("-", out)
    if not bytes then return nil, err end
    return (bytes:gsub("%s+$", ""))
end

-- While it runs -------------------------------------------------------------------------------------------------------

local function draw(run)
    local task = run.count == 1 and run.tasks[1]
    local state = run.count > 1 and ("%d of %d done"):format(run.finished, run.count) or watch.state(run.tasks[1])
    watch.draw(run.terminal, state, core.now() - run.began, {
        run.price and "about " .. progress.credits(run.price * run.count) or "unknown price",
        task and task.id and text.clean(task.id, 60),
    })
end

--- Tells what runs on at the service, and how to get it.
local function tell_left(run)
    local out, unanswered = run.terminal, 0
    for i = 1, run.count do
        local task = run.tasks[i]
        if task and watch.is_alive(task) then
            if task.id then
                out:warn(("Task %s goes on, and is paid for. To fetch it:"):format(text.clean(task.id, 100)))
                out:warn("  flux2 task " .. text.clean(task.id, 100) .. " --wait")
            else
                unanswered = unanswered + 1
            end
        end
    end
    if unanswered > 0 then
        out:warn(progress.count(unanswered, "submission was", "submissions were") .. " not answered yet; " ..
            (run.spool and "flux2 recover will know." or "look at the account."))
    end
end

local function has_unanswered(run)
    for i = 1, run.count do
        if run.tasks[i] and run.tasks[i].state == "submitting" then return true end
    end
    return false
end

--- The first Ctrl-C leaves, unless an id is still to come: then the second does.
local function interrupted(run, presses)
    run.stopping = true
    if presses == 1 and has_unanswered(run) then
        run.terminal:warn "Waiting for the answer to the submission, so that its id is known. Ctrl-C again leaves."
        return false
    end
    return true
end

-- One picture ---------------------------------------------------------------------------------------------------------

local function fail(run, err)
    run.failures[err.kind] = (run.failures[err.kind] or 0) + 1
    complaint.tell(run.terminal, err)
end

local function target_for(run, number, task)
    local path = run.target.path
    if not path then return run.target end
    local filled = files.fill(path, { n = tostring(number), id = task.id, prompt = run.request.prompt })
    if run.count > 1 and not path:find("{n}", 1, true) and not path:find("{id}", 1, true) then
        filled = files.numbered(filled, number)
    end
    return { path = filled }
end

local function make(run, number)
    local task, err = run.client:submit(run.request)
    local result, paths
    run.tasks[number] = task
    if task then result, err = task:wait() end
    if result then paths, err = files.save(result, target_for(run, number, task)) end
    run.finished = run.finished + 1
    if not paths then
        err.task_id = err.task_id or task and task.id
        return fail(run, err)
    end
    watch.hand_over(run.terminal, {
        task = task, result = result, paths = paths, request = task.request, shows = run.shows,
    })
end

local function work(run)
    local number = 0
    loop.each(math.min(run.count, AT_ONCE), function()
        if run.stopping or number == run.count then return nil end
        number = number + 1
        return number
    end, function(n) make(run, n) end)
end

-- The command ---------------------------------------------------------------------------------------------------------

--- Bytes on stdout leave no room for anything else there.
local function check_stdout(args, out)
    if args.output ~= "-" then return nil end
    if args.count > 1 then return errors.new("invalid_request", "-o - takes one picture, not " .. args.count) end
    if out.json then return errors.new("invalid_request", "-o - and --json both want stdout") end
    if out.shows then return errors.new("invalid_request", "-o - is for pipes and files: stdout is a terminal") end
end

--- Everything that can be wrong before a credit is spent.
local function prepare(args, out)
    local prompt, err = read_prompt(args.prompt, out)
    err = err or check_stdout(args, out)
    if err then return nil, err end
    local given = arguments.to_request(args, prompt)
    local payload
    payload, err = request.build(given)
    if not payload then return nil, err end
    local target
    target, err = files.target(args.output, files.stem(prompt))
    if not target then return nil, err end
    local spool = session.spool(args, out)
    local client
    client, err = session.client(args, { spool = spool })
    if not client then return nil, err end
    return {
        client = client, request = given, target = target, spool = spool, count = args.count, terminal = out,
        price = (pricing.estimate(payload)), tasks = {}, finished = 0, failures = {}, began = core.now(),
        shows = not args.no_show,
    }
end

function generate.run(args, out)
    local run, err = prepare(args, out)
    if not run then return complaint.tell(out, err, "generate") end
    local finished = loop.run {
        work = function() work(run) end,
        draw = function() draw(run) end,
        interrupted = function(presses) return interrupted(run, presses) end,
        leaves = function() return not has_unanswered(run) end,
    }
    out:clear()
    if run.stopping then
        if not finished then tell_left(run) end
        return exit.INTERRUPTED
    end
    return exit.of_many(run.failures)
end

return generate
