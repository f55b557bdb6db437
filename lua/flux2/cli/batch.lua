--- `flux2 batch`: generates images from a list of prompts. A second run resumes the first one.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local manifest = require "flux2.cli.manifest"
local plan = require "flux2.cli.plan"
local batch_runner = require "flux2.cli.batch_runner"
local progress = require "flux2.cli.progress"
local prompts = require "flux2.cli.prompts"
local recover = require "flux2.cli.recover"
local session = require "flux2.cli.session"
local settings = require "flux2.cli.settings"
local shell = require "flux2.cli.shell"
local terminal = require "flux2.cli.terminal"
local tables = require "flux2.tables"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local batch = { name = "batch", summary = "Generate images from a list of prompts. Run again to resume." }

local SHOWN = 20 -- invalid lines, and running tasks, that are listed

function batch.describe(command)
    command:argument("list", "List of prompts: .txt with one prompt per line (empty lines and lines that begin " ..
        "with # are skipped); .jsonl or .json with strings, or with objects of the fields prompt, type, " ..
        "aspect_ratio, resolution, input_urls, extra and file; .csv whose first row names these fields; " ..
        "or - for stdin.")
    local add = arguments.option
    add(command, "-o --out", "Output directory, created if missing; its manifest.jsonl records each image and its " ..
        "cost.",
        values.text):argname "<dir>":default "images"
    add(command, "--concurrency", ("Number of tasks at once (FLUX2_CONCURRENCY; default %d)."):format(
        settings.concurrency), values.count):argname "<n>"
    add(command, "--budget", "Limit in credits for this directory, including earlier runs (FLUX2_BUDGET).",
        values.credits):argname "<credits>"
    add(command, "--price", "Price of one image, if there is no published price or it is wrong.",
        values.credits):argname "<credits>"
    arguments.metadata(command)
    prompts.describe(command)
    command:flag("--unique", "Generate only one image for identical requests.")
    command:flag("--remake", "Generate and pay for new images where files are missing or downloads fail. Without " ..
        "it, they are downloaded again while the service keeps them. Prints the cost, and on a terminal asks " ..
        "for confirmation.")
    command:flag("-y --yes", "Do not ask for confirmation.")
    command:flag("--resubmit-unknown", "Submit requests of unknown outcome again; they may be paid for twice.")
    command:flag("--retry-refused", "Submit moderated and rejected requests again.")
    command:flag("--dry-run", "Print what is left to do and its cost; submit nothing.")
    arguments.request(command)
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
Ctrl-C stops submitting and waits for running tasks; a second one exits.
No paid image is lost: run the same command again to resume.

Examples:
   flux2 batch prompts.txt --out foxes --concurrency 8 --budget 500
   flux2 batch prompts.jsonl --dry-run
   jq -c '{prompt: .title, file: (.id + ".png")}' posts.jsonl | flux2 batch -]]
end

-- Planning ------------------------------------------------------------------------------------------------------------

