-- The command line: `--name value`.

local options = {}

local NAMES = {
    ["ca-file"] = "file of trusted certificates, for another service",
    ["duration"] = "seconds per image of the emulator",
    ["frames-out"] = "output file for the times of all frames",
    ["quit-after"] = "seconds after which the window closes",
    ["report"] = "output file for the report of the script",
    ["resolution"] = "1K or 2K",
    ["screenshot"] = "output file for a screenshot at the end",
    ["script"] = "a Lua file that controls the gallery",
    ["window"] = "window size, such as 640x480",
}

local function help()
    local lines = {}
    for name, meaning in pairs(NAMES) do lines[#lines + 1] = ("  --%-12s %s"):format(name, meaning) end
    table.sort(lines)
    print("love examples/love [--name value ...]\n" .. table.concat(lines, "\n"))
end

--- Parses the arguments. Prints the help and returns nil for invalid ones.
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
