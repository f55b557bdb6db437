--- `flux2 batch`: a list of prompts becomes a directory of pictures. Started again, it does what is missing.

local arguments = require "flux2.cli.arguments"
local board = require "flux2.cli.board"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local manifest = require "flux2.cli.manifest"
local plan = require "flux2.cli.plan"
local production = require "flux2.cli.production"
local progress = require "flux2.cli.progress"
local prompts = require "flux2.cli.prompts"
local session = require "flux2.cli.session"
local shell = require "flux2.cli.shell"
local terminal = require "flux2.cli.terminal"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local batch = { name = "batch", summary = "Make many pictures from a list of prompts; started again, what is missing." }

local CONCURRENCY = 4
local SHOWN = 20 -- mistakes of a list, and running tasks, that are told one by one

function batch.describe(command)
    command:argument("list", "A file with a prompt on each line (empty lines, and lines that begin with #, are " ..
        "passed over), or JSON Lines (.jsonl): a string, or an object with prompt, type, aspect_ratio, resolution, " ..
        "input_urls, extra and file; - reads stdin.")
    command:option("--out", "The directory, made if it is not there; manifest.jsonl in it tells what each picture " ..
        "is and what it cost."):argname "<dir>":default "pictures"
    local add = arguments.option
    add(command, "--concurrency", ("How many at the same time (FLUX2_CONCURRENCY; default %d)."):format(CONCURRENCY),
        values.count):argname "<n>"
    add(command, "--budget", "Credits that this directory may cost, earlier runs included (FLUX2_BUDGET).",
        values.credits):argname "<credits>"
    add(command, "--price", "What one picture costs, where the service publishes no price, or another one.",
        values.credits):argname "<credits>"
    command:option("--format", "How the list is written, if its name does not tell."):choices { "txt", "jsonl" }
        :argname "<txt|jsonl>"
    command:flag("--unique", "Make a request that stands there several times only once.")
    command:flag("--remake", "Make pictures again whose files are gone, and pay for them again; without, they are " ..
        "fetched again, as long as the service has them.")
    command:flag("--resubmit-unknown", "Submit again what may have been accepted before, and may be paid for twice.")
    command:flag("--retry-refused", "Submit again what the service refused before, as moderated or rejected.")
    command:flag("--dry-run", "Tell what there is to do, and what it costs; submit nothing.")
    arguments.request(command)
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Ctrl-C submits nothing more and waits for what runs; a second one leaves.
Nothing that was paid for is lost: the same command takes it up again.

Examples:
   flux2 batch prompts.txt --out foxes --concurrency 8 --budget 500
   flux2 batch prompts.jsonl --dry-run
   jq -c '{prompt: .title, file: (.id + ".png")}' posts.jsonl | flux2 batch -]]
end

-- Before anything is sent ---------------------------------------------------------------------------------------------

