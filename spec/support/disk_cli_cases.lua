--- Command-line cases, in the form of support/disk_cases.lua.
local cjson = require "cjson"
local core = require "flux2.core"
local rules = require "support.disk_rules"
local service = require "support.service"

local cases = {}

local function lines_of(bytes)
    local list = {}
    for line in bytes:gmatch "[^\n]+" do list[#list + 1] = cjson.decode(line) end
    return list
end

--- A failed run of the command line reports the reason.
local function cli_says_why(run, want)
    if run.status == 0 then return end
    want(run.first.err:find(rules.REASON, 1, true), "no reason: " .. run.first.err)
    -- An unreadable record has an unknown outcome.
    want(run.status == 20 or run.status == 19 and run.first.err:find("cannot be read", 1, true),
        "the status is " .. run.status .. ": " .. run.first.err)
end

cases.generate = {
    prepare = function(run) service.write(run.dir .. "/" .. run.id .. ".png", "old") end, -- a file of another program
    first = function(run)
        run.arm()
        run.cli { "generate", run.id, "-o", run.dir .. "/", "--spool", run.dir .. "/spool" }
    end,
    next = rules.recover,
    check = function(run, want)
        want(run.file(run.id .. ".png") == "old", "another file was overwritten")
        local state = run.file(run.id .. "-2.png")
        if state == "absent" then state = run.file(run.id .. "-3.png") end -- if the lock of a name failed
        want(state == "whole" or state == "absent", "the file is " .. state)
        rules.nothing_is_lost(run, want, state)
        local path = run.first.out:match "([^\n]+)\n$"
        want(not path or service.exists(path), "the path of a file that is not there was printed")
        if run.kills then
            want(rules.unknown_of(run, run.id) == 0 or run.records.unknown == 1,
                "an outcome is unknown, though its id was on the disk")
            return
        end
        cli_says_why(run, want)
        want((run.status == 0) == (path ~= nil), "the status and the output disagree: " .. run.first.out)
        want(run.status == 0 or not rules.is_harmless(run), run.first.err)
        rules.nothing_is_left(run, want, run.left)
    end,
}

--- Runs a batch with these prompts.
local function batch(run, prompts, concurrency, remake)
    service.write(run.root .. "/list.txt", table.concat(prompts, "\n"))
    run.arm()
    run.cli {
        "batch", run.root .. "/list.txt", "--out", run.dir .. "/out", "--concurrency", tostring(concurrency),
        "--budget", tostring(#prompts * rules.PRICE), remake,
    }
end

--- The conditions after a batch was run again.
local function batch_is_whole(run, want, prompts)
    local err = run.next.err
    local manifest, files = {}, {}
    for _, line in ipairs(lines_of(run.read "out/manifest.jsonl" or "")) do
        want(not manifest[line.prompt], "two lines in the manifest about " .. line.prompt)
        manifest[line.prompt] = line
    end
    local first = err:match "(%d+ prompts?:[^\n]*)" or ""
    local function number(words) return tonumber(first:match("(%d+) " .. words) or 0) end
    local unknown = run.records.unknown
    -- The manifest knows a task whose id could not be recorded: it is downloaded by that id.
    local is_duplicated = run.first.err:find("cannot keep task", 1, true) and unknown > 0
    want(number "of unknown outcome" == unknown or is_duplicated, unknown .. " records without an id: " .. err)
    want(run.next_status == (unknown > 0 and 19 or 0) or is_duplicated and (run.next_status == 5 or run.next_status == 0),
        "the next run ended with " .. run.next_status .. ": " .. err)
    local lost = 0
    for _, prompt in ipairs(prompts) do
        local paid, line = run.paid(prompt), manifest[prompt]
        want(paid <= 1, prompt .. " was paid " .. paid .. " times")
        if line and not (is_duplicated and line.state == "failed") then
            want(paid == 1, prompt .. " was not paid")
            want(line.state == "done" and line.file, prompt .. " is " .. line.state)
            want(run.file("out/" .. tostring(line.file)) == "whole", tostring(line.file) .. " is not whole")
            want(not files[line.file], "two prompts have the same file")
            files[line.file] = true
        else
            lost = lost + 1
        end
    end
    want(lost == unknown or is_duplicated, lost .. " images are missing: " .. err)
    -- An image that is not generated was paid, or may have been.
    local spent = (#prompts - number "to generate") * rules.PRICE
    local counted = tonumber(err:match "Earlier runs spent (%d+) credits" or 0)
    want(counted == spent,
        ("the budget counts %d credits, not %d: %s"):format(counted, spent, err))
    local records = 0
    for _, path in ipairs(run.list()) do
        local name = path:match "[^/]+$"
        records = records + (name:find "^task%-" and 1 or 0)
        -- A renamed file that may not be durable is downloaded again under another name.
        want(not path:find "^out/[^.].*%.png$" or files[name] or run.file(path) == "old" or
            rules.is_hit(run, "open fsync", "/out$"), path .. " is in no line")
        want(name:sub(1, 1) ~= "." and not name:find "%.lock$", path .. " is left")
    end
    want(records == unknown or is_duplicated and records < unknown, records .. " records are left")
    if run.kills then return end
    cli_says_why(run, want)
    want(run.status == 0 or not rules.is_harmless(run), run.first.err)
    want(run.status ~= 0 or rules.is_harmless(run) or not rules.is_hit(run, "write", "manifest%.jsonl$"),
        "a line is missing without an error")
end

local function batching(n, concurrency)
    local function prompts_of(run)
        local list = {}
        for i, word in ipairs { "fox", "hare", "owl" } do
            if i <= n then list[i] = word .. " " .. run.id end
        end
        return list
    end

    return {
        prepare = function(run)
            assert(core.directory(run.dir .. "/out"))
            service.write(run.dir .. "/out/1-fox-" .. run.id .. ".png", "old") -- a file of another program
        end,
        first = function(run) batch(run, prompts_of(run), concurrency) end,
        next = function(run) batch(run, prompts_of(run), concurrency) end,
        check = function(run, want)
            want(run.file("out/1-fox-" .. run.id .. ".png") == "old", "another file was overwritten")
            batch_is_whole(run, want, prompts_of(run))
            if run.kills then return end
            want(run.records.unknown == 0 or rules.is_hit(run, "unlink", "") or
                run.first.err:find("cannot keep task", 1, true), "an unknown outcome was reported without an id")
            rules.nothing_is_left(run, want, run.left)
        end,
    }
end

cases.batch = batching(2, 1)
cases.batch_three = batching(3, 1)
cases.batch_at_once = batching(3, 3)

--- A batch that continues an earlier one, all runs from the same state: `paid` of its two prompts are paid.
local function going_on(name, paid, plan, remake)
    local function prompts_of(run)
        return { "fox " .. name, paid == 2 and "hare " .. name or "hare " .. run.id }
    end

    local function again(run) batch(run, prompts_of(run), 1, remake) end

    return {
        template = function(run)
            if plan then run.plan(plan[1], plan[2], plan[3], plan[4]) end
            batch(run, prompts_of(run), 1)
        end,
        first = again,
        next = again,
        check = function(run, want)
            for _, err in ipairs { run.first.err, run.next.err } do
                local made = tonumber(err:match "(%d+) to make" or 0)
                want(made <= 2 - paid, made .. " images are made, though " .. paid .. " are paid")
            end
            batch_is_whole(run, want, prompts_of(run))
        end,
    }
end

-- Killed before the first image was noted, with its task in the spool; before it was noted as done; at its end.
cases.batch_paid = going_on("batch_paid", 1, { "kill", "write", 1, "manifest.jsonl" })
cases.batch_saved = going_on("batch_saved", 1, { "kill", "write", 2, "manifest.jsonl" })
cases.batch_done = going_on("batch_done", 2)
cases.batch_remake = going_on("batch_remake", 2, nil, "--remake")

return cases
