--- `flux2 completion`: what a shell needs in order to complete the command line. argparse writes it.

local exit = require "flux2.cli.exit"

local completion = { name = "completion", summary = "Print the completion for a shell." }

function completion.describe(command)
    command:argument("shell", "The shell."):choices { "bash", "zsh", "fish" }
    command:epilog [[
Examples:
   source <(flux2 completion bash)                                    in ~/.bashrc
   source <(flux2 completion zsh)                                     in ~/.zshrc, after compinit
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
    return shell == "zsh" and for_zsh(script) or script
end

function completion.run(args)
    io.write(completion.script(args.shell))
    return exit.OK
end

return completion
