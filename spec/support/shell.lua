--- Commands of the shell that specs run: to their end, with their exit code and all that they printed. A leaf: knows
--- nothing of flux2.

local shell = {}

--- A word as the shell reads it back.
function shell.quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

--- Words as one line of the shell.
function shell.join(words)
    local quoted = {}
    for i, word in ipairs(words) do quoted[i] = shell.quote(word) end
    return table.concat(quoted, " ")
end

--- Runs a command, which the caller bounds. Returns its exit code and what it printed, errors too.
function shell.run(command)
    local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; echo \"exit:$?\""))
    local printed, code = pipe:read("*a"):match "^(.*)exit:(%d+)\n$"
    pipe:close()
    return tonumber(code), printed
end

--- The interpreter that runs the specs, to be started again: an instrumented build wants to be started in its own way.
function shell.interpreter()
    local named = os.getenv "FLUX2_TEST_LUA"
    if named then return named end
    local first = 0
    while arg and arg[first - 1] do first = first - 1 end
    return arg and arg[first] or "lua"
end

return shell
