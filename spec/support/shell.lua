--- Shell commands of the specs: run to their end, with exit code and output. No dependency on flux2.

local shell = {}

--- Quotes a word for the shell.
function shell.quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

--- Quotes words as one line of the shell.
function shell.join(words)
    local quoted = {}
    for i, word in ipairs(words) do quoted[i] = shell.quote(word) end
    return table.concat(quoted, " ")
end

--- Runs a command, which the caller bounds. Returns its exit code and its output, stderr included.
function shell.run(command)
    local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; echo \"exit:$?\""))
    local printed, code = pipe:read("*a"):match "^(.*)exit:(%d+)\n$"
    pipe:close()
    return tonumber(code), printed
end

--- Runs a command that must succeed and is ended after `seconds`. Returns its output without trailing space.
function shell.must(command, seconds)
    local code, printed = shell.run(("timeout -k 5 %d sh -c %s"):format(seconds, shell.quote(command)))
    assert(code == 0, ("exit code %s:\n%s"):format(code, printed))
    return (printed:gsub("%s+$", ""))
end

--- The command of the interpreter that runs the specs: an instrumented build needs its own environment.
function shell.interpreter()
    local named = os.getenv "FLUX2_TEST_LUA"
    if named then return named end
    local first = 0
    while arg and arg[first - 1] do first = first - 1 end
    return arg and arg[first] or "lua"
end

return shell
