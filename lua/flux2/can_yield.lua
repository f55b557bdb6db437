--- Whether a wait in the running coroutine may yield, or has to block.

local can_yield = {}

local blocking = setmetatable({}, { __mode = "k" }) -- coroutine -> whether its waits block; nil: not known yet
local is_host_coroutine -- returns whether the running coroutine is one in which a host runs the whole program

local is_yieldable = coroutine.isyieldable
if not is_yieldable then
    -- Lua 5.1 and 5.2 lack this function, and nginx removes it from LuaJIT. A yield across a C function on the stack
    -- fails, except across `transparent` functions; LuaJIT also yields across iterators and metamethods.
    local luajit = rawget(_G, "jit") ~= nil
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

--- Makes waits in the running coroutine block, as in the main one: for coroutines of a host that must not yield.
function can_yield.block_here()
    local co = coroutine.running()
    if co then blocking[co] = true end
end

--- The same for every coroutine in which `predicate` returns true. It is called once in each, at its first wait.
---@param predicate fun(): boolean
function can_yield.block_in(predicate)
    is_host_coroutine = predicate
end

--- Whether a wait made here would yield rather than block.
---@param co thread? the running coroutine, from coroutine.running
---@return boolean
function can_yield.check(co)
    if not co then return false end
    if blocking[co] == nil and is_host_coroutine then blocking[co] = is_host_coroutine() end
    return not blocking[co] and is_yieldable()
end

return can_yield
