--- Runs other programs. Every word in a shell command is quoted here.

local shell = {}

local IS_WINDOWS = package.config:sub(1, 1) == "\\"

--- Quotes a word for a POSIX shell, or for that of Windows, where not every word can be quoted.
---@param word string
---@return string
-- Example: `shell.quote "it's"` is 'it'\''s'
function shell.quote(word)
    if IS_WINDOWS then return word:find "^[%w_%-%./\\:=@,+]+$" and word or '"' .. word:gsub('"', '\\"') .. '"' end
    if word ~= "" and not word:find "[^%w_%-%./:=@,+%%]" then return word end
    return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Joins words to a command line.
---@param words string[]
---@return string
function shell.join(words)
    local quoted = {}
    for i = 1, #words do quoted[i] = shell.quote(words[i]) end
    return table.concat(quoted, " ")
end

--- Runs a command line. os.execute returns one number in Lua 5.1 and LuaJIT, three values in the others.
---@param command string
---@return integer status 128 + n after signal n
function shell.run(command)
    local first, how, code = os.execute(command)
    if type(first) ~= "number" then return how == "signal" and 128 + code or code or 1 end
    if IS_WINDOWS then return first end
    if first >= 256 then return math.floor(first / 256) end
    return first == 0 and 0 or 128 + first
end

--- Whether a program is installed. False on Windows, where not every word can be quoted.
---@param program string
---@return boolean
function shell.has(program)
    if IS_WINDOWS then return false end
    return shell.run("command -v " .. shell.quote(program) .. " >/dev/null 2>&1") == 0
end

return shell
