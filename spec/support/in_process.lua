--- Runs the command line in this process, with a fake terminal that records the output. A hundred times faster than
--- support/program.lua, which runs bin/flux2 like a user.
local cli = require "flux2.cli"
local service = require "support.service"
local terminal = require "flux2.cli.terminal"

local in_process = {}

local getenv = os.getenv

--- For a `describe`: an emulator, a folder and an environment for each spec.
---@param before_each function busted's, which is not visible in a module
---@param after_each function busted's
---@param given fun(emu: table, dir: string, env: table<string, string>) gets them before each spec
function in_process.around_each(before_each, after_each, given)
    service.around_each(before_each, after_each, nil, function(emu, dir)
        local env = {
            FLUX2_API_KEY = emu.api_key, FLUX2_BASE_URL = emu.url, FLUX2_POLL_INTERVAL = "0.02", FLUX2_PATIENCE = "0.3",
            XDG_STATE_HOME = dir .. "/state", HOME = dir,
            PATH = getenv "PATH", FLUX2_TEST_LUA = getenv "FLUX2_TEST_LUA", FLUX2_BUILD = getenv "FLUX2_BUILD",
        }
        rawset(os, "getenv", function(name) return env[name] end)
        given(emu, dir, env)
    end)
    after_each(function() rawset(os, "getenv", getenv) end)
end

local function stream(written)
    return {
        write = function(_, ...)
            for _, s in ipairs { ... } do table.insert(written, s) end
        end,
        flush = function() end,
    }
end

--- What changes from run to run becomes a word.
local function clean(written, dir)
    return (table.concat(written):gsub(dir:gsub("%p", "%%%0"), "DIR"):gsub("Z:DIR", "DIR"):gsub("n41%w+_flux2", "ID")
        :gsub("%d+ s\n", "N s\n"):gsub("\n%d+ s, ", "\nN s, "):gsub("^%d+ s, ", "N s, ")
        :gsub("%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ", "TIME"))
end

--- Runs `flux2 WORDS` as cli.main does. DIR in a word is the folder. Returns the exit status, stdout and stderr.
---@param dir string
---@param ... string words
---@return integer code
---@return string out
---@return string err
function in_process.run(dir, ...)
    -- Objects of the previous run are collected, as at the end of a process.
    collectgarbage()
    collectgarbage()
    local argv, out, err = {}, {}, {}
    for i, word in ipairs { ... } do argv[i] = word:gsub("DIR", dir) end
    local fake = terminal.new {
        out = stream(out), err = stream(err), getenv = function() end, columns = function() end,
        is_terminal = function() return false end,
    }
    local code = cli.run(argv, fake)
    return code, clean(out, dir), clean(err, dir)
end

return in_process
