--- Requests that wait for tasks: coroutines that are resumed when a task ends, or after their time.

local waiters = {}

---@class flux2.gateway.Waiters
local Waiters = {}
Waiters.__index = Waiters

---@param resume fun(co: thread, ...: any)
---@return flux2.gateway.Waiters
function waiters.new(resume)
    return setmetatable({ resume = resume, by_task = {}, all = {}, count = 0 }, Waiters)
end

local function forget(self, waiter)
    self.all[waiter] = nil
    self.count = self.count - 1
    local list = self.by_task[waiter.task]
    list[waiter] = nil
    if not next(list) then self.by_task[waiter.task] = nil end
end

--- Suspends the running coroutine until `wake(task)`, or for at most the time.
---@param task string its id
---@param until_ number seconds of the monotonic clock
---@return boolean woken
function Waiters:wait(task, until_)
    local waiter = { co = coroutine.running(), task = task, until_ = until_ }
    self.by_task[task] = self.by_task[task] or {}
    self.by_task[task][waiter] = true
    self.all[waiter] = true
    self.count = self.count + 1
    return coroutine.yield()
end

local function wake_all(self, list, woken)
    for _, waiter in ipairs(list) do
        forget(self, waiter)
        self.resume(waiter.co, woken)
    end
end

local function keys(map)
    local list = {}
    for key in pairs(map) do list[#list + 1] = key end
    return list
end

--- A task has ended.
---@param task string
function Waiters:wake(task)
    if self.by_task[task] then wake_all(self, keys(self.by_task[task]), true) end
end

--- Ends the waits whose time is over.
---@param now number seconds of the monotonic clock
function Waiters:expire(now)
    local due = {}
    for waiter in pairs(self.all) do
        if waiter.until_ <= now then due[#due + 1] = waiter end
    end
    wake_all(self, due, false)
end

--- Ends all waits.
function Waiters:release() wake_all(self, keys(self.all), false) end

--- The tasks that somebody waits for.
---@return string[] ids
function Waiters:tasks() return keys(self.by_task) end

return waiters
