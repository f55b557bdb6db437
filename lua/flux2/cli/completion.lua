--- `flux2 completion`: prints the completion script that argparse generates.

local exit = require "flux2.cli.exit"

local completion = { name = "completion", summary = "Print a shell completion script.", needs_settings = false }

function completion.describe(command)
    -- Commands, because argparse does not complete the choices of an argument.
    command:command_target "shell"
    for _, shell in ipairs { "bash", "zsh", "fish" } do
        command:command(shell):summary("For " .. shell .. ".")
            :description("Print the completion script for " .. shell .. ".")
    end
    command:epilog [[
Examples:
   source <(flux2 completion bash)           # in ~/.bashrc
   source <(flux2 completion zsh)            # in ~/.zshrc, after compinit
   flux2 completion fish > ~/.config/fish/completions/flux2.fish]]
end

--- argparse's script ends in a call, which works for a file in fpath but not for `source`.
local function for_zsh(script)
    local body = script:gsub("\n_flux2\n$", "")
    return body .. '\n\nif [ "$funcstack[1]" = "_flux2" ]; then\n  _flux2 "$@"\nelse\n  compdef _flux2 flux2\nfi\n'
end

--- Returns the script for a shell.
---@param shell "bash"|"zsh"|"fish"
---@return string
function completion.script(shell)
    local parser = require("flux2.cli").parser()
    local script = parser["get_" .. shell .. "_complete"](parser)
    if shell == "zsh" then return for_zsh(script) end
    -- Directories are completed with a trailing slash.
    return (script:gsub("complete %-F _flux2", "%0 -o filenames"))
end

function completion.run(args, out)
    out:result((completion.script(args.shell):gsub("\n$", "")))
    return exit.OK
end

return completion
