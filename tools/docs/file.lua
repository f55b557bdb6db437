--- Files as a whole, and what a command prints: for everything in this folder. Knows nothing of what they hold.

local file = {}

--- Reads a file.
---@param path string
---@return string? bytes
---@return string? reason
function file.read(path)
    local handle, reason = io.open(path, "rb")
    if not handle then return nil, reason end
    local bytes = handle:read "*a"
    handle:close()
    return bytes
end

--- Writes a file, or raises an error.
---@param path string
---@param bytes string
function file.write(path, bytes)
    local handle = assert(io.open(path, "wb"))
    assert(handle:write(bytes))
    assert(handle:close())
end

--- Runs a command.
---@param command string for sh
---@return string[] lines that it printed
function file.lines_of(command)
    local list, pipe = {}, assert(io.popen(command))
    for line in pipe:lines() do list[#list + 1] = line end
    pipe:close()
    return list
end

return file
