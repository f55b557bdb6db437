--- Disables JIT compilation for the functions of flux2.
-- LuaJIT compiles a function after a few dozen calls, which takes half a millisecond of a frame. Code that mostly calls
-- C gains nothing: interpreted, the functions of a frame take some 20 microseconds.

local jit = rawget(_G, "jit") -- strict.lua raises an error at the read of an undefined global

--- Windows allows two separators: a path of `package.path` may contain both.
local function source_of(fn)
    return (debug.getinfo(fn, "S").source:gsub("\\", "/"))
end

local FOLDER = source_of(source_of):gsub("[^/]*$", "") -- "@" and the folder of flux2's modules

local function is_ours(fn)
    return source_of(fn):sub(1, #FOLDER) == FOLDER
end

--- Disables the compiler for a function and those inside it, then for all functions that it refers to.
local function disable(value, seen)
    if value == nil or seen[value] then return end
    seen[value] = true
    if type(value) == "table" then
        for _, member in next, value do disable(member, seen) end
        disable(getmetatable(value), seen)
    elseif type(value) == "function" and is_ours(value) then
        jit.off(value, true)
        local i, name, upvalue = 1, debug.getupvalue(value, 1)
        while name do
            disable(upvalue, seen)
            i = i + 1
            name, upvalue = debug.getupvalue(value, i)
        end
    end
end

--- Disables the compiler for the functions of flux2 that can be reached from a value: a function by its upvalues, a
--- table by its fields and its metatable. Does nothing on a Lua without a compiler.
---@param value any
return function(value)
    if not jit then return end
    local seen = {}
    -- Other modules, including _G, are skipped.
    for name, module in next, package.loaded do
        if not name:find "^flux2%f[%z.]" then seen[module] = true end
    end
    disable(value, seen)
end
