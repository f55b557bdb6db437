-- Defines the commands of Neovim. The first command loads lua/flux2/host/neovim.lua, which implements them.

local function call(name, ...)
    local loaded, plugin = pcall(require, "flux2.host.neovim")
    if not loaded then return vim.notify(plugin, vim.log.levels.ERROR) end
    plugin[name](...)
end

vim.api.nvim_create_user_command("Flux2", function(command)
    call("generate", command.args, command.bang and "open" or nil)
end, { nargs = "+", bang = true, desc = "generate an image from a prompt; with ! open it" })

vim.api.nvim_create_user_command("Flux2Cancel", function()
    call "cancel"
end, { desc = "cancel the running generations" })
