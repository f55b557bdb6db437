--- Plans a batch: for each prompt, whether its image is done, paid and to be downloaded, of unknown outcome, or to be
-- generated. Only decides; sends and writes nothing.

local files = require "flux2.cli.files"
local flux2 = require "flux2"
local prompts = require "flux2.cli.prompts"
local spool = require "flux2.spool"

local plan = {}

---@class flux2.cli.Plan
---@field done flux2.cli.Entry[] their images exist; `found` is a file that is not in the manifest yet, `collected` what
---  is still in the spool, `move` the old and new name of an image whose name in the list has changed
---@field fetch flux2.cli.Entry[] paid: they have a `task` or an `id`; `record` is of a submission without the id
---@field make flux2.cli.Entry[] to generate; `remade` if paid for before; `replaces`, also in `fetch`: the task before
---@field unknown flux2.cli.Entry[] possibly paid; `record` if it is in the spool
---@field refused flux2.cli.Entry[] refused by the service; `refusal` is the error
---@field strays integer number of entries in `fetch` that are no longer in the list
---@field credits number sum of the known prices of `make`
---@field unpriced integer entries in `make` without a price
---@field count integer entries in `make`
---@field remade { count: integer, credits: number, unpriced: integer } the same for entries with `remade`
---@field vacated table<string, boolean> names that are free after the moves
---@field moves flux2.cli.Entry[] entries in `done` with a `move`, in an order in which each new name is free
---@field stuck flux2.cli.Entry[] entries whose new name is taken

--- Groups tasks or records of the spool by request.
local function by_request(found)
    local pools = {}
    for _, item in ipairs(found) do
        local body = prompts.body(item.request)
        pools[body] = pools[body] or {}
        table.insert(pools[body], item)
    end
    return pools
end

--- Removes and returns an item of a pool: one whose field has the value or, without a field, any.
local function take(pool, field, value)
    for i, item in ipairs(pool or {}) do
        if not field or value and item[field] == value then return table.remove(pool, i) end
    end
end

--- A file that cannot be opened counts as existing: it is neither generated again nor overwritten.
local function is_there(directory, name)
    return files.exists(directory .. "/" .. name) ~= false
end

-- A repeated submission is refused again; some services charge for it.
local REFUSALS = { moderated = true, rejected = true }
-- Final states of a task without an image.
local FINAL = { moderated = true, rejected = true, task_failed = true }

--- Whether an image is paid for: it was delivered, or can still be downloaded.
local function is_paid(line)
    if line.state ~= "failed" then return line.state ~= "unknown" end
    if type(line.error) ~= "table" then return line.task_id ~= nil end
    if line.error.paid ~= nil then return line.error.paid == true end
    return line.task_id ~= nil and not FINAL[line.error.kind]
end

-- Tasks and records of the spool ------------------------------------------------------------------------------------

--- Gives an entry the task of its manifest line, or the record of a submission whose id could not be written.
local function take_own(entry, line, state)
    -- Records do not contain the API key.
    entry.body = prompts.body(state.key and spool.without_key(entry.payload, state.key) or entry.payload)
    if not line then return end
    entry.task = take(state.tasks[entry.body], "id", line.task_id)
    if not entry.task then entry.record = take(state.records[entry.body], "submitted", line.submitted) end
end

--- Gives an entry that has no paid task any task with its request: of a run that was killed before it noted that.
local function take_any(entry, line, state)
    local has_own = entry.task or line and is_paid(line) and (line.task_id or line.state == "done")
    if not has_own then entry.task = take(state.tasks[entry.body]) end
end

-- Decisions ---------------------------------------------------------------------------------------------------------

--- Returns the existing file of an image. A run that was killed while renaming it leaves its old name. One that was
--- killed after saving it has not noted it as done; files appear whole, and their names were reserved.
local function find_file(entry, line, state)
    local directory = state.directory
    if line.state == "done" then
        if line.file and is_there(directory, line.file) then return line.file end
        return line.was and not state.files[line.was] and is_there(directory, line.was) and line.was or nil
    end
    if line.state ~= "ready" or not line.stem or entry.task then return nil end -- with a task it was not saved
    local is_whole_name = files.has_extension(line.stem) and files.exists(directory .. "/" .. line.stem)
    local file = is_whole_name and line.stem or files.find(directory, line.stem)
    return file and not state.files[file] and file or nil
end

--- Reuses the name of an earlier file, unless another image has it now.
local function name_again(entry, line, state)
    local stem = files.without_extension(line.stem or line.file or "")
    local file = stem ~= "" and files.find(state.directory, stem)
    if stem ~= "" and not (file and state.files[file]) then entry.stem = stem end
end

local function decide_submission(entry, line, state)
    entry.record = entry.record or take(state.records[entry.body])
    if entry.record or line and line.state == "unknown" then return state.resubmit and "make" or "unknown" end
    entry.refusal = line and type(line.error) == "table" and REFUSALS[line.error.kind] and line.error or nil
    if entry.refusal and not state.retry then return "refused" end
    return state.doubtful and not state.resubmit and "unknown" or "make"
end

--- Decides about an image that is paid for and has no file.
local function decide_paid(entry, line, state)
    local is_done, replaces = line.state == "done", state.remake and line.state ~= "ready"
    -- Of a run with --remake that was killed: it is not paid for again.
    local later = (is_done or replaces) and take(state.tasks[entry.body])
    if later then
        entry.replaces, entry.task = entry.task, later
    elseif replaces or is_done and not line.task_id then
        entry.remade, entry.replaces, entry.task = true, entry.task, nil
        return decide_submission(entry, line, state)
    else
        entry.id, entry.gone = line.task_id, is_done or nil
    end
    if not entry.task and not entry.id then return decide_submission(entry, line, state) end
    name_again(entry, line, state)
    return "fetch"