local function tell_mistakes(out, path, wrong)
    local name = path == "-" and "stdin" or path
    local message = ("%s: %s cannot be used, and nothing was sent"):format(text.clean(name, 100),
        progress.count(#wrong, "line"))
    if out.json then
        local listed = {}
        for i, item in ipairs(wrong) do listed[i] = { line = item.line, message = item.message } end
        out:result(jsonl.encode { error = { kind = "invalid_request", message = message, lines = listed } })
        return exit.USAGE
    end
    out:warn(out:style("red", "flux2:") .. " " .. message)
    for i = 1, math.min(#wrong, SHOWN) do
        out:warn(("  line %d: %s"):format(wrong[i].line, text.clean(wrong[i].message, 300)))
    end
    if #wrong > SHOWN then out:warn(("  and %d more"):format(#wrong - SHOWN)) end
    return exit.USAGE
end

--- The entries of the list; nil and the exit status where it is no use.
local function read_list(args, out)
    local bytes, err = arguments.read(args.list, out)
    if not bytes then return nil, complaint.tell(out, err) end
    local defaults = arguments.to_request(args, nil)
    local entries, again = prompts.parse(bytes, {
        format = args.format or prompts.format(args.list, bytes), defaults = defaults, unique = args.unique,
    })
    if not entries then return nil, tell_mistakes(out, args.list, again) end
    if #entries == 0 then
        return nil, complaint.tell(out, errors.new("invalid_request", "there is no prompt in " .. text.show(args.list)))
    end
    if again > 0 then
        local lines = progress.count(again, "line asks", "lines ask")
        out:say(("%s for what a line before asks for: %s"):format(lines,
            args.unique and "passed over" or "each is made once more (--unique makes it once)"))
    end
    return entries
end

local function price_of(record)
    return record.price or 0
end

--- What earlier runs left in the spool.
local function find_left(args, known)
    local finder, err = session.client(args, { spool = args.out .. "/.flux2-spool" })
    if not finder then return nil, err end
    local tasks, unknown, damaged = finder:recover()
    if not tasks then return nil, unknown end
    local spent = known.spent
    for _, task in ipairs(tasks) do
        if not known.by_id[task.id] then spent = spent + (task.price or 0) end
    end
    for _, record in ipairs(unknown) do spent = spent + price_of(record) end
    return { tasks = tasks, unknown = unknown, damaged = damaged, spent = spent }
end

local function client_for(args, found)
    return session.client(args, {
        spool = args.out .. "/.flux2-spool", budget = args.budget and math.max(0, args.budget - found.spent),
    })
end

local function tell_plan(run, found)
    local out, p = run.terminal, run.plan
    local parts = { progress.count(#run.entries, "prompt") .. ":" }
    local function add(n, words) if n > 0 then parts[#parts + 1] = n .. " " .. words .. "," end end
    add(#p.done, "done")
    add(#p.fetch, "paid and to be fetched" .. (p.strays > 0 and (" (%d of another list)"):format(p.strays) or ""))
    add(#p.unknown, "of unknown outcome")
    add(#p.refused, "refused before (--retry-refused)")
    add(#p.make, "to make")
    local cost = p.credits
    if run.price then cost = run.price * #p.make end
    if #p.make > 0 and (cost > 0 or run.price) then parts[#parts + 1] = "about " .. progress.credits(cost) .. "," end
    if not run.price then add(p.unpriced, "without a published price") end
    out:say((table.concat(parts, " "):gsub(",$", "")))
    if run.budget and found.spent > 0 then
        out:say(("Earlier runs spent %s of the budget of %s."):format(progress.credits(found.spent),
            progress.credits(run.budget)))
    end
    for _, item in ipairs(found.damaged) do
        out:warn(("A record could not be read and was put aside: %s (%s)"):format(item.path, item.reason))
    end
end

local function tell_unknown(run)
    local out = run.terminal
    for i, entry in ipairs(run.plan.unknown) do
        if out.json then
            out:result(jsonl.encode { state = "unknown", line = entry.line, prompt = entry.payload.prompt })
        elseif i <= SHOWN then
            out:warn(("%s line %d: it may have been accepted and paid for, so it is not submitted again  %s"):format(
                out:style("yellow", "unknown"), entry.line, terminal.quote(entry.payload.prompt, 40)))
        end
    end
    if #run.plan.unknown > 0 and not out.json then
        out:warn "Look at the account's tasks, then: --resubmit-unknown submits them again."
    end
end

-- While it runs -------------------------------------------------------------------------------------------------------

local function spent(run)
    return (run.client:spent())
end

local function draw(run)
    local work = run.work
    run.terminal:draw(function(columns)
        return board.line({
            total = #work.queue, finished = work.finished, failed = work.failed, running = #work:alive(),
            elapsed = core.now() - work.began, credits = spent(run), concurrency = work.concurrency,
        }, columns, run.terminal)
    end)
end

local function tell_end(run, entry, line, err)
    local out = run.terminal
    if out.json then return out:result(jsonl.encode(line)) end
    if not err then return end
    local where = entry.line and "line " .. entry.line or "task " .. text.clean(entry.task.id, 60)
    out:warn(("%s %s: %s  %s"):format(out:style("red", line.state), where, tostring(err),
        out:style("dim", terminal.quote(entry.payload.prompt, 40))))
    if entry.gone then out:say "  Its file is gone, and it could not be fetched again; --remake makes it anew." end
end

local function again(run)
    local words = { "flux2" }
    for _, word in ipairs(run.argv) do words[#words + 1] = word end
    return shell.join(words)
end

local function tell_alive(run)
    local out, alive = run.terminal, run.work:alive()
    for i, item in ipairs(alive) do
        if i > SHOWN then return out:warn(("  and %d more"):format(#alive - SHOWN)) end
        out:warn(("  %-22s  %s"):format(item.id or "not answered yet", terminal.quote(item.entry.payload.prompt, 40)))
    end
end

local function interrupted(run, presses)
    local out, work = run.terminal, run.work
    local alive = #work:alive()
    run.interrupted = true
    work:stop()
    if presses == 1 then
        out:warn(("Stopping: nothing more is submitted. %s still running, and paid for:"):format(
            progress.count(alive, "task is", "tasks are")))
        tell_alive(run)
        out:warn "Waiting for them; Ctrl-C again leaves at once. To go on later:"
        out:warn("  " .. again(run))
        return false
    end
    out:warn(("Left. %s at the service; the same command fetches what they make:"):format(
        progress.count(alive, "task goes on", "tasks go on")))
    out:warn("  " .. again(run))
    return true
end

-- The end -------------------------------------------------------------------------------------------------------------

local function tell_summary(run)
    local out, work = run.terminal, run.work
    local there = #run.plan.done + work.finished
    local wanted = #run.entries + run.plan.strays
    if out.json then
        return out:result(jsonl.encode {
            state = "summary", pictures = there, wanted = wanted, failed = work.failed, unknown = #run.plan.unknown,
            refused = #run.plan.refused, left = work:left(), credits = spent(run), manifest = run.manifest.path,
            seconds = math.floor(core.now() - work.began + 0.5),
        })
    end
    local parts = { ("%d of %s in %s"):format(there, progress.count(wanted, "picture"), run.directory) }
    if work.failed > 0 then parts[#parts + 1] = out:style("red", work.failed .. " failed") end
    if #run.plan.unknown > 0 then parts[#parts + 1] = #run.plan.unknown .. " of unknown outcome" end
    if #run.plan.refused > 0 then parts[#parts + 1] = #run.plan.refused .. " refused before" end
    if work:left() > 0 then parts[#parts + 1] = work:left() .. " not made" end
    parts[#parts + 1] = progress.credits(spent(run)) .. " in " .. progress.duration(core.now() - work.began)
    out:say(table.concat(parts, ", "))
    out:result(run.manifest.path)
end

local function status_of(run)
    local work = run.work
    if run.interrupted then return exit.INTERRUPTED end
    if work.halted and work:left() > 0 then
        run.terminal:say(("Stopped after this; %s not submitted:"):format(progress.count(work:left(), "picture was",
            "pictures were")))
        return complaint.tell(run.terminal, work.halted)
    end
    if #run.plan.unknown > 0 then work.failures.unknown_outcome = #run.plan.unknown end
    for _, entry in ipairs(run.plan.refused) do work.failures[entry.refusal.kind] = 1 end
    return exit.of_many(work.failures)
end

local function produce(run)
    local finished = loop.run {
        work = function() run.work:work() end,
        draw = function() draw(run) end,
        interrupted = function(presses) return interrupted(run, presses) end,
    }
    run.terminal:clear()
    if not finished then return exit.INTERRUPTED end
    tell_summary(run)
    return status_of(run)
end

local function start(args, out, entries, known)
    local found, err = find_left(args, known)
    if not found then return complaint.tell(out, err) end
    local client
    client, err = client_for(args, found)
    if not client then return complaint.tell(out, err) end
    local run = {
        terminal = out, entries = entries, client = client, manifest = known, directory = args.out, argv = args.argv,
        price = args.price, budget = args.budget,
        plan = plan.make(entries, known, found, {
            directory = args.out, remake = args.remake, resubmit = args.resubmit_unknown, retry = args.retry_refused,
        }),
    }
    for _, entry in ipairs(run.plan.done) do
        if entry.found then known:complete(entry.key, entry.found) end
    end
    local conflicts = plan.conflicts(run.plan, known, args.out)
    if #conflicts > 0 then return tell_mistakes(out, args.list, conflicts) end
    tell_plan(run, found)
    tell_unknown(run)
    if args.dry_run then return exit.OK end
    run.work = production.new {
        client = client, plan = run.plan, manifest = known, directory = args.out, price = args.price,
        concurrency = args.concurrency or CONCURRENCY, digits = #tostring(entries[#entries].line),
        on_end = function(...) tell_end(run, ...) end,
    }
    return produce(run)
end

function batch.run(args, out)
    local entries, status = read_list(args, out)
    if not entries then return status end
    args.out = args.out:gsub("(.)/+$", "%1")
    local ok, reason = shell.make_directory(args.out)
    if not ok then
        return complaint.tell(out, errors.new("io", "cannot make " .. text.show(args.out) .. ": " .. reason))
    end
    local known, err = manifest.open(args.out)
    if not known then return complaint.tell(out, err) end
    status = start(args, out, entries, known)
    known:close()
    return status
end

return batch
