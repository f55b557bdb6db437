--- Files, file trees and shell commands, for everything in this folder.

local files = {}

--- Reads a file; nil and a reason if it cannot be opened.
function files.read(path)
    local file, reason = io.open(path, "rb")
    if not file then return nil, reason end
    local text = file:read "*a"
    file:close()
    return text
end

--- Writes a file, or raises an error.
function files.write(path, text)
    local file = assert(io.open(path, "wb"))
    assert(file:write(text))
    assert(file:close())
end

function files.append(path, text)
    local file = assert(io.open(path, "ab"))
    assert(file:write(text))
    assert(file:close())
end

function files.quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

--- Returns a shell command line with quoted arguments.
function files.command(...)
    local words = { ... }
    for i, word in ipairs(words) do words[i] = files.quote(word) end
    return table.concat(words, " ")
end

--- Returns the output of a command and whether it succeeded.
function files.output(command)
    local pipe = assert(io.popen(command, "r"))
    local text = pipe:read "*a"
    return text, pipe:close() == true
end

--- The lines that a command prints, without empty ones.
function files.lines(command)
    local list = {}
    for line in files.output(command):gmatch "[^\n]+" do list[#list + 1] = line end
    return list
end

--- Returns the Unix time with a fraction.
function files.now()
    return tonumber((files.output "date +%s.%N"))
end

--- Runs a command that must succeed.
function files.run(command)
    local ok, how, code = os.execute(command)
    if not ok then error(("%s %d: %s"):format(how, code, command), 0) end
end

function files.make_folder(path)
    files.run(files.command("mkdir", "-p", path))
end

--- Passes words to a command with xargs, without splitting them.
local function feed(words, command)
    local pipe = assert(io.popen("xargs -0 -r " .. command, "w"))
    for _, word in ipairs(words) do pipe:write(word, "\0") end
    if not pipe:close() then error("failed: " .. command, 0) end
end

--- Returns the sorted paths of the tracked and untracked, not ignored files at `root`.
function files.tracked(root)
    local list = {}
    local command = "git -C " .. files.quote(root) .. " -c core.quotePath=off ls-files -co --exclude-standard | sort -u"
    for _, path in ipairs(files.lines(command)) do
        if files.read(root .. "/" .. path) then list[#list + 1] = path end
    end
    return list
end

local function remove_stale(to, list)
    local known, stale = {}, {}
    for _, path in ipairs(list) do known[path] = true end
    for path in (files.read(to .. ".list") or ""):gmatch "[^\n]+" do
        if not known[path] then stale[#stale + 1] = to .. "/" .. path end
    end
    feed(stale, "rm -f")
    files.write(to .. ".list", table.concat(list, "\n") .. "\n")
end

--- Copies the files of `list` from tree `from` to tree `to` unless they are equal. `transform(path, text)` may return a
--- changed text.
function files.sync(from, to, list, transform)
    files.make_folder(to)
    remove_stale(to, list)
    local changed, written = {}, {}
    for _, path in ipairs(list) do
        local text = files.read(from .. "/" .. path)
        local other = transform and transform(path, text)
        if files.read(to .. "/" .. path) ~= (other or text) then changed[#changed + 1] = path end
        if other then written[path] = other end
    end
    feed(changed, ("env -C %s cp --parents --preserve=mode -t %s"):format(files.quote(from), files.quote(to)))
    for _, path in ipairs(changed) do
        if written[path] then files.write(to .. "/" .. path, written[path]) end
    end
end

--- A digest of the files of a tree.
function files.digest(root, list)
    local path = os.tmpname()
    feed(list, ("env -C %s sha1sum >%s"):format(files.quote(root), path))
    local digest = files.output("sha1sum <" .. path):match "^%x+"
    os.remove(path)
    return digest
end

local function serialize(value)
    if type(value) ~= "table" then return ("%q"):format(value) end
    local parts = {}
    for key, item in pairs(value) do parts[#parts + 1] = "[" .. serialize(key) .. "]=" .. serialize(item) end
    return "{" .. table.concat(parts, ",") .. "}"
end

--- Saves a table of plain values; `files.load` reads it.
function files.save(path, value)
    files.write(path, "return " .. serialize(value) .. "\n")
end

function files.load(path)
    return assert(loadfile(path, "t", {}))()
end

return files
