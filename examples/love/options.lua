-- The command line: `--name value`.

local options = {}

local NAMES = {
    ["ca-file"] = "certificates to trust, for a service of your own",
    ["duration"] = "seconds that the emulator takes for a picture",
    ["frames-out"] = "where to write the times of all frames",
    ["quit-after"] = "seconds after which the window closes",
    ["report"] = "where to write what the script found",
    ["resolution"] = "1K or 2K",
    ["screenshot"] = "where to write a picture of the window at the end",
    ["script"] = "a Lua file that drives the gallery",
    ["window"] = "its size, such as 640x480",
}

local function help()
    local lines = {}
    for name, meaning in pairs(NAMES) do lines[#lines + 1] = ("  --%-12s %s"):format(name, meaning) end
    table.sort(lines)
    print("love examples/love [--name value ...]\n" .. table.concat(lines, "\n"))
end

--- Reads the arguments; nil after saying what is wrong with them.
---@param arguments string[]
---@return table<string, string>?
function options.read(arguments)
    local given = {}
    for i = 1, #arguments, 2 do
        local name = arguments[i]:match "^%-%-(.+)$"
        if not name or not NAMES[name] or not arguments[i + 1] then return help() end
        given[name] = arguments[i + 1]
    end
    return given
end

return options
