--- Other programs: whether they are there, and how their arguments are written.
-- Every word that reaches a shell is quoted here.

local shell = {}

--- A word as a POSIX shell reads it back.
---@param word string
---@return string
-- Example: `shell.quote "it's"` is 'it'\''s'
function shell.quote(word)
    if word ~= "" and not word:find "[^%w_%-%./:=@,+%%]" then return word end
    return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Words as a line to be typed.
---@param words string[]
---@return string
function shell.join(words)
    local quoted = {}
    for i = 1, #words do quoted[i] = shell.quote(words[i]) end
    return table.concat(quoted, " ")
end

--- Runs a command line. Lua 5.1 and LuaJIT tell its status in one number, the others in three values.
---@param command string
---@return integer status 128 and the signal for one that a signal ended
function shell.run(command)
    local first, how, code = os.execute(command)
    if type(first) ~= "number" then return how == "signal" and 128 + code or code or 1 end
    if first >= 256 then return math.floor(first / 256) end
    return first == 0 and 0 or 128 + first
end

--- Whether a program is installed.
---@param program string
---@return boolean
function shell.has(program)
    return shell.run("command -v " .. shell.quote(program) .. " >/dev/null 2>&1") == 0
end

--- Makes a directory, and those above it.
---@param path string
---@return boolean? ok
---@return string? reason
function shell.make_directory(path)
    local pipe = io.popen("LC_ALL=C mkdir -p -- " .. shell.quote(path) .. " 2>&1 && echo made")
    local said = pipe and pipe:read "*a" or ""
    if pipe then pipe:close() end
    if said:find "made\n$" then return true end
    return nil, (said:match ": ([^:]+)\n" or "it could not be made")
end

return shell
