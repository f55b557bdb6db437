-- The man page is made from the parser of the command line.

local cli = require "flux2.cli"
local service = require "support.service"
local shell = require "support.shell"

local function make(path)
    local code, output = shell.run(("%s tools/man.lua 86400 >%s"):format(shell.quote(shell.interpreter()), path))
    assert.equal(0, code, output)
    return service.read(path)
end

describe("the man page", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    it("has the version, the date, and every command, option and variable", function()
        local page = make(dir .. "/flux2.1")
        local version = require("flux2")._VERSION
        assert.equal('.TH FLUX2 1 1970-01-02 "flux2 ' .. version .. '"', page:match "^[^\n]+")
        page = page:gsub("\\%-", "-")
        local help = cli.parser():get_help()
        for _, name in ipairs(cli.commands) do
            assert.truthy(page:find('.SH "FLUX2 ' .. name:upper() .. '"', 1, true), name)
        end
        for _, command in ipairs(cli.parser()._commands) do help = help .. "\n" .. command:get_help() end
        local count = 0
        for name in help:gmatch "%f[%w_%-]%-%-%a[%w%-]+" do
            assert.truthy(page:find(name, 1, true), name)
            count = count + 1
        end
        assert.is_true(count > 50)
        for name in help:gmatch "FLUX2_[%u_]+" do assert.truthy(page:find(name, 1, true), name) end
    end)

    it("is formatted without a warning", function()
        make(dir .. "/flux2.1")
        if shell.run "command -v groff" ~= 0 then return pending "needs groff" end
        local code, output = shell.run(("groff -ww -man -Tascii -P-cbou '%s/flux2.1' 2>&1 >'%s/text'"):format(dir, dir))
        assert.equal(0, code)
        assert.equal("", output)
        local text = service.read(dir .. "/text")
        assert.truthy(text:find("flux2 - generate images", 1, true), text)
    end)
end)
