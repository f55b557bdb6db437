--- Many generations with a bounded number at once: the iterator behind client:map.
-- Owns the workers of one loop and ends them when the loop is left. Knows no HTTP and no task: it is given `generate`.

if jit then jit.off(true, true) end -- see flux2.scheduler

local errors = require "flux2.errors"
local scheduler = require "flux2.scheduler"
local spawn = require "flux2.spawn"

---@class flux2.Map The iterator of client:map, to be called by `for`.
---@overload fun(): integer?, flux2.Image?, flux2.Error?
local Map = {}
Map.__index = Map
Map.__name = "flux2.Map"

-- Lua before 5.4 does not tell an iterator that its loop was left; the garbage collector does, later. Tables have no
-- __gc on 5.1, where newproxy makes something that has.
local function on_collect(fn)
    local newproxy = rawget(_G, "newproxy")
    if not newproxy then return setmetatable({}, { __gc = fn }) end
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = fn
    return proxy
end

local function new_puller(iterable)
    if type(iterable) ~= "table" then return iterable end
    local i = 0
    return function()
        i = i + 1
        return iterable[i]
    end
end

--- Everything the workers know. They must not hold the iterator, or it would never be collected.
local function new_state(iterable, opts, generate)
    return {
        pull = new_puller(iterable), generate = generate, limit = opts.concurrency or 4,
        ordered = opts.ordered or false, running = {}, alive = 0, last = 0, finished = {}, finished_count = 0,
        next_index = 1,
        news = scheduler.latch(),
    }
end

local function keep(state, index, image, err)
    local entry = { index, image, err }
    if state.ordered then
        state.finished[index] = entry
    else
        state.finished[#state.finished + 1] = entry
    end
    state.finished_count = state.finished_count + 1
end

--- One worker. An error that it raises is one of the caller's: it belongs to this item, and not to the others.
local function start(state, index, item)
    local handle = spawn.spawn(state.generate, item, index)
    state.running[index] = handle
    scheduler.when(handle._latch, function()
        -- Called again when want of memory has ended it: what is counted is counted last.
        if state.running[index] then
            local image, err = handle:join()
            if not image and not errors.is(err) then err = errors.new("invalid_request", tostring(err)) end
            keep(state, index, image, err)
            state.running[index] = nil
            state.alive = state.alive - 1
        end
        if not state.closed then scheduler.open(state.news) end
    end)
end

--- Starts workers while there is room. An error of the caller's own iterator comes out of the loop.
local function fill(state)
    while not state.closed and not state.drained and state.alive < state.limit
        -- Finished pictures that nobody fetches must not pile up behind a slow first one.
        and state.finished_count < 4 * state.limit do
        local item = state.pull()
        if item == nil then
            state.drained = true
            return
        end
        state.last = state.last + 1
        state.alive = state.alive + 1
        start(state, state.last, item)
    end
end

local function take(state)
    local entry
    if state.ordered then
        entry = state.finished[state.next_index]
        if not entry then return nil end
        state.finished[state.next_index] = nil
        state.next_index = state.next_index + 1
    else
        entry = table.remove(state.finished, 1)
        if not entry then return nil end
    end
    state.finished_count = state.finished_count - 1
    return entry
end

local function close(state)
    if state.closed then return end
    state.closed = true
    local running = state.running
    state.running, state.finished, state.finished_count = {}, {}, 0
    for _, handle in pairs(running) do handle:cancel() end
    scheduler.open(state.news)
end

--- The next one: index, image, err. Nothing when all are done.
function Map:__call()
    local state = self._state
    while not state.closed do
        fill(state)
        local entry = take(state)
        if entry then
            fill(state)
            return entry[1], entry[2], entry[3]
        end
        if state.drained and state.alive == 0 then
            close(state)
            return nil
        end
        state.news = scheduler.latch()
        local open = scheduler.await(state.news)
        if not open then -- the coroutine that loops was cancelled
            close(state)
            return nil
        end
    end
    return nil
end

--- Cancels what is still running. Leaving the loop does it too: at once on Lua 5.4, with a garbage collection before.
-- Example: `local each = client:map(prompts) local i, image, err = each() each:close()`
function Map:close()
    close(self._state)
end
Map.__close = Map.close

--- Makes the iterator, as `for` takes it. Used by Client.
---@private
---@param iterable table|fun(): any
---@param opts table concurrency, ordered
---@param generate fun(item: any, index: integer): any, any
---@return flux2.Map each
---@return nil
---@return nil
---@return any closing on Lua 5.4 what is closed when the loop is left
function Map.new(iterable, opts, generate)
    local state = new_state(iterable, opts, generate)
    -- The collector must not be made to resume coroutines (LuaJIT loops for ever then): the pump does it, soon.
    local sentinel = on_collect(function()
        if not state.closed then pcall(scheduler.after, 0, function() close(state) end, true) end
    end)
    local self = setmetatable({ _state = state, _sentinel = sentinel }, Map)
    return self, nil, nil, self
end

return Map
