--- `flux2 version`, `flux2 --version`: prints the version. It loads little, so that it is quick.

local core = require "flux2.core"
local exit = require "flux2.cli.exit"

local version = { name = "version", summary = "Print the version.", needs_settings = false }

function version.describe(command)
    command:epilog [[
Example:
   flux2 version]]
end

--- Returns the line: the versions of flux2, Lua and libcurl.
---@return string
function version.line()
    local jit = rawget(_G, "jit")
    return ("flux2 %s (%s, %s)"):format(require("flux2.version")._VERSION, jit and jit.version or _VERSION,
        core.libcurl:match "%S+")
end

function version.run(_, out)
    out:result(version.line())
    return exit.OK
end

return version
