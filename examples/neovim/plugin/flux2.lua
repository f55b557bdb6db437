-- The commands; what they do is in lua/flux2_nvim.lua, which is loaded by the first of them.

vim.api.nvim_create_user_command("Flux2", function(command)
    require("flux2_nvim").generate(command.args, command.bang and "open" or nil)
end, { nargs = "+", bang = true, desc = "generate a picture from a prompt; with ! open it" })

vim.api.nvim_create_user_command("Flux2Cancel", function()
    require("flux2_nvim").cancel()
end, { desc = "give up the pictures that are being generated" })