local function report_invalid(out, path, wrong)
    local name = path == "-" and "stdin" or path
    local unit = wrong.unit or "line"
    local message = ("%s: %s invalid; nothing was sent"):format(text.clean(name, 100),
        progress.count(#wrong, unit .. " is", unit .. "s are"))
    if out.json then
        local listed = {}
        for i, item in ipairs(wrong) do listed[i] = { line = item.line, message = item.message } end
        out:result(jsonl.encode { error = { kind = "invalid_request", message = message, lines = listed } })
        return exit.USAGE
    end
    out:error(message)
    for i = 1, math.min(#wrong, SHOWN) do
        out:warn(("  %s %d: %s"):format(unit, wrong[i].line, text.clean(wrong[i].message, 300)))
    end
    if #wrong > SHOWN then out:warn(("  and %d more"):format(#wrong - SHOWN)) end
    return exit.USAGE
end

--- Returns the entries of the list, or nil and the exit status.
local function read_list(args, out)
    local entries, repeated = prompts.read(args, out)
    if errors.is(repeated) then return nil, error_output.print(out, repeated) end
    if not entries then return nil, report_invalid(out, args.list, repeated) end
    if #entries == 0 then
        local message = "there are no prompts in " .. text.show(args.list)
        return nil, error_output.print(out, errors.new("invalid_request", message))
    end
    if repeated > 0 then
        local lines = progress.count(repeated, "line repeats", "lines repeat")
        out:say(("%s an earlier line: %s"):format(lines,
            args.unique and "skipped" or "each gets an image of its own (--unique: one for all)"))
    end
    return entries
end

--- Returns the spool records of earlier runs.
local function find_records(args, known)
    local finder, err = session.client(args, { spool = args.out .. "/.flux2-spool" })
    if not finder then return nil, err end
    local tasks, unknown, damaged, others = finder:recover()
    if not tasks then return nil, unknown end
    return {
        tasks = tasks, unknown = unknown, damaged = damaged, others = others,
        spent = known:spent(tasks, unknown),
    }
end

local function print_plan(run, found)
    local out, p = run.terminal, run.plan
    local parts = { progress.count(#run.entries, "prompt") .. ":" }
    local function add(n, words) if n > 0 then parts[#parts + 1] = n .. " " .. words .. "," end end
    add(#p.done, "done")
    add(#p.fetch, "to download" .. (p.strays > 0 and (" (%d from another list)"):format(p.strays) or ""))
    add(#p.unknown, "of unknown outcome")
    add(#p.refused, "refused (--retry-refused)")
    add(#p.moves, "to rename")
    add(#p.make, "to generate")
    local cost = p.credits
    if run.price then cost = run.price * #p.make end
    if #p.make > 0 and (cost > 0 or run.price) then parts[#parts + 1] = "about " .. text.credits(cost) .. "," end
    if not run.price then add(p.unpriced, "without a published price") end
    out:say((table.concat(parts, " "):gsub(",$", "")))
    if run.budget and found.spent > 0 then
        out:say(("Earlier runs spent %s of the budget of %s."):format(text.credits(found.spent),
            text.credits(run.budget)))
    end
    for _, item in ipairs(found.damaged) do
        out:warn(("A record cannot be read; it may belong to any of these images: %s (%s)"):format(
            text.clean(item.path, 300), item.reason))
    end
    recover.list_others(out, found.others)
    if #found.damaged > 0 and #p.unknown > 0 then
        out:warn(("To remove it: flux2 recover --spool %s --discard-unknown"):format(
            shell.quote(run.directory .. "/.flux2-spool")))
    end
end

local function cost_words(sum, price)
    if price then return "about " .. text.credits(price * sum.count) end
    local words = "about " .. text.credits(sum.credits)
    return sum.unpriced == 0 and words or ("%s, and %d without a published price"):format(words, sum.unpriced)
end

--- Prints the cost of --remake. On a terminal it asks for confirmation.
local function confirm_remake(run, args)
    local out, remade = run.terminal, run.plan.remade
    if remade.count == 0 then return true end
    out:warn(("--remake pays again for %s: %s."):format(progress.count(remade.count, "image"),
        cost_words(remade, run.price)))
    if args.yes or args.dry_run or args.list == "-" or not out.live or not core.is_terminal(0) then return true end
    io.stderr:write "Continue? [y/N] "
    local answer = io.stdin:read "*l"
    return answer ~= nil and answer:lower():find "^%s*y" ~= nil
end

local function list_unknown(run)
    local out = run.terminal
    for i, entry in ipairs(run.plan.unknown) do
        if out.json then
            out:result(jsonl.encode { state = "unknown", line = entry.line, prompt = entry.payload.prompt })
        elseif i <= SHOWN then
            out:warn(("%s line %d: it may have been accepted and paid for, and is not submitted again  %s"):format(
                out:style("yellow", "unknown"), entry.line, terminal.quote(entry.payload.prompt, 40)))
        end
    end
    if #run.plan.unknown > 0 and not out.json then
        out:warn "Check the tasks of your account. To submit them again: --resubmit-unknown"
    end
end

-- Running -------------------------------------------------------------------------------------------------------------

local function spent(run)
    return (run.client:spent())
end

local function draw(run)
    local work = run.work
    progress.draw(run.terminal, {
        total = #work.queue, finished = work.finished, failed = work.failed, running = #work:alive(),
        elapsed = core.now() - work.began, credits = spent(run), concurrency = work.concurrency,
    })
end

--- Returns the manifest line with all fields of the error.
local function json_line(line, err)
    if not err then return line end
    local out = tables.merge({}, line)
    out.error = error_output.fields(err)
    out.error.paid, out.error.fetch = line.error.paid or nil, nil
    return out
end

local function report_end(run, entry, line, err)
    local out = run.terminal
    if out.json then return out:result(jsonl.encode(json_line(line, err))) end
    if not err then return end
    local where = entry.line and "line " .. entry.line or "task " .. text.clean(entry.task.id or "?", 60)
    out:warn(("%s %s: %s  %s"):format(out:style("red", line.state), where, error_output.line(err),
        out:style("dim", terminal.quote(entry.payload.prompt, 40))))
    if entry.gone then
        out:say "  Its file is missing and could not be downloaded again; --remake generates and pays for a new image."
    elseif line.error.paid and entry.is_unnoted then
        out:warn("  It is paid for, but the manifest cannot be written. To download it: " ..
            error_output.fetch_command(line.task_id))
    elseif line.error.paid then
        out:say "  It is paid for: run the same command to download it; --remake pays for a new image."
    end
end

local function resume_command(run)
    local words = { "flux2" }
    for _, word in ipairs(run.argv) do words[#words + 1] = word end
    return shell.join(words)
end

local function list_running(run)
    local out, alive = run.terminal, run.work:alive()
    for i, item in ipairs(alive) do
        if i > SHOWN then return out:warn(("  and %d more"):format(#alive - SHOWN)) end
        out:warn(("  %-22s  %s"):format(item.id or "no id yet", terminal.quote(item.entry.payload.prompt, 40)))
    end
end

local function interrupted(run, presses)
    local out, work = run.terminal, run.work
    local alive = #work:alive()
    run.interrupted = true
    work:stop()
    if presses == 1 then
        out:warn(("Stopped submitting. %s running and paid for:"):format(
            progress.count(alive, "task is", "tasks are")))
        list_running(run)
        out:warn "Waiting for them. Ctrl-C again exits at once. To resume later:"
        out:warn("  " .. resume_command(run))
        return false
    end
    out:warn(("Exited. %s at the service. To download the images:"):format(
        progress.count(alive, "task is still running", "tasks are still running")))
    out:warn("  " .. resume_command(run))
    return true
end

-- Summary ------------------------------------------------------------------------------------------------------------

local function print_summary(run)
    local out, work = run.terminal, run.work
    local there = #run.plan.done + work.finished
    local wanted = #run.entries + run.plan.strays
    if out.json then
        return out:result(jsonl.encode {
            state = "summary", images = there, wanted = wanted, failed = work.failed, unknown = #run.plan.unknown,
            refused = #run.plan.refused, left = work:left(), credits = spent(run), manifest = run.manifest.path,
            seconds = math.floor(core.now() - work.began + 0.5),
        })
    end
    local parts = { ("%d of %s in %s"):format(there, progress.count(wanted, "image"), run.directory) }
    if work.failed > 0 then parts[#parts + 1] = out:style("red", work.failed .. " failed") end
    if #run.plan.unknown > 0 then parts[#parts + 1] = #run.plan.unknown .. " of unknown outcome" end
    if #run.plan.refused > 0 then parts[#parts + 1] = #run.plan.refused .. " refused" end
    if work:left() > 0 then parts[#parts + 1] = work:left() .. " not generated" end
    parts[#parts + 1] = text.credits(spent(run)) .. " in " .. progress.duration(core.now() - work.began)
    out:say(table.concat(parts, ", "))
    out:result(run.manifest.path)
end

--- The client counts this run only; --budget also counts earlier ones.
local function explain_budget(run, err)
    if err.kind ~= "budget" or not err.price then return end
    local parts = {}
    local function add(n, words) if n > 0 then parts[#parts + 1] = text.credits(n) .. words end end
    add(run.spent_before, " spent by earlier runs")
    add(err.spent, " spent by this run")
    add(err.reserved, " reserved")
    err.message = ("the next image costs %s, which would exceed the budget of %s: %s"):format(
        text.credits(err.price), text.credits(run.budget),
        #parts > 0 and table.concat(parts, ", ") or "nothing is spent yet")
    err.advice = ("Raise %s."):format(settings.sources.budget or "--budget")
end

local function status_of(run)
    local work = run.work
    if run.interrupted then return exit.INTERRUPTED end
    if work.halted and work:left() > 0 then
        explain_budget(run, work.halted)
        run.terminal:say(("%s not submitted, because of this error:"):format(progress.count(work:left(), "image was",
            "images were")))
        return error_output.print(run.terminal, work.halted)
    end
    if #run.plan.unknown > 0 then work.failures.unknown_outcome = #run.plan.unknown end
    for _, entry in ipairs(run.plan.refused) do work.failures[entry.refusal.kind] = 1 end
    return exit.of_many(work.failures)
end

local function execute(run)
    local finished = loop.run {
        work = function() run.work:work() end,
        draw = function() draw(run) end,
        interrupted = function(presses) return interrupted(run, presses) end,
    }
    run.terminal:clear()
    if not finished then return exit.INTERRUPTED end
    print_summary(run)
    return status_of(run)
end

--- Renames the file of an image whose name in the list has changed. The manifest is written first, so that a later run
--- finds the file if this one is killed in between.
local function rename(run, entry)
    local move, directory = entry.move, run.directory .. "/"
    local ok, err = run.manifest:complete(entry.key, move.to, move.from)
    if not ok then return nil, err end
    local reason
    ok, reason = files.rename(directory .. move.from, directory .. move.to)
    if not ok then return nil, errors.new("io", "cannot rename an image: " .. reason) end
    return true
end

--- Completes the work of a killed run: manifest lines of saved images, and their spool records.
local function settle_done(run)
    for _, entry in ipairs(run.plan.done) do
        if entry.found then
            local ok, err = run.manifest:complete(entry.key, entry.found)
            if not ok then return nil, err end
        end
        if entry.collected then entry.collected:discard() end
    end
    for _, entry in ipairs(run.plan.moves) do
        local ok, err = rename(run, entry)
        if not ok then return nil, err end
    end
    return true
end

local function start(args, out, entries, known)
    local found, err = find_records(args, known)
    if not found then return error_output.print(out, err) end
    local client
    client, err = session.client(args, {
        spool = args.out .. "/.flux2-spool", budget = args.budget and math.max(0, args.budget - found.spent),
    })
    if not client then return error_output.print(out, err) end
    local run = {
        terminal = out, entries = entries, client = client, manifest = known, directory = args.out, argv = args.argv,
        price = args.price, budget = args.budget, spent_before = found.spent,
        plan = plan.make(entries, known, found, {
            directory = args.out, remake = args.remake, resubmit = args.resubmit_unknown, retry = args.retry_refused,
            key = settings.key(),
        }),
    }
    local conflicts = plan.conflicts(run.plan, known, args.out)
    if #conflicts > 0 then return report_invalid(out, args.list, conflicts) end
    print_plan(run, found)
    list_unknown(run)
    if not confirm_remake(run, args) then return exit.of { kind = "cancelled" } end
    if args.dry_run then return exit.OK end
    local ok
    ok, err = settle_done(run)
    if not ok then return error_output.print(out, err) end
    run.work = batch_runner.new {
        client = client, plan = run.plan, manifest = known, directory = args.out, price = args.price,
        concurrency = args.concurrency or settings.concurrency, digits = #tostring(entries[#entries].line),
        on_end = function(...) report_end(run, ...) end,
    }
    return execute(run)
end

function batch.run(args, out)
    local entries, status = read_list(args, out)
    if not entries then return status end
    args.out = args.out:gsub("(.)/+$", "%1")
    local ok, reason = files.make_directory(args.out)
    if not ok then
        return error_output.print(out, errors.new("io", "cannot make " .. text.show(args.out) .. ": " .. reason,
            { advice = "Choose another directory with --out." }))
    end
    local known, err = manifest.open(args.out)
    if not known then return error_output.print(out, err) end
    status = start(args, out, entries, known)
    known:close()
    return status
end

return batch
