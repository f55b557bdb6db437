--- `flux2 completion`: what a shell needs in order to complete the command line. argparse writes it.

local exit = require "flux2.cli.exit"

local completion = { name = "completion", summary = "Print the completion for a shell." }

function completion.describe(command)
    -- Commands, and not the choices of an argument: those argparse does not complete.
    command:command_target "shell"
    for _, shell in ipairs { "bash", "zsh", "fish" } do
        command:command(shell):summary("For " .. shell .. "."):description("Print the completion for " .. shell .. ".")
    end
    command:epilog [[
Examples:
   source <(flux2 completion bash)           # in ~/.bashrc
   source <(flux2 completion zsh)            # in ~/.zshrc, after compinit
   flux2 completion fish > ~/.config/fish/completions/flux2.fish]]
end

--- argparse's script ends in a call, which is right for a file in fpath and wrong for `source`.
local function for_zsh(script)
    local body = script:gsub("\n_flux2\n$", "")
    return body .. '\n\nif [ "$funcstack[1]" = "_flux2" ]; then\n  _flux2 "$@"\nelse\n  compdef _flux2 flux2\nfi\n'
end

--- The script for a shell.
---@param shell "bash"|"zsh"|"fish"
---@return string
function completion.script(shell)
    local parser = require("flux2.cli").parser()
    local script = parser["get_" .. shell .. "_complete"](parser)
    if shell == "zsh" then return for_zsh(script) end
    -- A folder is completed with its slash, so that one can go on.
    return (script:gsub("complete %-F _flux2", "%0 -o filenames"))
end

function completion.run(args)
    io.write(completion.script(args.shell))
    return exit.OK
end

return completion
