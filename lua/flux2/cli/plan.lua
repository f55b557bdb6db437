--- Plans a batch: for each prompt, whether its image is done, paid and to be downloaded, of unknown outcome, or to be
-- generated. Only decides; sends and writes nothing.

local files = require "flux2.cli.files"
local flux2 = require "flux2"
local prompts = require "flux2.cli.prompts"
local spool = require "flux2.spool"

local plan = {}

---@class flux2.cli.Plan
---@field done flux2.cli.Entry[] their images exist; `found` is a file that is not in the manifest yet, `collected` a
---  task that is still in the spool, `move` the old and new name of an image whose name in the list has changed
---@field fetch flux2.cli.Entry[] paid: they have a `task` or an `id`; `record` if that lacks the id
---@field make flux2.cli.Entry[] to generate; `remade` if paid for before, `replaces` is its task in the spool
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

--- Returns the text of an entry's request in `by_request`: records do not contain the API key.
local function body_of(entry, state)
    return prompts.body(state.key and spool.without_key(entry.payload, state.key) or entry.payload)
end

--- Removes and returns the task with an id.
local function take_known(pool, id)
    for i, item in ipairs(pool or {}) do
        if item.id and item.id == id then return table.remove(pool, i) end
    end
end

--- Removes and returns the record of the submission in a manifest line: the id of its task could not be written.
local function take_submitted(pool, line)
    for i, record in ipairs(pool or {}) do
        if line.submitted and record.submitted == line.submitted then return table.remove(pool, i) end
    end
end

--- Removes and returns the task with an id, or else any task with the same request.
local function take_from(pool, id)
    return take_known(pool, id) or pool and table.remove(pool, 1)
end

--- A file that cannot be opened counts as existing: it is neither generated again nor overwritten.
local function is_there(directory, name)
    return files.exists(directory .. "/" .. name) ~= false
end

local function find_file(entry, line, directory)
    if entry.name then return files.exists(directory .. "/" .. entry.name) and entry.name end
    return line.stem and files.find(directory, line.stem)
end

--- Reuses the name of an earlier file.
local function name_again(entry, line)
    entry.stem = line.stem or line.file and files.without_extension(line.file)
end

-- A repeated submission is refused again; some services charge for it.
local REFUSALS = { moderated = true, rejected = true }
-- Final states of a task without an image.
local FINAL = { moderated = true, rejected = true, task_failed = true }

--- Whether the image of a failed entry is paid for and can still be downloaded.
local function is_paid(line)
    if line.state ~= "failed" then return false end
    if type(line.error) ~= "table" then return line.task_id ~= nil end
    if line.error.paid ~= nil then return line.error.paid == true end
    return line.task_id ~= nil and not FINAL[line.error.kind]
end

--- Returns the name of the existing file. A run that was killed while renaming leaves the file under its old name.
local function present_file(line, state)
    if line.file and is_there(state.directory, line.file) then return line.file end
    if line.was and not state.files[line.was] and is_there(state.directory, line.was) then return line.was end
end

local function decide_done(entry, line, state)
    local pool = state.tasks[body_of(entry, state)]
    local file = present_file(line, state)
    if file then
        local name = entry.name or line.file
        if name ~= file then entry.move = { from = file, to = name } end
        entry.collected = take_known(pool, line.task_id)
        return "done"
    end
    if state.remake or not line.task_id then
        entry.remade, entry.replaces = true, take_known(pool, line.task_id)
        return "make"
    end
    entry.task, entry.id, entry.gone = take_known(pool, line.task_id), line.task_id, true
    name_again(entry, line)
    return "fetch"
end

local function decide(entry, line, state)
    local body = body_of(entry, state)
    if line and line.state == "done" then return decide_done(entry, line, state) end
    entry.task = take_from(state.tasks[body], line and line.task_id)
    if line and line.state == "ready" then
        -- Saved, but the run ended before noting it. Files appear whole, and the name was reserved.
        entry.found = not entry.task and find_file(entry, line, state.directory) or nil
        if entry.found then return "done" end
        name_again(entry, line)
        entry.id = line.task_id
    elseif line and is_paid(line) then
        if state.remake then
            entry.remade, entry.replaces, entry.task = true, entry.task, nil
            return "make"
        end
        name_again(entry, line)
        entry.id = line.task_id
    end
    if entry.id and not entry.task then entry.record = take_submitted(state.records[body], line) end
    if entry.task or entry.id then return "fetch" end
    entry.record = take_from(state.records[body])
    if entry.record or line and line.state == "unknown" then return state.resubmit and "make" or "unknown" end
    entry.refusal = line and type(line.error) == "table" and REFUSALS[line.error.kind] and line.error or nil
    if entry.refusal and not state.retry then return "refused" end
    return state.doubtful and not state.resubmit and "unknown" or "make"
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
    local left, vacated = {}, {}
    for _, entry in ipairs(out.done) do
        if entry.move then left[#left + 1] = entry end
    end
    out.moves = {}
    repeat
        local before = #out.moves
        for i = #left, 1, -1 do
            local move = left[i].move
            if vacated[move.to] or not is_there(directory, move.to) then
                out.moves[#out.moves + 1] = table.remove(left, i)
                vacated[move.from], vacated[move.to] = true, nil
            end
        end
    until #out.moves == before
    out.stuck, out.vacated = left, vacated
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
            local ours = line and (line.state == "ready" or line.file == entry.name)
            local free = ours or not entry.name or made.vacated[entry.name] or not is_there(directory, entry.name)
            if not free then add(entry) end
        end
    end
    for _, entry in ipairs(made.stuck) do add(entry) end
    return list
end

return plan
