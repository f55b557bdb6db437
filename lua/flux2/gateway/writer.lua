--- Writes to the database in groups: what one turn of the gateway's loop has to write is one transaction, because a
--- commit waits for the disk. Nothing is reported as done before the commit.

local writer = {}

---@class flux2.gateway.Writer
---@field private jobs table[]
local Writer = {}
Writer.__index = Writer

--- Makes a writer.
---@param db flux2.gateway.Database
---@return flux2.gateway.Writer
function writer.new(db)
    return setmetatable({ db = db, jobs = {} }, Writer)
end

--- Adds a write.
---@param fn fun(db: flux2.gateway.Database): any changes the database only; may run more than once
---@param committed? fun(ok: boolean, result: any) called after the commit, or with false and the reason
function Writer:add(fn, committed)
    self.jobs[#self.jobs + 1] = { fn = fn, committed = committed }
end

--- Adds a write that must not be lost: it is tried again until it is committed.
---@param fn fun(db: flux2.gateway.Database): any
---@param committed? fun(result: any) called after the commit
function Writer:insist(fn, committed)
    self.jobs[#self.jobs + 1] = {
        fn = fn, committed = function(ok, result)
            if not ok then return self:insist(fn, committed) end
            if committed then committed(result) end
        end,
    }
end

--- Whether writes wait.
---@return boolean
function Writer:has_work() return #self.jobs > 0 end

--- Runs all writes in one transaction.
---@return boolean ok
---@return string? reason
function Writer:flush()
    local jobs, results = self.jobs, nil
    if #jobs == 0 then return true end
    self.jobs = {}
    local ok, reason = self.db:transaction(function(db)
        results = {}
        for i, job in ipairs(jobs) do results[i] = job.fn(db) end
    end)
    for i, job in ipairs(jobs) do
        if job.committed then job.committed(ok, ok and results[i] or reason) end
    end
    return ok, not ok and reason or nil
end

return writer
