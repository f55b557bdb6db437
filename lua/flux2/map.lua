--- The iterator of client:map: many generations with bounded concurrency.
-- Owns the coroutines of one loop, and cancels them when the loop is left.

local errors = require "flux2.errors"
local scheduler = require "flux2.scheduler"
local spawn = require "flux2.spawn"
local uncaught = require "flux2.uncaught"
local validate = require "flux2.validate"
local waits = require "flux2.waits"

---@class flux2.Map The iterator of client:map, for `for`.
---@overload fun(): integer?, flux2.Image?, flux2.Error?
local Map = {}
Map.__index = Map
Map.__name = "flux2.Map"

-- Before Lua 5.4 only the garbage collector detects that a loop was left. Tables have no __gc on 5.1, but the userdata
-- of newproxy have.
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

--- The state of the loop. It must not refer to the iterator, which would never be collected then.
local function new_state(iterable, opts, generate)
    return {
        pull = new_puller(iterable), generate = generate, limit = opts.concurrency or 4,
        ordered = opts.ordered or false, running = {}, alive = 0, last = 0, finished = {}, finished_count = 0,
        next_index = 1,
        changed = waits.latch(),
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

--- Starts the generation of one item. A raised error comes from a function of the caller; it is the error of this item.
local function start(state, index, item)
    local handle = spawn.spawn(state.generate, item, index)
    state.running[index] = handle
    waits.when(handle:_end_latch(), function()
        -- Called again if an allocation fails, so the counter changes last.
        if state.running[index] then
            local image, err = handle:join()
            if not image and not errors.is(err) then err = errors.new("invalid_request", uncaught.text(err)) end
            keep(state, index, image, err)
            state.running[index] = nil
            state.alive = state.alive - 1
        end
        if not state.closed then waits.open(state.changed) end
    end)
end

--- Starts generations up to the limit. Raises the errors of the caller's iterator.
local function fill(state)
    while not state.closed and not state.drained and not waits.is_cancelled() and state.alive < state.limit
        -- With `ordered`, finished images must not accumulate behind a slow one.
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
    waits.open(state.changed)
end

--- Returns the next index, image and err; nothing at the end.
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
        if state.changed.open then state.changed = waits.latch() end -- several coroutines may share the iterator
        local open = waits.await(state.changed)
        if not open then -- the looping coroutine was cancelled
            close(state)
            return nil
        end
    end
    return nil
end

--- Cancels the running tasks. Leaving the loop does it too: at once on Lua 5.4, else at a garbage collection.
-- Example: `local each = client:map(prompts) local i, image, err = each() each:close()`
function Map:close()
    validate.receiver(self, Map, "each:close")
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
---@return any closing the value that Lua 5.4 closes when the loop is left
function Map.new(iterable, opts, generate)
    local state = new_state(iterable, opts, generate)
    -- The pump resumes the coroutines, because a finalizer must not: LuaJIT would loop for ever.
    local sentinel = on_collect(function()
        if not state.closed then pcall(scheduler.after, 0, function() close(state) end, true) end
    end)
    local self = setmetatable({ _state = state, _sentinel = sentinel }, Map)
    return self, nil, nil, self
end

return Map
