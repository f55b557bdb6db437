--- Loads a compiled module of flux2. A failure is an error of one line that says what to do.

local VERSION = _VERSION:match "%d%.%d"

local function read(path)
    local file = io.open(path, "rb")
    local bytes = file and file:read "*a"
    if file then file:close() end
    return bytes or ""
end

--- Returns what a module that is built for another Lua has to say. Usually symbols are missing, so that none of its
--- code runs; the sentence of flux2_check_lua (csrc/base/lua_compat.h) is in its file.
local function mismatch(failure)
    local path = failure:match "from file '(.-)'"
    if not path then return failure:match "^it is built for .*" end
    local sentence, version = read(path):match "(it is built for (Lua %d%.%d), but this is %%s)"
    return version and version ~= _VERSION and sentence:format(_VERSION) .. " (" .. path .. ")"
end

local function explain(name, failure)
    if failure:find("^module '" .. name .. "' not found") then
        return ("it is not in package.cpath; build it for Lua %s with make, or install flux2 with luarocks "
            .. "--lua-version=%s"):format(VERSION, VERSION)
    end
    local other = mismatch(failure)
    if not other then return (failure:gsub("%s+", " ")) end
    return ("%s; build flux2 for Lua %s with make or luarocks --lua-version=%s"):format(other, VERSION, VERSION)
end

--- Loads a module like `require`.
---@param name string
---@return table module
local function load_core(name)
    local loaded, module = pcall(require, name)
    if loaded then return module end
    error(("flux2: cannot load %s: %s"):format(name, explain(name, module)), 0)
end

return load_core