end

local function decide(entry, line, state)
    local file = line and find_file(entry, line, state)
    if file then
        local name = entry.name or line.file or file
        if name ~= file then entry.move = { from = file, to = name } end
        entry.found = line.state == "ready" and file or nil
        entry.collected = entry.task or entry.record
        return "done"
    end
    if line and is_paid(line) then return decide_paid(entry, line, state) end
    return entry.task and "fetch" or decide_submission(entry, line, state)
end

--- Numbers the entries with the same request. One with the name of a file gets the number of that: lists may be
--- reordered.
local function match_copies(entries, lines)
    local others, taken, last = {}, {}, {}
    local function set(entry, copy)
        entry.copy, entry.key = copy, prompts.key(entry.payload, copy)
        taken[entry.key] = true
    end
    for _, entry in ipairs(entries) do
        local line = entry.name and lines[entry.name]
        local copy = line and line.copy or 1
        if line and prompts.key(line.request, copy) == prompts.key(entry.payload, copy) then
            set(entry, copy)
        else
            others[#others + 1] = entry
        end
    end
    for _, entry in ipairs(others) do
        local body = prompts.body(entry.payload)
        repeat last[body] = (last[body] or 0) + 1 until not taken[prompts.key(entry.payload, last[body])]
        set(entry, last[body])
    end
end

--- Returns the copy number of a task that is not in the list: that of its manifest line, or an unused one.
local function copy_of(task, taken, known)
    local line, copy = known.by_id[task.id], 1
    if line and line.request and not taken[prompts.key(task.request, line.copy or 1)] then return line.copy or 1 end
    while taken[prompts.key(task.request, copy)] or known:find(prompts.key(task.request, copy)) do copy = copy + 1 end
    return copy
end

--- Adds tasks that an earlier list paid for.
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

local function add_price(sum, entry)
    local credits = flux2.estimate(entry.payload)
    sum.count = sum.count + 1
    sum.credits = sum.credits + (credits or 0)
    sum.unpriced = sum.unpriced + (credits and 0 or 1)
end

--- Orders the moves so that each new name is free.
local function order_moves(out, directory)
    local waiting, vacated = {}, {} -- waiting: by the new name
    out.moves, out.stuck, out.vacated = {}, {}, vacated
    for _, entry in ipairs(out.done) do
        if entry.move then waiting[entry.move.to] = entry end
    end
    for _, first in ipairs(out.done) do
        local entry = first.move and not is_there(directory, first.move.to) and first
        while entry do
            out.moves[#out.moves + 1] = entry
            vacated[entry.move.from], vacated[entry.move.to], waiting[entry.move.to] = true, nil, nil
            entry = waiting[entry.move.from]
        end
    end
    for _, entry in ipairs(out.done) do
        if entry.move and waiting[entry.move.to] then out.stuck[#out.stuck + 1] = entry end
    end
end

--- Creates the plan.
---@param entries flux2.cli.Entry[]
---@param known flux2.cli.Manifest
---@param found { tasks: flux2.Task[], unknown: flux2.Record[], damaged: table[] } results of client:recover
---@param opts { directory: string, remake: boolean?, resubmit: boolean?, retry: boolean?, key: string? } key: the API
---  key
---@return flux2.cli.Plan
function plan.make(entries, known, found, opts)
    local state = {
        directory = opts.directory, key = opts.key, remake = opts.remake, resubmit = opts.resubmit, retry = opts.retry,
        tasks = by_request(found.tasks), records = by_request(found.unknown), files = known:files(),
        doubtful = #found.damaged > 0, -- an unreadable record may belong to any image
    }
    local out = {
        done = {}, fetch = {}, make = {}, unknown = {}, refused = {}, strays = 0, count = 0, credits = 0, unpriced = 0,
        remade = { count = 0, credits = 0, unpriced = 0 },
    }
    match_copies(entries, state.files)
    for _, entry in ipairs(entries) do take_own(entry, known:find(entry.key), state) end
    for _, entry in ipairs(entries) do take_any(entry, known:find(entry.key), state) end
    for _, entry in ipairs(entries) do
        local step = decide(entry, known:find(entry.key), state)
        table.insert(out[step], entry)
        if step == "make" then
            add_price(out, entry)
            if entry.remade then add_price(out.remade, entry) end
        end
    end
    add_strays(out, state.tasks, entries, known)
    order_moves(out, opts.directory)
    return out
end

--- Returns entries whose file name belongs to an existing file of another request.
---@param made flux2.cli.Plan
---@param known flux2.cli.Manifest
---@param directory string
---@return { line: integer, message: string }[]
function plan.conflicts(made, known, directory)
    local list = {}
    local function add(entry)
        list[#list + 1] = {
            line = entry.line,
            message = entry.name .. " already exists and belongs to another request: move it, or choose another name",
        }
    end
    for _, entries in ipairs { made.make, made.fetch } do
        for _, entry in ipairs(entries) do
            local line = known:find(entry.key)
            local ours = line and (line.stem == entry.name or line.file == entry.name)
            local free = ours or not entry.name or made.vacated[entry.name] or not is_there(directory, entry.name)
            if not free then add(entry) end
        end
    end
    for _, entry in ipairs(made.stuck) do add(entry) end
    return list
end

return plan
