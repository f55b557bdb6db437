--- Common parts of support/disk_cases.lua and support/disk_cli_cases.lua: the state of the disk, the results of the
--- next process, and the rules for every case. `want(condition, message)` fails a run.
local core = require "flux2.core"
local png = require "support.png"
local service = require "support.service"

local rules = {}

rules.IMAGE_BYTES = 40000 -- more than one write
rules.REASON = "Disk quota exceeded" -- strerror(EDQUOT)
rules.PRICE = 10

-- Files ---------------------------------------------------------------------------------------------------------------

--- The paths of all files below a directory, relative to it.
function rules.files_in(directory, prefix, list)
    prefix, list = prefix or "", list or {}
    for _, name in ipairs(core.list(directory) or {}) do
        if core.list(directory .. "/" .. name) then
            rules.files_in(directory .. "/" .. name, prefix .. name .. "/", list)
        else
            list[#list + 1] = prefix .. name
        end
    end
    return list
end

--- The state of the file at a path: "absent", "old" (written by `prepare`), "whole" (an image), or "broken".
function rules.state_of(path)
    local bytes = service.read_if_there(path)
    if not bytes then return "absent" end
    if bytes == "old" then return "old" end
    local is_png = bytes:sub(1, 8) == "\137PNG\r\n\26\n"
    local whole = is_png and #png.without_metadata(bytes) == rules.IMAGE_BYTES
    return whole and "whole" or "broken"
end

function rules.is_hit(run, kinds, part)
    local kind, path = (run.hit or ""):match "^(%S+) (.*)$"
    return kind ~= nil and (" " .. kinds .. " "):find(" " .. kind .. " ", 1, true) ~= nil and path:find(part) ~= nil
end

--- Temporary files are removed, except one whose removal failed.
function rules.nothing_is_left(run, want, list)
    if rules.is_hit(run, "unlink", "") then return end
    for _, path in ipairs(list) do
        want(not path:find "%.part$" and not path:find "%.name$" and not path:find "%.lock$", path .. " is left")
    end
end

--- Reports the return values of a flux2 function.
function rules.tell(run, value, err)
    run.say("ok", value and true or false)
    if err then
        run.say("kind", err.kind)
        run.say("message", tostring(err))
        run.say("task_id", err.task_id)
    end
end

--- A process that failed reports the reason.
function rules.says_why(run, want)
    if run.first.ok then return end
    want(run.first.kind == "io", "the kind is " .. tostring(run.first.kind) .. ": " .. tostring(run.first.message))
    want((run.first.message or ""):find(rules.REASON, 1, true), "no reason: " .. tostring(run.first.message))
end

--- A shortened write, or a name that exists, is not a failure.
function rules.is_harmless(run)
    return run.action == "short" or run.error ~= nil
end

--- Collects the tasks of an earlier run, like a new process.
function rules.recover(run)
    local client = assert(run.new { spool = run.dir .. "/spool" })
    local tasks, unknown, damaged = assert(client:recover())
    local found, lost = {}, {}
    for i, task in ipairs(tasks) do
        local result = assert(task:wait())
        assert(result.images[1]:save(run.dir .. "/next-" .. i .. ".png"))
        found[i] = { prompt = task.request.prompt, id = task.id,
            state = rules.state_of(run.dir .. "/next-" .. i .. ".png") }
    end
    for i, record in ipairs(unknown) do lost[i] = record.request.prompt end
    run.say("found", found)
    run.say("unknown", lost)
    run.say("damaged", #damaged)
end

--- The number of recovered tasks of a prompt with a complete image.
function rules.found_of(run, prompt)
    local n = 0
    for _, task in ipairs(run.next.found or {}) do
        if task.prompt == prompt and task.state == "whole" then n = n + 1 end
    end
    return n
end

function rules.unknown_of(run, prompt)
    local n = 0
    for _, other in ipairs(run.next.unknown or {}) do n = n + (other == prompt and 1 or 0) end
    return n
end

--- A paid image is in the reported file or found by the next run, once.
function rules.nothing_is_lost(run, want, file)
    local paid, found, unknown = run.paid(run.id), rules.found_of(run, run.id), rules.unknown_of(run, run.id)
    want(run.next_status == 0, "recover ended with " .. run.next_status .. ": " .. tostring(run.next.crash))
    want(paid <= 1, "paid " .. paid .. " times")
    want(run.next.damaged == 0, "a record is damaged")
    want(found + unknown <= 1, ("%d tasks and %d unknown outcomes of one submission"):format(found, unknown))
    want(paid == 0 or file == "whole" or found + unknown == 1, "the image is lost")
    want(paid == 1 or found == 0, "a task that does not exist was found")
end

return rules
