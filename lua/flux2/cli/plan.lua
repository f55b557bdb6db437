--- What is left to do for a list of prompts: what has its picture, what is paid and only has to be fetched, what nobody
-- knows, and what is to be made.
-- Decides, and does nothing: sends nothing, writes nothing.

local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local pricing = require "flux2.pricing"
local prompts = require "flux2.cli.prompts"

local plan = {}

---@class flux2.cli.Plan
---@field done flux2.cli.Entry[] their pictures are there; `found` is the file that the manifest does not know yet
---@field fetch flux2.cli.Entry[] paid: they have a `task`, or an `id` to ask for
---@field make flux2.cli.Entry[]
---@field unknown flux2.cli.Entry[] perhaps paid; with a `record` if the spool has one
---@field refused flux2.cli.Entry[] the service has refused them, in `refusal`, and would again
---@field strays integer how many of `fetch` are tasks that the list does not ask for any more
---@field credits number what the making costs, as far as there are prices
---@field unpriced integer how many of `make` have none

--- Lists of what the spool holds, by what was asked for.
local function by_request(found)
    local pools = {}
    for _, item in ipairs(found) do
        local body = jsonl.encode(item.request)
        pools[body] = pools[body] or {}
        table.insert(pools[body], item)
    end
    return pools
end

--- The task that is known to be this entry's, or any that asks for the same.
local function take_from(pool, id)
    if not pool then return nil end
    for i, item in ipairs(pool) do
        if item.id and item.id == id then return table.remove(pool, i) end
    end
    return table.remove(pool, 1)
end

local function is_there(directory, line)
    local file = line.file and io.open(directory .. "/" .. line.file, "rb")
    if file then file:close() end
    return file ~= nil
end

local function find_file(entry, line, directory)
    if entry.name then return is_there(directory, { file = entry.name }) and entry.name end
    return line.stem and files.find(directory, line.stem)
end

--- Where a file of ours goes again.
local function name_again(entry, line)
    entry.stem = line.stem or line.file and files.without_extension(line.file)
end

-- Asked again, the service says the same again; some take money for it.
local REFUSALS = { moderated = true, rejected = true }

local function decide(entry, line, state)
    local body = jsonl.encode(entry.payload)
    if line and line.state == "done" then
        if is_there(state.directory, line) then return "done" end
        if state.remake or not line.task_id then return "make" end
        entry.id, entry.gone = line.task_id, true
        name_again(entry, line)
        return "fetch"
    end
    entry.task = take_from(state.tasks[body], line and line.task_id)
    if line and line.state == "ready" then
        -- Saved, and the run ended before it could say so: a file is whole, and nobody else has this name.
        entry.found = not entry.task and find_file(entry, line, state.directory) or nil
        if entry.found then return "done" end
        name_again(entry, line)
        entry.id = line.task_id
    end
    if entry.task or entry.id then return "fetch" end
    entry.record = take_from(state.records[body])
    if entry.record or line and line.state == "unknown" then return state.resubmit and "make" or "unknown" end
    entry.refusal = line and type(line.error) == "table" and REFUSALS[line.error.kind] and line.error or nil
    return entry.refusal and not state.retry and "refused" or "make"
end

--- Which copy a task is that the list does not ask for: the one that the manifest knows it as, or a new one.
local function copy_of(task, taken, known)
    local line, copy = known.by_id[task.id], 1
    if line and not taken[prompts.key(task.request, line.copy or 1)] then return line.copy or 1 end
    while taken[prompts.key(task.request, copy)] or known:find(prompts.key(task.request, copy)) do copy = copy + 1 end
    return copy
end

--- Paid for by an earlier list.
local function add_strays(out, pools, entries, known)
    local taken = {}
    for _, entry in ipairs(entries) do taken[entry.key] = true end
    for _, pool in pairs(pools) do
        for _, task in ipairs(pool) do
            local copy = copy_of(task, taken, known)
            local key = prompts.key(task.request, copy)
            taken[key] = true
            out.strays = out.strays + 1
            table.insert(out.fetch, { payload = task.request, task = task, copy = copy, key = key })
        end
    end
end

--- Makes the plan.
---@param entries flux2.cli.Entry[]
---@param known flux2.cli.Manifest
---@param found { tasks: flux2.Task[], unknown: flux2.Record[] } what client:recover gave
---@param opts { directory: string, remake: boolean?, resubmit: boolean?, retry: boolean? }
---@return flux2.cli.Plan
function plan.make(entries, known, found, opts)
    local state = {
        directory = opts.directory, remake = opts.remake, resubmit = opts.resubmit, retry = opts.retry,
        tasks = by_request(found.tasks), records = by_request(found.unknown),
    }
    local out = { done = {}, fetch = {}, make = {}, unknown = {}, refused = {}, strays = 0, credits = 0, unpriced = 0 }
    for _, entry in ipairs(entries) do
        local step = decide(entry, known:find(entry.key), state)
        table.insert(out[step], entry)
        if step == "make" then
            local credits = pricing.estimate(entry.payload)
            out.credits = out.credits + (credits or 0)
            out.unpriced = out.unpriced + (credits and 0 or 1)
        end
    end
    add_strays(out, state.tasks, entries, known)
    return out
end

--- Files that a list names and that are somebody else's: nobody said that they may be overwritten.
---@param made flux2.cli.Plan
---@param known flux2.cli.Manifest
---@param directory string
---@return { line: integer, message: string }[]
function plan.conflicts(made, known, directory)
    local list = {}
    for _, entries in ipairs { made.make, made.fetch } do
        for _, entry in ipairs(entries) do
            local line = known:find(entry.key)
            local ours = line and (line.state == "ready" or line.file == entry.name)
            if entry.name and not ours and is_there(directory, { file = entry.name }) then
                list[#list + 1] = {
                    line = entry.line,
                    message = entry.name .. " is there already, and was not made from this request: move it away, " ..
                        "or choose another name",
                }
            end
        end
    end
    return list
end

return plan
