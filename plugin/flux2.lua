-- Defines the commands of Neovim. The first command loads lua/flux2/host/neovim.lua, which implements them.

-- The C modules of a checkout, which belong to the Lua modules beside them: `require "flux2"` finds them from here on.
-- Not needed if flux2 is installed.
local root = vim.fn.fnamemodify(debug.getinfo(1, "S").source:sub(2), ":p:h:h")
package.cpath = root .. "/build/5.1/?.so;" .. package.cpath

local MODULE_TYPES = { table = true, ["function"] = true }

--- Forgets modules whose loading failed. LuaJIT keeps another value in their place, and refuses to load them again:
--- "loop or previous error".
local function forget_failed()
    for name, value in pairs(package.loaded) do
        if name:find "^flux2%f[.%z]" and not MODULE_TYPES[type(value)] then package.loaded[name] = nil end
    end
end

local function call(name, ...)
    forget_failed()
    local loaded, plugin = pcall(require, "flux2.host.neovim")
    if not loaded then
        forget_failed()
        return vim.notify(plugin, vim.log.levels.ERROR)
    end
    plugin[name](...)
end

vim.api.nvim_create_user_command("Flux2", function(command)
    call("generate", command.args, command.bang and "open" or nil)
end, { nargs = "+", bang = true, desc = "generate an image from a prompt; with ! open it" })

vim.api.nvim_create_user_command("Flux2Cancel", function()
    call "cancel"
end, { desc = "cancel the running generations" })
