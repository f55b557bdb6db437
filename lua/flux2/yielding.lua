--- Whether a wait in the running coroutine may yield, or has to block.
-- A leaf. Resumes nobody, and knows no one who waits.

if jit then jit.off(true, true) end -- see flux2.scheduler

local yielding = {}

local blocking = setmetatable({}, { __mode = "k" }) -- coroutine -> whether its waits block, where that is known
local is_hosts_own -- tells whether the running coroutine is one that a host runs everything in

local is_yieldable = coroutine.isyieldable
if not is_yieldable then
    -- Lua 5.1 and 5.2 cannot tell. What can be seen is a function of C on the stack, which on 5.1 none may yield
    -- across, and on 5.2 only those that were written for it. LuaJIT can tell, but nginx takes that function away: it
    -- yields across these two, iterators and metamethods.
    local luajit = jit ~= nil
    local transparent = _VERSION == "Lua 5.2" and { [pcall] = true, [xpcall] = true, [dofile] = true }
        or luajit and { [pcall] = true, [xpcall] = true } or {}
    function is_yieldable()
        local co, main = coroutine.running()
        if not co or main then return false end
        for level = 2, math.huge do
            local info = debug.getinfo(level, "Snf")
            if not info then return true end
            if info.what == "C" and not transparent[info.func] then return false end
            if _VERSION == "Lua 5.1" and not luajit and info.name == "(for generator)" then return false end
        end
    end
end

--- Makes waits in the running coroutine block, as on the main one: for hosts that run everything in a coroutine of
--- their own, which does not know what to do with a yield.
function yielding.block_here()
    local co = coroutine.running()
    if co then blocking[co] = true end
end

--- The same for every coroutine of which `is_theirs` says that it is one of these. Asked once in each, where it waits.
---@param is_theirs fun(): boolean
function yielding.block_in(is_theirs)
    is_hosts_own = is_theirs
end

--- Whether a wait made here would yield rather than block.
---@param co thread? the running one, as coroutine.running gives it
---@return boolean
function yielding.may(co)
    if not co then return false end
    if blocking[co] == nil and is_hosts_own then blocking[co] = is_hosts_own() end
    return not blocking[co] and is_yieldable()
end

return yielding
